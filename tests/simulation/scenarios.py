"""What the clients do, and what must be true of it afterwards."""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio

from aihub_async import (
    AIHubError,
    AsyncAIHub,
    ClosedClientError,
    ConfigurationError,
    InvalidRequestError,
    ProtocolError,
    RequestError,
)
from tests.simulation.world import STORM, World

Scenario = Callable[[World], Awaitable[None]]
RETRIES = 6
"""Of an upload's requests."""


async def submissions(world: World) -> None:
    """Programs submit runs and wait for them; no submission starts two runs, and every wait ends."""
    options: dict[str, Any] = {"max_retries": world.chance.choice((0, 2, 4))}
    if world.chance.random() < 0.5:
        options["webhooks"] = world.receiver()
    async with world.client(**options) as client:
        async with anyio.create_task_group() as tasks:
            for number in range(world.chance.randrange(1, 15)):
                tasks.start_soon(_submit_one, world, client, number)
        check_at_rest(client)


async def _submit_one(world: World, client: AsyncAIHub, number: int) -> None:
    await asyncio.sleep(world.chance.uniform(0, STORM))
    with anyio.move_on_after(world.chance.choice((2.0, 1e9, 1e9, 1e9))):
        try:
            batch = await client.batches.create(f"batch {number}")
            await client.batches.add_file(batch.id, "a.txt", b"Total: 1")
        except AIHubError as error:
            check_error(error)
            return
        started = None
        try:
            handle = await client.apps.runs.submit(app_name="key-values", batch_id=batch.id)
            started = handle.id
            run = await handle.wait(timeout=world.chance.choice((5.0, 3600.0, None)))
            assert run.status == "COMPLETE"
        except AIHubError as error:
            check_error(error)
            world.note(f"batch {batch.id}: {type(error).__name__}")
        finally:
            check_runs(world, batch.id, started)


def check_runs(world: World, batch_id: int, started: str | None) -> None:
    """No submission has two runs, and a run that was reported is there."""
    runs = [run["id"] for run in world.hub.runs() if run["batch_id"] == batch_id]
    assert len(runs) <= 1, f"batch {batch_id} was run {len(runs)} times"
    if started is not None:
        assert started in runs


async def closing(world: World) -> None:
    """A client is closed at some moment: all that it does ends immediately, and no run is there twice later."""
    batches: list[int] = []

    async def submit(number: int) -> None:
        batch = await client.batches.create(f"batch {number}")
        batches.append(batch.id)
        files = [(f"{part}.bin", bytes(world.chance.choice((10, 300_000)))) for part in range(3)]
        await client.batches.upload(batch.id, files, on_error="collect", multipart_threshold=100_000)
        await (await client.apps.runs.submit(app_name="key-values", batch_id=batch.id)).wait()

    pace = world.chance.choice((None, None, 0.5))
    async with world.client(max_requests_per_second=pace, max_concurrent_requests=3) as client:
        tasks = [asyncio.ensure_future(submit(number)) for number in range(world.chance.randrange(1, 8))]
        await asyncio.sleep(world.chance.uniform(0, STORM))
        late = [task for task in tasks if not task.done()]
        world.note(f"closed while {len(late)} of {len(tasks)} work")
        await client.aclose()
        await asyncio.wait(tasks, timeout=0.001)
        assert all(task.done() for task in tasks), "calls continue after their client was closed"
        check_at_rest(client)
    for task in tasks:
        error = task.exception()
        assert error is None or isinstance(error, AIHubError), repr(error)
        assert task not in late or isinstance(error, ClosedClientError), repr(error)
    await asyncio.sleep(STORM)
    for batch_id in batches:
        check_runs(world, batch_id, None)


