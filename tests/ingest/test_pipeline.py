import asyncio
import csv
import errno
import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
import pytest_asyncio

from aihub_async import AsyncAIHub, AttemptEvent, errors
from aihub_async.emulator import Emulator, Fault
from aihub_async.ingest import IngestJob, IngestStatus, read_status
from aihub_async.ingest.report import write_report

MakeFiles = Callable[..., Path]


@attrs.frozen
class Bulk:
    """A client of an emulator, and a place for the results."""

    hub: Emulator
    client: AsyncAIHub
    folder: Path
    hooks: list[Callable[[AttemptEvent], None]] = attrs.field(factory=list)

    def after(self, operation: str, count: int, act: Callable[[], object]) -> None:
        """Do something when the server has answered so many requests of an operation."""
        seen = itertools.count(1)

        def hook(event: AttemptEvent) -> None:
            if event.operation == operation and next(seen) == count:
                act()

        self.hooks.append(hook)

    def job(self, source: Any = None, **options: Any) -> IngestJob:
        defaults = {"app_name": "key-values", "out": self.folder / "out", "batch_files": 10, "in_flight_grace": 0.05}
        return self.client.ingest(source or self.folder / "scans", **(defaults | options))

    async def run(self, source: Any = None, *, retry_failed: bool = False, **options: Any) -> IngestStatus:
        return await self.job(source, **options).run(retry_failed=retry_failed)

    def rows(self) -> list[dict[str, Any]]:
        parts = sorted((self.folder / "out").glob("part-*.jsonl"))
        return [json.loads(line) for part in parts for line in part.read_text().splitlines()]

    def failures(self) -> dict[str, str]:
        path = self.folder / "out" / "failures.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return {Path(row["source"]).name: row["reason"] for row in map(json.loads, lines)}

    def on_server(self) -> Counter[tuple[str, str]]:
        """Names and digests of all files in batches that have a run."""
        found: Counter[tuple[str, str]] = Counter()
        for run in self.hub.runs():
            found.update((file.name, file.sha256) for file in self.hub.batch_files(run["batch_id"]))
        return found


