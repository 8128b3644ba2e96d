"""What a job writes into its results folder, and what happens to that folder."""

import csv
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aihub_async import AsyncAIHub, Gate
from aihub_async.emulator import Emulator, Fault
from aihub_async.errors import IngestError
from aihub_async.ingest import IngestJob
from aihub_async.ingest.folder import ResultsFolder, write_lines

MakeFiles = Callable[..., Path]
FAILED = {"source": "scans/a.pdf", "reason": "empty", "message": "the file is empty"}


def job_of(client: AsyncAIHub, source: Path, out: Path, **options: Any) -> IngestJob:
    defaults: dict[str, Any] = {"app_name": "key-values", "batch_files": 10, "in_flight_grace": 0.05}
    return client.ingest(source, out=out, **(defaults | options))


def rows_in(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for part in sorted(out.glob("part-*.jsonl")) for line in part.read_text().splitlines()]


def test_the_dead_letter_list_is_json_lines(tmp_path: Path) -> None:
    boundaries: list[str] = []
    assert write_lines(tmp_path / "failures.jsonl", [FAILED], boundaries.append) == 1
    assert json.loads((tmp_path / "failures.jsonl").read_text())["reason"] == "empty"
    assert boundaries == ["before rename", "after rename"]


def test_an_empty_list_leaves_no_file(tmp_path: Path) -> None:
    write_lines(tmp_path / "failures.jsonl", [FAILED])
    assert write_lines(tmp_path / "failures.jsonl", []) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_the_old_list_and_says_how_to_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "failures.jsonl"
    write_lines(path, [FAILED])
    old = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(IngestError, match=r"No space left.*resume"):
        write_lines(path, [FAILED, FAILED])
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_while_rows_are_written(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    (tmp_path / f".{path.name}.tmp").symlink_to("/dev/full")
    with pytest.raises(IngestError, match="No space left"):
        write_lines(path, [{"source": "x" * 100}] * 10_000)
    assert not path.exists()


async def test_a_folder_that_vanishes_during_the_job_is_written_again(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    scans, out = make_files("scans", 40), tmp_path / "out"

    def remove(status: Any) -> None:
        if status.batches.get("exported", 0) >= 2 and (out / "part-000001.jsonl").exists() and not removed:
            removed.append(True)
            for path in out.glob("part-*"):
                path.unlink()
            (out / ".aihub" / "results.json").unlink()

    removed: list[bool] = []
    hub.hold_runs()
    hub.release_runs()
    journal = tmp_path / "job.db"
    job = job_of(client, scans, out, journal=journal, max_runs=1, on_progress=remove)
    status = await job.run()
    if not removed:
        remove(status)
        status = await job_of(client, scans, out, journal=journal).run()
    assert (status.complete, status.done, status.rows) == (True, 40, 40)
    assert len(rows_in(out)) == 40
    assert ResultsFolder(out, "jsonl").owner() is not None
    assert hub.requests.count("runApp") == 4


async def test_the_folder_of_another_job_is_refused_before_any_request(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    await job_of(client, make_files("scans", 5), out, journal=tmp_path / "one.db").run()
    before = hub.requests.total
    rows = rows_in(out)
    with pytest.raises(IngestError, match="has results of job"):
        await job_of(client, make_files("others", 5), out, journal=tmp_path / "two.db").run()
    assert hub.requests.total == before
    assert rows_in(out) == rows


async def test_parts_without_a_journal_are_not_written_over(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    scans, out = make_files("scans", 5), tmp_path / "out"
    await job_of(client, scans, out).run()
    for path in (out / ".aihub").iterdir():
        path.unlink()
    with pytest.raises(IngestError, match="rebuild"):
        await job_of(client, scans, out).run()
    assert hub.requests.count("runApp") == 1


async def test_a_folder_that_cannot_be_written_is_found_before_any_request(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    scans = make_files("scans", 5)
    (tmp_path / "out").write_text("a file stands where the folder should be")
    with pytest.raises(IngestError, match="cannot write"):
        await job_of(client, scans, tmp_path / "out", journal=tmp_path / "job.db").run()
    assert hub.requests.total == 0


async def test_a_file_that_the_app_cannot_read_counts_as_failed(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    scans, out = make_files("scans", 3), tmp_path / "out"
    (scans / "broken.pdf").write_bytes(b"%PDF-1.7\nthis is not a PDF at all")
    status = await job_of(client, scans, out).run()
    assert (status.complete, status.done, status.failed, status.uploaded) == (True, 3, 1, 4)
    (failure,) = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert Path(failure["source"]).name == "broken.pdf"
    assert failure["reason"] == "extraction failed"
    assert failure["message"]
    (row,) = [row for row in rows_in(out) if row["source"].endswith("broken.pdf")]
    assert "ERROR" not in json.dumps(row["fields"])
    assert failure["message"] in row["errors"].values()
    again = await job_of(client, scans, out).retry_failed()
    assert (again.files, again.done, again.failed) == (4, 3, 1)
    assert hub.requests.count("runApp") == 2


async def test_the_files_of_a_failed_run_count_as_uploaded(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    @hub.app("broken", outcome="FAILED")
    def broken(document: Any) -> dict[str, str]:
        return {}

    status = await job_of(client, make_files("scans", 5), tmp_path / "out", app_name="broken").run()
    assert (status.uploaded, status.failed, status.done) == (5, 5, 0)


async def test_a_folder_of_parquet_parts_is_one_table(
    client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    scans, out = make_files("scans", 25), tmp_path / "out"
    (scans / "doc-00024.txt").write_text("Invoice number: 24\nAnother: field\n")
    (scans / "empty.txt").touch()
    status = await job_of(client, scans, out, format="parquet", raw=True).run()
    assert (status.done, status.refused) == (25, 1)
    table = pandas.read_parquet(out)
    assert len(table) == 25
    assert (out / "_failures.jsonl").exists()
    assert (await job_of(client, scans, out, format="parquet", raw=True).run()).complete


async def test_csv_cells_are_json_or_text_and_never_a_formula(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    @hub.app("formula")
    def formula(document: Any) -> dict[str, str]:
        return {"total": "=1+1"}

    for formulas, expected in ((False, "'=1+1"), (True, "=1+1")):
        out = tmp_path / str(formulas)
        scans = make_files("scans", 1)
        await job_of(client, scans, out, app_name="formula", format="csv", rows="field", formulas=formulas).run()
        with (out / "part-000001.csv").open(newline="") as file:
            assert [row["value"] for row in csv.DictReader(file)] == [expected]


async def test_litter_is_skipped_and_patterns_choose_files(
    client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    scans = make_files("scans", 3)
    for name in (".DS_Store", "Thumbs.db", "~$report.docx", "._doc.txt", "draft-1.txt"):
        (scans / name).write_text("x")
    job = job_of(client, scans, tmp_path / "out", exclude="draft-*")
    plan = await job.plan()
    assert (plan.files, plan.refused, plan.skipped) == (3, {}, 4)
    assert "4 files of operating systems" in str(plan)
    status = await job.run()
    assert (status.done, status.refused, status.skipped) == (3, 0, 4)
    assert not (tmp_path / "out" / "failures.jsonl").exists()


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet", "xlsx"])
@pytest.mark.parametrize("rows", ["document", "field"])
async def test_a_later_success_replaces_what_the_failed_try_left_in_its_part(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path, format: str, rows: str
) -> None:
    for package in ("pandas", *{"parquet": ["pyarrow"], "xlsx": ["xlsxwriter", "openpyxl"]}.get(format, [])):
        pytest.importorskip(package)
    scans, out = make_files("scans", 3), tmp_path / "out"
    broken = scans / "doc-00001.txt"

    @hub.app("reader")
    def reader(document: Any) -> dict[str, str]:
        if "unreadable" in document.text:
            raise ValueError("unreadable")
        return {"length": str(len(document.text))}

    broken.write_text("unreadable")
    options: dict[str, Any] = {"app_name": "reader", "format": format, "rows": rows, "gate": Gate(required=["length"])}
    first = await job_of(client, scans, out, **options).run()
    assert (first.done, first.failed, first.gated) == (2, 1, 1)
    before = table_of(out, format)
    assert sorted(before["file"]) == [f"doc-{number:05d}.txt" for number in range(3)]
    # Tried again without success: still one row, that of the last try.
    again = await job_of(client, scans, out, **options).retry_failed()
    assert (again.done, again.failed, again.rows, again.gated) == (2, 1, 3, 1)
    assert sorted(table_of(out, format)["file"]) == sorted(before["file"])
    broken.write_text("readable")
    last = await job_of(client, scans, out, **options).run()
    assert (last.complete, last.done, last.failed, last.rows, last.gated) == (True, 3, 0, 3, 0)
    after = table_of(out, format)
    assert sorted(after["file"]) == sorted(before["file"])
    assert after.groupby("file")["batch_id"].nunique().max() == 1
    assert (await job_of(client, scans, out, **options).status()).rows == 3
    # Written again from the server, the first part does not get the row of the failed try back.
    (out / f"part-000001.{format}").unlink()
    restored = await job_of(client, scans, out, **options).run()
    assert (restored.complete, restored.rows) == (True, 3)
    assert sorted(table_of(out, format)["file"]) == sorted(before["file"])


async def test_an_altered_part_stays_when_the_server_has_the_results_no_longer(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    scans, out = make_files("scans", 3), tmp_path / "out"
    await job_of(client, scans, out).run()
    part = out / "part-000001.jsonl"
    part.write_text(part.read_text() + "{}\n")
    altered = part.read_text()
    hub.faults.add(Fault(kind="status", status=404, operation="getRunResults"))
    status = await job_of(client, scans, out).run()
    assert (status.done, status.failed) == (0, 3)
    assert part.read_text() == altered


def table_of(out: Path, format: str) -> Any:
    pandas = pytest.importorskip("pandas")
    read = {
        "jsonl": lambda path: pandas.read_json(path, lines=True),
        "csv": pandas.read_csv,
        "parquet": pandas.read_parquet,
        "xlsx": pandas.read_excel,
    }[format]
    tables = [read(path) for path in sorted(out.glob(f"part-*.{format}"))]
    return pandas.concat([table for table in tables if len(table)])
