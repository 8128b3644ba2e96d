"""`client.process_each()`: one run for each group of sources, several at a time, nothing kept."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from aihub_async.errors import AIHubError, InvalidRequestError
from aihub_async.pagination import OutcomePages, cancel_all
from aihub_async.uploads.sources import Sources

if TYPE_CHECKING:
    from aihub_async.results.processed import Processed

Groups: TypeAlias = Iterable[Sources] | AsyncIterable[Sources]
"""Groups of sources, each as `client.process()` takes them; pulled as fast as they are processed."""


@attrs.frozen
class ProcessOutcome:
    """What became of one group: its results or its error. `index` counts the groups from 0."""

    index: int
    sources: Any = attrs.field(repr=False)
    result: "Processed | None" = attrs.field(default=None, repr=False)
    error: AIHubError | OSError | None = None

    @property
    def ok(self) -> bool:
        """True when the group has results."""
        return self.error is None


class ProcessOutcomes(OutcomePages[ProcessOutcome]):
    """The outcomes as each group ends: `async for outcome in outcomes`, or `await outcomes.next_page()`.

    Nothing starts before the first outcome is requested. Groups wait while outcomes are not taken, so that memory stays
    flat. Leaving the loop early, or `aclose()`, cancels what is in flight; runs that were started continue on the
    server.
    """

    def __init__(
        self,
        process: Callable[[Sources], Awaitable["Processed"]],
        groups: Groups,
        *,
        max_in_flight: int,
        ordered: bool,
    ) -> None:
        if max_in_flight < 1:
            raise InvalidRequestError(f"max_in_flight must be at least 1, not {max_in_flight!r}")
        self._process = process
        self._groups = aiter(groups) if isinstance(groups, AsyncIterable) else iter(groups)
        self._max_in_flight = max_in_flight
        self._ordered = ordered
        self._workers: list[asyncio.Task[None]] = []
        self._pull = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._ended: dict[int, ProcessOutcome] = {}
        self._running = 0
        self._begun = 0
        self._taken = 0
        self._closed = False
        self._started = False
        self._failure: BaseException | None = None

    async def next_page(self) -> list[ProcessOutcome] | None:
        """Return the outcomes since the last call, waiting for at least one; None when there are no more.

        Raises:
            Exception: what the iterable of groups raised, after everything in flight has ended.
        """
        if not self._started and not self._closed:
            self._started = True
            self._running = self._max_in_flight
            self._workers = [asyncio.create_task(self._work()) for _ in range(self._max_in_flight)]
        async with self._changed:
            await self._changed.wait_for(lambda: self._has_next() or self._running == 0)
            page = self._take()
            self._changed.notify_all()
        if page:
            return page
        await self.aclose()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return None

    def _has_next(self) -> bool:
        return self._taken in self._ended if self._ordered else bool(self._ended)

    def _take(self) -> list[ProcessOutcome]:
        if not self._ordered:
            page = list(self._ended.values())
            self._ended.clear()
            self._taken += len(page)
            return page
        page = []
        while (outcome := self._ended.pop(self._taken, None)) is not None:
            page.append(outcome)
            self._taken += 1
        return page

    async def _work(self) -> None:
        try:
            await self._process_groups()
        finally:
            self._running -= 1
            if not self._closed:
                async with self._changed:
                    self._changed.notify_all()

    async def _process_groups(self) -> None:
        while not self._closed:
            async with self._changed:
                # Outcomes that are not consumed must not accumulate.
                await self._changed.wait_for(lambda: self._begun - self._taken < 2 * self._max_in_flight)
            async with self._pull:
                if self._failure is not None:
                    return
                try:
                    sources = await self._next_group()
                except (StopIteration, StopAsyncIteration):
                    return
                except Exception as error:  # noqa: BLE001 - it is raised to the caller, after what is in flight
                    self._failure = error
                    return
                index = self._begun
                self._begun += 1
            outcome = await self._one(index, sources)
            async with self._changed:
                self._ended[index] = outcome
                self._changed.notify_all()

    async def _next_group(self) -> Sources:
        if isinstance(self._groups, AsyncIterator):
            return await anext(self._groups)
        # StopIteration cannot leave a coroutine.
        for sources in self._groups:
            return sources
        raise StopAsyncIteration

    async def _one(self, index: int, sources: Sources) -> ProcessOutcome:
        try:
            return ProcessOutcome(index, sources, await self._process(sources))
        except (AIHubError, OSError) as error:
            return ProcessOutcome(index, sources, error=error)

    async def aclose(self) -> None:
        """Cancel what is in flight and wait until it has ended. A second call does nothing."""
        self._closed = True
        await cancel_all(self._workers)
        self._workers = []
        self._ended.clear()
