"""What the page shows of each document: its fields with their state, and which pages it has."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from aihub_async.models import CaseInfo, Document, Field, ResultFile
from aihub_async.results import cells
from aihub_async.results import fields as facts
from aihub_async.results.gates import Checked, Gate
from aihub_async.results.rows import Origin, file_name, flatten

LOW: Final = 0.8
"""Below this confidence a value is marked without a gate."""


@attrs.frozen
class ShownField:
    """A field as the page shows it; `state` is ``"good"``, ``"low"`` or ``"bad"``."""

    name: str
    value: str
    state: str
    score: float | None
    scores: str | None = None
    """The confidences in words; None if they were not requested."""
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    boxes: tuple[facts.Box, ...] = ()


@attrs.frozen
class ShownDocument:
    """A document as the page shows it; `number` is None for a file without documents."""

    file: str
    number: int | None
    class_name: str | None
    fields: tuple[ShownField, ...]
    reasons: tuple[str, ...]
    chips: tuple[tuple[str, str], ...]
    page_numbers: tuple[int, ...] = ()
    layouts: Mapping[int, tuple[float, float]] = attrs.field(factory=dict)

    @property
    def problems(self) -> int:
        """Fields that failed, and what is wrong with the document as a whole."""
        return sum(field.state == "bad" for field in self.fields) + len(self.reasons)


def shown_documents(file: ResultFile, gate: Gate | None) -> Iterator[ShownDocument]:
    """Return the documents of one file."""
    name = file_name(file)
    origin = Origin(None, name)
    checked = {item.number: item for item in gate.check(file, origin)} if gate is not None else {}
    for flat in flatten(file, origin):
        if flat.number is None:
            yield ShownDocument(name, None, None, (), ("No document was found in the file.",), ())
            continue
        refusals = _refusals(checked.get(flat.number))
        fields = [_shown(field_name, field, refusals, gate) for field_name, field in flat.fields.items()]
        fields += _missing(refusals, flat.fields)
        yield ShownDocument(
            file=name,
            number=flat.number,
            class_name=flat.document.class_name,
            fields=tuple(fields),
            reasons=tuple(refusals.get(None, ())) or tuple(_failed_rules(flat.document)),
            chips=tuple(_chips(flat.document)),
            page_numbers=_page_numbers(flat.document, fields),
            layouts=_layouts(flat.document),
        )


def shown_case(case: CaseInfo | None, run_id: str) -> ShownDocument | None:
    """Return the fields of the packet as a document without pages; None without a packet."""
    if case is None or not case.fields:
        return None
    fields = []
    for field in case.fields:
        value, error = facts.value_and_error(field)
        failures = [] if field.validations is None else field.validations.failures
        reasons = [error] if error is not None else []
        reasons += [failure.msg or failure.type or "a rule failed" for failure in failures]
        notes = tuple(f"Edited: {edit}" for edit in facts.edits(field))
        state = "bad" if reasons or facts.is_valid(field) is False else "good"
        fields.append(ShownField(field.name or "", _text(value), state, None, None, tuple(reasons), notes))
    return ShownDocument(f"Packet of run {run_id}", 0, "packet", tuple(fields), (), (("", "across documents"),))


def _refusals(item: Checked | None) -> dict[str | None, list[str]]:
    found: dict[str | None, list[str]] = {}
    for refusal in () if item is None else item.refusals:
        found.setdefault(refusal.field, []).append(refusal.message)
    return found


def _shown(name: str, field: Field, refusals: Mapping[str | None, Sequence[str]], gate: Gate | None) -> ShownField:
    value, error = facts.value_and_error(field)
    score = facts.model_confidence(field)
    reasons = list(refusals.get(name, ()))
    if not reasons:
        reasons = [error] if error is not None else []
        if facts.is_valid(field) is False:
            reasons += facts.alerts(field) or ["A validation rule failed."]
    low = gate is None and score is not None and score < LOW and value not in (None, "")
    return ShownField(
        name=name,
        value=_text(value),
        state="bad" if reasons else "low" if low else "good",
        score=score,
        scores=_scores(field),
        reasons=tuple(reasons),
        notes=tuple(_notes(field)),
        boxes=tuple(facts.boxes(field)),
    )


def _missing(refusals: Mapping[str | None, Sequence[str]], fields: Mapping[str, Any]) -> Iterator[ShownField]:
    for name, reasons in refusals.items():
        if name is not None and name not in fields:
            yield ShownField(name, "", "bad", None, None, tuple(reasons))


def _notes(field: Field) -> Iterator[str]:
    ocr = facts.ocr_confidence(field)
    if ocr is not None and ocr < LOW:
        yield f"OCR confidence {ocr:.0%}"
    yield from (f"Edited: {edit}" for edit in facts.edits(field))


def _scores(field: Field) -> str | None:
    if field.confidence is None:
        return None
    model, ocr = field.confidence.model, field.confidence.ocr
    spoken = "model: not measured" if model is None else f"model: {model:.1%}"
    # In agent mode the OCR is not measured, and the API sends 1.0.
    return spoken if ocr is None else f"{spoken}, OCR: " + ("not measured" if ocr == 1.0 else f"{ocr:.1%}")


def _failed_rules(document: Document) -> Iterator[str]:
    if document.validations is not None and document.validations.final_result_pass is False:
        yield "The document did not pass its validation rules."


def _chips(document: Document) -> Iterator[tuple[str, str]]:
    if document.class_name:
        confidence = document.classification_confidence
        sure = "" if confidence is None or confidence.model is None else f" {confidence.model:.0%}"
        yield "", document.class_name + sure
    if document.review_completed:
        yield "good", "reviewed"
    if document.validations is not None and document.validations.final_result_pass:
        yield "good", "valid"


def _page_numbers(document: Document, fields: Iterable[ShownField]) -> tuple[int, ...]:
    on = {box.page for field in fields for box in field.boxes}
    return tuple(sorted(set(document.page_numbers) | on))


def _layouts(document: Document) -> dict[int, tuple[float, float]]:
    return {
        layout.page_number + 1: (layout.width, layout.height)
        for layout in document.page_layouts
        if layout.page_number is not None and layout.width and layout.height
    }


def _text(value: Any) -> str:
    return cells.as_text(value) or ""
