import math
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from aihub_async.errors import ConfigurationError
from aihub_async.models import (
    CaseField,
    CaseFieldValidations,
    CaseInfo,
    ClassificationConfidence,
    Confidence,
    Document,
    DocumentValidations,
    Field,
    FieldValidations,
    ResultFile,
    ValidationAlert,
)
from aihub_async.results.gates import Gate
from aihub_async.results.rows import Origin


@attrs.frozen
class Results:
    files: list[ResultFile]
    case_info: CaseInfo | None = None


def results(*fields: Field, **document: Any) -> Results:
    return Results([ResultFile(original_file_name="a.pdf", documents=[Document(fields=list(fields), **document)])])


def field(name: str, value: Any = "x", model: float | None = 0.95, ocr: float | None = 0.9, **more: Any) -> Field:
    return Field(field_name=name, value=value, confidence=Confidence(model=model, ocr=ocr), **more)


def refusals(gate: Gate, found: Results) -> list[tuple[str | None, str, Any, float | None]]:
    accepted, review = gate.split(found)
    assert len(accepted) + len(review) >= len(found.files)
    return [(each.field, each.rule, each.value, each.limit) for item in review for each in item.refusals]


def test_each_refusal_names_field_rule_and_value() -> None:
    gate = Gate(confidence=0.9, per_field={"total": 0.97}, required=["total", "date", "vendor"])
    found = results(field("total"), field("note", model=0.4), field("date", value="", model=None))
    assert refusals(gate, found) == [
        ("date", "required", "", None),
        ("vendor", "required", None, None),
        ("total", "confidence", 0.95, 0.97),
        ("note", "confidence", 0.4, 0.9),
    ]
    _, (item,) = gate.split(found)
    assert str(item.refusals[-1]) == "note: the confidence 0.4 is below 0.9"
    assert item.row()["refusals"][0]["message"] == "the field has no value"


def test_accepted_documents_have_no_refusals() -> None:
    (item,), review = Gate(confidence=0.9, required="total").split(results(field("total"), field("note", model=0.9)))
    assert (item.file, item.number, item.accepted, review) == ("a.pdf", 0, True, [])


@pytest.mark.parametrize("score", [None, math.nan])
def test_a_confidence_that_was_not_measured_is_neither_certain_nor_zero(score: float | None) -> None:
    found = results(field("total", model=score), field("other"))
    assert refusals(Gate(confidence=0.0), found) == [("total", "confidence", None, 0.0)]
    assert refusals(Gate(confidence=0.9, unmeasured="accept"), found) == []


def test_an_ocr_confidence_of_one_was_not_measured() -> None:
    found = results(field("total", ocr=1.0), field("note", ocr=0.5))
    assert refusals(Gate(ocr=0.8), found) == [("total", "ocr", None, 0.8), ("note", "ocr", 0.5, 0.8)]
    assert refusals(Gate(ocr=0.8, unmeasured="accept"), found) == [("note", "ocr", 0.5, 0.8)]


def test_a_failed_field_never_passes() -> None:
    found = results(Field(field_name="total", value="ERROR", error_msg="unreadable"))
    assert refusals(Gate(), found) == [("total", "error", None, None)]
    assert refusals(Gate(required=["total"]), found) == [("total", "error", None, None)]


def test_validations() -> None:
    bad = FieldValidations(valid=False, alerts=[ValidationAlert(msg="too small"), ValidationAlert(type="custom")])
    found = results(
        field("total", validations=bad),
        field("note", validations=FieldValidations(valid=True)),
        validations=DocumentValidations(final_result_pass=False),
    )
    assert refusals(Gate(valid=True), found) == [(None, "valid", False, None), ("total", "valid", "x", None)]
    _, (item,) = Gate(valid=True).split(found)
    assert item.refusals[1].message == "too small; custom"
    assert refusals(Gate(), found) == []


def test_the_class_has_a_confidence_of_its_own() -> None:
    sure = results(field("a"), classification_confidence=ClassificationConfidence(model=0.9))
    assert refusals(Gate(class_confidence=0.8), sure) == []
    assert refusals(Gate(class_confidence=0.95), sure) == [(None, "class_confidence", 0.9, 0.95)]
    assert refusals(Gate(class_confidence=0.8), results(field("a"))) == [(None, "class_confidence", None, 0.8)]


def test_a_file_without_documents_is_reviewed() -> None:
    _, (item,) = Gate().split(Results([ResultFile(original_file_name="empty.pdf")]))
    assert (item.file, item.number, [each.rule for each in item.refusals]) == ("empty.pdf", None, ["empty"])


def test_packet_fields_are_checked_too() -> None:
    case = CaseInfo(
        fields=[
            CaseField(name="payer", value="ERROR", error_msg="no inputs"),
            CaseField(name="sum", value="1", validations=CaseFieldValidations(valid=False)),
            CaseField(name="fine", value="1"),
        ]
    )
    assert [each[:2] for each in refusals(Gate(valid=True), Results([], case))] == [
        ("payer", "error"),
        ("sum", "valid"),
    ]
    assert [each[:2] for each in refusals(Gate(), Results([], case))] == [("payer", "error")]


@pytest.mark.parametrize(
    ("gate", "message"),
    [(Gate(confidence=0.5), "include_confidence_scores"), (Gate(valid=True), "include_validation_results")],
)
def test_what_was_not_requested_is_no_low_score(gate: Gate, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        gate.split(results(Field(field_name="a", value="1")))
    assert dict(gate.request)[message]


def test_a_threshold_for_a_field_that_nothing_has_is_noticed() -> None:
    with pytest.warns(UserWarning, match="'totl'"):
        Gate(per_field={"totl": 0.9}).split(results(field("total")))


@pytest.mark.parametrize("arguments", [{"confidence": 90}, {"per_field": {"a": -1}}, {"unmeasured": "drop"}])
def test_settings_that_make_no_gate(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=str(next(iter(arguments)))):
        Gate(**arguments)


def test_file_by_file(invoice: Callable[..., ResultFile]) -> None:
    (item,) = Gate(valid=True).check(invoice(), Origin("scans/a.pdf", "a.pdf", 7, "run", {"case": "C-1"}))
    row = item.row()
    assert (row["source"], row["batch_id"], row["case"], row["class_name"]) == ("scans/a.pdf", 7, "C-1", "invoice")
    assert [each["rule"] for each in row["refusals"]] == ["valid", "valid", "error"]
