"""The stages of one batch: upload, run, export. Every step records its intent before and its result after."""

import functools
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio.to_thread
import attrs

from aihub_async import errors
from aihub_async.ingest.adoption import look_for
from aihub_async.ingest.folder import ResultsFolder, explained
from aihub_async.ingest.journal import queries
from aihub_async.ingest.journal.file import Journal
from aihub_async.ingest.journal.rows import BatchRow, BatchState, FileRow, FileState
from aihub_async.ingest.naming import batch_name
from aihub_async.ingest.options import JobOptions
from aihub_async.ingest.patience import STOPPING, Patience, is_outage
from aihub_async.ingest.progress import Progress
from aihub_async.ingest.remote import Remote
from aihub_async.ingest.stages.export import UnreadableResultsError, Written, write_part
from aihub_async.ingest.stages.upload import BatchGoneError, Sender, may_pass
from aihub_async.ingest.stopping import StopRequest

T = TypeVar("T")

logger = logging.getLogger("aihub_async")

_PASSES = 3
_PAUSES = (2.0, 10.0)
"""Seconds before the second and the third try of files that failed alone."""
_READS = 3
"""Tries to read a results page that is not an outage's."""
_GENERATIONS = 3
_UNCLEAR = "the server's answer to its start could not be read, and its list of runs does not show it yet"


class _UnclearError(Exception):
    """A once-only request may or may not have been carried out."""

    def __init__(self, error: errors.RequestError) -> None:
        super().__init__(str(error))
        status = error.status
        self.was_answered = status is not None and 200 <= status < 300
        """Whether the server answered with a success that could not be read: it has probably carried it out."""