def on_disk(folder: Path) -> Counter[tuple[str, str]]:
    return Counter((path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in folder.iterdir())


@pytest_asyncio.fixture
async def bulk(hub: Emulator, tmp_path: Path) -> AsyncIterator[Bulk]:
    hooks: list[Callable[[AttemptEvent], None]] = []

    def dispatch(event: AttemptEvent) -> None:
        for hook in hooks:
            hook(event)

    async with AsyncAIHub(
        hub.api_key, api_root=hub.api_root, max_retries=2, reconcile_for=0.2, hooks=[dispatch]
    ) as client:
        yield Bulk(hub, client, tmp_path, hooks)


async def test_every_file_comes_out_once(bulk: Bulk, make_files: MakeFiles) -> None:
    scans = make_files("scans", 45)
    seen: list[IngestStatus] = []
    status = await bulk.job(on_progress=seen.append).run()
    assert status.complete
    assert (status.files, status.done, status.failed, status.rows) == (45, 45, 0, 45)
    assert status.batches == {"exported": 5}
    assert bulk.on_server() == on_disk(scans)
    assert len(bulk.hub.runs()) == 5
    rows = bulk.rows()
    assert [row["source"] for row in rows] == [str(path) for path in sorted(scans.iterdir())]
    assert all(row["fields"]["Invoice_number"] == str(number) for number, row in enumerate(rows))
    assert not (bulk.folder / "out" / "failures.jsonl").exists()
    assert seen[-1].done == 45


async def test_running_a_finished_job_again_sends_nothing(bulk: Bulk, make_files: MakeFiles) -> None:
    make_files("scans", 12)
    await bulk.run()
    before = bulk.hub.requests.total
    assert (await bulk.run()).complete
    assert bulk.hub.requests.total == before


async def test_new_files_are_added_by_the_next_run(bulk: Bulk, make_files: MakeFiles) -> None:
    make_files("scans", 12)
    await bulk.run()
    make_files("scans", 3, prefix="later")
    status = await bulk.run()
    assert (status.done, bulk.hub.requests.count("addFileToBatch")) == (15, 15)
    assert len(bulk.rows()) == 15


async def test_a_plan_is_carried_out_with_what_changed_since(bulk: Bulk, make_files: MakeFiles) -> None:
    scans = make_files("scans", 20)
    await bulk.job().plan()
    assert bulk.hub.requests.total == 0
    (scans / "doc-00002.txt").write_text("Total: another\n")
    (scans / "doc-00003.txt").unlink()
    (scans / "doc-00004.txt").write_bytes(b"")
    make_files("scans", 1, prefix="new")
    status = await bulk.run()
    assert (status.done, status.failed) == (19, 2)
    assert bulk.failures() == {"doc-00003.txt": "SourceError", "doc-00004.txt": "SourceChangedError"}
    changed = next(row for row in bulk.rows() if row["source"].endswith("doc-00002.txt"))
    assert changed["fields"]["Total"] == "another"
    (scans / "doc-00003.txt").write_text("Total: back\n")
    (scans / "doc-00004.txt").write_text("Total: filled\n")
    again = await bulk.run()
    assert (again.done, again.failed) == (21, 0)
    assert bulk.failures() == {}
    assert len(bulk.rows()) == 21


@pytest.mark.parametrize("rows", ["document", "field"])
async def test_csv_and_raw_pages(bulk: Bulk, make_files: MakeFiles, rows: str) -> None:
    make_files("scans", 25)
    await bulk.run(format="csv", rows=rows, raw=True, batch_files=25)
    out = bulk.folder / "out"
    with (out / "part-000001.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 25 * (1 if rows == "document" else 3)
    pages = [json.loads(line) for line in (out / "raw" / "part-000001.jsonl").read_text().splitlines()]
    assert sum(len(page["files"]) for page in pages) == 25
    assert len(pages) == 2


async def test_ten_percent_of_faults_change_nothing(tmp_path: Path, make_files: MakeFiles) -> None:
    await same_in_a_storm(tmp_path, make_files("scans", 500), 100)


@pytest.mark.slow
async def test_ten_percent_of_faults_change_nothing_of_many_files(tmp_path: Path, make_files: MakeFiles) -> None:
    await same_in_a_storm(tmp_path, make_files("scans", 20_000), 1000)


async def same_in_a_storm(folder: Path, scans: Path, batch_files: int) -> None:
    results = []
    count = sum(1 for _ in scans.iterdir())
    for name, faults in (("calm", []), ("stormy", storm(0.1))):
        async with Emulator(faults=faults, seed=7, results_page_size=100) as hub:
            bulk = await work(hub, folder / name, scans, batch_files)
            assert bulk.on_server() == on_disk(scans)
            assert len(bulk.hub.runs()) == count // batch_files
            results.append([{**row, "batch_id": 0, "run_id": ""} for row in bulk.rows()])
    assert results[0] == results[1]
    assert len(results[0]) == count


def storm(share: float) -> list[Fault]:
    """A share of all requests goes wrong, each kind as often as the others."""
    one = share / 5
    return [
        Fault(kind="status", status=429, retry_after=0, probability=one),
        Fault(kind="status", status=503, retry_after=0, probability=one),
        Fault(kind="reset-before", probability=one),
        Fault(kind="reset-after", probability=one),
        Fault(kind="truncate", probability=one),
    ]


async def work(hub: Emulator, folder: Path, scans: Path, batch_files: int) -> Bulk:
    async with AsyncAIHub(hub.api_key, api_root=hub.api_root) as client:
        bulk = Bulk(hub, client, folder)
        status = await bulk.run(scans, batch_files=batch_files)
        assert status.complete, status
        assert status.failed == 0, bulk.failures()
        return bulk


async def test_a_stopped_job_keeps_what_is_done_and_goes_on_later(bulk: Bulk, make_files: MakeFiles) -> None:
    scans = make_files("scans", 60)
    job = bulk.job()
    bulk.after("addFileToBatch", 25, job.stop)
    first = await job.run()
    assert not first.complete
    assert 25 <= first.uploaded < 60
    second = await bulk.run()
    assert second.complete
    assert bulk.hub.requests.count("addFileToBatch") == 60
    assert bulk.on_server() == on_disk(scans)


async def test_stopping_does_not_wait_for_runs(bulk: Bulk, make_files: MakeFiles) -> None:
    make_files("scans", 5)
    bulk.hub.hold_runs()

    job = bulk.job()
    bulk.after("runApp", 1, job.stop)
    with anyio.fail_after(10):
        assert (await job.run()).batches == {"running": 1}
    bulk.hub.release_runs()
    assert (await bulk.run()).complete
    assert bulk.hub.requests.count("runApp") == 1


async def test_cancelling_leaves_a_job_that_goes_on(bulk: Bulk, make_files: MakeFiles) -> None:
    scans = make_files("scans", 30)
    with anyio.CancelScope() as scope:
        bulk.after("addFileToBatch", 13, scope.cancel)
        await bulk.run()
    assert scope.cancelled_caught
    assert (await bulk.run()).complete
    assert bulk.on_server() == on_disk(scans)


async def test_a_failed_run_is_recorded_and_can_be_tried_again(bulk: Bulk, make_files: MakeFiles) -> None:
    @bulk.hub.app("broken", outcome="FAILED")
    def broken(document: Any) -> dict[str, str]:
        return {}

    make_files("scans", 15)
    status = await bulk.run(app_name="broken")
    assert (status.complete, status.failed, status.done) == (True, 15, 0)
    assert set(bulk.failures().values()) == {"RunFailedError"}
    again = await bulk.run(app_name="broken", retry_failed=True)
    assert (again.failed, again.files, bulk.hub.requests.count("runApp")) == (15, 15, 4)


async def test_failed_files_are_sent_again_when_asked(bulk: Bulk, make_files: MakeFiles) -> None:
    scans = make_files("scans", 12)
    bulk.hub.faults.add(Fault(kind="status", status=413, operation="addFileToBatch", path="doc-0000[37]"))
    first = await bulk.run()
    assert (first.complete, first.done, first.failed) == (True, 10, 2)
    assert bulk.failures() == {"doc-00003.txt": "PayloadTooLargeError", "doc-00007.txt": "PayloadTooLargeError"}
    bulk.hub.faults.clear()
    assert (await bulk.run()).failed == 2
    second = await bulk.run(retry_failed=True)
    assert (second.done, second.failed) == (12, 0)
    assert bulk.on_server() == on_disk(scans)
    assert len(bulk.rows()) == 12


async def test_one_file_that_always_fails_does_not_stop_the_job(bulk: Bulk, make_files: MakeFiles) -> None:
    make_files("scans", 12)
    bulk.hub.faults.add(Fault(kind="status", status=500, operation="addFileToBatch", path="doc-00003"))
    async with AsyncAIHub(bulk.hub.api_key, api_root=bulk.hub.api_root, max_retries=0) as client:
        status = await attrs.evolve(bulk, client=client).run(outage_patience=0.2)
    assert (status.complete, status.done) == (True, 11)
    assert bulk.failures() == {"doc-00003.txt": "ServerError"}


async def test_a_wrong_key_stops_the_job_and_fails_no_file(bulk: Bulk, make_files: MakeFiles) -> None:
    make_files("scans", 12)
    async with AsyncAIHub("wrong", api_root=bulk.hub.api_root) as client:
        with pytest.raises(errors.AuthenticationError):
            await attrs.evolve(bulk, client=client).run()
    assert read_status(bulk.folder / "out" / ".aihub" / "job.db").failed == 0
    assert (await bulk.run()).complete


async def test_an_outage_stops_the_job_and_fails_no_file(bulk: Bulk, make_files: MakeFiles) -> None:
    make_files("scans", 12)
    bulk.hub.faults.add(Fault(kind="status", status=500, operation="addFileToBatch", skip=4))
    bulk.hub.faults.add(Fault(kind="status", status=500, operation="getBatch"))
    async with AsyncAIHub(bulk.hub.api_key, api_root=bulk.hub.api_root, max_retries=0) as client:
        with pytest.raises(errors.ServerError):
            await attrs.evolve(bulk, client=client).run(outage_patience=0.2)
    assert read_status(bulk.folder / "out" / ".aihub" / "job.db").failed == 0
    bulk.hub.faults.clear()
    assert (await bulk.run()).done == 12


async def test_an_app_that_is_not_there_stops_the_job(bulk: Bulk, make_files: MakeFiles) -> None:
    make_files("scans", 12)
    with pytest.raises(errors.IngestError, match="no run of this app"):
        await bulk.run(app_name="nothing")
    assert read_status(bulk.folder / "out" / ".aihub" / "job.db").failed == 0


async def test_a_batch_deleted_on_the_server_is_made_again(bulk: Bulk, make_files: MakeFiles) -> None:
    scans = make_files("scans", 100)

    job = bulk.job(batch_files=100)
    bulk.after("addFileToBatch", 5, job.stop)
    await job.run()
    (batch,) = [batch async for batch in bulk.client.batches.iter()]
    await bulk.client.batches.delete(batch.id)
    await bulk.hub.idle()
    status = await bulk.run()
    assert (status.complete, status.done, status.failed) == (True, 100, 0)
    assert bulk.on_server() == on_disk(scans)


async def test_a_batch_deleted_before_its_run_is_made_again(bulk: Bulk, make_files: MakeFiles) -> None:
    scans = make_files("scans", 10)
    bulk.hub.faults.add(Fault(kind="status", status=401, operation="runApp", times=1))
    with pytest.raises(errors.AuthenticationError):
        await bulk.run()
    (batch,) = [batch async for batch in bulk.client.batches.iter()]
    await bulk.client.batches.delete(batch.id)
    await bulk.hub.idle()
    assert (await bulk.run()).done == 10
    assert bulk.on_server() == on_disk(scans)


async def test_a_run_that_waits_for_review_is_looked_at_again_later(bulk: Bulk, make_files: MakeFiles) -> None:
    make_files("scans", 5)

    @bulk.hub.app("reviewed", outcome="STOPPED_AT_CHECKPOINT")
    def reviewed(document: Any) -> dict[str, str]:
        return {"length": str(len(document.text))}

    first = await bulk.run(app_name="reviewed")
    assert (first.complete, first.batches) == (False, {"review": 1})
    bulk.hub.complete_review(bulk.hub.runs()[0]["id"])
    second = await bulk.run(app_name="reviewed")
    assert (second.complete, second.done) == (True, 5)
    assert bulk.hub.requests.count("runApp") == 1


async def test_results_that_are_gone_are_fetched_again(bulk: Bulk, make_files: MakeFiles) -> None:
    make_files("scans", 25)
    await bulk.run()
    rows = bulk.rows()
    parts = sorted((bulk.folder / "out").glob("part-*"))
    parts[0].unlink()
    os.truncate(parts[1], 10)
    assert (await bulk.run()).complete
    assert bulk.rows() == rows
    assert bulk.hub.requests.count("addFileToBatch") == 25


async def test_a_job_goes_on_elsewhere_with_its_journal_alone(bulk: Bulk, make_files: MakeFiles) -> None:
    make_files("scans", 25)
    await bulk.run()
    elsewhere = bulk.folder / "elsewhere"
    (elsewhere / ".aihub").mkdir(parents=True)
    (elsewhere / ".aihub" / "job.db").write_bytes((bulk.folder / "out" / ".aihub" / "job.db").read_bytes())
    assert (await bulk.run(out=elsewhere)).complete
    moved = [path.name for path in sorted(elsewhere.glob("part-*"))]
    assert moved == ["part-000001.jsonl", "part-000002.jsonl", "part-000003.jsonl"]
    assert len(bulk.hub.runs()) == 3


async def test_an_old_copy_of_the_journal_starts_nothing_twice(bulk: Bulk, make_files: MakeFiles) -> None:
    scans = make_files("scans", 25)
    journal = bulk.folder / "out" / ".aihub" / "job.db"
    bulk.hub.faults.add(Fault(kind="status", status=401, operation="runApp"))
    with pytest.raises(errors.AuthenticationError):
        await bulk.run()
    old = journal.read_bytes()
    bulk.hub.faults.clear()
    await bulk.run()
    journal.write_bytes(old)
    assert (await bulk.run()).complete
    assert len(bulk.hub.runs()) == 3
    assert bulk.on_server() == on_disk(scans)


async def test_a_lost_answer_starts_no_second_run_and_no_second_batch(bulk: Bulk, make_files: MakeFiles) -> None:
    make_files("scans", 10)
    bulk.hub.faults.add(
        Fault(kind="reset-after", operation="createBatch", times=1),
        Fault(kind="reset-after", operation="runApp", times=1),
    )
    assert (await bulk.run()).done == 10
    assert len(bulk.hub.runs()) == 1
    assert len([batch async for batch in bulk.client.batches.iter()]) == 1


async def test_a_file_without_a_result_is_recorded(bulk: Bulk, make_files: MakeFiles) -> None:
    make_files("scans", 5)
    loop = asyncio.get_running_loop()

    def remove_one() -> None:
        # Between the last upload and the run: as when another program changes the same batch.
        batch = 1
        tasks.append(loop.create_task(bulk.client.batches.delete_file(batch, "doc-00002.txt")))

    tasks: list[asyncio.Task[Any]] = []
    bulk.after("addFileToBatch", 5, remove_one)
    bulk.hub.faults.add(Fault(kind="latency", operation="runApp", seconds=0.3))
    status = await bulk.run()
    await asyncio.gather(*tasks)
    assert (status.complete, status.done, status.failed) == (True, 4, 1)
    assert bulk.failures() == {"doc-00002.txt": "no result"}


async def test_a_full_disk_stops_the_job_and_it_goes_on_when_there_is_room(
    bulk: Bulk, make_files: MakeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_files("scans", 25)
    fsync = os.fsync

    def full(descriptor: int) -> None:
        if "part-" in Path(f"/proc/self/fd/{descriptor}").readlink().name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(errors.IngestError, match="No space left"):
            await bulk.run()
    assert (await bulk.run()).complete
    assert len(bulk.rows()) == 25
    assert len(bulk.hub.runs()) == 3


async def test_two_processes_cannot_work_on_one_job(bulk: Bulk, make_files: MakeFiles) -> None:
    make_files("scans", 5)
    bulk.hub.hold_runs()
    async with anyio.create_task_group() as group:
        group.start_soon(bulk.run)
        while not bulk.hub.runs():
            await anyio.sleep(0.01)
        with pytest.raises(errors.JournalBusyError, match="process"):
            await bulk.run()
        status = await bulk.job().status()
        assert (status.files, status.complete) == (5, False)
        bulk.hub.release_runs()


async def test_no_secret_is_in_the_journal(bulk: Bulk, make_files: MakeFiles) -> None:
    make_files("scans", 5)
    settings = {"runtime_config": {"instabase": {"pdf": {"passwords": {"a.pdf": "hunter2"}}}}, "tags": ["mine"]}
    job = bulk.job(settings=settings)
    await job.run()
    content = b"".join(path.read_bytes() for path in (bulk.folder / "out").rglob("*") if path.is_file())
    assert b"SQLite" in content
    assert b"hunter2" not in content
    assert bulk.hub.api_key.encode() not in content
    assert "hunter2" not in repr(job._options) + repr(attrs.asdict(job._options))
    assert "mine" in bulk.hub.runs()[0]["tags"]


async def test_the_report_shows_the_job_on_one_page(bulk: Bulk, make_files: MakeFiles) -> None:
    scans = make_files("scans", 25)
    (scans / "<b>.exe").write_bytes(b"x")
    await bulk.run()
    target = bulk.folder / "report.html"
    write_report(bulk.folder / "out" / ".aihub" / "job.db", target)
    page = target.read_text()
    assert "25 of 25" in page
    assert "<polyline" in page or "Too short" in page
    assert "&lt;b&gt;.exe" in page
    assert "<b>.exe" not in page
    for outside in ("src=", 'href="http', "url(", "@import"):
        assert outside not in page
