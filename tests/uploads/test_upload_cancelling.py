"""Hostile case 58: cancelled at every step, an upload leaves nothing behind."""

import asyncio

import pytest

from aihub_async.emulator.faults import Fault

CONTENT = bytes(3000)


@pytest.mark.parametrize("steps", range(0, 60, 2))
async def test_cancelled_after_so_many_steps(client, hub, batch, folder, descriptors, steps):
    paths = [folder.add(f"{number}.bin", CONTENT) for number in range(6)]
    before = asyncio.all_tasks()
    upload = asyncio.create_task(
        client.batches.upload(batch, [*paths, folder.add("large.bin", bytes(300_000))], multipart_threshold=100_000)
    )
    for _ in range(steps):
        await asyncio.sleep(0)
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert descriptors() == set()
    assert client._transport.governor.in_flight == 0
    # Connections of the pool may live on in the emulator's own tasks; the client has none left.
    left = {task for task in asyncio.all_tasks() - before if "aihub_async.uploads" in repr(task.get_coro())}
    assert not left
    assert len(hub.batch_files(batch)) <= 6
    report = await client.batches.upload(batch, paths)
    assert report.ok


async def test_leaving_the_loop_early_cancels_the_rest(client, hub, batch):
    hub.faults.add(Fault(kind="latency", seconds=30, operation="addFileToBatch", skip=3))
    sources = ((f"{number}.txt", b"x") for number in range(10_000))
    uploads = client.batches.iter_upload(batch, sources, max_concurrency=4)
    async with uploads:
        async for record in uploads:
            assert record.error is None
            break
    assert client._transport.governor.in_flight == 0
    assert hub.requests.count("addFileToBatch") <= 8
    assert await uploads.next_page() is None
    await uploads.aclose()


async def test_a_cancelled_stream_is_closed(client, hub, batch):
    closed = []

    async def chunks():
        try:
            yield b"x"
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    from aihub_async.uploads.contents import ByteStream

    upload = asyncio.create_task(client.batches.add_file(batch, "s.bin", ByteStream(chunks, 2)))
    while not client._transport.governor.in_flight:
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert closed == [True]
    assert hub.batch_files(batch) == []