@attrs.define
class BatchStages:
    """Advances batches, each from its state in the journal."""

    journal: Journal
    remote: Remote
    options: JobOptions
    folder: ResultsFolder
    progress: Progress
    patience: Patience
    stop: StopRequest
    crash_hook: Callable[[str], None]
    any_run_accepted: bool = False
    now: Callable[[], float] = time.time

    async def upload(self, batch: BatchRow) -> BatchRow:
        """Create a batch and send its files. The result is still UPLOADING if the job is being stopped."""
        if batch.state is BatchState.PLANNED:
            batch = await self._save(batch, state=BatchState.CREATING, created_at=self.now())
        if batch.state is BatchState.CREATING:
            try:
                batch_id = await self._create(batch)
            except errors.StatusError:
                # It was not carried out: nothing needs to be looked for later.
                await self._save(batch, state=BatchState.PLANNED)
                raise
            batch = await self._save(batch, state=BatchState.UPLOADING, batch_id=batch_id)
        try:
            finished = await self._send_all(batch)
        except BatchGoneError:
            return await self.upload(await self._recreate(batch))
        return await self._save(batch, state=BatchState.UPLOADED, uploaded_at=self.now()) if finished else batch

    async def run(self, batch: BatchRow) -> BatchRow:
        """Start the batch's run, or find the one that was started, and wait for its end.

        The result is still SUBMITTING if it cannot be found out whether the run has started.
        """
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
            if run_id is None:
                return await self._save(batch, note=_UNCLEAR)
            batch = await self._save(batch, state=BatchState.RUNNING, run_id=run_id, note="")
        self.any_run_accepted = True
        return batch if self.stop.requested else await self._wait(batch)

    async def export(self, batch: BatchRow) -> BatchRow:
        """Write the batch's results; they appear whole or not at all."""
        sources, write = await self._writing(batch)
        try:
            written = await self._read_repeatedly(write)
        except errors.NotFoundError as error:
            return await self._run_failed(batch, type(error).__name__, "the run's results no longer exist")
        except UnreadableResultsError as error:
            return await self._unreadable(batch, error)
        exported = attrs.evolve(
            batch,
            state=BatchState.EXPORTED,
            exported_at=self.now(),
            rows=written.rows,
            part_bytes=written.size,
            gated=written.gated,
            note="",
        )
        failed = [(sources[name][0], *problem) for name, problem in written.failed.items() if name in sources]

        def record(db: sqlite3.Connection) -> None:
            queries.fail_files(db, failed, FileState.NO_RESULT)
            queries.put_fields(db, batch.no, written.fields)
            queries.put_batch(db, exported)

        await self.journal.call(record)
        self.progress.exported(len(sources) - len(failed), len(failed), written.rows, written.gated)
        self.progress.moved(batch, exported)
        return exported

    async def _writing(self, batch: BatchRow) -> tuple[dict[str, tuple[int, str]], Callable[[], Awaitable[Written]]]:
        """Return the uploaded files of a batch, ids and paths by name, and what writes its part."""

        def read(db: sqlite3.Connection) -> tuple[dict[str, tuple[int, str]], list[FileRow]]:
            return queries.sources_of(db, batch), queries.files_of(db, batch, FileState.SUPERSEDED)

        sources, superseded = await self.journal.call(read)
        paths = {name: path for name, (_, path) in sources.items()}
        write = functools.partial(
            write_part,
            *(self.remote, self.options, self.folder, batch, paths, self.crash_hook),
            superseded=frozenset(row.upload_name for row in superseded),
        )
        return sources, write

    async def preview(self, batch: BatchRow) -> None:
        """Write the current results of a run in review; those after the review replace them."""
        _, write = await self._writing(batch)
        try:
            await self.patience.ride_out(write)
        except (errors.BadRequestError, errors.ConflictError, errors.NotFoundError) as error:
            logger.info("run %s has no results before its review: %s", batch.run_id, error)
        except UnreadableResultsError as error:
            logger.warning("the results of run %s before its review cannot be read: %s", batch.run_id, error)

    async def _send_all(self, batch: BatchRow) -> bool:
        """Send all files; False if the job is being stopped.

        A file that fails while others arrive, or while the server answers, is tried three times. When nothing arrives
        any more it is an outage, which must not fill the dead-letter list: it is waited out, or stops the job.
        """
        began = self.patience.now()
        passes = 0
        outages = 0
        while True:
            sender = Sender(self.journal, self.remote, self.progress, lambda: self.stop.requested, batch)
            await sender.send()
            if self.stop.requested:
                return False
            if not sender.again:
                return True
            if not await self.patience.ride_out(functools.partial(self.remote.batch_exists, batch.batch_id)):
                raise BatchGoneError
            if sender.is_outage():
                error = next(error for _, error in sender.again if is_outage(error))
                if isinstance(error, errors.AIHubError):
                    await self.patience.wait(error, began, outages)
                outages += 1
                continue
            self.patience.ended()
            began, outages = self.patience.now(), 0
            passes += 1
            if passes == _PASSES:
                await sender.fail(sender.again)
                return True
            await self.stop.sleep(min(_PAUSES[passes - 1], self.options.outage_patience))

    async def _wait(self, batch: BatchRow) -> BatchRow:
        def unknown(status: str) -> None:
            note = f"the run has the unknown status {status!r}; waiting for its end"
            if self.progress.notes.get(batch.no) != note:
                logger.warning("run %s: %s", batch.run_id, note)
            self.progress.notes[batch.no] = note

        try:
            with self.stop.ending() as scope:
                await self.patience.ride_out(functools.partial(self.remote.wait, batch.run_id, unknown))
        except errors.RunNeedsReviewError:
            return await self._save(batch, state=BatchState.REVIEW, note="the run waits for a review")
        except (errors.RunFailedError, errors.RunCancelledError) as error:
            await self._remove_preview(batch)
            return await self._run_failed(batch, type(error).__name__, error.run.msg or str(error))
        except errors.NotFoundError as error:
            await self._remove_preview(batch)
            return await self._run_failed(batch, type(error).__name__, "the run no longer exists")
        finally:
            self.progress.notes.pop(batch.no, None)
        if scope.cancelled_caught:
            return batch
        return await self._save(batch, state=BatchState.COMPLETE, complete_at=self.now(), note="")

    async def _remove_preview(self, batch: BatchRow) -> None:
        """Remove what was written of a run before its review. Parts of runs that were complete are never removed."""
        await anyio.to_thread.run_sync(self.folder.remove_part, batch.no)

    async def _save(self, batch: BatchRow, **changes: Any) -> BatchRow:
        changed = attrs.evolve(batch, **changes)
        await self.journal.call(lambda db: queries.put_batch(db, changed))
        self.progress.moved(batch, changed)
        return changed

    async def _create(self, batch: BatchRow) -> int:
        name = batch_name(self.journal.job, batch)
        find = functools.partial(self.remote.find_batch, name)
        began = self.patience.now()
        while True:
            # A second batch of this name costs nothing and is never run, so that an unread answer needs no more care.
            created = await self._once(functools.partial(self.remote.create_batch, name), find)
            if created is not None:
                return created
            if self.patience.now() - began > self.patience.limit:
                raise errors.IngestError(
                    f"the server's answers to the creation of batch {name} cannot be read, and no batch of that name "
                    "appears; when that is fixed, run the same job again to resume it"
                )

    async def _submit(self, batch: BatchRow) -> str | None:
        tag = batch_name(self.journal.job, batch)
        find = functools.partial(self.remote.find_run, tag, batch.batch_id)
        return await self._once(functools.partial(self.remote.submit, batch.batch_id, tag, batch.group), find)

    async def _once(self, do: Callable[[], Awaitable[T]], find: Callable[[], Awaitable[T | None]]) -> T | None:
        """Carry out a once-only step; look for its effect before it is done again.

        The client has done the same with the request (`reconcile.once.send_once`) when this sees an unclear outcome.
        A job has longer: its lookups wait out outages, end when it is stopped, and what stays unclear is left to its
        next call instead of being an error.

        Returns:
            Its result, or None if the server reports that it was carried out and does not show it.
        """
        began = self.patience.now()
        while True:
            try:
                return await self.patience.ride_out(functools.partial(_clearly, do))
            except _UnclearError as error:
                unclear = error
            found = await look_for(find, self.options.in_flight_grace, self.patience, self.stop)
            if found is not None or unclear.was_answered:
                return found
            if self.patience.now() - began > self.patience.limit:
                return None

    async def _read_repeatedly(self, read: Callable[[], Awaitable[T]]) -> T:
        for _ in range(_READS - 1):
            try:
                return await self.patience.ride_out(read)
            except UnreadableResultsError:
                self.progress.retried(1)
                await self.stop.sleep(min(0.5, self.options.outage_patience))
        return await self.patience.ride_out(read)

    async def _unreadable(self, batch: BatchRow, error: UnreadableResultsError) -> BatchRow:
        """Keep the page as it is, and put the batch's files on the dead-letter list."""
        fetch = functools.partial(self.remote.raw_results, batch.run_id, error.offset)
        content = await self.patience.ride_out(fetch)
        path = self.folder.unreadable(batch.no, error.offset)
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return await self._run_failed(batch, "unreadable results", f"{error}; the page is kept in {path}")

    async def _recreate(self, batch: BatchRow) -> BatchRow:
        """Plan a batch again that was deleted on the server, with all its files."""
        if batch.generation >= _GENERATIONS:
            raise errors.IngestError(
                f"batch {batch_name(self.journal.job, batch)} was deleted on the server {batch.generation} times; "
                "find out what deletes it, then run the same job again"
            )
        note = f"batch {batch.batch_id} was deleted on the server and created again"
        planned = attrs.evolve(
            batch, state=BatchState.PLANNED, generation=batch.generation + 1, batch_id=0, run_id="", note=note
        )

        def record(db: sqlite3.Connection) -> tuple[int, int]:
            uploaded = queries.files_of(db, batch, FileState.UPLOADED)
            queries.settle_files(db, (row.id for row in uploaded), FileState.PLANNED)
            queries.put_batch(db, planned)
            return len(uploaded), sum(row.size for row in uploaded)

        lost, size = await self.journal.call(record)
        self.progress.uploaded(-lost, -size, 0)
        self.progress.moved(batch, planned)
        return planned

    async def _not_accepted(self, batch: BatchRow, error: errors.AIHubError) -> BatchRow:
        if isinstance(error, STOPPING) or may_pass(error):
            # It was not carried out: nothing needs to be looked for later.
            await self._save(batch, state=BatchState.UPLOADED)
            raise error
        if not await self.patience.ride_out(functools.partial(self.remote.batch_exists, batch.batch_id)):
            return await self._recreate(batch)
        if not self.any_run_accepted:
            await self._save(batch, state=BatchState.UPLOADED)
            raise errors.IngestError(f"the server accepts no run of this app: {error}") from error
        return await self._run_failed(batch, type(error).__name__, str(error))

    async def _run_failed(self, batch: BatchRow, reason: str, message: str) -> BatchRow:
        failed = attrs.evolve(batch, state=BatchState.FAILED, complete_at=self.now(), note=message)

        def record(db: sqlite3.Connection) -> int:
            rows = queries.files_of(db, batch, FileState.UPLOADED)
            queries.fail_files(db, [(row.id, reason, message) for row in rows], FileState.NO_RESULT)
            queries.put_batch(db, failed)
            return len(rows)

        self.progress.failed(await self.journal.call(record))
        self.progress.moved(batch, failed)
        return failed


async def _clearly(do: Callable[[], Awaitable[T]]) -> T:
    """Carry out a once-only request; an answer that cannot be read is not an outage, after which it is sent again."""
    try:
        return await do()
    except errors.RedirectError:
        raise
    except (errors.OutcomeUnknownError, errors.ProtocolError) as error:
        raise _UnclearError(error) from None
