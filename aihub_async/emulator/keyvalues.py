"""The built-in app `key-values`: fields out of plain text, without a model."""

import re
from collections.abc import Mapping

from aihub_async.emulator.apps import Document, ExtractedDocument, Field

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

# What the API calls model confidence: how sure each rule is.
_SURE, _LIKELY, _GUESSED = 0.98, 0.9, 0.75


def key_values(document: Document) -> list[ExtractedDocument]:
    """Every `Key: value` line, and the dates, e-mail addresses, amounts and total of the text.

    A table gives one document per row, with a field per column.
    """
    if document.rows:
        return [_record(row) for row in document.rows]
    fields = _pairs(document.text)
    fields.update({name: field for name, field in _findings(document.text).items() if name not in fields})
    return [ExtractedDocument(list(fields.values()), confidence=_SURE if fields else _GUESSED)]


def _record(row: Mapping[str, str]) -> ExtractedDocument:
    fields = [Field(name, value, _type(value), _SURE) for name, value in row.items()]
    return ExtractedDocument(fields, confidence=_SURE)


def _pairs(text: str) -> dict[str, Field]:
    fields: dict[str, Field] = {}
    for line in text.splitlines():
        found = _KEY_VALUE.match(line)
        # "12:30" is a time of day, not a key.
        if found is None or _TIME_OF_DAY.match(found[1]):
            continue
        name = _unused(found[1], fields)
        fields[name] = Field(name, found[2], _type(found[2]), _SURE)
    return fields


def _unused(name: str, fields: dict[str, Field]) -> str:
    candidate, count = name, 1
    while candidate in fields:
        count += 1
        candidate = f"{name} {count}"
    return candidate


def _findings(text: str) -> dict[str, Field]:
    found: dict[str, Field] = {}
    for name, pattern, kind in (("dates", _DATE, "DATE"), ("emails", _EMAIL, "TEXT"), ("amounts", _AMOUNT, "NUMBER")):
        values = list(dict.fromkeys(match.group().strip() for match in pattern.finditer(text)))
        if values:
            found[name] = Field(name, "; ".join(values), kind if len(values) == 1 else "TEXT", _LIKELY)
    total = next((amount.group() for line in text.splitlines() if (amount := _total(line))), None)
    if total is not None:
        found["total"] = Field("total", total, "NUMBER", _GUESSED)
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
