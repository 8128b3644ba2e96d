"""One batch on its way: upload, run, export. Every step records its intent before and its result after."""

import functools
import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import attrs

from aihub_async import errors
from aihub_async.ingest.journal import queries
from aihub_async.ingest.journal.file import Journal
from aihub_async.ingest.journal.rows import BatchRow, BatchState, FileState
from aihub_async.ingest.options import JobOptions
from aihub_async.ingest.progress import Progress
from aihub_async.ingest.remote import Remote
from aihub_async.ingest.stages.export import write_part
from aihub_async.ingest.stages.upload import PASSING, STOPPING, BatchGoneError, Sender

T = TypeVar("T")

_PASSES = 3
_GENERATIONS = 3


def batch_name(job: str, batch: BatchRow) -> str:
    """The unique name of a batch on the server, which is also the tag of its run."""
    again = f"-{batch.generation}" if batch.generation > 1 else ""
    return f"aihub-ingest-{job}-{batch.no}{again}"


@attrs.define
class BatchStages:
    """Brings batches forward, each from whatever state the journal has it in."""

    journal: Journal
    remote: Remote
    options: JobOptions
    progress: Progress
    crash_hook: Callable[[str], None]
    stopping: Callable[[], bool]
    any_run_accepted: bool = False
    now: Callable[[], float] = time.time
    _waits: set[anyio.CancelScope] = attrs.field(factory=set)

    def stop_waiting(self) -> None:
        """End all waits for runs; their batches stay RUNNING."""
        for scope in self._waits:
            scope.cancel()

    async def upload(self, batch: BatchRow) -> BatchRow:
        """Bring a batch with its files to the server. It comes back UPLOADING if the job is being stopped."""
        if batch.state is BatchState.PLANNED:
            batch = await self._save(batch, state=BatchState.CREATING, created_at=self.now())
        if batch.state is BatchState.CREATING:
            batch = await self._save(batch, state=BatchState.UPLOADING, batch_id=await self._create(batch))
        try:
            finished = await self._send_all(batch)
        except BatchGoneError:
            return await self.upload(await self._recreate(batch))
        return await self._save(batch, state=BatchState.UPLOADED, uploaded_at=self.now()) if finished else batch

    async def run(self, batch: BatchRow) -> BatchRow:
        """Start the batch's run, or find the one that was started, and wait for its end."""
        if batch.state is BatchState.UPLOADED:
            uploaded = await self.journal.call(lambda db: queries.count_files(db, batch, FileState.UPLOADED))
            if not uploaded:
                return await self._save(batch, state=BatchState.FAILED, note="none of its files could be uploaded")
            batch = await self._save(batch, state=BatchState.SUBMITTING, submitted_at=self.now())
        if batch.state is BatchState.SUBMITTING:
            try:
                run_id = await self._submit(batch)
            except (errors.StatusError, errors.InvalidRequestError) as error:
                return await self._not_accepted(batch, error)
            batch = await self._save(batch, state=BatchState.RUNNING, run_id=run_id)
        self.any_run_accepted = True
        return batch if self.stopping() else await self._wait(batch)

    async def export(self, batch: BatchRow) -> BatchRow:
        """Write the batch's results; they appear whole or not at all."""
        sources = await self.journal.call(lambda db: queries.sources_of(db, batch))
        paths = {name: path for name, (_, path) in sources.items()}
        write = functools.partial(write_part, self.remote, self.options, batch, paths, self.crash_hook)
        try:
            written = await self._patiently(write)
        except errors.NotFoundError as error:
            return await self._run_failed(batch, error, "the run's results are gone")
        exported = attrs.evolve(
            batch,
            state=BatchState.EXPORTED,
            exported_at=self.now(),
            rows=written.rows,
            part_bytes=written.size,
            note="",
        )
        missing = [(sources[name][0], "no result", "the run has no result for this file") for name in written.missing]

        def record(db: sqlite3.Connection) -> None:
            queries.fail_files(db, missing)
            queries.put_batch(db, exported)

        await self.journal.call(record)
        self.progress.exported(len(sources) - len(missing), len(missing), written.rows)
        self.progress.moved(batch.state, exported.state)
        return exported

    async def _send_all(self, batch: BatchRow) -> bool:
        """Send all files, those with passing trouble up to three times; False if the job is being stopped."""
        for number in range(1, _PASSES + 1):
            sender = Sender(self.journal, self.remote, self.progress, self.stopping, batch)
            await sender.send()
            if self.stopping():
                return False
            if not sender.again:
                return True
            # An outage stops the job here, before it can fill the dead-letter list.
            if not await self.remote.batch_exists(batch.batch_id):
                raise BatchGoneError
            if number == _PASSES:
                await sender.fail(sender.again)
        return True

    async def _wait(self, batch: BatchRow) -> BatchRow:
        scope = anyio.CancelScope()
        self._waits.add(scope)
        try:
            with scope:
                await self.remote.wait(batch.run_id)
        except errors.RunNeedsReviewError:
            return await self._save(batch, state=BatchState.REVIEW, note="the run waits for a review")
        except (errors.RunFailedError, errors.RunCancelledError) as error:
            return await self._run_failed(batch, error, error.run.msg or str(error))
        except errors.NotFoundError as error:
            return await self._run_failed(batch, error, "the run is gone")
        finally:
            self._waits.discard(scope)
        if scope.cancelled_caught:
            return batch
        return await self._save(batch, state=BatchState.COMPLETE, complete_at=self.now(), note="")

    async def _save(self, batch: BatchRow, **changes: Any) -> BatchRow:
        changed = attrs.evolve(batch, **changes)
        await self.journal.call(lambda db: queries.put_batch(db, changed))
        self.progress.moved(batch.state, changed.state)
        return changed

    async def _patiently(self, step: Callable[[], Awaitable[T]]) -> T:
        """Do a step again after trouble that passes; the client's own retries are inside each try."""
        for wait in (self.options.in_flight_grace, 3 * self.options.in_flight_grace):
            try:
                return await step()
            except PASSING:
                self.progress.retried(1)
                await anyio.sleep(wait)
        return await step()

    async def _create(self, batch: BatchRow) -> int:
        name = batch_name(self.journal.job, batch)

        async def find() -> int | None:
            return (await self.remote.find_batches(name)).get(name)

        return await self._once(find, functools.partial(self.remote.create_batch, name))

    async def _submit(self, batch: BatchRow) -> str:
        tag = batch_name(self.journal.job, batch)

        async def find() -> str | None:
            return (await self.remote.find_runs(tag)).get(tag)

        return await self._once(find, functools.partial(self.remote.submit, batch.batch_id, tag))

    async def _once(self, find: Callable[[], Awaitable[T | None]], do: Callable[[], Awaitable[T]]) -> T:
        """Do a once-only step; after an unclear outcome look for its effect before it is done again."""
        unsure = False

        async def step() -> T:
            nonlocal unsure
            if unsure and (found := await find()) is not None:
                return found
            unsure = False
            try:
                return await do()
            except errors.OutcomeUnknownError:
                unsure = True
                raise

        return await self._patiently(step)

    async def _recreate(self, batch: BatchRow) -> BatchRow:
        """Plan a batch again that was deleted on the server, with all its files."""
        if batch.generation >= _GENERATIONS:
            raise errors.IngestError(
                f"batch {batch_name(self.journal.job, batch)} was deleted on the server {batch.generation} times; "
                "find out what deletes it, then run the same job again"
            )
        note = f"batch {batch.batch_id} was deleted on the server and made again"
        anew = attrs.evolve(
            batch, state=BatchState.PLANNED, generation=batch.generation + 1, batch_id=0, run_id="", note=note
        )

        def record(db: sqlite3.Connection) -> tuple[int, int]:
            uploaded = queries.files_of(db, batch, FileState.UPLOADED)
            queries.settle_files(db, (row.id for row in uploaded), FileState.PLANNED)
            queries.put_batch(db, anew)
            return len(uploaded), sum(row.size for row in uploaded)

        lost, size = await self.journal.call(record)
        self.progress.uploaded(-lost, -size, 0)
        self.progress.moved(batch.state, anew.state)
        return anew

    async def _not_accepted(self, batch: BatchRow, error: errors.AIHubError) -> BatchRow:
        if isinstance(error, STOPPING + PASSING):
            raise error
        if not await self.remote.batch_exists(batch.batch_id):
            return await self._recreate(batch)
        if not self.any_run_accepted:
            raise errors.IngestError(f"the server takes no run of this app: {error}") from error
        return await self._run_failed(batch, error, str(error))

    async def _run_failed(self, batch: BatchRow, error: Exception, message: str) -> BatchRow:
        failed = attrs.evolve(batch, state=BatchState.FAILED, complete_at=self.now(), note=message)

        def record(db: sqlite3.Connection) -> int:
            rows = queries.files_of(db, batch, FileState.UPLOADED)
            queries.fail_files(db, ((row.id, type(error).__name__, message) for row in rows))
            queries.put_batch(db, failed)
            return len(rows)

        self.progress.failed(await self.journal.call(record))
        self.progress.moved(batch.state, failed.state)
        return failed
