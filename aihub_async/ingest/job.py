"""`IngestJob`: a bulk job that can be planned, run, interrupted and resumed."""

import asyncio
import functools
import os
import platform
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import attrs

from aihub_async._version import __version__
from aihub_async.errors import ConfigurationError, IngestError
from aihub_async.ingest import shards
from aihub_async.ingest.candidates import Candidate
from aihub_async.ingest.cloud import Publisher
from aihub_async.ingest.engines import Engine
from aihub_async.ingest.folder import ResultsFolder
from aihub_async.ingest.journal.file import Journal, no_crash_hook
from aihub_async.ingest.journal.rows import BatchRow
from aihub_async.ingest.journal.schema import set_meta
from aihub_async.ingest.options import JobOptions
from aihub_async.ingest.outputs import Outputs
from aihub_async.ingest.pipeline import Pipeline, first_error
from aihub_async.ingest.plan import Plan, make_plan
from aihub_async.ingest.progress import IngestStatus, read_status, status_of, with_shards
from aihub_async.ingest.rebuild import find_job, rebuild
from aihub_async.ingest.remote import Remote, Resources
from aihub_async.ingest.scan import Sources, scan
from aihub_async.ingest.watch import Arrivals, Mover, notify_changes
from aihub_async.paths import is_url
from aihub_async.transport.observing import Telemetry, measure

_TELL_SECONDS = 5.0
"""Between two reports of what shards do."""
_EXPORT_PASSES = 3
"""How often parts that vanish during a run are written again."""


