"""An event loop whose time is virtual: it never waits, it moves its clock to the next timer."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

START = 1_700_000_000.0
"""Unix seconds at which every simulation begins."""


class StuckError(AssertionError):
    """Nothing is left that could ever happen, or virtual time ran past its limit: somebody waits forever."""


class _Selector(selectors.SelectSelector):
    """Reports no file events; in place of waiting it moves the time of the loop."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise StuckError(f"nothing can happen any more at {self.loop.time():.3f} s")
        self.loop.advance(max(timeout, 0.0))
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs one simulation in one thread. Nothing in it may use a socket or another thread."""

    def __init__(self, limit: float) -> None:
        selector = _Selector()
        super().__init__(selector)
        selector.loop = self
        self._virtual = 0.0
        self._limit = limit
        self._steps = 0

    def time(self) -> float:
        """Return virtual seconds since the start."""
        return self._virtual

    def wall(self) -> float:
        """Return the true calendar time of the simulation, in Unix seconds."""
        return START + self._virtual

    def advance(self, seconds: float) -> None:
        """Move the clock.

        Raises:
            StuckError: the simulation takes longer than its limit, or makes no progress.
        """
        self._steps = self._steps + 1 if seconds == 0 else 0
        if self._steps > 1_000_000:
            raise StuckError(f"a million steps without any time at {self._virtual:.3f} s: a busy loop")
        self._virtual += seconds
        if self._virtual > self._limit:
            raise StuckError(f"still not finished after {self._virtual:.0f} virtual seconds")


def run(main: Coroutine[Any, Any, T], *, limit: float) -> T:
    """Run a coroutine under virtual time of at most `limit` seconds.

    Raises:
        StuckError: it did not finish, or left tasks behind.
    """
    loop = VirtualLoop(limit)
    try:
        asyncio.set_event_loop(loop)
        result = loop.run_until_complete(main)
        left = asyncio.all_tasks(loop)
        if left:
            raise StuckError(f"tasks were left behind: {sorted(map(repr, left))}")
        return result
    finally:
        _discard(loop)


def _discard(loop: VirtualLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
    try:
        loop.run_until_complete(loop.shutdown_asyncgens())
    except StuckError:
        # The failure that is on its way says why.
        pass
    finally:
        asyncio.set_event_loop(None)
        loop.close()
