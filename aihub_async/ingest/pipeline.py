"""All stages concurrently: scan, upload, run, results; each bounded, and the slowest sets the pace."""

import contextlib
import functools
import itertools
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator

import anyio
import anyio.abc
import anyio.to_thread
import attrs
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from aihub_async import errors
from aihub_async.ingest.adoption import Adoption
from aihub_async.ingest.budget import Budget
from aihub_async.ingest.candidates import Candidate
from aihub_async.ingest.folder import ResultsFolder
from aihub_async.ingest.journal import queries
from aihub_async.ingest.journal.file import Journal
from aihub_async.ingest.journal.rows import BatchRow, BatchState, FileRow
from aihub_async.ingest.journal.schema import set_meta
from aihub_async.ingest.options import JobOptions
from aihub_async.ingest.packing import Changes, Planner
from aihub_async.ingest.patience import Patience
from aihub_async.ingest.progress import IngestStatus, Progress, status_of
from aihub_async.ingest.remote import Remote
from aihub_async.ingest.stages.run import BatchStages
from aihub_async.ingest.stopping import StopRequest, StopRequestedError
from aihub_async.ingest.watch import Arrivals
from aihub_async.transport.observing import Telemetry, start_activity

_UPLOADS = 2
_SMALL_UPLOADS = 8
"""Uploads of groups, which are small: one after the other they would leave the connections idle."""
_EXPORTS = 2
_CHUNK = 500
_PAGE = 100
_SAMPLE_SECONDS = 2.0
_REPORT_SECONDS = 0.5


