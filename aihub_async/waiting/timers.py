"""Calls at moments of the monotonic clock."""

import heapq
import itertools
from collections.abc import Callable

_MIN_SIZE = 64


class Timers:
    """A heap of calls. Those that are obsolete are dropped without being called."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None], Callable[[], bool]]] = []
        self._numbers = itertools.count()

    def add(self, when: float, call: Callable[[], None], is_obsolete: Callable[[], bool], *, live: int) -> None:
        """Call something at a time.

        Args:
            when: Monotonic seconds.
            call: What to call.
            is_obsolete: Returns True once the call is no longer needed.
            live: About how many calls are needed; far above it the heap is cleared of obsolete ones.
        """
        heapq.heappush(self._heap, (when, next(self._numbers), call, is_obsolete))
        if len(self._heap) > _MIN_SIZE + 4 * live:
            self._heap = [timer for timer in self._heap if not timer[3]()]
            heapq.heapify(self._heap)

    def run(self, now: float) -> None:
        """Make the calls that are due."""
        while self._heap and (self._heap[0][0] <= now or self._heap[0][3]()):
            _, _, call, is_obsolete = heapq.heappop(self._heap)
            if not is_obsolete():
                call()

    def next_due(self) -> float:
        """Return when the next call is due; infinity if none is."""
        return self._heap[0][0] if self._heap else float("inf")

    def clear(self) -> None:
        """Drop all calls."""
        self._heap = []
