"""The built-in app `key-values`: fields out of plain text, without a model."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from aihub_async.emulator.documents import Document, ExtractedDocument, Field, Fragment, Page

_KEY_VALUE = re.compile(r"^\s*([^\W_][^:\n]{0,59}?)\s*:(?!//)\s*(\S.*?)\s*$")
_TIME_OF_DAY = re.compile(r"\d{1,2}$")
_DATE = re.compile(
    r"\b(?:\d{4}-\d{2}-\d{2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}"
    r"|\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* \d{4}"
    r"|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* \d{1,2}, \d{4})\b"
)
_EMAIL = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b")
_AMOUNT = re.compile(r"(?:[$€£]\s?|\b(?:USD|EUR|GBP)\s)\d[\d,. ]*\d|\b\d{1,3}(?:,\d{3})*\.\d{2}\b")
_TOTAL = re.compile(r"\b(?:grand total|total due|amount due|total)\b", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?")

# Model confidence of each kind of rule.
_SURE, _LIKELY, _GUESSED = 0.98, 0.9, 0.75
_NEAR = 4  # lines in which the next row of a table is searched


def key_values(document: Document) -> list[ExtractedDocument]:
    """Return every `Key: value` line, and the dates, e-mail addresses, amounts and total of the text.

    A table becomes one document per row, with a field per column.
    """
    if document.rows:
        return _records(document)
    fields = _pairs(document.pages)
    taken = {field.name.casefold() for field in fields}
    fields += [field for field in _findings(document.text) if field.name not in taken]
    return [ExtractedDocument(fields, confidence=_SURE if fields else _GUESSED)]


def _records(document: Document) -> list[ExtractedDocument]:
    places = [(page, fragment) for page in document.pages for fragment in page.fragments]
    documents, cursor = [], 0
    for row in document.rows:
        # Rows are in the order of the lines; only a line or two (a header, a wrapped cell) may be between them.
        near = range(cursor, min(cursor + _NEAR, len(places)))
        index = next((index for index in near if _holds(places[index][1], row)), None)
        page, fragment = (None, None) if index is None else places[index]
        fields = [
            Field(name, value, _type(value), _SURE, page.box(fragment, value) if page and fragment else None)
            for name, value in row.items()
        ]
        documents.append(ExtractedDocument(fields, confidence=_SURE, pages=(page.number,) if page else ()))
        cursor = cursor + 1 if index is None else index + 1
    return documents


def _holds(fragment: Fragment, row: Mapping[str, str]) -> bool:
    return all(value in fragment.text for value in row.values())


def _pairs(pages: Iterable[Page]) -> list[Field]:
    fields: list[Field] = []
    counts: Counter[str] = Counter()
    for page in pages:
        lines = {fragment.text.strip(): fragment for fragment in reversed(page.fragments)}
        for line in page.text.splitlines():
            found = _KEY_VALUE.match(line)
            # "12:30" is a time of day, not a key.
            if found is None or _TIME_OF_DAY.match(found[1]):
                continue
            name, value = found[1], found[2]
            counts[name] += 1
            name = name if counts[name] == 1 else f"{name} {counts[name]}"
            whole = lines.get(line.strip())
            box = page.box(whole, value) if whole else page.find(value)
            fields.append(Field(name, value, _type(value), _SURE, box))
    return fields


def _findings(text: str) -> list[Field]:
    found: list[Field] = []
    for name, pattern, kind in (("dates", _DATE, "DATE"), ("emails", _EMAIL, "TEXT"), ("amounts", _AMOUNT, "NUMBER")):
        values = list(dict.fromkeys(match.group().strip() for match in pattern.finditer(text)))
        if values:
            found.append(Field(name, "; ".join(values), kind if len(values) == 1 else "TEXT", _LIKELY))
    total = next((amount.group() for line in text.splitlines() if (amount := _total(line))), None)
    if total is not None:
        found.append(Field("total", total, "NUMBER", _GUESSED))
    return found


def _total(line: str) -> re.Match[str] | None:
    label = _TOTAL.search(line)
    return None if label is None else _AMOUNT.search(line, label.end())


def _type(value: str) -> str:
    if _DATE.fullmatch(value):
        return "DATE"
    if _AMOUNT.fullmatch(value) or _NUMBER.fullmatch(value):
        return "NUMBER"
    return "TEXT"
