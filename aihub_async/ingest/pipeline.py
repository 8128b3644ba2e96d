"""All stages at once: scan, upload, run, results; each bounded, and the slowest sets the pace."""

import functools
import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator

import anyio
import anyio.abc
import anyio.to_thread
import attrs
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from aihub_async.ingest.journal import queries
from aihub_async.ingest.journal.file import Journal
from aihub_async.ingest.journal.rows import BatchRow, BatchState, FileRow, FileState
from aihub_async.ingest.journal.schema import set_meta
from aihub_async.ingest.options import JobOptions
from aihub_async.ingest.packing import Changes, Planner
from aihub_async.ingest.progress import IngestStatus, Progress, status_of
from aihub_async.ingest.remote import Remote
from aihub_async.ingest.scan import Candidate
from aihub_async.ingest.stages.run import BatchStages, batch_name

_UPLOADS = 2
_EXPORTS = 2
_CHUNK = 500
_PAGE = 100
_SAMPLE_SECONDS = 2.0
_REPORT_SECONDS = 0.5
_INTENTS = frozenset({BatchState.CREATING, BatchState.SUBMITTING})


class Pipeline:
    """Brings all batches of a journal to their end.

    At most `max_runs` runs, two uploads and two exports are under way, so that at most `max_runs` + 4 batches of 1,000
    files are held in memory.
    """

    def __init__(
        self,
        journal: Journal,
        remote: Remote,
        options: JobOptions,
        *,
        crash_hook: Callable[[str], None],
        on_progress: Callable[[IngestStatus], None] | None = None,
    ) -> None:
        self._journal = journal
        self._remote = remote
        self._options = options
        self._boundary = crash_hook
        self._on_progress = on_progress
        self._stopped = False
        self._steps: BatchStages | None = None
        self.changes = Changes()

    def stop(self) -> None:
        """Finish what is in flight and start nothing more: no file, no run; waits for runs end at once."""
        self._stopped = True
        if self._steps is not None:
            self._steps.stop_waiting()

    async def run(self, candidates: Iterator[Candidate] | None) -> IngestStatus:
        """Do the whole job, or what is left of it.

        Args:
            candidates: the source; None to leave the plan as it is.
        """
        progress = Progress(await self._status())
        steps = BatchStages(self._journal, self._remote, self._options, progress, self._boundary, lambda: self._stopped)
        self._progress, self._steps = progress, steps
        self._upload_slots = anyio.CapacityLimiter(_UPLOADS)
        self._run_slots = anyio.CapacityLimiter(self._options.max_runs)
        self._export_slots = anyio.CapacityLimiter(_EXPORTS)
        await self._adopt(steps)
        send, receive = anyio.create_memory_object_stream[int](0)
        try:
            async with anyio.create_task_group() as observers:
                observers.start_soon(self._sample)
                async with anyio.create_task_group() as group:
                    group.start_soon(self._feed, candidates, send)
                    for _ in range(self._options.max_runs + _UPLOADS + _EXPORTS):
                        group.start_soon(self._work, steps, receive.clone())
                    receive.close()
                observers.cancel_scope.cancel()
        except BaseExceptionGroup as group_error:
            raise first_error(group_error) from None
        await self._record_sample()
        self._report()
        status = await self._status()
        return attrs.evolve(status, retries=progress.status().retries, elapsed=progress.status().elapsed)

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

    async def _planner(self) -> Planner:
        options = self._options

        def begin(db: sqlite3.Connection) -> Planner:
            set_meta(db, "scanned", False)
            return Planner(db, options.batch_files, options.batch_bytes)

        return await self._journal.call(begin)

    async def _adopt(self, steps: BatchStages) -> None:
        """Find out what became of the requests that were in flight when the job was last interrupted.

        The server is asked for everything that carries this job's id, so that a journal restored from an older copy
        does not start anything twice either.
        """
        begun = [
            batch
            for batch in await self._journal.call(lambda db: list(queries.batches(db)))
            if batch.state > BatchState.PLANNED
        ]
        steps.any_run_accepted = any(batch.run_id for batch in begun)
        if all(batch.state.is_settled for batch in begun):
            return
        intents = [max(batch.created_at, batch.submitted_at) for batch in begun if batch.state in _INTENTS]
        if intents:
            # What was sent just before the interruption may still be under way to the server.
            await anyio.sleep(
                min(max(max(intents) + self._options.in_flight_grace - time.time(), 0), self._options.in_flight_grace)
            )
        prefix = f"aihub-ingest-{self._journal.job}-"
        batch_ids = await self._remote.find_batches(prefix)
        run_ids = await self._remote.find_runs(prefix)
        unsettled = await self._journal.call(lambda db: queries.unsettled(db, 0, 1 << 31))
        adopted = [
            changed
            for batch in unsettled
            if (changed := _adopted(batch, batch_name(self._journal.job, batch), batch_ids, run_ids)) != batch
        ]
        await self._journal.call(functools.partial(_adopt, adopted))
        self._progress.restart(await self._status())

    async def _feed(self, candidates: Iterator[Candidate] | None, send: MemoryObjectSendStream[int]) -> None:
        async with send:
            after = 0
            while not self._stopped and (
                page := await self._journal.call(functools.partial(queries.unsettled, after=after, limit=_PAGE))
            ):
                for batch in page:
                    await send.send(batch.no)
                after = page[-1].no
            if candidates is not None and not self._stopped:
                await self._scan(candidates, send)

    async def _scan(self, candidates: Iterator[Candidate], send: MemoryObjectSendStream[int]) -> None:
        planner = await self._planner()
        self.changes = planner.changes
        while chunk := await anyio.to_thread.run_sync(_chunk, candidates):
            if self._stopped:
                return
            full = await self._journal.call(functools.partial(_add, planner, chunk))
            self._progress.scanning(planner.placed, planner.placed_bytes, planner.refused, len(full))
            for number in full:
                await send.send(number)
        for number in await self._journal.call(functools.partial(_finish, planner)):
            self._progress.scanning(planner.placed, planner.placed_bytes, planner.refused, 1)
            await send.send(number)
        self._progress.scanned()

    async def _work(self, steps: BatchStages, receive: MemoryObjectReceiveStream[int]) -> None:
        async with receive:
            async for number in receive:
                if not self._stopped:
                    await self._advance(
                        steps, await self._journal.call(functools.partial(queries.batch, number=number))
                    )

    async def _advance(self, steps: BatchStages, batch: BatchRow) -> None:
        """Bring one batch as far as it goes now."""
        while not batch.state.is_settled:
            if batch.state <= BatchState.UPLOADING:
                async with self._upload_slots:
                    batch = batch if self._stopped else await steps.upload(batch)
            elif batch.state <= BatchState.REVIEW:
                async with self._run_slots:
                    batch = batch if self._stopped else await steps.run(batch)
                if batch.state is BatchState.REVIEW:
                    return
            else:
                async with self._export_slots:
                    batch = await steps.export(batch)
            if self._stopped and batch.state is not BatchState.COMPLETE:
                return

    async def _sample(self) -> None:
        last = float("-inf")
        while True:
            self._report()
            if time.monotonic() - last >= _SAMPLE_SECONDS:
                last = time.monotonic()
                await self._record_sample()
            await anyio.sleep(_REPORT_SECONDS)

    async def _record_sample(self) -> None:
        status = self._progress.status()
        await self._journal.call(
            lambda db: queries.put_sample(db, time.time(), status.uploaded, status.uploaded_bytes, status.done)
        )

    def _report(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self._progress.status())

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


def _adopt(adopted: list[BatchRow], db: sqlite3.Connection) -> None:
    for batch in adopted:
        queries.put_batch(db, batch)
        if batch.state is BatchState.RUNNING:
            # A run has begun, so its files are up, although this copy of the journal does not know it.
            queries.settle_files(
                db, [row.id for row in queries.files_of(db, batch, FileState.PLANNED)], FileState.UPLOADED
            )


def _adopted(batch: BatchRow, name: str, batch_ids: dict[str, int], run_ids: dict[str, str]) -> BatchRow:
    """A batch with what the server already knows of it."""
    if name in run_ids and batch.state <= BatchState.SUBMITTING and name in batch_ids:
        return attrs.evolve(batch, state=BatchState.RUNNING, batch_id=batch_ids[name], run_id=run_ids[name])
    if name in batch_ids and batch.state <= BatchState.CREATING:
        return attrs.evolve(batch, state=BatchState.UPLOADING, batch_id=batch_ids[name])
    return batch


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that stopped everything else."""
    first = group.exceptions[0]
    return first_error(first) if isinstance(first, BaseExceptionGroup) else first
