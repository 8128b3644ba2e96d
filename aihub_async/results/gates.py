"""Gates: which documents can be used as they are, and which a person should look at."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import attrs

from aihub_async.errors import ConfigurationError
from aihub_async.models import CaseInfo, Document, Field, ResultFile
from aihub_async.results import fields as facts
from aihub_async.results.rows import FlatDocument, Origin, Requested, Row, file_name, flatten

UNMEASURED: Final = ("review", "accept")


class HasResults(Protocol):
    """What a gate reads: the files of a run and its packet, as `Processed` has them."""

    @property
    def files(self) -> Sequence[ResultFile]:
        """The files of the results."""
        ...

    @property
    def case_info(self) -> CaseInfo | None:
        """The fields of the packet."""
        ...


@attrs.frozen
class Refusal:
    """Why a document needs a person: which field, by which rule, with which value.

    `rule` is ``"error"``, ``"required"``, ``"confidence"``, ``"ocr"``, ``"class_confidence"``, ``"valid"`` or
    ``"empty"`` (a file without documents). `field` is None for what concerns the whole document. `value` is what the
    rule looked at: the extracted value, or the confidence (None when it was not measured); `limit` the threshold.
    """

    field: str | None
    rule: str
    value: Any
    limit: float | None = None
    message: str = ""

    def __str__(self) -> str:
        return self.message if self.field is None else f"{self.field}: {self.message}"


@attrs.frozen
class Checked:
    """One document after a gate; `document` is None, and `number` too, for a packet or a file without documents."""

    origin: Origin
    number: int | None
    document: Document | None = attrs.field(repr=False)
    refusals: tuple[Refusal, ...] = ()

    @property
    def accepted(self) -> bool:
        """True when no rule refused the document."""
        return not self.refusals

    @property
    def file(self) -> str:
        """Name of the file."""
        return self.origin.file

    def row(self) -> Row:
        """Return the document as a row of a review list, such as ingest's ``review.jsonl``."""
        document = self.document
        return self.origin.columns() | {
            "document": self.number,
            "class_name": None if document is None else document.class_name,
            "pages": None if document is None else document.page_numbers,
            "refusals": [attrs.asdict(refusal) for refusal in self.refusals],
        }


def _fraction(_gate: object, attribute: "attrs.Attribute[float | None]", value: float | None) -> None:
    if value is not None and not 0 <= value <= 1:
        raise ConfigurationError(f"{attribute.name}={value!r}: a confidence is between 0 and 1")


def _known_mode(_gate: object, attribute: "attrs.Attribute[str]", value: str) -> None:
    if value not in UNMEASURED:
        raise ConfigurationError(f"{attribute.name}={value!r}: it must be one of {', '.join(map(repr, UNMEASURED))}")


