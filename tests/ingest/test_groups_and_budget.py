"""Cases, deployments, reviews, gates and budgets."""

import contextlib
import json
import sqlite3
import struct
import threading
import tracemalloc
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from aihub_async import AsyncAIHub, Gate
from aihub_async.emulator import Emulator
from aihub_async.emulator.packets import PacketField, RunDocument
from aihub_async.errors import ConfigurationError, IngestError
from aihub_async.ingest import IngestJob, pipeline
from aihub_async.ingest.candidates import Candidate, Grouping
from aihub_async.ingest.journal import queries, schema
from aihub_async.ingest.journal.rows import FileState
from aihub_async.ingest.packing import Planner
from aihub_async.ingest.pages import count_pages

MakeFiles = Callable[..., Path]


def job_of(client: AsyncAIHub, folder: Path, source: Any = None, **options: Any) -> IngestJob:
    target = {} if "deployment_id" in options else {"app_name": "key-values"}
    return client.ingest(source or folder / "scans", out=folder / "out", **(target | options))


def rows_in(folder: Path) -> list[dict[str, Any]]:
    parts = sorted((folder / "out").glob("part-*.jsonl"))
    return [json.loads(line) for part in parts for line in part.read_text().splitlines()]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def cases(folder: Path, counts: dict[str, int]) -> Path:
    for name, count in counts.items():
        for number in range(count):
            path = folder / "scans" / name / f"{number:04d}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"Case: {name}\nTotal: {number}\n")
    return folder / "scans"


async def test_each_case_folder_is_one_run(hub: Emulator, client: AsyncAIHub, tmp_path: Path) -> None:
    cases(tmp_path, {"a": 2, "b": 3, "b/nested": 1, ".": 2, "c": 1})
    plan = await job_of(client, tmp_path, group="folder").plan()
    assert (plan.files, plan.batches) == (9, 4)
    status = await job_of(client, tmp_path, group="folder").run()
    assert (status.complete, status.done, len(hub.runs())) == (True, 9, 4)
    by_run = defaultdict(set)
    for row in rows_in(tmp_path):
        by_run[row["run_id"]].add((row["group"], Path(row["source"]).relative_to(tmp_path / "scans").as_posix()))
    found = sorted(sorted(files) for files in by_run.values())
    assert found == [
        [(".", "0000.txt"), (".", "0001.txt")],
        [("a", "a/0000.txt"), ("a", "a/0001.txt")],
        [("b", "b/0000.txt"), ("b", "b/0001.txt"), ("b", "b/0002.txt"), ("b", "b/nested/0000.txt")],
        [("c", "c/0000.txt")],
    ]


async def test_packet_fields_of_each_case_are_exported(hub: Emulator, client: AsyncAIHub, tmp_path: Path) -> None:
    def packet(documents: list[RunDocument]) -> list[PacketField]:
        return [PacketField("documents", str(len(documents)))]

    @hub.app("packets", packet=packet)
    def fields(document: Any) -> dict[str, str]:
        return {"length": str(len(document.text))}

    cases(tmp_path, {"a": 2, "b": 3})
    await client.ingest(tmp_path / "scans", app_name="packets", out=tmp_path / "out", group="folder").run()
    parts = sorted((tmp_path / "out" / "cases").iterdir())
    rows = [row for part in parts for row in lines_of(part)]
    assert [(row["group"], row["field"], row["value"]) for row in rows] == [
        ("a", "documents", "2"),
        ("b", "documents", "3"),
    ]


async def test_groups_by_a_callable_and_settings_of_each(hub: Emulator, client: AsyncAIHub, tmp_path: Path) -> None:
    scans = cases(tmp_path, {".": 6})
    job = job_of(
        client,
        tmp_path,
        sorted(scans.iterdir()),
        group=lambda path: f"digit {int(path.stem) % 2}",
        settings=lambda group: {"tags": [group], "keys": {"custom": {"case": group}}},
    )
    assert (await job.run()).done == 6
    assert sorted(tag for run in hub.runs() for tag in run["tags"] if tag.startswith("digit")) == ["digit 0", "digit 1"]
    groups = {(row["run_id"], row["group"]) for row in rows_in(tmp_path)}
    assert len(groups) == 2
    keys = {run["settings"]["keys"]["custom"]["case"] for run in hub.runs()}
    assert keys == {"digit 0", "digit 1"}


