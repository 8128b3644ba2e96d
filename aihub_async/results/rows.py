"""The flattening of results into rows, used by `process()`, `runs.table()`, ingest and the command line.

A file of results becomes documents with uniquely named fields (`flatten`), and those become rows of one `Shape`. Rows
are plain dicts of JSON types. A failed field is None with its message under ``errors`` or ``error``: an error is never
a value. Page numbers count from 1 everywhere.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self, TypeAlias, TypedDict

import attrs

from aihub_async.errors import ConfigurationError
from aihub_async.models import CaseInfo, Document, Field, ResultFile
from aihub_async.results import fields as facts

Row: TypeAlias = dict[str, Any]

ROWS = ("document", "field")
COLUMNS = ("wide", "long")

_ORIGIN = {"source": "text", "file": "text", "batch_id": "int", "run_id": "text"}
_HEAD = _ORIGIN | {"document": "int", "class_name": "text", "pages": "ints"}
_DOCUMENT = _HEAD | {"review_completed": "bool", "errors": "map"}
_FIELD = _HEAD | {
    "field": "text",
    "value": "any",
    "type": "text",
    "error": "text",
    "confidence_model": "float",
    "confidence_ocr": "float",
}
_CASE = {
    "batch_id": "int",
    "run_id": "text",
    "field": "text",
    "value": "any",
    "error": "text",
    "valid": "bool",
    "failures": "texts",
    "chosen_document": "int",
    "chosen_field": "text",
    "edits": "texts",
}
# The facts that field rows always have, under their own names.
_ALWAYS_IN_FIELD_ROWS = frozenset({"error", "confidence", "ocr"})
_DOCUMENT_FACTS = {"confidence": ("class_confidence", "float"), "valid": ("document_valid", "bool")}
RENAMED = "~field"
"""Ends the column of a field whose own name another column has."""


@attrs.frozen
class Origin:
    """Where rows come from; these are their first columns.

    `source` is the local path, None when it is not known; `file` the name in the batch. `extra` holds columns of the
    caller's, such as a case or a deployment, with the same keys for all rows of one output.
    """

    source: str | None
    file: str
    batch_id: int | None = None
    run_id: str | None = None
    extra: Mapping[str, str | int | None] = attrs.field(factory=dict)

    def columns(self) -> Row:
        """Return the columns by name."""
        columns: Row = {
            "source": self.source,
            "file": self.file,
            "batch_id": self.batch_id,
            "run_id": self.run_id,
        }
        return {**columns, **self.extra} if self.extra else columns


class FlatDocument(NamedTuple):
    """One document with uniquely named fields; `number` counts from 0, None for a file without documents."""

    origin: Origin
    number: int | None
    document: Document
    fields: dict[str, Field]


def flatten(file: ResultFile, origin: Origin) -> Iterator[FlatDocument]:
    """Return the documents of one file; a file without documents still has one, empty and without a number."""
    for number, document in enumerate(file.documents):
        yield FlatDocument(origin, number, document, facts.unique_names(document))
    if not file.documents:
        yield FlatDocument(origin, None, Document(), {})


def file_name(file: ResultFile) -> str:
    """Return the name of a file in its batch."""
    return file.original_file_name or (file.input_file_path or "").rpartition("/")[2]


def file_error(file: ResultFile) -> str | None:
    """Return why nothing could be extracted from a file: all of its fields failed; None if any has no error."""
    errors = [facts.value_and_error(field)[1] for document in file.documents for field in document.fields]
    if not errors or None in errors:
        return None
    return "; ".join(dict.fromkeys(error for error in errors if error is not None))


class Requested(TypedDict):
    """The arguments of `runs.results()` that select what to send."""

    include_confidence_scores: bool
    include_source_info: bool
    include_review_results: bool
    include_validation_results: bool


@attrs.frozen
class Shape:
    """What a row is, and which columns it has.

    Attributes:
        rows: one row per ``"document"`` or one per ``"field"``.
        columns: for documents, ``"wide"`` (one column per field) or ``"long"`` (all values in the column ``fields``).
        include: names of `fields.FACTS`. In wide rows each adds a column per field, such as ``total__confidence``; in
            field rows a column.
        values: what the cells of wide rows hold: ``"value"``, or one of `fields.FACTS` for a twin of the same columns.
    """

    rows: str = "document"
    columns: str = "wide"
    include: tuple[str, ...] = ()
    values: str = "value"

    @classmethod
    def of(
        cls,
        rows: str = "document",
        columns: str | None = None,
        include: str | Iterable[str] = (),
        values: str = "value",
    ) -> Self:
        """Check the arguments of a table; `columns` is "wide" for documents and "long" for fields by default.

        Raises:
            ConfigurationError: an unknown word, or a combination without meaning.
        """
        names = (include,) if isinstance(include, str) else tuple(dict.fromkeys(include))
        columns = columns or ("wide" if rows == "document" else "long")
        _check("rows", [rows], ROWS)
        _check("columns", [columns], COLUMNS)
        _check("include", names, facts.FACTS)
        _check("values", [values], ("value", *facts.FACTS))
        if values != "value" and columns != "wide":
            raise ConfigurationError(f"values={values!r} needs one column per field: columns='wide'")
        if (rows, columns) == ("field", "wide"):
            raise ConfigurationError("rows='field' has one row per field and no wide form; use rows='document'")
        return cls(rows, columns, names, values)

    @property
    def is_wide(self) -> bool:
        """True when each field is a column."""
        return self.columns == "wide"

    @property
    def request(self) -> Requested:
        """What to request from the server for these rows; confidences in any case, for they cost nothing."""
        wanted = {facts.REQUESTED_BY.get(name) for name in (*self.include, self.values)}
        return {
            "include_confidence_scores": True,
            "include_source_info": "include_source_info" in wanted,
            "include_review_results": "include_review_results" in wanted,
            "include_validation_results": "include_validation_results" in wanted,
        }

    def fixed(self, extra: Iterable[str] = ()) -> dict[str, str]:
        """Return the columns that do not depend on the app, with their kinds; `extra` names those of the origin."""
        if self.rows == "field":
            more = {name: facts.FACTS[name][0] for name in self.include if name not in _ALWAYS_IN_FIELD_ROWS}
            return _with_extra(_FIELD, extra) | more
        more = dict(_DOCUMENT_FACTS[name] for name in self.include if name in _DOCUMENT_FACTS)
        fixed = _with_extra(_DOCUMENT, extra) | more
        if self.is_wide:
            return fixed
        return fixed | {"fields": "struct"} | ({"details": "map"} if self.include else {})

    def column_of(self, field: str) -> str:
        """Return the column of a field in wide rows: its name, unless another column could have that name.

        The answer depends on the name alone, so that all parts of an output agree: ``file`` is ``file~field``, and
        ``total__error`` is ``total__error~field`` when errors are included.
        """
        return _column_of(field, self.include)

    def kind_of(self, column: str) -> str | None:
        """Return the kind of a column other than the fixed ones; None if its values decide."""
        name, separator, fact = column.rpartition("__")
        if name and separator and fact in self.include:
            return facts.FACTS[fact][0]
        return None if self.values == "value" else facts.FACTS[self.values][0]

    def rows_of(self, file: ResultFile, origin: Origin) -> Iterator[Row]:
        """Return the rows of one file; a file without documents, or a document without fields, still has one."""
        for flat in flatten(file, origin):
            if self.rows == "field":
                yield from self._field_rows(flat)
            else:
                yield self._document_row(flat)

    def _document_row(self, flat: FlatDocument) -> Row:
        document = flat.document
        row = _head(flat)
        row["review_completed"] = document.review_completed
        outcomes = {name: facts.value_and_error(field) for name, field in flat.fields.items()}
        row["errors"] = {name: error for name, (_, error) in outcomes.items() if error is not None}
        if "confidence" in self.include:
            confidence = document.classification_confidence
            row["class_confidence"] = None if confidence is None else confidence.model
        if "valid" in self.include:
            row["document_valid"] = None if document.validations is None else document.validations.final_result_pass
        if self.is_wide:
            self._add_wide(row, flat, outcomes)
            return row
        row["fields"] = {name: value for name, (value, _) in outcomes.items()}
        if self.include:
            row["details"] = {name: self._included(field) for name, field in flat.fields.items()}
        return row

    def _add_wide(self, row: Row, flat: FlatDocument, outcomes: dict[str, tuple[Any, str | None]]) -> None:
        for name, field in flat.fields.items():
            column = self.column_of(name)
            row[column] = outcomes[name][0] if self.values == "value" else facts.FACTS[self.values][1](field)
            for fact in self.include:
                row[f"{column}__{fact}"] = facts.FACTS[fact][1](field)

    def _field_rows(self, flat: FlatDocument) -> Iterator[Row]:
        head = _head(flat)
        more = [name for name in self.include if name not in _ALWAYS_IN_FIELD_ROWS]
        for name, field in flat.fields.items():
            value, error = facts.value_and_error(field)
            row = head | {
                "field": field.field_name or name,
                "value": value,
                "type": field.type,
                "error": error,
                "confidence_model": facts.model_confidence(field),
                "confidence_ocr": facts.ocr_confidence(field),
            }
            for fact in more:
                row[fact] = facts.FACTS[fact][1](field)
            yield row
        if not flat.fields:
            yield head | dict.fromkeys(name for name in self.fixed() if name not in head)

    def _included(self, field: Field) -> Row:
        return {fact: facts.FACTS[fact][1](field) for fact in self.include}


@functools.lru_cache(maxsize=10_000)
def _column_of(field: str, include: tuple[str, ...]) -> str:
    taken = field in _RESERVED or field.endswith(RENAMED)
    if taken or any(field.endswith(f"__{name}") for name in include):
        return field + RENAMED
    return field


_RESERVED = frozenset(_DOCUMENT) | {name for name, _ in _DOCUMENT_FACTS.values()}


def _head(flat: FlatDocument) -> Row:
    row = flat.origin.columns()
    row["document"] = flat.number
    row["class_name"] = flat.document.class_name
    row["pages"] = flat.document.page_numbers
    return row


def _with_extra(columns: dict[str, str], extra: Iterable[str]) -> dict[str, str]:
    clash = [name for name in extra if name in columns]
    if clash:
        raise ConfigurationError(f"{clash[0]!r} is already a column of results; choose another name")
    after = {name: kind for name, kind in columns.items() if name not in _ORIGIN}
    return _ORIGIN | dict.fromkeys(extra, "any") | after


def case_columns() -> dict[str, str]:
    """Return the columns of the table of packet fields, with their kinds."""
    return dict(_CASE)


def case_rows(case: CaseInfo | None, *, batch_id: int | None, run_id: str | None) -> Iterator[Row]:
    """Return the fields of the packet (the case) of a run, one row each: a separate table."""
    for field in () if case is None else case.fields:
        value, error = facts.value_and_error(field)
        chosen, validations = field.chosen_field, field.validations
        yield {
            "batch_id": batch_id,
            "run_id": run_id,
            "field": field.name,
            "value": value,
            "error": error,
            "valid": facts.is_valid(field),
            "failures": None
            if validations is None
            else [failure.msg or failure.type or "the validation failed" for failure in validations.failures],
            "chosen_document": None if chosen is None else chosen.record_index,
            "chosen_field": None if chosen is None else chosen.refined_phrase_name,
            "edits": facts.edits(field),
        }


def _check(argument: str, values: Iterable[str], known: Iterable[str]) -> None:
    for value in values:
        if value not in known:
            raise ConfigurationError(f"{argument}={value!r}: it must be one of {', '.join(map(repr, known))}")