async def uploads(world: World) -> None:
    """A folder is uploaded; a file that is reported as uploaded is there, byte for byte."""
    folder = world.folder / "in"
    folder.mkdir()
    contents = {
        f"{number:02}.txt": world.chance.randbytes(world.chance.choice((0, 10, 5000, 300_000)))
        for number in range(world.chance.randrange(1, 40))
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    async with world.client(max_retries=RETRIES) as client:
        try:
            batch = await client.batches.create("uploads")
        except AIHubError as error:
            check_error(error)
            return
        report = await client.batches.upload(
            batch.id, [folder], on_error="collect", multipart_threshold=world.chance.choice((100_000, 10_000_000))
        )
        check_at_rest(client)
    stored = {file.name: file.sha256 for file in world.hub.batch_files(batch.id)}
    for record in report.records:
        if record.error is None:
            digest = hashlib.sha256(contents[record.name]).hexdigest()
            assert stored.get(record.name) == digest, f"{record.name} is reported as uploaded, and is not what was sent"
        else:
            # A page of a gateway is an answer that a retry would only repeat; an outage passes with the storm.
            expected = isinstance(record.error, ProtocolError) or is_bad_luck(record.error)
            assert expected, f"{record.name} was given up: {record.error!r}"
    assert {record.name for record in report.records} == set(contents)


def is_bad_luck(error: AIHubError) -> bool:
    """Whether the server could be reached at most of the last attempts, and failed them all: no outage to wait out."""
    last = error.attempts[-RETRIES - 1 :] if isinstance(error, RequestError) else ()
    return len(last) == RETRIES + 1 and sum(attempt.outcome == "connect" for attempt in last) < RETRIES / 2


class Killed(BaseException):
    """The process was killed."""


async def bulk_job(world: World) -> None:
    """A bulk job is killed and started again until it is complete: nothing is lost, and nothing is run twice."""
    folder, out = world.folder / "in", world.folder / "out"
    folder.mkdir()
    files = world.chance.randrange(1, 60)
    for number in range(files):
        (folder / f"{number:03}.txt").write_text(f"Total: {number}")
    kills = world.chance.randrange(4)
    for attempt in range(40):
        lifetime = world.chance.expovariate(1 / 20) if attempt < kills else 1e9
        if await _live(world, folder, out, lifetime, crash_at=_crash_point(world) if attempt < kills else None):
            break
        _lose_journal(world, out)
    else:
        raise AssertionError("the job is not complete after 40 runs of it")
    check_job(world, out, {f"{number:03}.txt" for number in range(files)})


def _lose_journal(world: World, out: Path) -> None:
    """Sometimes the journal that comes back after a kill is without its log, as a careless copy is."""
    log = next(iter(out.glob("**/job.db-wal")), None)
    if log is not None and world.chance.random() < 0.2:
        log.unlink()
        world.note("the journal lost its write-ahead log")


def _crash_point(world: World) -> int | None:
    return world.chance.choice((None, world.chance.randrange(1, 60)))


async def _live(world: World, folder: Path, out: Path, lifetime: float, *, crash_at: int | None) -> bool:
    """Run the job in a process that is killed after a while, or at a durable write; return whether it is complete."""
    host = world.new_host()
    client = world.make_client(host, max_retries=3)
    writes = 0

    def crash(where: str) -> None:
        nonlocal writes
        writes += 1
        if writes == crash_at:
            world.note(f"{host}: killed {where}")
            world.network.cut_off(host)
            raise Killed

    job = client.ingest(str(folder), app_name="key-values", out=str(out), batch_files=10, max_runs=3)
    job._crash_hook = crash
    process = asyncio.ensure_future(job.run())
    done, _ = await asyncio.wait({process}, timeout=lifetime)
    if not done:
        world.note(f"{host}: killed after {lifetime:.3f} s")
        world.network.cut_off(host)
        process.cancel()
    try:
        status = await process
    except (Killed, asyncio.CancelledError, BaseExceptionGroup):
        return False
    finally:
        await client.aclose()
    return bool(status.complete)


def check_job(world: World, out: Path, files: set[str]) -> None:
    """Every file is in the results once, or in the dead letters with a reason; no batch was run twice."""
    rows: list[dict[str, Any]] = []
    for part in sorted(out.glob("part-*.jsonl")):
        rows += [json.loads(line) for line in part.read_text().splitlines()]
    failures = out / "failures.jsonl"
    dead = [json.loads(line) for line in failures.read_text().splitlines()] if failures.exists() else []
    counted = Counter(row["file"] for row in rows)
    assert max(counted.values(), default=1) == 1, f"exported twice: {[name for name in counted if counted[name] > 1]}"
    lost = files - counted.keys() - {row["name"] for row in dead}
    assert not lost, f"lost: {sorted(lost)}"
    runs = Counter(run["batch_id"] for run in world.hub.runs() if run["status"] != "FAILED")
    assert max(runs.values(), default=1) == 1, f"batches that were run more than once: {runs}"


def check_error(error: AIHubError) -> None:
    """An error of the network or the server, never one that blames the program."""
    assert not isinstance(error, ConfigurationError | InvalidRequestError), error


def check_at_rest(client: AsyncAIHub) -> None:
    """Nothing is in flight, and nobody is waited for."""
    assert client._transport.governor.in_flight == 0
    assert client._scheduler.waiting == 0


SCENARIOS: dict[str, Scenario] = {
    "submissions": submissions,
    "uploads": uploads,
    "bulk-job": bulk_job,
    "closing": closing,
}
