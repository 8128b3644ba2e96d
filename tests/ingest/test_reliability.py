"""Outages, unclear answers, old journals and unreadable values: nothing is lost, and no run is started twice."""

import asyncio
import errno
import json
import os
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from aihub_async import AsyncAIHub, errors
from aihub_async.emulator import Emulator, Fault
from aihub_async.ingest import IngestJob, IngestStatus
from aihub_async.ingest.folder import explained
from aihub_async.ingest.journal.file import Journal
from aihub_async.ingest.patience import Patience, is_outage
from aihub_async.ingest.progress import Progress
from aihub_async.ingest.stopping import StopRequest, StopRequestedError

MakeFiles = Callable[..., Path]


def job_of(client: AsyncAIHub, folder: Path, **options: Any) -> IngestJob:
    defaults: dict[str, Any] = {"app_name": "key-values", "batch_files": 10, "in_flight_grace": 0.3}
    return client.ingest(folder / "scans", out=folder / "out", **(defaults | options))


def journal_of(folder: Path) -> Path:
    return folder / "out" / ".aihub" / "job.db"


def started_twice(hub: Emulator) -> int:
    tags = Counter(tag for run in hub.runs() for tag in run["tags"] if tag.startswith("aihub-ingest"))
    return sum(count - 1 for count in tags.values())


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.005)


@pytest.mark.parametrize("kind", ["status", "html", "refuse"])
async def test_an_outage_during_uploads_fails_nothing_and_does_not_stop_the_job(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path, kind: Any
) -> None:
    make_files("scans", 200)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(job_of(client, tmp_path, batch_files=100).run())
        await until(lambda: hub.requests.count("addFileToBatch") >= 30)
        hub.faults.add(Fault(kind=kind, lasting=0.5))
    status = task.result()
    assert (status.complete, status.done, status.failed) == (True, 200, 0)
    assert started_twice(hub) == 0