async def test_a_group_that_a_run_cannot_take_is_refused_in_the_plan(client: AsyncAIHub, tmp_path: Path) -> None:
    cases(tmp_path, {"small": 3, "large": 12})
    job = job_of(client, tmp_path, group="folder", batch_files=10)
    plan = await job.plan()
    assert (plan.files, plan.refused) == (3, {"group too large": 12})
    status = await job_of(client, tmp_path, group="folder", batch_files=10).run()
    assert (status.complete, status.done, status.refused) == (True, 3, 12)
    failures = lines_of(tmp_path / "out" / "failures.jsonl")
    assert {failure["reason"] for failure in failures} == {"group too large"}
    assert "more than 10 files" in failures[0]["message"]


async def test_groups_are_kept_when_a_plan_is_resumed_and_failures_are_retried(
    hub: Emulator, client: AsyncAIHub, tmp_path: Path
) -> None:
    cases(tmp_path, {"a": 3, "b": 3})
    await job_of(client, tmp_path, group="folder").plan()
    cases(tmp_path, {"c": 2})
    (tmp_path / "scans" / "b" / "0001.txt").unlink()
    first = await job_of(client, tmp_path, group="folder").run()
    assert (first.done, first.failed) == (7, 1)
    cases(tmp_path, {"b": 2})
    again = await job_of(client, tmp_path, group="folder").retry_failed()
    assert (again.done, again.failed) == (8, 0)
    assert {row["group"] for row in rows_in(tmp_path) if Path(row["source"]).parent.name == "b"} == {"b"}


