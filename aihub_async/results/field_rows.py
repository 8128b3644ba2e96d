"""`FieldRow`: one extracted field, as `process()` returns them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from aihub_async.models import ResultFile
from aihub_async.results import fields as facts
from aihub_async.results.rows import Origin, file_name, flatten


class FieldRow(NamedTuple):
    """One extracted field, with where it came from.

    `document` counts the documents of a file from 0; `page` is the first page of the document, from 1, or None;
    `confidence` is the model's certainty from 0 to 1, or None if it was not requested or not measured; `error` is why a
    field failed, and a failed field has no value. `valid` is whether its validation rules passed, if requested.
    """

    file: str
    document: int
    class_name: str | None
    page: int | None
    field: str
    value: Any
    confidence: float | None
    error: str | None
    valid: bool | None = None


def file_rows(file: ResultFile) -> Iterator[FieldRow]:
    """Return the fields of one file of a run's results, flat."""
    for flat in flatten(file, Origin(None, file_name(file))):
        document = flat.document
        first_page = document.page_numbers[0] if document.page_numbers else None
        for name, field in flat.fields.items():
            value, error = facts.value_and_error(field)
            yield FieldRow(
                file=flat.origin.file,
                document=flat.number or 0,
                class_name=document.class_name,
                page=first_page,
                field=field.field_name or name,
                value=value,
                confidence=facts.model_confidence(field),
                error=error,
                valid=facts.is_valid(field),
            )