def _names(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


@attrs.frozen(kw_only=True)
class Gate:
    """Rules that a document must pass to be used without a review. A failed field never passes.

    Thresholds apply to fields that have a value; a missing value is the business of `required`. A confidence that was
    not measured is neither certain nor zero: the model's is null for computed values, and in agent mode the OCR's is
    always 1.0, which therefore counts as not measured. `unmeasured` selects what happens then.

    Attributes:
        confidence: least confidence of the model, for all fields.
        per_field: least confidence by name of the field, instead of `confidence`.
        ocr: least confidence of the OCR.
        class_confidence: least confidence of the document's class.
        valid: validation rules must have passed, of every field and of the document.
        required: names of fields that must have a value.
        unmeasured: ``"review"`` or ``"accept"``.

    Example:
        >>> def sort(processed):
        ...     gate = Gate(confidence=0.9, per_field={"total": 0.97}, required=["total"])
        ...     accepted, review = gate.split(processed)
        ...     return [(item.file, str(refusal)) for item in review for refusal in item.refusals]
    """

    confidence: float | None = attrs.field(default=None, validator=_fraction)
    per_field: Mapping[str, float] = attrs.field(factory=dict)
    ocr: float | None = attrs.field(default=None, validator=_fraction)
    class_confidence: float | None = attrs.field(default=None, validator=_fraction)
    valid: bool = False
    required: Sequence[str] = attrs.field(default=(), converter=_names)
    unmeasured: str = attrs.field(default="review", validator=_known_mode)

    def __attrs_post_init__(self) -> None:
        for name, limit in self.per_field.items():
            if not 0 <= limit <= 1:
                raise ConfigurationError(f"per_field[{name!r}]={limit!r}: a confidence is between 0 and 1")

    @property
    def request(self) -> Requested:
        """The arguments of `runs.results()` that request what the rules need."""
        thresholds = (self.confidence, self.ocr, self.class_confidence, *self.per_field.values())
        needs_scores = any(limit is not None for limit in thresholds)
        return {
            "include_confidence_scores": needs_scores,
            "include_source_info": False,
            "include_review_results": False,
            "include_validation_results": self.valid,
        }

    def split(self, results: HasResults) -> tuple[list[Checked], list[Checked]]:
        """Return the accepted documents, and those to be reviewed with the reasons.

        A file without documents and a packet with a failed or invalid field are items to be reviewed, too.

        Raises:
            ConfigurationError: a rule needs what was not requested with the results, such as confidences.
        """
        self.check_requested(results.files)
        checked = [item for file in results.files for item in self.check(file, Origin(None, file_name(file)))]
        checked += self.check_case(results.case_info, Origin(None, ""))
        names = {field.field_name for file in results.files for document in file.documents for field in document.fields}
        unknown = [name for name in self.per_field if name not in names]
        if unknown and names:
            warnings.warn(f"no document has the field {unknown[0]!r} of per_field", stacklevel=2)
        return [item for item in checked if item.accepted], [item for item in checked if not item.accepted]

    def check(self, file: ResultFile, origin: Origin) -> Iterator[Checked]:
        """Check the documents of one file, for outputs that are written file by file."""
        for flat in flatten(file, origin):
            if flat.number is None:
                refusal = Refusal(None, "empty", None, message="no document was found in the file")
                yield Checked(origin, None, None, (refusal,))
            else:
                yield Checked(origin, flat.number, flat.document, tuple(self._refusals(flat)))

    def check_case(self, case: CaseInfo | None, origin: Origin) -> Iterator[Checked]:
        """Check the fields of a packet; nothing is returned when all of them pass."""
        refusals: list[Refusal] = []
        for field in () if case is None else case.fields:
            value, error = facts.value_and_error(field)
            if error is not None:
                refusals.append(Refusal(field.name, "error", value, message=error))
            elif self.valid and facts.is_valid(field) is False:
                refusals.append(Refusal(field.name, "valid", value, message="a rule about the packet failed"))
        if refusals:
            yield Checked(origin, None, None, tuple(refusals))

    def check_requested(self, files: Sequence[ResultFile]) -> None:
        """Refuse results without what the rules need.

        Raises:
            ConfigurationError: no field of any file has it.
        """
        found = [field for file in files for document in file.documents for field in document.fields]
        if not found:
            return
        needs = self.request
        if needs["include_confidence_scores"] and all(field.confidence is None for field in found):
            raise ConfigurationError("the gate needs confidences: pass include_confidence_scores=True")
        if needs["include_validation_results"] and all(field.validations is None for field in found):
            raise ConfigurationError("the gate needs validations: pass include_validation_results=True")

    def _refusals(self, flat: FlatDocument) -> Iterator[Refusal]:
        yield from self._about_document(flat)
        for name, field in flat.fields.items():
            yield from self._about_field(name, field)

    def _about_document(self, flat: FlatDocument) -> Iterator[Refusal]:
        for name in self.required:
            field = flat.fields.get(name)
            value, error = (None, None) if field is None else facts.value_and_error(field)
            # A failed field has its own refusal.
            if value in (None, "") and error is None:
                message = "the field is missing" if field is None else "the field has no value"
                yield Refusal(name, "required", value, message=message)
        document = flat.document
        if self.class_confidence is not None:
            score = document.classification_confidence
            measured = None if score is None else score.model
            yield from self._threshold(None, "class_confidence", measured, self.class_confidence)
        if self.valid and document.validations is not None and document.validations.final_result_pass is False:
            yield Refusal(None, "valid", False, message="the document did not pass its validation rules")

    def _about_field(self, name: str, field: Field) -> Iterator[Refusal]:
        value, error = facts.value_and_error(field)
        if error is not None:
            yield Refusal(name, "error", value, message=error)
            return
        if self.valid and facts.is_valid(field) is False:
            message = "; ".join(facts.alerts(field) or ()) or "a validation rule failed"
            yield Refusal(name, "valid", value, message=message)
        if value in (None, ""):
            return
        limit = self.per_field.get(name, self.per_field.get(field.field_name or name, self.confidence))
        if limit is not None:
            yield from self._threshold(name, "confidence", facts.model_confidence(field), limit)
        if self.ocr is not None:
            score = facts.ocr_confidence(field)
            yield from self._threshold(name, "ocr", None if score == 1.0 else score, self.ocr)

    def _threshold(self, name: str | None, rule: str, score: float | None, limit: float) -> Iterator[Refusal]:
        # Not `score >= limit`: NaN is not certain either.
        if score is None or score != score:  # noqa: PLR0124
            if self.unmeasured == "review":
                yield Refusal(name, rule, None, limit, f"the {_SPOKEN[rule]} was not measured")
        elif score < limit:
            yield Refusal(name, rule, score, limit, f"the {_SPOKEN[rule]} {score:.4g} is below {limit:.4g}")


_SPOKEN: Final[dict[str, str]] = {
    "confidence": "confidence",
    "ocr": "OCR confidence",
    "class_confidence": "confidence of the class",
}
