import csv
import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from aihub_async.errors import IngestError
from aihub_async.ingest.export import Origin, Part, columns, part_path, rows_of, write_failures
from aihub_async.ingest.journal.rows import FailedFile
from aihub_async.models import Confidence, Document, Field, ResultFile

FILE = ResultFile(
    original_file_name="a.pdf",
    documents=[
        Document(
            class_name="invoice",
            page_numbers=[1, 2],
            fields=[
                Field(field_name="total", value="12.50", type="TEXT", confidence=Confidence(model=0.5, ocr=0.25)),
                Field(field_name="lines", value=[{"sku": 1}]),
                Field(field_name="total", value="second"),
            ],
        ),
        Document(class_name=None),
    ],
)
ORIGIN = Origin("scans/a.pdf", "a.pdf", 7, "run-1")


def write(folder: Path, format: str, rows: str, files: list[ResultFile]) -> Path:
    path = part_path(folder, 1, format)
    with Part(path, format, columns(rows)) as part:
        for file in files:
            part.write(list(rows_of(file, ORIGIN, rows)))
        part.commit()
        assert part.size == path.stat().st_size
    return path


def test_one_row_per_document(tmp_path: Path) -> None:
    lines = write(tmp_path, "jsonl", "document", [FILE]).read_text().splitlines()
    first, second = map(json.loads, lines)
    assert first == {
        "source": "scans/a.pdf",
        "file": "a.pdf",
        "batch_id": 7,
        "run_id": "run-1",
        "document": 0,
        "class_name": "invoice",
        "pages": [1, 2],
        "review_completed": None,
        "fields": {"total": "12.50", "lines": [{"sku": 1}], "total~2": "second"},
    }
    assert (second["document"], second["fields"]) == (1, {})


def test_one_row_per_field(tmp_path: Path) -> None:
    text = write(tmp_path, "csv", "field", [FILE]).read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["field"] for row in rows] == ["total", "lines", "total", ""]
    assert (rows[0]["value"], rows[0]["confidence_model"], rows[1]["value"]) == ("12.50", "0.5", '[{"sku": 1}]')


def test_a_file_without_documents_still_has_a_row(tmp_path: Path) -> None:
    for rows in ("document", "field"):
        (line,) = write(tmp_path, "jsonl", rows, [ResultFile(original_file_name="a.pdf")]).read_text().splitlines()
        found = json.loads(line)
        assert (found["source"], found["document"], set(found)) == ("scans/a.pdf", None, set(columns(rows)))


def test_parquet_has_the_same_rows(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(write(tmp_path, "parquet", "field", [FILE, FILE]))
    rows: list[dict[str, Any]] = table.to_pylist()
    assert len(rows) == 8
    assert (rows[0]["batch_id"], rows[0]["confidence_ocr"], rows[1]["value"]) == (7, 0.25, '[{"sku": 1}]')
    documents = parquet.read_table(write(tmp_path, "parquet", "document", [FILE])).to_pylist()
    assert json.loads(documents[0]["fields"])["total"] == "12.50"


def test_text_that_is_not_valid_unicode_does_not_stop_a_job(tmp_path: Path) -> None:
    odd = ResultFile(documents=[Document(fields=[Field(field_name="n", value="a\ud800b\n\u2028é")])])
    (line,) = write(tmp_path, "jsonl", "field", [odd]).read_bytes().splitlines()
    assert json.loads(line)["value"] == "a\ud800b\n\u2028é"
    assert "\\ud800" in write(tmp_path, "csv", "field", [odd]).read_text()


def test_nothing_shows_under_the_name_before_the_commit(tmp_path: Path) -> None:
    path = write(tmp_path, "jsonl", "document", [FILE])
    old = path.read_bytes()
    with Part(path, "jsonl", columns("document")) as part:
        part.write([{"source": "half"}] * 10_000)
        assert path.read_bytes() == old
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_a_full_disk_keeps_the_old_file_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    path = write(tmp_path, format, "document", [FILE])
    old = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(IngestError, match=r"No space left.*resume"):
        write(tmp_path, format, "document", [FILE, FILE])
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_while_rows_are_written(tmp_path: Path) -> None:
    path = part_path(tmp_path, 1, "jsonl")
    (tmp_path / f".{path.name}.tmp").symlink_to("/dev/full")
    with pytest.raises(IngestError, match="No space left"), Part(path, "jsonl", ()) as part:
        part.write([{"source": "x" * 100}] * 10_000)
    assert not path.exists()


def test_the_dead_letter_list_is_json_lines(tmp_path: Path) -> None:
    boundaries: list[str] = []
    failures = [FailedFile("scans/a.pdf", "a.pdf", 1, 10, "empty", "the file is empty")]
    assert write_failures(tmp_path / "failures.jsonl", failures, boundaries.append) == 1
    assert json.loads((tmp_path / "failures.jsonl").read_text())["reason"] == "empty"
    assert boundaries == ["before rename", "after rename"]
