"""`IngestJob`: a bulk job that can be planned, run, interrupted and run again."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import attrs

from aihub_async.errors import IngestError
from aihub_async.ingest import export, shards
from aihub_async.ingest.journal import queries
from aihub_async.ingest.journal.file import Journal, no_crash_hook
from aihub_async.ingest.journal.rows import BatchRow, BatchState
from aihub_async.ingest.options import JobOptions
from aihub_async.ingest.pipeline import Pipeline
from aihub_async.ingest.plan import Plan, make_plan
from aihub_async.ingest.progress import IngestStatus, read_status, status_of
from aihub_async.ingest.remote import Remote
from aihub_async.ingest.scan import Candidate, Sources, scan

if TYPE_CHECKING:
    from aihub_async.client import AsyncAIHub
    from aihub_async.ingest.engines import Engine

FAILURES = "failures.jsonl"


class IngestJob:
    """A bulk job; `AsyncAIHub.ingest` makes it.

    Everything that it does is in its journal. Whatever interrupts it, making the same job again and running it goes on
    where it stopped.

    Example:
        >>> async def ingest(client):
        ...     job = client.ingest("scans", app_name="invoices", out="results")
        ...     print(await job.plan())
        ...     return await job.run()
    """

    def __init__(
        self,
        client: "AsyncAIHub",
        sources: Sources,
        options: JobOptions,
        *,
        on_progress: Callable[[IngestStatus], None] | None = None,
        crash_hook: Callable[[str], None] = no_crash_hook,
    ) -> None:
        self._client = client
        self._sources = sources
        self.options = options
        self._on_progress = on_progress
        self._boundary = crash_hook
        self._pipeline: Pipeline | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_asked = False

    async def plan(self, *, contents: bool = True) -> Plan:
        """Read the source and record it in the journal; nothing is sent.

        Args:
            contents: look for files of equal content, which reads all files that have the size of another.

        Returns:
            What there is to do, and what has changed since the last plan or run.

        Raises:
            JournalError: the journal cannot be used; see the exception tree.
        """
        async with await self._open() as journal:
            pipeline = self._new_pipeline(journal)
            await pipeline.plan(self._scan())
            return await make_plan(journal, pipeline.changes, contents=contents)

    async def run(self, *, retry_failed: bool = False, engine: "Engine | None" = None) -> IngestStatus:
        """Do the whole job, or what is left of it.

        Results appear in `out` as one part per batch, and at the end the dead-letter list as ``failures.jsonl``.

        Args:
            retry_failed: plan the files on the dead-letter list again, except those that were refused.
            engine: where to run it, such as a `DaskEngine`; here by default.

        Returns:
            How far the job came; `complete` unless it was stopped or a run waits for a review.

        Raises:
            IngestError: it cannot go on, such as on a full disk. Run the same job again to resume it.
            JournalError: the journal cannot be used; see the exception tree.
            RequestError: the server refuses everything, or cannot be reached.
        """
        self._loop = asyncio.get_running_loop()
        try:
            async with await self._open() as journal:
                status = await self._run(journal, retry_failed, engine)
                await self._write_failures(journal)
                return status
        finally:
            self._loop = None

    def stop(self) -> None:
        """Let `run` finish what is in flight and return; from any thread, or from a signal handler."""
        self._stop_asked = True
        if self._pipeline is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._pipeline.stop)
        shards.tell_to_stop(self.options.journal)

    async def status(self) -> IngestStatus:
        """How far the journal says that the job is; it can be asked while another process works.

        Raises:
            JournalError: there is no journal, or it cannot be read.
        """
        return await anyio.to_thread.run_sync(read_status, self.options.journal)

    async def _run(self, journal: Journal, retry_failed: bool, engine: "Engine | None") -> IngestStatus:
        await shards.merge_all(journal)
        await self._check_parts(journal)
        pipeline = self._new_pipeline(journal)
        if retry_failed:
            await pipeline.retry_failed()
        if self._stop_asked:
            pipeline.stop()
        return await (pipeline.run(self._scan()) if engine is None else self._run_on(engine, journal, pipeline))

    async def _run_on(self, engine: "Engine", journal: Journal, pipeline: Pipeline) -> IngestStatus:
        await pipeline.plan(self._scan())
        settings = self._client.settings
        pieces = await shards.split(journal, self.options, settings.api_root, settings.ib_context)
        if pieces:
            async for shard, _ in engine.map(shards.run_shard, pieces):
                await shards.merge(journal, shard.journal)
                await self._tell(journal)
        await shards.merge_all(journal)
        return await self._tell(journal)

    async def _tell(self, journal: Journal) -> IngestStatus:
        status = await journal.call(lambda db: status_of(db, journal.path))
        if self._on_progress is not None:
            self._on_progress(status)
        return status

    async def _open(self) -> Journal:
        spec = self.options.spec(self._sources)
        source = spec["source"]
        if source is not None and not await anyio.Path(source).exists():
            raise IngestError(f"there is no {source!r} to ingest")
        return await Journal.open(self.options.journal, spec, now=time.time(), crash_hook=self._boundary)

    def _new_pipeline(self, journal: Journal) -> Pipeline:
        self._pipeline = Pipeline(
            journal,
            Remote(self._client, self.options),
            self.options,
            crash_hook=self._boundary,
            on_progress=self._on_progress,
        )
        return self._pipeline

    def _scan(self) -> Iterator[Candidate]:
        skip = frozenset({os.path.realpath(self.options.out), os.path.realpath(self.options.journal)})
        return scan(self._sources, send_all_types=self.options.send_all_types, skip=skip)

    async def _check_parts(self, journal: Journal) -> None:
        """Export again what the journal says is written but the folder does not have."""
        options = self.options

        def check(db: sqlite3.Connection) -> None:
            lost = [
                batch
                for batch in queries.batches(db)
                if batch.state is BatchState.EXPORTED and not _is_written(options, batch)
            ]
            anew = (attrs.evolve(batch, state=BatchState.COMPLETE, note="its part is gone") for batch in lost)
            queries.put_batches(db, anew)

        await journal.call(check)

    async def _write_failures(self, journal: Journal) -> None:
        path = self.options.out / FAILURES

        def write(db: sqlite3.Connection) -> None:
            if export.write_failures(path, queries.failures(db), self._boundary) == 0:
                path.unlink()

        await journal.call(write)


def _is_written(options: JobOptions, batch: BatchRow) -> bool:
    part = export.part_path(options.out, batch.no, options.format)
    raw = export.part_path(options.out / "raw", batch.no, "jsonl")
    return part.exists() and part.stat().st_size == batch.part_bytes and (raw.exists() or not options.raw)
