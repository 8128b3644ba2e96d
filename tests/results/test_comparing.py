import json
from pathlib import Path
from typing import Any

import pytest

from aihub_async.errors import ConfigurationError
from aihub_async.models import Document, Field, ResultFile
from aihub_async.results.comparing import compare, read_truth, score


def file(name: str, *documents: dict[str, Any]) -> ResultFile:
    return ResultFile(
        original_file_name=name,
        documents=[
            Document(fields=[Field(field_name=key, value=value) for key, value in fields.items()])
            for fields in documents
        ],
    )


def test_fields_that_differ_by_document() -> None:
    left = [file("a", {"total": "1", "date": "x", "same": "s", "gone": "g", "none": ""}), file("b", {"n": 1})]
    right = [file("a", {"total": "2", "date": "ERROR", "same": "s", "new": "n", "none": None}, {"total": "9"})]
    found = compare(left, right)
    assert (found.documents, found.fields) == (1, 4)
    assert [(each.file, each.document, each.field, each.kind, each.left, each.right) for each in found.differences] == [
        ("a", 0, "total", "value", "1", "2"),
        ("a", 0, "date", "error", "x", "the extraction failed; the app reported no reason"),
        ("a", 0, "gone", "only left", "g", None),
        ("a", 0, "new", "only right", None, "n"),
        ("b", 0, None, "only left", {"n": 1}, None),
        ("a", 1, None, "only right", None, {"total": "9"}),
    ]
    assert len(found.table()) == 6
    assert json.loads(json.dumps(found.to_dict()))["differences"][0]["right"] == "2"
    assert compare(left, left).differences == []


def test_precision_and_recall_by_field(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("\ufefffile,total,vendor,date\na,12.50,Acme  GmbH,\nb,3,Foo,2025-01-01\nmissing,7,,\n")
    files = [
        file("a", {"total": "12.50", "vendor": "ACME gmbh", "date": "2024-01-01", "other": "?"}),
        file("b", {"total": "4", "vendor": "ERROR", "date": "2025-01-01"}),
        file("unscored", {"total": "1"}),
    ]
    found = score(files, read_truth(path))
    total, vendor, date = found.fields
    assert (total.expected, total.found, total.exact, total.normalized) == (3, 2, 1, 1)
    assert (total.precision, total.recall) == (0.5, 1 / 3)
    assert (vendor.expected, vendor.found, vendor.exact, vendor.normalized) == (2, 1, 0, 1)
    assert (vendor.precision, vendor.normalized_precision, vendor.normalized_recall) == (0.0, 1.0, 0.5)
    # A value where the truth has none lowers the precision.
    assert (date.expected, date.found, date.exact, date.precision) == (1, 2, 1, 0.5)
    assert (found.missing_files, found.unscored_files) == (["missing"], ["unscored"])
    assert (found.total.expected, found.total.exact) == (6, 2)
    miss = next(miss for miss in found.misses if miss.field == "vendor" and miss.file == "b")
    assert (miss.found, miss.error is not None) == (None, True)
    assert [row["field"] for row in found.table()] == ["total", "vendor", "date", "all fields"]
    assert json.loads(json.dumps(found.to_dict()))["fields"][0]["precision"] == 0.5


def test_truth_with_one_row_per_field_and_several_documents() -> None:
    files = [file("a", {"n": "1"}, {"n": "2"})]
    truth = [
        {"file": "a", "document": "0", "field": "n", "value": "1"},
        {"file": "a", "document": "1", "field": "n", "value": "3"},
    ]
    assert score(files, truth).fields[0].recall == 0.5
    with pytest.raises(ConfigurationError, match="add a column 'document'"):
        score(files, [{"file": "a", "n": "1"}])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,total\na,1\n", "column 'file'"),
        ("file,document,n\na,first,1\n", "'first' is not a number"),
        ("file,n\na,1,2\n", "more cells"),
        ('file,n\na,"1\n', "cannot read"),
    ],
)
def test_a_truth_that_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "truth.csv"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        score([], read_truth(path))
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_truth(tmp_path / "nothing.csv")


def test_an_empty_truth_has_no_shares() -> None:
    found = score([file("a", {"n": "1"})], [])
    assert (found.total.precision, found.total.recall, found.fields) == (None, None, [])
