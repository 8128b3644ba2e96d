"""A limit on concurrent work that serves higher priorities first."""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count


class PrioritySlots:
    """A number of slots; of those who wait, the highest priority gets the next one, then the one who waited longest."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    @asynccontextmanager
    async def take(self, priority: int) -> AsyncIterator["Slot"]:
        """Hold a slot for the duration of the block."""
        slot = Slot(self, priority)
        await slot.acquire()
        try:
            yield slot
        finally:
            slot.release()

    def enqueue(self, priority: int) -> "asyncio.Future[None]":
        """Return a future that is done when a slot is handed over."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (-priority, next(self._order), turn))
        self._hand_over()
        return turn

    def give_back(self) -> None:
        """Return a slot."""
        self._free += 1
        self._hand_over()

    def _hand_over(self) -> None:
        while self._free and self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self._free -= 1
                turn.set_result(None)


class Slot:
    """One holder of a slot."""

    def __init__(self, slots: PrioritySlots, priority: int) -> None:
        self._slots = slots
        self._priority = priority
        self._held = False

    async def acquire(self) -> None:
        """Wait for the slot."""
        await self._wait(self._slots.enqueue(self._priority))

    async def renew(self) -> None:
        """Let others of a higher priority go first, then hold a slot again."""
        turn = self._slots.enqueue(self._priority)
        self.release()
        await self._wait(turn)

    def release(self) -> None:
        """Release the slot, if it is held."""
        if self._held:
            self._held = False
            self._slots.give_back()

    async def _wait(self, turn: "asyncio.Future[None]") -> None:
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._slots.give_back()  # it was handed over while this task was cancelled
            raise
        self._held = True
