"""Adopting what the server already has of a job, even if the journal lacks it."""

import functools
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import attrs

from aihub_async.ingest.journal import queries
from aihub_async.ingest.journal.file import Journal
from aihub_async.ingest.journal.rows import BatchRow, BatchState
from aihub_async.ingest.naming import batch_name, job_prefix
from aihub_async.ingest.patience import Patience
from aihub_async.ingest.remote import Known, Remote
from aihub_async.ingest.stopping import StopRequest

T = TypeVar("T")

INTENTS = frozenset({BatchState.CREATING, BatchState.SUBMITTING})
_LONGEST_PAUSE = 4.0


class Adoption:
    """Looks up once what the server has under the job's names, and applies it to each batch before it is advanced.

    A journal that existed before may be older than the server: restored from a copy, copied without its log, or
    written until just before a kill. So everything that carries the job's names is taken over, also for batches that
    are planned only now. Nothing is looked up for a new journal, or before a batch needs it.
    """

    def __init__(
        self,
        journal: Journal,
        remote: Remote,
        patience: Patience,
        stop: StopRequest,
        grace: float,
        monotonic: Callable[[], float] = anyio.current_time,
    ) -> None:
        self._journal = journal
        self._remote = remote
        self._patience = patience
        self._stop = stop
        self._grace = grace
        self._monotonic = monotonic
        self._began = monotonic()
        self._lock = anyio.Lock()
        self._known: Known | None = Known() if journal.is_new else None

    async def prepare(self) -> None:
        """Look up now if any batch of the journal will need it.

        Raises:
            StopRequestedError: the job is being stopped.
        """
        if await self._journal.call(queries.any_to_start):
            await self._load()

    async def adopt(self, batch: BatchRow) -> BatchRow:
        """Return a batch as the server has it, recorded in the journal."""
        if batch.state > BatchState.SUBMITTING:
            return batch
        known = await self._load()
        changed = _adopted(batch, batch_name(self._journal.job, batch), known)
        if changed != batch:
            await self._journal.call(functools.partial(queries.adopt_batch, row=changed))
        return changed

    async def _load(self) -> Known:
        async with self._lock:
            if self._known is None:
                self._known = await self._look_until_clear()
            return self._known

    async def _look_until_clear(self) -> Known:
        """Look until every request that was in flight at the interruption is found, or has surely not arrived.

        Lists may lag, and a server may still be working on what a killed process sent; the wait counts from the start
        of this process, since no calendar connects the two.
        """
        intents = await self._journal.call(
            lambda db: [batch for state in sorted(INTENTS) for batch in queries.batches_in(db, state)]
        )
        look = functools.partial(self._remote.known, job_prefix(self._journal.job))
        pause = 0.5
        while True:
            known = await self._patience.ride_out(look)
            unclear = [batch for batch in intents if not self._is_found(batch, known)]
            left = self._began + self._grace - self._monotonic()
            if not unclear or left <= 0:
                return known
            await self._stop.sleep(min(pause, left))
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _is_found(self, batch: BatchRow, known: Known) -> bool:
        name = batch_name(self._journal.job, batch)
        return name in (known.batches if batch.state is BatchState.CREATING else known.runs)


def _adopted(batch: BatchRow, name: str, known: Known) -> BatchRow:
    """Return a batch with what the server has of it."""
    if name not in known.batches:
        return batch
    if name in known.runs:
        return attrs.evolve(batch, state=BatchState.RUNNING, batch_id=known.batches[name], run_id=known.runs[name])
    if batch.state <= BatchState.CREATING:
        return attrs.evolve(batch, state=BatchState.UPLOADING, batch_id=known.batches[name])
    return batch


async def look_for(
    find: Callable[[], Awaitable[T | None]], grace: float, patience: Patience, stop: StopRequest
) -> T | None:
    """Look for at least `grace` seconds for what a request of unknown outcome may have created."""
    deadline = patience.now() + grace
    pause = 0.5
    while (found := await patience.ride_out(find)) is None:
        left = deadline - patience.now()
        if left <= 0:
            return None
        await stop.sleep(min(pause, left))
        pause = min(pause * 2, _LONGEST_PAUSE)
    return found