async def test_many_small_groups_in_flat_memory(hub: Emulator, client: AsyncAIHub, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    (scans / "x.txt").write_text("Total: 1\n")
    pairs = [(f"{number}.txt", scans / "x.txt") for number in range(9_000)]
    tracemalloc.start()
    plan = await job_of(client, tmp_path, pairs, group=lambda _: "one", batch_files=1000).plan(
        contents=False, pages=False
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert plan.refused == {"group too large": 9_000}
    assert peak < 30_000_000


async def test_a_deployment_can_be_ingested(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    make_files("scans", 3)
    hub.deployment("claims", app="key-values")
    status = await job_of(client, tmp_path, deployment_id="claims").run()
    assert (status.complete, status.done) == (True, 3)
    assert {run["deployment_id"] for run in hub.runs()} == {"claims"}


async def test_a_gate_lists_what_a_person_should_look_at(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    scans = make_files("scans", 4)
    (scans / "doc-00002.txt").write_text("Invoice number: 2\n")
    status = await job_of(client, tmp_path, gate=Gate(required=["Total"])).run()
    assert (status.complete, status.done, status.gated) == (True, 4, 1)
    (row,) = lines_of(tmp_path / "out" / "review.jsonl")
    assert Path(row["source"]).name == "doc-00002.txt"
    assert row["refusals"][0]["rule"] == "required"
    assert "1 documents refused by the gate" in str(status)
    assert (await job_of(client, tmp_path, gate=Gate(required=["Total"])).run()).gated == 1


async def test_a_job_can_wait_for_reviews(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    @hub.app("reviewed", outcome="STOPPED_AT_CHECKPOINT")
    def reviewed(document: Any) -> dict[str, str]:
        return {"length": str(len(document.text))}

    make_files("scans", 3)

    def review(_status: Any) -> None:
        for run in hub.runs():
            if run["status"] == "STOPPED_AT_CHECKPOINT":
                hub.complete_review(run["id"])

    job = client.ingest(
        tmp_path / "scans", app_name="reviewed", out=tmp_path / "out", on_review="wait", on_progress=review
    )
    status = await job.run()
    assert (status.complete, status.done, status.review) == (True, 3, 0)


async def test_a_run_in_review_does_not_stop_an_export_of_what_there_is(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    @hub.app("reviewed", outcome="STOPPED_AT_CHECKPOINT")
    def reviewed(document: Any) -> dict[str, str]:
        return {"length": str(len(document.text))}

    make_files("scans", 3)
    options: dict[str, Any] = {"app_name": "reviewed", "out": tmp_path / "out", "on_review": "export"}
    status = await client.ingest(tmp_path / "scans", **options).run()
    assert (status.complete, status.review) == (False, 3)
    (waiting,) = lines_of(tmp_path / "out" / "review.jsonl")
    assert waiting["run_id"] == hub.runs()[0]["id"]
    hub.complete_review(waiting["run_id"])
    status = await client.ingest(tmp_path / "scans", **options).run()
    assert (status.complete, status.done, len(hub.runs())) == (True, 3, 1)


def reviewed_app(hub: Emulator) -> None:
    @hub.app("reviewed", outcome="STOPPED_AT_CHECKPOINT")
    def reviewed(document: Any) -> dict[str, str]:
        return {"length": str(len(document.text))}


async def test_the_results_before_a_review_are_exported_and_those_after_it_replace_them(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    reviewed_app(hub)
    make_files("scans", 4)
    options: dict[str, Any] = {"app_name": "reviewed", "batch_files": 2, "on_review": "export"}
    first = await job_of(client, tmp_path, **options).run()
    assert (first.complete, first.done, first.review, first.failed) == (False, 0, 4, 0)
    before = rows_in(tmp_path)
    assert len({row["file"] for row in before}) == len(before) == 4
    assert all(row["fields"]["length"].isdigit() and row["review_completed"] is False for row in before)
    waiting = lines_of(tmp_path / "out" / "review.jsonl")
    assert {entry["run_id"] for entry in waiting} == {run["id"] for run in hub.runs()}
    assert [entry["files"] for entry in waiting] == [2, 2]
    assert len(first.attention) == 2
    # One of two is reviewed: its rows are the corrected ones, those of the other stay as they were.
    hub.complete_review(waiting[0]["run_id"], {"length": "corrected"})
    second = await job_of(client, tmp_path, **options).run()
    assert (second.complete, second.done, second.review, second.rows) == (False, 2, 2, 2)
    after = rows_in(tmp_path)
    assert len(after) == 4
    for row in after:
        is_reviewed = row["run_id"] == waiting[0]["run_id"]
        assert row["review_completed"] is is_reviewed
        assert (row["fields"]["length"] == "corrected") is is_reviewed
    assert lines_of(tmp_path / "out" / "review.jsonl") == waiting[1:]
    hub.complete_review(waiting[1]["run_id"])
    last = await job_of(client, tmp_path, **options).run()
    assert (last.complete, last.done, last.review, last.rows, len(hub.runs())) == (True, 4, 0, 4, 2)
    assert all(row["review_completed"] for row in rows_in(tmp_path))
    assert not (tmp_path / "out" / "review.jsonl").exists()


@pytest.mark.parametrize("status", [400, 404, 409])
async def test_a_server_without_results_before_a_review_is_asked_again_after_it(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path, status: int
) -> None:
    from aihub_async.emulator import Fault

    reviewed_app(hub)
    make_files("scans", 2)
    hub.faults.add(Fault(kind="status", status=status, operation="getRunResults"))
    first = await job_of(client, tmp_path, app_name="reviewed", on_review="export").run()
    assert (first.complete, first.review, first.failed, rows_in(tmp_path)) == (False, 2, 0, [])
    hub.faults.clear()
    hub.complete_review(hub.runs()[0]["id"])
    last = await job_of(client, tmp_path, app_name="reviewed", on_review="export").run()
    assert (last.complete, last.done, len(rows_in(tmp_path))) == (True, 2, 2)


async def test_a_run_that_is_cancelled_in_its_review_leaves_no_rows(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    reviewed_app(hub)
    make_files("scans", 2)
    options: dict[str, Any] = {"app_name": "reviewed", "on_review": "export", "raw": True}
    await job_of(client, tmp_path, **options).run()
    assert len(rows_in(tmp_path)) == 2
    hub.cancel_run(hub.runs()[0]["id"])
    last = await job_of(client, tmp_path, **options).run()
    assert (last.complete, last.done, last.failed, last.review) == (True, 0, 2, 0)
    assert rows_in(tmp_path) == []
    assert list((tmp_path / "out").rglob("part-*")) == []


@pytest.mark.parametrize("limit", ["max_files", "max_runs_total", "max_pages"])
async def test_a_budget_stops_the_job_before_it_is_exceeded(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path, limit: str
) -> None:
    make_files("scans", 50)
    small, large = (2, 4) if limit == "max_runs_total" else (25, 45)
    options: dict[str, Any] = {"batch_files": 10, limit: small}
    first = await job_of(client, tmp_path, **options).run()
    assert (first.complete, first.done, first.failed, len(hub.runs())) == (False, 20, 0, 2)
    assert f"{limit}={small}" in first.attention[-1]
    assert "higher limit" in first.attention[-1]
    again = await job_of(client, tmp_path, **options).run()
    assert (again.done, len(hub.runs())) == (20, 2)
    more = await job_of(client, tmp_path, **(options | {limit: large})).run()
    assert (more.done, len(hub.runs())) == (40, 4)
    assert (await job_of(client, tmp_path, batch_files=10).run()).done == 50


async def test_no_more_units_stop_the_job_with_the_way_out(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    from aihub_async.emulator import Fault

    make_files("scans", 20)
    hub.faults.add(Fault(kind="status", status=403, operation="runApp", skip=1))
    with pytest.raises(IngestError, match=r"403.*run the same job again"):
        await job_of(client, tmp_path, batch_files=10, max_runs=1).run()
    hub.faults.clear()
    # A refused request leaves nothing to look for.
    with anyio.fail_after(30):
        status = await job_of(client, tmp_path, batch_files=10).run()
    assert (status.complete, status.done, len(hub.runs())) == (True, 20, 2)


async def test_totals_count_each_file_once_after_any_number_of_resumptions(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    scans = make_files("scans", 30)
    (scans / "broken.pdf").write_bytes(b"%PDF-1.7 broken")
    (scans / "empty.txt").touch()
    seen: list[Any] = []
    for _ in range(3):
        job = job_of(client, tmp_path, batch_files=10, on_progress=seen.append)
        status = await job.run()
        journal = await job.status()
        for each in (status, seen[-1], journal):
            assert (each.files, each.uploaded, each.done, each.failed, each.refused) == (31, 31, 30, 1, 1)
    (scans / "broken.pdf").write_bytes(b"%PDF-1.7 broken in another way")
    job = job_of(client, tmp_path, batch_files=10, on_progress=seen.append)
    status = await job.run()
    for each in (status, seen[-1], await job.retry_failed(), seen[-1]):
        assert (each.files, each.uploaded, each.done, each.failed, each.refused) == (31, 31, 30, 1, 1)


def pdf_of(pages: int, *, compressed: bool) -> bytes:
    kids = b" ".join(b"%d 0 R" % (number + 3) for number in range(pages))
    tree = b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, pages)
    if not compressed:
        return b"%PDF-1.4\n2 0 obj" + tree + b"endobj\n"
    stream = zlib.compress(b"2 0 " + tree)
    return b"%%PDF-1.5\n1 0 obj<</Type/ObjStm/N 1/First 4/Length %d>>stream\n" % len(stream) + stream + b"\nendstream"


def tiff_of(pages: int) -> bytes:
    content = b"II*\0" + struct.pack("<I", 8)
    for number in range(pages):
        following = 8 + 18 * (number + 1) if number + 1 < pages else 0
        content += struct.pack("<HHHII", 1, 256, 3, 1, 1) + struct.pack("<I", following)
    return content


def test_pages_are_counted(tmp_path: Path) -> None:
    contents = {
        "a.pdf": (pdf_of(7, compressed=False), 7),
        "b.PDF": (pdf_of(120, compressed=True), 120),
        "c.pdf": (b"not a PDF", None),
        "d.tif": (tiff_of(3), 3),
        "e.tiff": (b"II*\0", None),
        "f.png": (b"x", 1),
        "g.docx": (b"x", None),
    }
    for name, (content, pages) in contents.items():
        (tmp_path / name).write_bytes(content)
        assert count_pages(tmp_path / name) == pages, name
    assert count_pages(tmp_path / "missing.pdf") is None


async def test_the_plan_prints_pages(client: AsyncAIHub, tmp_path: Path) -> None:
    scans = cases(tmp_path, {".": 1})
    (scans / "a.pdf").write_bytes(pdf_of(7, compressed=False))
    plan = await job_of(client, tmp_path).plan()
    assert (plan.pages, plan.unknown_pages) == (7, 1)
    assert "pages       7, unknown for 1 files" in str(plan)


@pytest.mark.parametrize("wrong", [{"group": "month"}, {"on_review": "ask"}, {"max_files": 0}, {"max_pages": -1}])
def test_options_that_make_no_job_are_refused(client: AsyncAIHub, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        job_of(client, tmp_path, **wrong)


def by_parity(path: Path) -> str:
    return f"digit {int(path.stem) % 2}"


async def test_a_sorted_source_starts_the_run_of_each_group_when_the_next_begins(
    hub: Emulator, client: AsyncAIHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "_CHUNK", 2)
    paths = sorted(cases(tmp_path, {".": 6}).iterdir(), key=lambda path: (by_parity(path), path))
    started = threading.Event()
    waits: list[bool] = []

    class Source:
        def __iter__(self) -> Iterator[Path]:
            yield from paths[:4]
            # The source does not end before the run of its first group has started.
            waits.append(started.wait(30))
            yield from paths[4:]

    def watch(_status: Any) -> None:
        if hub.requests.count("runApp"):
            started.set()

    job = job_of(client, tmp_path, Source(), group=by_parity, group_sorted=True, on_progress=watch)
    assert (await job.run()).done == 6
    assert waits == [True]
    assert len(hub.runs()) == 2


async def test_a_group_that_comes_again_in_a_sorted_source_is_refused_and_never_split(
    hub: Emulator, client: AsyncAIHub, tmp_path: Path
) -> None:
    paths = sorted(cases(tmp_path, {".": 5}).iterdir())
    mixed = [paths[0], paths[2], paths[1], paths[3], paths[4]]
    status = await job_of(client, tmp_path, mixed, group=by_parity, group_sorted=True).run()
    assert (status.done, status.refused, len(hub.runs())) == (4, 1, 2)
    (failure,) = lines_of(tmp_path / "out" / "failures.jsonl")
    assert (failure["reason"], failure["source"]) == ("group not sorted", str(paths[4]))
    assert "leave out group_sorted" in failure["message"]
    # In a later scan too, although the groups before are known.
    more = tmp_path / "scans" / "0006.txt"
    more.write_text("Total: 6\n")
    status = await job_of(client, tmp_path, [*mixed, more], group=by_parity, group_sorted=True).run()
    assert (status.done, status.refused, len(hub.runs())) == (4, 2, 2)
    status = await job_of(client, tmp_path, [*mixed, more], group=by_parity).run()
    assert (status.done, status.refused, status.failed) == (6, 0, 0)


def scattered(count: int, groups: int) -> list[Candidate]:
    return [
        Candidate("in", f"{number}.txt", "", f"{number}.txt", 1, 1, None, f"case {number % groups}")
        for number in range(count)
    ]


def planned(connection: sqlite3.Connection, groups: int, grouping: Grouping) -> int:
    """Plan groups of three files each, in chunks as the scan does, and return the rows that were written."""
    planner = Planner(connection, 1000, 1 << 30, grouping=grouping)
    candidates = scattered(3 * groups, groups)
    if grouping is Grouping.SORTED:
        candidates.sort(key=lambda candidate: candidate.group)
    before = connection.total_changes
    connection.execute("BEGIN")
    full = []
    for start in range(0, len(candidates), 500):
        full += planner.add(connection, candidates[start : start + 500])
    full += planner.finish(connection)
    connection.execute("COMMIT")
    assert len(full) == groups
    return connection.total_changes - before


@pytest.mark.parametrize("grouping", [Grouping.SCATTERED, Grouping.SORTED])
def test_what_planning_a_group_writes_does_not_grow_with_their_number(tmp_path: Path, grouping: Grouping) -> None:
    written = []
    for groups in (300, 2_000):
        schema.create(tmp_path / f"{groups}.db", {"files": 0, "batches": 0, "scanned": False})
        with contextlib.closing(schema.connect(tmp_path / f"{groups}.db")) as connection:
            written.append(planned(connection, groups, grouping) / groups)
    # Its three files, its batch in three chunks and when it is full, and its share of four facts of each chunk.
    assert max(written) < 7.1


def test_the_files_of_a_scattered_group_are_found_by_an_index(tmp_path: Path) -> None:
    schema.create(tmp_path / "job.db", {"files": 0, "batches": 0, "scanned": False})
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with contextlib.closing(schema.connect(tmp_path / "job.db")) as connection:
        planned(connection, 1_000, Grouping.SCATTERED)
        connection.set_progress_handler(count, 100)
        for batch in list(queries.batches(connection)):
            assert len(queries.files_of(connection, batch, FileState.PLANNED)) == 3
            assert queries.count_files(connection, batch, FileState.PLANNED) == 3
            assert queries.sources_of(connection, batch) == {}
        connection.set_progress_handler(None, 0)
    # A scan of the range of ids of each group would take hundreds of times as many.
    assert steps * 100 < 1_000 * 1_000
