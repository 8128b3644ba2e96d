import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub_async.errors import ConfigurationError
from aihub_async.models import (
    CaseField,
    CaseFieldFailure,
    CaseFieldInput,
    CaseFieldValidations,
    CaseInfo,
    Document,
    Field,
    FieldValidations,
    ResultFile,
)
from aihub_async.results.field_rows import FieldRow, file_rows
from aihub_async.results.fields import NO_REASON, unique_names, value_and_error
from aihub_async.results.rows import Origin, Shape, case_columns, case_rows, file_error, file_name

MakeFile = Callable[..., ResultFile]

ORIGIN = Origin("scans/a.pdf", "a.pdf", 7, "run-1")


@pytest.mark.parametrize(
    ("value", "message", "expected"),
    [
        ("12", None, ("12", None)),
        ("12", "", ("12", None)),
        ("ERROR", "no date", (None, "no date")),
        ("ERROR", None, (None, NO_REASON)),
        ("ERROR", "", (None, NO_REASON)),
        ("no date", "no date", (None, "no date")),
        ("", "no date", (None, "no date")),
        (None, None, (None, None)),
        ("", None, ("", None)),
        # A reviewer has corrected the value, and the message is still there.
        ("13", "no date", ("13", "no date")),
        (["ERROR"], None, (["ERROR"], None)),
    ],
)
def test_an_error_is_never_a_value(value: object, message: str | None, expected: object) -> None:
    assert value_and_error(Field(value=value, error_msg=message)) == expected
    assert value_and_error(CaseField(value=value, error_msg=message)) == expected


def test_a_row_per_document_long(invoice: MakeFile) -> None:
    (row,) = Shape.of("document", "long").rows_of(invoice(), ORIGIN)
    assert row == {
        "source": "scans/a.pdf",
        "file": "a.pdf",
        "batch_id": 7,
        "run_id": "run-1",
        "document": 0,
        "class_name": "invoice",
        "pages": [1, 2],
        "review_completed": True,
        "errors": {"date": "no date on the page"},
        "fields": {"total": "12.50", "lines": [{"sku": 1}], "total~2": "second", "date": None},
    }
    assert list(row) == list(Shape.of("document", "long").fixed())


def test_a_row_per_document_wide_with_everything(invoice: MakeFile) -> None:
    shape = Shape.of(include=["error", "confidence", "ocr", "valid", "alerts", "page", "boxes", "edits"])
    (row,) = shape.rows_of(invoice(), ORIGIN)
    assert (row["class_confidence"], row["document_valid"]) == (0.75, False)
    assert {name: value for name, value in row.items() if name.startswith("total__")} == {
        "total__error": None,
        "total__confidence": 0.5,
        "total__ocr": 0.25,
        "total__valid": False,
        "total__alerts": ["too small"],
        "total__page": 2,
        "total__boxes": [{"page": 2, "left": 10.0, "top": 20.0, "right": 40.0, "bottom": 32.0}],
        "total__edits": ["2026-01-05 ana Value corrected."],
    }
    assert (row["date"], row["date__error"]) == (None, "no date on the page")
    assert (row["total"], row["total~2"], row["lines"]) == ("12.50", "second", [{"sku": 1}])


def test_a_row_per_field(invoice: MakeFile) -> None:
    rows = list(Shape.of("field", include=["valid", "page"]).rows_of(invoice(), ORIGIN))
    assert [row["field"] for row in rows] == ["total", "lines", "total", "date"]
    assert [(row["value"], row["error"]) for row in rows][-1] == (None, "no date on the page")
    assert (rows[0]["valid"], rows[0]["page"], rows[0]["confidence_ocr"]) == (False, 2, 0.25)
    assert set(rows[0]) == set(Shape.of("field", include=["valid", "page"]).fixed())


@pytest.mark.parametrize("shape", [Shape.of(), Shape.of("document", "long"), Shape.of("field", include="valid")])
def test_nothing_found_still_has_a_row(shape: Shape) -> None:
    (row,) = shape.rows_of(ResultFile(original_file_name="a.pdf"), ORIGIN)
    assert (row["source"], row["document"]) == ("scans/a.pdf", None)
    (row,) = shape.rows_of(ResultFile(documents=[Document(class_name="x")]), ORIGIN)
    assert (row["class_name"], row["document"]) == ("x", 0)
    assert set(row) == set(shape.fixed())


def test_columns_of_the_caller_follow_the_origin(invoice: MakeFile) -> None:
    origin = Origin("scans/a.pdf", "a.pdf", 7, "run-1", {"case": "C-1"})
    (row, *_) = Shape.of("field").rows_of(invoice(), origin)
    assert row["case"] == "C-1"
    assert list(row) == list(Shape.of("field").fixed(["case"]))
    with pytest.raises(ConfigurationError, match="'file' is already a column"):
        Shape.of().fixed(["file"])


