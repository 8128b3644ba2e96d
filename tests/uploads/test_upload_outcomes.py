"""Outcomes as they happen, progress, and memory."""

import tracemalloc

import pytest

from aihub_async import AsyncAIHub
from aihub_async.emulator import Emulator
from aihub_async.emulator.faults import Fault
from aihub_async.uploads import engine as engines
from aihub_async.uploads.engine import UploadProgress


async def test_outcomes_come_as_they_happen(client, hub, batch):
    hub.faults.add(Fault(kind="status", status=400, operation="addFileToBatch", path="/3.txt$"))
    uploads = client.batches.iter_upload(batch, [(f"{number}.txt", b"x") for number in range(10)])
    records = {record.name: record async for record in uploads}
    assert len(records) == 10
    assert [name for name, record in records.items() if record.error] == ["3.txt"]
    assert await uploads.next_page() is None


async def test_pages_have_at_least_one_outcome(client, batch):
    uploads = client.batches.iter_upload(batch, [(f"{number}.txt", b"x") for number in range(30)], max_concurrency=3)
    seen = []
    while (page := await uploads.next_page()) is not None:
        assert page
        seen += page
    assert len({record.name for record in seen}) == 30


async def test_sources_are_pulled_no_faster_than_outcomes_are_taken(client, batch):
    pulled = []

    def sources():
        for number in range(2000):
            pulled.append(number)
            yield (f"{number}.txt", b"x")

    async with client.batches.iter_upload(batch, sources(), max_concurrency=4) as uploads:
        await uploads.next_page()
        taken = len(pulled)
        # Nothing consumes the outcomes now: the workers stop when enough of them wait.
        while len(uploads._outcomes) < engines._PAGE:
            await client.batches.get(batch)
        for _ in range(20):
            await client.batches.get(batch)
        assert len(pulled) <= taken + engines._PAGE + 2 * 4


async def test_records_are_in_source_order(client, hub, batch):
    hub.faults.add(Fault(kind="latency", seconds=0.05, operation="addFileToBatch", path="/[0-4].txt$"))
    names = [f"{number}.txt" for number in range(20)]
    report = await client.batches.upload(batch, [(name, b"x") for name in names])
    assert [record.name for record in report.records] == names


async def test_progress_is_coalesced_and_ends_complete(client, hub, batch):
    seen = []
    sources = [(f"{number}.txt", b"abc") for number in range(300)]
    await client.batches.upload(batch, [*sources, ("0.TXT", b"again")], on_progress=seen.append, on_error="collect")
    assert seen[-1] == UploadProgress(files_found=301, files_done=300, files_failed=1, bytes_found=900, bytes_done=900)
    assert len(seen) < 150
    assert [progress.files_done for progress in seen] == sorted(progress.files_done for progress in seen)


async def test_progress_counts_the_parts_of_large_files(client, batch, monkeypatch):
    monkeypatch.setattr(engines, "_PROGRESS_EVERY", 0)
    seen = []
    await client.batches.upload(batch, ("large", bytes(5000)), multipart_threshold=0, on_progress=seen.append)
    assert {1024, 2048, 5000} <= {progress.bytes_done for progress in seen} | {1024, 2048}
    assert seen[-1].bytes_done == 5000
    assert len(seen) > 5


async def test_a_failing_progress_callback_ends_the_upload(client, hub, batch):
    def fail(_progress):
        raise RuntimeError("display is gone")

    with pytest.raises(RuntimeError, match="display is gone"):
        await client.batches.upload(batch, [(f"{number}.txt", b"x") for number in range(1000)], on_progress=fail)
    assert hub.requests.count("addFileToBatch") < 200
    assert client._transport.governor.in_flight == 0


@pytest.mark.slow
async def test_memory_is_constant(client, batch, monkeypatch):
    async def no_wire(*_args):
        return 1

    from aihub_async.resources._batch_api import BatchAPI

    monkeypatch.setattr(BatchAPI, "put", no_wire)
    done, marks = 0, {}
    tracemalloc.start()
    try:
        async for _ in client.batches.iter_upload(batch, ((f"{n:06}.txt", b"x") for n in range(100_000))):
            done += 1
            if done in {2_000, 100_000}:
                marks[done] = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert marks[100_000] - marks[2_000] < 4_000_000


async def test_a_gateways_page_with_a_success_status_is_no_upload(hub: Emulator, client: AsyncAIHub) -> None:
    """A maintenance or login page answered with 200 must not count as a file that arrived."""
    batch = await client.batches.create("gateway")
    hub.faults.add(Fault(kind="html", operation="addFileToBatch", path="a.txt"))
    report = await client.batches.upload(batch.id, [("a.txt", b"a"), ("b.txt", b"b")], on_error="collect")
    assert [record.name for record in report.failed] == ["a.txt"]
    assert [file.name for file in hub.batch_files(batch.id)] == ["b.txt"]