async def test_an_outage_while_runs_work_does_not_stop_the_job(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    make_files("scans", 30)
    hub.hold_runs()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(job_of(client, tmp_path).run())
        await until(lambda: len(hub.runs()) == 3)
        hub.faults.add(Fault(kind="html", lasting=0.7))
        hub.release_runs()
    assert (task.result().complete, task.result().done) == (True, 30)


async def test_an_outage_is_shown(hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path) -> None:
    make_files("scans", 10)
    seen: list[IngestStatus] = []
    hub.faults.add(Fault(kind="html", operation="getRunResults", lasting=1.2))
    assert (await job_of(client, tmp_path, on_progress=seen.append).run()).complete
    assert {status.stage for status in seen if status.outage is not None} == {"waiting for the server"}


async def test_runs_are_not_started_twice_by_answers_that_cannot_be_read(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    make_files("scans", 30)
    hub.faults.add(
        Fault(kind="html", handled=True, operation="runApp", times=3),
        Fault(kind="status", status=503, operation="listRuns", times=12),
    )
    status = await job_of(client, tmp_path).run()
    assert (status.complete, status.done, len(hub.runs()), started_twice(hub)) == (True, 30, 3, 0)


async def test_a_start_that_stays_unclear_is_set_aside_and_the_others_are_done(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    make_files("scans", 30)
    hub.faults.add(Fault(kind="html", operation="runApp", times=1))
    first = await job_of(client, tmp_path).run()
    assert (first.complete, first.done, first.failed) == (False, 20, 0)
    assert "run the same job again" in first.attention[0]
    second = await job_of(client, tmp_path).run()
    assert (second.complete, second.done, len(hub.runs()), started_twice(hub)) == (True, 30, 3, 0)


@pytest.mark.parametrize("offset", [7200.0, -7200.0])
async def test_a_clock_that_is_wrong_by_hours_starts_nothing_twice(
    hub: Emulator,
    client: AsyncAIHub,
    make_files: MakeFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    offset: float,
) -> None:
    make_files("scans", 30)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + offset)
    hub.faults.add(Fault(kind="drip", bytes=1, seconds=5, operation="runApp"))
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(job_of(client, tmp_path).run)
            await until(lambda: len(hub.runs()) == 3)
            scope.cancel()
    hub.faults.clear()
    status = await job_of(client, tmp_path).run()
    assert (status.complete, len(hub.runs()), started_twice(hub)) == (True, 3, 0)


@pytest.mark.parametrize("not_listed", [None, "listBatches", "listRuns"])
async def test_a_journal_copied_without_its_log_starts_nothing_twice(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path, not_listed: str | None
) -> None:
    """Also when a gateway answers the lists of what the server has with an error in JSON and status 200."""
    make_files("scans", 60)
    journal = journal_of(tmp_path)
    copied: list[bool] = []

    def copy(_status: IngestStatus) -> None:
        # The log next to it has most of what was written so far.
        if not copied and journal.exists():
            shutil.copy(journal, tmp_path / "backup.db")
            copied.append(True)

    assert (await job_of(client, tmp_path, on_progress=copy).run()).complete
    for path in journal.parent.glob("job.db*"):
        path.unlink()
    shutil.copy(tmp_path / "backup.db", journal)
    if not_listed:
        hub.faults.add(Fault(kind="status", status=200, operation=not_listed, times=1))
    status = await job_of(client, tmp_path).run()
    assert (status.complete, status.done, len(hub.runs()), started_twice(hub)) == (True, 60, 6, 0)


async def test_every_flipped_bit_of_the_index_is_noticed(
    client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    make_files("scans", 60)
    await job_of(client, tmp_path).run()
    journal = journal_of(tmp_path)
    sound = journal.read_bytes()
    connection = sqlite3.connect(journal)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'files_source'").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    for step in range(30):
        position = root * size - 20 - 37 * step
        damaged = bytearray(sound)
        damaged[position] ^= 1
        journal.write_bytes(damaged)
        with pytest.raises(errors.JournalDamagedError):
            await Journal.open(journal)


async def test_a_flipped_bit_of_a_failure_is_noticed(client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path) -> None:
    scans = make_files("scans", 2)
    (scans / "tool.exe").write_bytes(b"x")
    await job_of(client, tmp_path).run()
    journal = journal_of(tmp_path)
    journal.write_bytes(journal.read_bytes().replace(b"unsupported", b"unsupporte\x65", 1))
    content = journal.read_bytes()
    journal.write_bytes(content.replace(b"unsupported", b"unsupportee", 1))
    with pytest.raises(errors.JournalDamagedError, match="failures"):
        await Journal.open(journal)


@pytest.mark.parametrize("link", ["symlink", "hard link", "folder"])
async def test_another_name_of_the_journal_is_the_same_journal(tmp_path: Path, link: str) -> None:
    journal = tmp_path / "real" / "job.db"
    other = tmp_path / "other.db"
    async with await Journal.open(journal, {"source": "scans"}):
        if link == "symlink":
            other.symlink_to(journal)
        elif link == "hard link":
            os.link(journal, other)
        else:
            (tmp_path / "alias").symlink_to(journal.parent)
            other = tmp_path / "alias" / "job.db"
        with pytest.raises(errors.JournalBusyError):
            await Journal.open(other, {"source": "scans"})
    async with await Journal.open(other, {"source": "scans"}):
        pass


async def with_results(
    hub: Emulator, folder: Path, change: Callable[[dict[str, Any]], bytes], **options: Any
) -> tuple[IngestStatus, int]:
    """Run a job through a gateway that changes the pages of results of the first run; return how many it changed."""
    changed = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal changed
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        body = await reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b""
        upstream, sink = await asyncio.open_connection("127.0.0.1", int(hub.api_root.split(":")[2].split("/")[0]))
        sink.write(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1) + body)
        answer = await upstream.read()
        first = hub.runs()[0]["id"].encode() if hub.runs() else b"none"
        if b"/results" in head and first in head:
            changed += 1
            page = change(json.loads(answer.partition(b"\r\n\r\n")[2]))
            answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            answer += b"Content-Length: %d\r\n\r\n" % len(page) + page
        writer.write(answer)
        await writer.drain()
        sink.close()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        root = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api"
        async with AsyncAIHub(hub.api_key, api_root=root, max_retries=1) as client:
            status = await job_of(client, folder, max_runs=1, **options).run()
    return status, changed


async def test_a_results_page_that_nobody_can_read_is_kept_and_the_job_goes_on(
    hub: Emulator, make_files: MakeFiles, tmp_path: Path
) -> None:
    make_files("scans", 20)
    status, _ = await with_results(hub, tmp_path, lambda _: b'["not", "results"]', outage_patience=5)
    assert (status.complete, status.done, status.failed) == (True, 10, 10)
    failures = [json.loads(line) for line in (tmp_path / "out" / "failures.jsonl").read_text().splitlines()]
    assert {failure["reason"] for failure in failures} == {"unreadable results"}
    (kept,) = (tmp_path / "out" / "unreadable").iterdir()
    assert kept.read_bytes() == b'["not", "results"]'
    assert kept.name in failures[0]["message"]


async def test_results_that_never_end_do_not_stop_the_job(hub: Emulator, make_files: MakeFiles, tmp_path: Path) -> None:
    make_files("scans", 20)

    def endless(page: dict[str, Any]) -> bytes:
        return json.dumps(page | {"has_more": True}).encode()

    with anyio.fail_after(20):
        status, pages = await with_results(hub, tmp_path, endless, outage_patience=5)
    assert (status.complete, status.done, status.failed) == (True, 10, 10)
    assert pages < 20


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("value", [r'"a\ud800b"', "NaN", "9" * 5000], ids=["surrogate", "nan", "huge"])
async def test_values_that_formats_cannot_hold_do_not_stop_a_job(
    hub: Emulator, make_files: MakeFiles, tmp_path: Path, format: str, value: str
) -> None:
    make_files("scans", 20)

    def poisoned(page: dict[str, Any]) -> bytes:
        page["files"][0]["documents"][0]["fields"][0]["value"] = "poison"
        return json.dumps(page).replace('"poison"', value).encode()

    status, changed = await with_results(hub, tmp_path, poisoned, format=format, outage_patience=5)
    assert changed
    assert status.complete
    # At worst the whole batch is on the dead-letter list, with its reason.
    assert status.done >= 10
    assert status.done + status.failed == 20


async def test_a_status_that_is_not_known_is_reported(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    make_files("scans", 5)
    hub.hold_runs()
    hub.faults.add(Fault(kind="unknown-enum", lasting=1.0))
    seen: list[IngestStatus] = []
    job = job_of(client, tmp_path, on_progress=seen.append)

    def stop(status: IngestStatus) -> None:
        seen.append(status)
        if any("unknown status" in line for line in status.attention):
            hub.release_runs()
            hub.faults.clear()

    job = job_of(client, tmp_path, on_progress=stop)
    with anyio.fail_after(20):
        assert (await job.run()).complete
    assert any("unknown status" in line for status in seen for line in status.attention)


def test_what_is_an_outage() -> None:
    details = errors.RequestDetails("getBatch", "GET", "/v2/batches/1")
    json_details = errors.RequestDetails(
        "getRunResults", "GET", "/", status=200, headers={"Content-Type": "application/json"}
    )
    assert is_outage(errors.ServerError("503", details))
    assert is_outage(errors.ConnectError("refused", details))
    assert is_outage(errors.ProtocolError("HTML", details))
    for status in (408, 425):
        passing = errors.RequestDetails("listRuns", "GET", "/v2/apps/runs", status=status)
        assert is_outage(errors.StatusError("Request Timeout", passing))
    refused = errors.RequestDetails("listRuns", "GET", "/v2/apps/runs", status=409)
    assert not is_outage(errors.StatusError("Conflict", refused))
    assert not is_outage(errors.ProtocolError("JSON of another kind", json_details))
    assert not is_outage(errors.CertificateError("expired", details))
    assert not is_outage(errors.RedirectError("elsewhere", details))
    assert not is_outage(errors.NotFoundError("404", details))
    assert not is_outage(errors.OutcomeUnknownError("?", details))


def test_a_request_that_times_out_is_no_error_of_the_file_that_is_written(tmp_path: Path) -> None:
    """A `RequestTimeoutError` is a `TimeoutError`, and so an `OSError`."""
    late = errors.RequestTimeoutError("no answer", errors.RequestDetails("getRunResults", "GET", "/"))
    with pytest.raises(errors.RequestTimeoutError), explained(tmp_path / "part"):
        raise late
    assert is_outage(late)
    with pytest.raises(errors.IngestError, match="No space left"), explained(tmp_path / "part"):
        raise OSError(errno.ENOSPC, "No space left on device")


async def test_patience_ends_and_stopping_ends_it_earlier() -> None:
    now = 0.0
    details = errors.RequestDetails("getBatch", "GET", "/v2/batches/1")
    progress = Progress(
        IngestStatus(
            files=0,
            bytes=0,
            uploaded=0,
            uploaded_bytes=0,
            done=0,
            failed=0,
            refused=0,
            rows=0,
            retries=0,
            batches={},
            scanned=True,
        )
    )

    class Time(StopRequest):
        async def sleep(self, seconds: float) -> None:
            nonlocal now
            now += seconds
            await super().sleep(0)

    stop = Time()
    tries = 0

    async def fail() -> None:
        nonlocal tries
        tries += 1
        raise errors.ServerError("503", details)

    patience = Patience(60.0, stop, progress, lambda: now)
    with pytest.raises(errors.ServerError):
        await patience.ride_out(fail)
    assert now == pytest.approx(60.0)
    assert 5 < tries < 15
    stop.request()
    with pytest.raises(StopRequestedError):
        await patience.ride_out(fail)
