"""Results of a run: files, the documents found in them, and their fields."""

import datetime as dt
from typing import Any, TypeAlias

import attrs

from aihub_async.models.base import Model
from aihub_async.models.runs import TERMINAL_RUN_STATUSES, from_nanoseconds

FieldValue: TypeAlias = str | Any | None
"""A text; servers also send numbers, lists and objects, which are kept. "" and None mean: not found."""


@attrs.frozen
class SourceCoordinates(Model):
    """A box on a page, in the page's units (see `PageLayout`); `page_number` counts from 0."""

    top_x: float | None = None
    top_y: float | None = None
    bottom_x: float | None = None
    bottom_y: float | None = None
    page_number: int | None = None


@attrs.frozen
class Modification(Model):
    """One change of an edit."""

    message: str | None = None


@attrs.frozen
class EditHistoryEvent(Model):
    """One edit by a person; `timestamp` is a text without a fixed format."""

    timestamp: str | None = None
    user_id: str | None = None
    modifications: list[Modification] = attrs.field(factory=list)


@attrs.frozen
class Confidence(Model):
    """How certain the extraction model and the OCR are of a field, from 0 to 1.

    A confidence that was not measured is neither certain nor zero: `model` is None for computed values, and in agent
    mode `ocr` is always 1.0.
    """

    model: float | None = None
    ocr: float | None = None


@attrs.frozen
class ValidationAlert(Model):
    """Why a field did not pass; `blocked` is whether that stops the run."""

    alert_level: str | None = None
    msg: str | None = None
    blocked: bool | None = None
    type: str | None = None
    locations: list[dict[str, Any]] = attrs.field(factory=list)


@attrs.frozen
class FieldValidations(Model):
    """Whether the rules about a field passed; `alerts` is filled when they did not."""

    valid: bool | None = None
    alerts: list[ValidationAlert] = attrs.field(factory=list)


@attrs.frozen
class Field(Model):
    """An extracted field.

    `value` is ``"ERROR"`` when the extraction failed, with the reason in `error_msg`. Request the rest:
    `source_coordinates` with ``include_source_info``, `confidence` with ``include_confidence_scores``,
    `edit_history` with ``include_review_results``, `validations` with ``include_validation_results``.
    """

    _leaf = True

    field_name: str | None = None
    value: FieldValue = None
    type: str | None = None
    error_msg: str | None = None
    source_coordinates: list[SourceCoordinates] = attrs.field(factory=list)
    edit_history: list[EditHistoryEvent] = attrs.field(factory=list)
    confidence: Confidence | None = None
    validations: FieldValidations | None = None


@attrs.frozen
class PageLayout(Model):
    """The size of a page; `page_number` counts from 0."""

    page_number: int | None = None
    width: float | None = None
    height: float | None = None


@attrs.frozen
class DocumentValidations(Model):
    """Whether all rules about a document passed."""

    final_result_pass: bool | None = None


@attrs.frozen
class ClassificationConfidence(Model):
    """How certain the model is of a document's class; `ocr` comes from servers of 2024 only."""

    model: float | None = None
    ocr: float | None = None


@attrs.frozen
class Document(Model):
    """A document found in a file; `page_numbers` counts from 1, `page_layouts` from 0.

    `class_name` is None when the app does not classify. The paths need ``include_source_info``. `doc_id` comes from
    servers of 2024 only.
    """

    fields: list[Field] = attrs.field(factory=list)
    review_completed: bool | None = None
    class_name: str | None = None
    page_numbers: list[int] = attrs.field(factory=list)
    page_layouts: list[PageLayout] = attrs.field(factory=list)
    post_processed_paths: list[str] = attrs.field(factory=list)
    post_processed_pdf_path: str | None = None
    class_edit_history: list[EditHistoryEvent] = attrs.field(factory=list)
    validations: DocumentValidations | None = None
    classification_confidence: ClassificationConfidence | None = None
    doc_id: int | None = None

    def __getitem__(self, name: str) -> Field:
        """Return the field of this name, the first if there are several: ``document["total"].value``."""
        field = self.get(name)
        if field is None:
            names = ", ".join(sorted({field.field_name or "" for field in self.fields}))
            raise KeyError(f"no field {name!r}; the document has {names or 'no fields'}")
        return field

    def get(self, name: str) -> Field | None:
        """Return the field of this name, the first if there are several; None if there is none."""
        return next((field for field in self.fields if field.field_name == name), None)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None


@attrs.frozen
class ResultFile(Model):
    """An input file and the documents found in it."""

    original_file_name: str | None = None
    input_file_path: str | None = None
    documents: list[Document] = attrs.field(factory=list)


@attrs.frozen
class ResultKeys(Model):
    """The custom keys that the run was started with; secret keys are never sent back."""

    custom: dict[str, Any] | None = None


@attrs.frozen
class CaseFieldInput(Model):
    """One of the document values that a ranked cross-class field chooses from."""

    record_index: int | None = None
    refined_phrase_name: str | None = None


@attrs.frozen
class CaseFieldFailure(Model):
    """Why a cross-class field did not pass."""

    type: str | None = None
    msg: str | None = None


@attrs.frozen
class CaseFieldValidations(Model):
    """Whether the rules about a cross-class field passed; `failures` is filled when they did not."""

    valid: bool | None = None
    failures: list[CaseFieldFailure] = attrs.field(factory=list)


@attrs.frozen
class CaseField(Model):
    """A field consolidated from the documents of one packet."""

    name: str | None = None
    value: FieldValue = None
    input_fields: list[CaseFieldInput] = attrs.field(factory=list)
    chosen_field: CaseFieldInput | None = None
    error_msg: str | None = None
    edit_history: list[EditHistoryEvent] = attrs.field(factory=list)
    validations: CaseFieldValidations | None = None


@attrs.frozen
class CaseInfo(Model):
    """What belongs to the packet (the case) as a whole."""

    fields: list[CaseField] = attrs.field(factory=list)


@attrs.frozen
class RunResults(Model):
    """One page of a run's results; while `has_more`, the next begins at the file offset plus ``len(files)``.

    `start_timestamp` and `finish_timestamp` are Unix nanoseconds. `batch_id` is a text here, unlike in `Run`.
    """

    id: str | None = None
    status: str | None = None
    message: str | None = None
    start_timestamp: int | None = None
    finish_timestamp: int | None = None
    batch_id: str | None = None
    files: list[ResultFile] = attrs.field(factory=list)
    keys: ResultKeys | None = None
    case_info: CaseInfo | None = None
    review_completed: bool | None = None
    has_more: bool | None = None

    @property
    def started_at(self) -> dt.datetime | None:
        """When the run started, in UTC, to the microsecond."""
        return from_nanoseconds(self.start_timestamp)

    @property
    def finished_at(self) -> dt.datetime | None:
        """When the run finished, in UTC, to the microsecond; None while it runs."""
        return from_nanoseconds(self.finish_timestamp)

    @property
    def is_terminal(self) -> bool:
        """True when the run is COMPLETE, FAILED or CANCELLED."""
        return self.status in TERMINAL_RUN_STATUSES
