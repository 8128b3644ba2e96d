"""Parts of a job that other machines work on: each has its own journal, which is merged into the job's."""

import asyncio
import functools
import logging
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import anyio
import attrs

from aihub_async.errors import JournalBusyError
from aihub_async.ingest.folder import shards_of
from aihub_async.ingest.journal import queries, schema
from aihub_async.ingest.journal.file import Journal, no_crash_hook
from aihub_async.ingest.journal.rows import BatchRow, FileRow
from aihub_async.ingest.options import JobOptions
from aihub_async.ingest.pipeline import Pipeline
from aihub_async.ingest.progress import IngestStatus, counted, status_of
from aihub_async.ingest.remote import Remote, Resources

logger = logging.getLogger("aihub_async")

SHARD_BATCHES = 8
"""Batches of one shard: enough to keep a worker busy, few enough to spread evenly."""

_STOP = "stop"
_POLL = 0.5

Connect = Callable[[], AbstractAsyncContextManager[Resources]]
"""Makes a client; it can be sent to another process, and holds no API key."""


@attrs.frozen
class Shard:
    """A piece of work that can be sent to another process; it holds no API key.

    `journal`, the results folder and the sources must have the same paths there, and the API key must be in the
    environment (AIHUB_API_KEY).
    """

    number: int
    journal: Path
    options: JobOptions
    connect: Connect


def run_shard(shard: Shard) -> IngestStatus:
    """Do one shard, or the rest of it; engines call this in their workers.

    Raises:
        IngestError: it cannot continue; calling it again, anywhere, resumes it.
    """
    return asyncio.run(_run_shard(shard))


async def _run_shard(shard: Shard) -> IngestStatus:
    async with shard.connect() as resources, await _open_when_free(shard.journal) as journal:
        flag = shard.journal.parent / _STOP

        def look(_status: IngestStatus) -> None:
            # A file is the one thing that all machines of a job share.
            if flag.exists():
                pipeline.stop()

        remote = Remote(resources, shard.options)
        pipeline = Pipeline(journal, remote, shard.options, crash_hook=no_crash_hook, on_progress=look)
        return await pipeline.run(None)


async def _open_when_free(path: Path) -> Journal:
    """A worker that the engine considers lost may still be running."""
    for _ in range(30):
        try:
            return await Journal.open(path)
        except JournalBusyError:
            await anyio.sleep(1)
    return await Journal.open(path)


def request_stop(journal: Path) -> None:
    """Let all workers finish their requests in flight and start nothing more."""
    folder = shards_of(journal)
    if folder.exists():
        (folder / _STOP).touch()


async def split(journal: Journal, options: JobOptions, connect: Connect) -> list[Shard]:
    """Split the rest of a job into shards."""
    folder = shards_of(journal.path)
    folder.mkdir(exist_ok=True)
    (folder / _STOP).unlink(missing_ok=True)
    shards: list[Shard] = []
    after = 0
    while batches := await journal.call(functools.partial(queries.unsettled, after=after, limit=SHARD_BATCHES)):
        after = batches[-1].no
        path = folder / f"{batches[0].no:06d}.db"
        await journal.call(functools.partial(_write_shard, path, batches, dict(journal.meta)))
        shards.append(Shard(len(shards) + 1, path.absolute(), _absolute(options), connect))
    return shards


def _absolute(options: JobOptions) -> JobOptions:
    return attrs.evolve(options, out=options.out.absolute(), journal=options.journal.absolute())


def _write_shard(path: Path, batches: list[BatchRow], meta: dict[str, object], db: sqlite3.Connection) -> None:
    files = [row for batch in batches for row in queries.files_of(db, batch)]
    failures = queries.failures_of(db, files)
    folders = queries.folders(db, (row.folder for row in files))
    facts = {key: meta[key] for key in ("job", "spec", "created_at")}
    facts |= {"files": len(files), "batches": len(batches), "scanned": True}

    def fill(shard: sqlite3.Connection) -> None:
        queries.put_folders(shard, folders)
        _put(shard, batches, files, failures)
        # What the job's own journal counts of these batches already; see `progress.read_status`.
        schema.set_meta(shard, "base", counted(status_of(shard, path)))

    schema.create(path, facts, fill)


def _put(
    db: sqlite3.Connection, batches: list[BatchRow], files: list[FileRow], failures: Iterable[tuple[int, str, str]]
) -> None:
    queries.put_batches(db, batches)
    for row in files:
        queries.put_file(db, row)
    for failure in failures:
        queries.put_failure(db, *failure)


async def merge(journal: Journal, path: Path) -> None:
    """Take over what a shard has done, and remove it. Doing it twice changes nothing.

    Raises:
        JournalBusyError: a worker still has the shard.
    """
    async with await Journal.open(path) as shard:
        rows = await shard.call(_rows_of)
        await journal.call(functools.partial(_take_over, rows))
    for name in (path.name, f"{path.name}.lock", f"{path.name}.owner"):
        path.with_name(name).unlink(missing_ok=True)


_Rows = tuple[list[BatchRow], list[FileRow], list[tuple[int, str, str]], dict[int, dict[str, tuple[int, int, int]]]]


def _take_over(rows: _Rows, db: sqlite3.Connection) -> None:
    batches, files, failures, fields = rows
    _put(db, batches, files, failures)
    for number, found in fields.items():
        queries.put_fields(db, number, found)


def _rows_of(db: sqlite3.Connection) -> _Rows:
    batches = list(queries.batches(db))
    files = [row for batch in batches for row in queries.files_of(db, batch)]
    fields = {batch.no: queries.fields_of(db, batch.no) for batch in batches}
    return batches, files, queries.failures_of(db, files), fields


async def merge_all(journal: Journal, *, patience: float) -> None:
    """Take over what shards of an interrupted job have done; workers that still have one are signaled to stop.

    Args:
        journal: the job's journal.
        patience: seconds to wait for such workers.

    Raises:
        JournalBusyError: a worker does not stop.
    """
    folder = shards_of(journal.path)
    if not folder.exists():
        return
    deadline = time.monotonic() + patience
    for path in sorted(folder.glob("*.db")):
        await _merge_when_free(journal, path, deadline)
    shutil.rmtree(folder)


async def _merge_when_free(journal: Journal, path: Path, deadline: float) -> None:
    reported = False
    while True:
        try:
            return await merge(journal, path)
        except JournalBusyError as error:
            if time.monotonic() >= deadline:
                raise
            request_stop(journal.path)
            if not reported:
                logger.warning(
                    "%s: a worker of an earlier run has this shard; it is signaled to stop, and waited for", error
                )
            reported = True
        await anyio.sleep(_POLL)
