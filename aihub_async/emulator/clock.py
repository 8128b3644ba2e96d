"""The emulator's time: real time plus what `advance` has added to it."""

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime

NANOSECONDS = 1_000_000_000
"""Nanoseconds in a second."""

# How far the current task is behind the clock, in seconds. After `advance(hours=3)` a webhook whose first retry was due
# in a minute sends it now, and continues from the moment at which that retry was due, not from three hours later.
_lag: ContextVar[float] = ContextVar("aihub_emulator_lag", default=0.0)


class EmulatorClock:
    """Wall-clock time and waiting, both moved forward by `advance`.

    A simulation passes its own event loop (whose `time()` is virtual) and a `wall_ns` derived from it; nothing in the
    emulator reads the time or waits in any other way.

    Args:
        wall_ns: Return Unix time in nanoseconds.
    """

    def __init__(self, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._wall_ns = wall_ns
        self._advanced = 0.0  # seconds
        self._waiters: set[asyncio.Future[None]] = set()

    def time_ns(self) -> int:
        """Return Unix time in nanoseconds, as the current task sees it."""
        return self.now_ns() - int(_lag.get() * NANOSECONDS)

    def now_ns(self) -> int:
        """Return Unix time in nanoseconds, also in a task that still catches up after `advance`."""
        return self._wall_ns() + int(self._advanced * NANOSECONDS)

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.fromtimestamp(self.now_ns() / NANOSECONDS, UTC)

    def advance(self, seconds: float) -> None:
        """Move the clock forward and end the waits that become due; only on the emulator's own event loop.

        Raises:
            ValueError: `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError("the emulator's clock moves forward only")
        self._advanced += seconds
        for waiter in self._waiters:
            _release(waiter)

    async def sleep(self, seconds: float) -> None:
        """Wait for a number of seconds of this clock."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._advanced - _lag.get() + seconds
        while (left := deadline - loop.time() - self._advanced) > 0:
            waiter = loop.create_future()
            timer = loop.call_later(left, _release, waiter)
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                timer.cancel()
                self._waiters.discard(waiter)
        # Ordinary scheduling delay (milliseconds) counts as lag too: it keeps repeated waits free of drift.
        _lag.set(loop.time() + self._advanced - deadline)


def forget_lag() -> None:
    """Let the current task see the clock as it is: for tasks that serve one request after another."""
    _lag.set(0.0)


def _release(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
