"""Facts about one extracted field, each decided in one place: its value, its error, its certainty, its position."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import attrs

from aihub_async.models import CaseField, Document, Field

FAILED_VALUE = "ERROR"
"""What the API sends as the value of a field whose extraction failed (docs: status COMPLETE of a run)."""

NO_REASON = "the extraction failed; the app reported no reason"

_NOT_FOUND = (None, "", FAILED_VALUE)


def value_and_error(field: Field | CaseField) -> tuple[Any, str | None]:
    """Return what was extracted and why the extraction failed; a failed field has no value.

    The text "ERROR" means failure even without a message. A message with any other value, as after a correction by
    a reviewer, is kept together with that value.
    """
    value, error = field.value, field.error_msg or None
    if error is not None:
        return (None if value in _NOT_FOUND or value == error else value), error
    if value == FAILED_VALUE and isinstance(value, str):
        return None, NO_REASON
    return value, None


def model_confidence(field: Field) -> float | None:
    """Return the certainty of the extraction model, from 0 to 1; None if not requested or not measured."""
    return None if field.confidence is None else field.confidence.model


def ocr_confidence(field: Field) -> float | None:
    """Return the certainty of the OCR, from 0 to 1; in agent mode the API sends 1.0 without a measurement."""
    return None if field.confidence is None else field.confidence.ocr


def is_valid(field: Field | CaseField) -> bool | None:
    """Return whether the validation rules about the field passed; None if not requested."""
    return None if field.validations is None else field.validations.valid


def alerts(field: Field) -> list[str] | None:
    """Return the messages of failed validation rules; None if validations were not requested."""
    if field.validations is None:
        return None
    return [alert.msg or alert.type or "the validation failed" for alert in field.validations.alerts]


def edits(field: Field | CaseField) -> list[str]:
    """Return the edits by reviewers as texts, oldest first: time, user and messages."""
    return [
        " ".join(
            part
            for part in (
                edit.timestamp,
                edit.user_id,
                "; ".join(change.message for change in edit.modifications if change.message),
            )
            if part
        )
        for edit in field.edit_history
    ]


@attrs.frozen
class Box:
    """A box around a value, in the units of the page's layout; `page` counts from 1 as `Document.page_numbers` does."""

    page: int
    left: float
    top: float
    right: float
    bottom: float


def boxes(field: Field) -> list[Box]:
    """Return the boxes around the value; those without a page or with a missing corner are left out."""
    return list(_boxes(field))


def _boxes(field: Field) -> Iterator[Box]:
    for spot in field.source_coordinates:
        corners = (spot.top_x, spot.top_y, spot.bottom_x, spot.bottom_y)
        if spot.page_number is None or None in corners:
            continue
        left, top, right, bottom = (float(corner) for corner in corners if corner is not None)
        # Some servers send the corners in the other order.
        yield Box(spot.page_number + 1, min(left, right), min(top, bottom), max(left, right), max(top, bottom))


def page(field: Field) -> int | None:
    """Return the page of the value's first box, counted from 1; None if coordinates were not requested."""
    return next((box.page for box in _boxes(field)), None)


FieldFact: TypeAlias = Callable[[Field], Any]

FACTS: dict[str, tuple[str, FieldFact]] = {
    "error": ("text", lambda field: value_and_error(field)[1]),
    "confidence": ("float", model_confidence),
    "ocr": ("float", ocr_confidence),
    "valid": ("bool", is_valid),
    "alerts": ("texts", alerts),
    "page": ("int", page),
    "boxes": ("boxes", lambda field: [attrs.asdict(box) for box in _boxes(field)]),
    "edits": ("texts", edits),
}
"""What `include=` may name: the kind of its column, and how to read it from a field."""


REQUESTED_BY: dict[str, str] = {
    "confidence": "include_confidence_scores",
    "ocr": "include_confidence_scores",
    "valid": "include_validation_results",
    "alerts": "include_validation_results",
    "page": "include_source_info",
    "boxes": "include_source_info",
    "edits": "include_review_results",
}
"""The argument of `runs.results()` without which the server does not send a fact."""


def unique_names(document: Document) -> dict[str, Field]:
    """Return the fields of a document by name, in the app's order; no two names are the same.

    The second field called ``total`` is ``total~2``; a field without a name is ``field 0`` with its index.
    """
    found: dict[str, Field] = {}
    for index, field in enumerate(document.fields):
        name = field.field_name or f"field {index}"
        found[name if name not in found else _numbered(name, found)] = field
    return found


def _numbered(name: str, taken: dict[str, Field]) -> str:
    number = 2
    while f"{name}~{number}" in taken:
        number += 1
    return f"{name}~{number}"