class IngestJob:
    """A resumable bulk-ingestion job; `AsyncAIHub.ingest` creates it.

    Everything that it does is in its journal. After any interruption, create the same job again and run it: it
    continues where it stopped.

    Example:
        >>> async def ingest(client):
        ...     job = client.ingest("scans", app_name="invoices", out="results")
        ...     print(await job.plan())
        ...     return await job.run()
    """

    def __init__(
        self,
        resources: Resources,
        sources: Sources,
        options: JobOptions,
        *,
        connect: shards.Connect | None = None,
        server: str = "",
        on_progress: Callable[[IngestStatus], None] | None = None,
        crash_hook: Callable[[str], None] = no_crash_hook,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._server = server
        self._telemetry = telemetry
        self._resources = resources
        self._sources = sources
        self._options = options
        self._connect = connect
        self._folder = ResultsFolder(options.out, options.format)
        self._outputs = Outputs(self._folder, options, crash_hook)
        self._publisher = None if options.publish_to is None else Publisher(options.out, options.publish_to)
        self._on_progress = on_progress
        self._crash_hook = crash_hook
        self._pipeline: Pipeline | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_requested = False

    def __repr__(self) -> str:
        options = self._options
        what = options.app_name or options.app_id or options.deployment_id
        return f"<{type(self).__name__}: {what!r}, results in {options.out}>"

    async def plan(self, *, contents: bool = True, pages: bool = True) -> Plan:
        """Read the source and record it in the journal; nothing is sent.

        Args:
            contents: look for files of equal content, which reads all files that have the size of another.
            pages: count pages, which reads all PDF and TIFF files.

        Returns:
            What there is to do, and what has changed since the last plan or run.

        Raises:
            JournalError: the journal cannot be used; see the exception tree.
        """
        async with await self._open() as journal:
            pipeline = self._new_pipeline(journal)
            await pipeline.plan(self._scan())
            return await make_plan(journal, pipeline.changes, contents=contents, pages=pages)

    async def run(self, *, retry_failed: bool = False, engine: Engine | None = None) -> IngestStatus:
        """Do the whole job, or the rest of it.

        Results appear in `out` as one part per batch, and at the end the dead-letter list as ``failures.jsonl``.
        Outages of the server shorter than `outage_patience` are waited out.

        Args:
            retry_failed: plan the files on the dead-letter list again, except those that were refused.
            engine: where to run it, such as a `DaskEngine`; in this process by default.

        Returns:
            The status at the end; `complete` unless it was stopped or something needs attention (`attention`).

        Raises:
            IngestError: it cannot continue, such as on a full disk. Run the same job again to resume it.
            JournalError: the journal cannot be used; see the exception tree.
            RequestError: the server refuses everything, or cannot be reached.
        """
        self._loop = asyncio.get_running_loop()
        try:
            async with await self._open() as journal:
                await self._claim(journal, is_new=journal.is_new)
                status = await self._run(journal, retry_failed, engine)
                return await self._finish(journal, status)
        finally:
            self._loop = None

    async def watch(
        self, *, settle: float = 5.0, batch_after: float = 60.0, move: "str | os.PathLike[str] | None" = None
    ) -> IngestStatus:
        """Run the job on a folder that fills, until `stop()`: files are sent as they arrive.

        The journal is that of `run`: after a kill, watching again loses and repeats nothing.

        Args:
            settle: seconds for which size and time of a file must not change before it is sent; an empty file waits.
            batch_after: seconds after which a batch that is not full is sent.
            move: a folder to which files are moved when their results are written; by default they stay.

        Returns:
            The status at the end.

        Raises:
            IngestError: the source is not a folder, or the job cannot continue; see `run`.
        """
        source = self._sources
        if not isinstance(source, str | os.PathLike) or not await anyio.Path(source).is_dir():
            raise IngestError("only a folder can be watched")
        self._loop = asyncio.get_running_loop()
        try:
            async with await self._open() as journal:
                await self._claim(journal, is_new=journal.is_new)
                await shards.merge_all(journal, patience=self._options.outage_patience)
                await self._outputs.reopen_lost(journal)
                mover = None if move is None else Mover(journal, Path(source), move)
                if mover is not None:
                    await mover.move_all()
                pipeline = self._new_pipeline(journal, None if mover is None else mover.move)
                if self._stop_requested:
                    pipeline.stop()
                arrivals = Arrivals(
                    functools.partial(self._scan, () if move is None else (os.fspath(move),)),
                    settle=settle,
                    batch_after=batch_after,
                    stop=pipeline.stop_request,
                )
                async with anyio.create_task_group() as group:
                    group.start_soon(notify_changes, [os.fspath(source)], arrivals.wake)
                    status = await pipeline.run(None, arrivals)
                    group.cancel_scope.cancel()
                # A task group swallows nothing but its own cancellation.
                return await self._finish(journal, status)  # pyright: ignore[reportPossiblyUnboundVariable]
        except BaseExceptionGroup as group_error:
            raise first_error(group_error) from None
        finally:
            self._loop = None

    async def retry_failed(self, *, engine: Engine | None = None) -> IngestStatus:
        """Plan the files on the dead-letter list again, except those that were refused, and run the job."""
        return await self.run(retry_failed=True, engine=engine)

    def stop(self) -> None:
        """Let `run` finish the requests in flight and return; call it from any thread, or from a signal handler.

        Files that are being sent arrive, and results that are being written are written. Runs continue on the server;
        the next `run` of the same job collects them.
        """
        self._stop_requested = True
        if self._pipeline is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._pipeline.stop)
        shards.request_stop(self._options.journal)

    async def status(self) -> IngestStatus:
        """Return the status that the journal shows; also while another process works on the job.

        Raises:
            JournalError: there is no journal, or it cannot be read.
        """
        return await anyio.to_thread.run_sync(read_status, self._options.journal)

    async def report(self, target: "str | os.PathLike[str]") -> Path:
        """Write a page about the job as self-contained HTML, and return its path.

        Raises:
            JournalError: there is no journal, or it cannot be read.
            IngestError: the page cannot be written.
        """
        from aihub_async.ingest.report import write_report  # noqa: PLC0415 - charts are loaded when they are used

        return await anyio.to_thread.run_sync(write_report, self._options.journal, target)

    async def rebuild(self, job: str | None = None) -> IngestStatus:
        """Recreate a lost journal from the names and tags on the server, the source and the results folder.

        The next `run` collects the results of all runs that were started, and starts none of them again.

        Args:
            job: the job's id; that of the results folder by default, or of the only job that the server has batches of.

        Raises:
            IngestError: the journal is there, or it is not clear which job is meant.
            RequestError: the server cannot be read.
        """
        if await anyio.Path(self._options.journal).exists():
            raise IngestError(f"the journal {self._options.journal} exists; move it away to recreate it")
        remote = Remote(self._resources, self._options)
        job = job or await find_job(remote, await anyio.to_thread.run_sync(self._folder.owner))
        async with await self._open(job) as journal:
            await rebuild(journal, remote, self._scan())
            await self._claim(journal, is_new=False)
            return await journal.call(lambda db: status_of(db, journal.path))

    async def _run(self, journal: Journal, retry_failed: bool, engine: Engine | None) -> IngestStatus:
        await shards.merge_all(journal, patience=self._options.outage_patience)
        await self._outputs.reopen_lost(journal)
        pipeline = self._new_pipeline(journal)
        if retry_failed:
            await pipeline.retry_failed()
        if self._stop_requested:
            pipeline.stop()
        if engine is not None:
            return await self._run_on(engine, journal, pipeline)
        status = await pipeline.run(self._scan())
        for _ in range(_EXPORT_PASSES):
            if pipeline.is_stopped:
                return status
            # The folder may have been changed while the job ran.
            await self._claim(journal, is_new=False)
            if not await self._outputs.reopen_lost(journal):
                await self._outputs.unify(journal)
                return status
            status = await pipeline.run(None)
        raise IngestError(f"results in {self._options.out} vanish while the job runs; find out what deletes them")

    async def _run_on(self, engine: Engine, journal: Journal, pipeline: Pipeline) -> IngestStatus:
        if self._connect is None:
            raise ConfigurationError("this job has no way to connect from other processes; use client.ingest()")
        await pipeline.plan(self._scan())
        pieces = await shards.split(journal, self._options, self._connect)
        if pieces:
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._tell_often, journal)
                    async for shard, _ in engine.map(shards.run_shard, pieces):
                        await shards.merge(journal, shard.journal)
                        await self._tell(journal)
                    group.cancel_scope.cancel()
            except BaseExceptionGroup as group_error:
                raise first_error(group_error) from None
        await shards.merge_all(journal, patience=self._options.outage_patience)
        return await self._tell(journal)

    async def _tell_often(self, journal: Journal) -> None:
        while True:
            await anyio.sleep(_TELL_SECONDS)
            await self._tell(journal)

    async def _tell(self, journal: Journal) -> IngestStatus:
        status = await journal.call(lambda db: with_shards(status_of(db, journal.path), journal.path))
        if self._on_progress is not None:
            self._on_progress(status)
        return status

    async def _claim(self, journal: Journal, *, is_new: bool) -> None:
        await anyio.to_thread.run_sync(functools.partial(self._folder.claim, journal.job, journal.path, is_new=is_new))

    async def _finish(self, journal: Journal, status: IngestStatus) -> IngestStatus:
        context = {
            "server": self._server,
            "out": self._options.publish_to or os.fspath(self._folder.path.absolute()),
            "version": __version__,
            "python": platform.python_version(),
            "ended_at": time.time(),
        }
        await journal.call(lambda db: set_meta(db, "context", context))
        rows, gated = await self._outputs.drop_superseded(journal)
        await self._outputs.write_lists(journal)
        if self._publisher is not None:
            await anyio.to_thread.run_sync(self._publisher.finish, journal.path)
        return attrs.evolve(status, rows=status.rows - rows, gated=status.gated - gated)

    async def _open(self, job: str | None = None) -> Journal:
        spec = self._options.spec(self._sources)
        source = spec["source"]
        if source is not None and not is_url(source) and not await anyio.Path(source).exists():
            raise IngestError(f"there is no {source!r} to ingest")
        return await Journal.open(self._options.journal, spec, now=time.time(), job=job, crash_hook=self._on_write)

    def _on_write(self, step: str) -> None:
        if step == "after commit":
            measure(self._telemetry, "journal.commit")
        self._crash_hook(step)

    def _new_pipeline(
        self, journal: Journal, on_exported: Callable[[BatchRow], Awaitable[None]] | None = None
    ) -> Pipeline:
        publisher = self._publisher

        async def exported(batch: BatchRow) -> None:
            if publisher is not None:
                await anyio.to_thread.run_sync(publisher.put, self._folder.part(batch.no))
            if on_exported is not None:
                await on_exported(batch)

        self._pipeline = Pipeline(
            journal,
            Remote(self._resources, self._options),
            self._options,
            crash_hook=self._crash_hook,
            on_progress=self._on_progress,
            on_exported=exported,
            telemetry=self._telemetry,
        )
        return self._pipeline

    def _scan(self, skipped: Iterable[str] = ()) -> Iterator[Candidate]:
        places = (os.fspath(self._options.out), os.fspath(self._options.journal), *skipped)
        skip = frozenset(os.path.realpath(place) for place in places)
        options = self._options
        accepted, group = options.filter, options.group
        return scan(self._sources, send_all_types=options.send_all_types, accepted=accepted, skip=skip, group=group)