def test_names_that_collide_with_other_columns_are_changed_by_the_name_alone() -> None:
    shape = Shape.of(include=["error"])
    names = ["file", "total", "total__error", "total__page", "errors", "file~field", "document_valid"]
    assert [shape.column_of(name) for name in names] == [
        "file~field",
        "total",
        "total__error~field",
        "total__page",
        "errors~field",
        "file~field~field",
        "document_valid~field",
    ]


_PIECES = st.sampled_from(["file", "total", "__error", "__page", "~field", "~2", "a", "errors", "fields", "_"])


@given(st.lists(st.lists(_PIECES, min_size=1, max_size=4).map("".join), max_size=8))
def test_no_value_is_lost_to_a_collision(names: list[str]) -> None:
    shape = Shape.of(include=["error", "page"])
    file = ResultFile(
        documents=[Document(fields=[Field(field_name=name, value=f"v{i}") for i, name in enumerate(names)])]
    )
    (row,) = shape.rows_of(file, Origin(None, "a"))
    values = [value for value in row.values() if isinstance(value, str) and value.startswith("v")]
    assert sorted(values) == sorted(f"v{i}" for i in range(len(names)))
    assert len(row) == len(shape.fixed()) + 3 * len(names)
    assert list(unique_names(file.documents[0]).values()) == file.documents[0].fields


@pytest.mark.parametrize(
    ("rows", "columns", "include", "message"),
    [
        ("page", None, (), "rows='page'"),
        ("document", "tall", (), "columns='tall'"),
        ("field", "wide", (), "no wide form"),
        ("document", None, ("eror",), "include='eror'"),
    ],
)
def test_unknown_words_are_refused(rows: str, columns: str | None, include: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Shape.of(rows, columns, include)


def test_packet_fields_are_rows_of_their_own() -> None:
    case = CaseInfo(
        fields=[
            CaseField(name="payer", value="Ana", chosen_field=CaseFieldInput(1, "Name")),
            CaseField(
                name="sum",
                value="ERROR",
                error_msg="no inputs",
                validations=CaseFieldValidations(valid=False, failures=[CaseFieldFailure("lambda", "differs")]),
            ),
        ]
    )
    first, second = case_rows(case, batch_id=7, run_id="r")
    assert set(first) == set(case_columns())
    assert (first["value"], first["chosen_document"], first["chosen_field"]) == ("Ana", 1, "Name")
    assert (second["value"], second["error"], second["failures"]) == (None, "no inputs", ["differs"])
    assert list(case_rows(None, batch_id=7, run_id="r")) == []


def test_a_file_failed_when_all_of_its_fields_did() -> None:
    failed = Field(field_name="document", value="ERROR", error_msg="the PDF is damaged")
    assert file_error(ResultFile(documents=[Document(fields=[failed])])) == "the PDF is damaged"
    assert file_error(ResultFile(documents=[Document(fields=[failed]), Document(fields=[failed])])) == (
        "the PDF is damaged"
    )
    assert file_error(ResultFile(documents=[Document(fields=[failed, Field(value="1")])])) is None
    assert file_error(ResultFile(documents=[Document()])) is None
    assert file_error(ResultFile()) is None


def test_field_rows_of_a_file(invoice: MakeFile) -> None:
    rows = list(file_rows(invoice()))
    assert rows[0] == FieldRow("a.pdf", 0, "invoice", 1, "total", "12.50", 0.5, None, False)
    assert rows[-1] == FieldRow("a.pdf", 0, "invoice", 1, "date", None, None, "no date on the page", None)
    assert json.loads(json.dumps([row._asdict() for row in rows]))[1]["value"] == [{"sku": 1}]
    assert file_name(ResultFile(input_file_path="/a/b/c.pdf")) == "c.pdf"


def test_a_twin_of_the_values() -> None:
    shape = Shape.of(values="valid", include="error")
    (row,) = shape.rows_of(make_file(), ORIGIN)
    assert (row["total"], row["total__error"]) == (True, None)
    assert (shape.kind_of("total"), shape.kind_of("total__error"), Shape.of().kind_of("total")) == (
        "bool",
        "text",
        None,
    )
    with pytest.raises(ConfigurationError, match="columns='wide'"):
        Shape.of("field", values="valid")
    with pytest.raises(ConfigurationError, match="values='validity'"):
        Shape.of(values="validity")


def make_file() -> ResultFile:
    valid = FieldValidations(valid=True)
    return ResultFile(documents=[Document(fields=[Field(field_name="total", value="1", validations=valid)])])


@pytest.mark.parametrize(
    ("include", "requested"),
    [
        ((), set()),
        (("confidence", "error"), set()),
        (("page", "boxes"), {"include_source_info"}),
        (("valid", "alerts", "edits"), {"include_validation_results", "include_review_results"}),
    ],
)
def test_what_is_included_is_requested(include: tuple[str, ...], requested: set[str]) -> None:
    request = Shape.of(include=include).request
    assert {name for name, wanted in request.items() if wanted} == requested | {"include_confidence_scores"}