class Pipeline:
    """Advances all batches of a journal to their end.

    At most `max_runs` runs, two uploads and two exports are in progress, so that at most `max_runs` + 4 batches of
    1,000 files are in memory.
    """

    def __init__(
        self,
        journal: Journal,
        remote: Remote,
        options: JobOptions,
        *,
        crash_hook: Callable[[str], None],
        on_progress: Callable[[IngestStatus], None] | None = None,
        on_exported: Callable[[BatchRow], Awaitable[None]] | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._telemetry = telemetry
        self._on_exported = on_exported
        self._journal = journal
        self._remote = remote
        self._options = options
        self._crash_hook = crash_hook
        self._on_progress = on_progress
        self._stop = StopRequest()
        self._progress: Progress | None = None
        self.changes = Changes()

    def stop(self) -> None:
        """Finish the requests in flight and start nothing more; waits for runs end immediately."""
        self._stop.request()

    @property
    def stop_request(self) -> StopRequest:
        """What `stop()` sets."""
        return self._stop

    @property
    def is_stopped(self) -> bool:
        """Whether `stop()` was called."""
        return self._stop.requested

    async def run(self, candidates: Iterator[Candidate] | None, arrivals: Arrivals | None = None) -> IngestStatus:
        """Do the whole job, or the rest of it.

        Args:
            candidates: the source; None to leave the plan as it is.
            arrivals: a source without end, in place of `candidates`; then it runs until it is stopped.
        """
        options = self._options
        progress = self._start_progress(await self._status())
        patience = Patience(options.outage_patience, self._stop, progress)
        budget = Budget(self._journal, options)
        adoption = Adoption(self._journal, self._remote, patience, self._stop, options.in_flight_grace)
        stages = BatchStages(
            self._journal,
            self._remote,
            options,
            ResultsFolder(options.out, options.format),
            progress,
            patience,
            self._stop,
            self._crash_hook,
            any_run_accepted=await self._journal.call(queries.has_run),
        )
        uploads = _UPLOADS if options.group is None else _SMALL_UPLOADS
        self._upload_slots = anyio.CapacityLimiter(uploads)
        self._run_slots = anyio.CapacityLimiter(options.max_runs)
        self._export_slots = anyio.CapacityLimiter(_EXPORTS)
        send, receive = anyio.create_memory_object_stream[int](0)
        try:
            async with anyio.create_task_group() as observers:
                observers.start_soon(self._observe, progress)
                async with anyio.create_task_group() as group:
                    group.start_soon(self._feed, candidates, arrivals, progress, adoption, send)
                    for _ in range(options.max_runs + uploads + _EXPORTS):
                        group.start_soon(self._work, stages, adoption, budget, receive.clone())
                    receive.close()
                observers.cancel_scope.cancel()
        except BaseExceptionGroup as group_error:
            error = first_error(group_error)
            if isinstance(error, errors.ForbiddenError | errors.SourceAccessError):
                cured = "the organization may do this again"
                if isinstance(error, errors.SourceAccessError):
                    cured = "the credentials are renewed"
                raise errors.IngestError(
                    f"{error}; what is done is kept: when {cured}, run the same job again to resume it"
                ) from error
            raise error from None
        await self._record_sample(progress)
        self._report(progress)
        measured = progress.status()
        status = await self._status()
        limits = (budget.exhausted,) if budget.exhausted is not None else ()
        return attrs.evolve(
            status, retries=measured.retries, elapsed=measured.elapsed, attention=status.attention + limits
        )

    def _start_progress(self, status: IngestStatus) -> Progress:
        if self._progress is None:
            self._progress = Progress(status)
        else:
            self._progress.restart(status)
        return self._progress

    async def plan(self, candidates: Iterator[Candidate]) -> None:
        """Record the whole source in the journal; nothing is sent."""
        planner = await self._planner()
        while chunk := await anyio.to_thread.run_sync(_chunk, candidates):
            await self._journal.call(functools.partial(_add, planner, chunk))
        await self._journal.call(functools.partial(_finish, planner))
        self.changes = planner.changes

    async def retry_failed(self) -> None:
        """Plan all failed files again, in new batches."""
        planner = await self._planner()
        after = 0
        while rows := await self._journal.call(functools.partial(queries.failed, after=after, limit=_CHUNK)):
            await self._journal.call(functools.partial(_retry, planner, rows))
            after = rows[-1].id

    async def _planner(self, *, is_inbox: bool = False) -> Planner:
        options = self._options
        skipped = self._progress.status().skipped if self._progress is not None else 0

        def begin(db: sqlite3.Connection) -> Planner:
            set_meta(db, "scanned", False)
            return Planner(
                db,
                options.batch_files,
                options.batch_bytes,
                grouping=options.grouping,
                is_inbox=is_inbox,
                skipped_before=skipped,
            )

        return await self._journal.call(begin)

    async def _feed(
        self,
        candidates: Iterator[Candidate] | None,
        arrivals: Arrivals | None,
        progress: Progress,
        adoption: Adoption,
        send: MemoryObjectSendStream[int],
    ) -> None:
        async with send:
            with contextlib.suppress(StopRequestedError):
                await adoption.prepare()
            after = 0
            while not self._stop.requested and (
                page := await self._journal.call(functools.partial(queries.unsettled, after=after, limit=_PAGE))
            ):
                for batch in page:
                    await send.send(batch.no)
                after = page[-1].no
            if candidates is not None and not self._stop.requested:
                await self._scan(candidates, progress, send)
            if arrivals is not None and not self._stop.requested:
                await self._watch(arrivals, progress, send)

    async def _watch(self, arrivals: Arrivals, progress: Progress, send: MemoryObjectSendStream[int]) -> None:
        planner = await self._planner(is_inbox=True)
        async for chunk in arrivals:
            work = planner.finish if chunk is None else functools.partial(_add, planner, chunk)
            full = await self._journal.call(work)
            progress.planned(planner.take_tally(), len(full))
            for number in full:
                await send.send(number)

    async def _scan(
        self, candidates: Iterator[Candidate], progress: Progress, send: MemoryObjectSendStream[int]
    ) -> None:
        planner = await self._planner()
        self.changes = planner.changes
        while chunk := await anyio.to_thread.run_sync(_chunk, candidates):
            if self._stop.requested:
                return
            full = await self._journal.call(functools.partial(_add, planner, chunk))
            progress.planned(planner.take_tally(), len(full))
            for number in full:
                await send.send(number)
        full = await self._journal.call(functools.partial(_finish, planner))
        progress.planned(planner.take_tally(), len(full))
        progress.scanned()
        for number in full:
            await send.send(number)

    async def _work(
        self,
        stages: BatchStages,
        adoption: Adoption,
        budget: Budget,
        receive: MemoryObjectReceiveStream[int],
    ) -> None:
        async with receive:
            async for number in receive:
                if self._stop.requested:
                    continue
                batch = await self._journal.call(functools.partial(queries.batch, number=number))
                ended = start_activity(self._telemetry, "ingest", batch=batch.no, files=batch.files)
                try:
                    last = await self._advance(stages, adoption, budget, batch)
                except StopRequestedError:
                    ended({"state": "stopped"}, None)
                    continue
                except BaseException as error:
                    ended({}, error)
                    raise
                ended({"state": last.state.name, "run_id": last.run_id}, None)

    async def _advance(self, stages: BatchStages, adoption: Adoption, budget: Budget, batch: BatchRow) -> BatchRow:
        """Advance one batch as far as it goes now, and return it."""
        before, batch = batch, await adoption.adopt(batch)
        stages.progress.moved(before, batch)
        if batch.state is BatchState.PLANNED:
            allowed = await budget.take(batch)
            if allowed is None:
                return batch
            batch = allowed
        while not batch.state.is_settled:
            if batch.state <= BatchState.UPLOADING:
                async with self._upload_slots:
                    batch = batch if self._stop.requested else await stages.upload(batch)
            elif batch.state <= BatchState.REVIEW:
                async with self._run_slots:
                    batch = batch if self._stop.requested else await stages.run(batch)
                if batch.state is BatchState.REVIEW and self._options.on_review == "export":
                    async with self._export_slots:
                        await stages.preview(batch)
                if batch.state in {BatchState.REVIEW, BatchState.SUBMITTING}:
                    return batch
            else:
                async with self._export_slots:
                    batch = await stages.export(batch)
                if batch.state is BatchState.EXPORTED and self._on_exported is not None:
                    await self._on_exported(batch)
            if self._stop.requested and batch.state is not BatchState.COMPLETE:
                return batch
        return batch

    async def _observe(self, progress: Progress) -> None:
        last = float("-inf")
        while True:
            self._report(progress)
            if anyio.current_time() - last >= _SAMPLE_SECONDS:
                last = anyio.current_time()
                await self._record_sample(progress)
            await anyio.sleep(_REPORT_SECONDS)

    async def _record_sample(self, progress: Progress) -> None:
        status = progress.status()
        await self._journal.call(
            lambda db: queries.put_sample(db, time.time(), status.uploaded, status.uploaded_bytes, status.done)
        )

    def _report(self, progress: Progress) -> None:
        if self._on_progress is not None:
            self._on_progress(progress.status())

    async def _status(self) -> IngestStatus:
        return await self._journal.call(lambda db: status_of(db, self._journal.path))


def _chunk(candidates: Iterator[Candidate]) -> list[Candidate]:
    return list(itertools.islice(candidates, _CHUNK))


def _add(planner: Planner, chunk: list[Candidate], db: sqlite3.Connection) -> list[int]:
    return planner.add(db, chunk)


def _retry(planner: Planner, rows: list[FileRow], db: sqlite3.Connection) -> None:
    for row in rows:
        planner.retry(db, row)
    planner.save(db)


def _finish(planner: Planner, db: sqlite3.Connection) -> list[int]:
    full = planner.finish(db)
    set_meta(db, "scanned", True)
    return full


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that stopped everything else."""
    first = group.exceptions[0]
    return first_error(first) if isinstance(first, BaseExceptionGroup) else first
