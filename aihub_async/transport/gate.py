"""Holds the requests of one lane back while the server is down, and lets one probe at a time through."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable

import anyio

from aihub_async.policies.outage import CircuitBreaker


class OutageGate:
    """The waiting side of a `CircuitBreaker`.

    Exactly one of the waiting requests is the prober. It sleeps until the next probe is due and is then sent; all
    others wait without a timer. A failed probe passes the role to the request that has waited longest, so that one bad
    request cannot hold the others back.
    """

    def __init__(self, breaker: CircuitBreaker, sleep: Callable[[float], Awaitable[None]]) -> None:
        self.breaker = breaker
        self._sleep = sleep
        self.forget()

    def forget(self) -> None:
        """Start without waiting requests, as in the child of a fork."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._has_prober = False
        self._prober_sleep: anyio.CancelScope | None = None

    async def enter(self) -> bool:
        """Wait until a request may be sent; True if it is a probe, which must end with `leave`."""
        while self.breaker.is_open:
            if self._has_prober:
                await self._wait()
                continue
            self._has_prober = True
            try:
                await self._sleep_until_due()
                if self.breaker.is_open:
                    return True
            except BaseException:
                self.leave()
                raise
            self.leave()
        return False

    def leave(self) -> None:
        """End the role of the prober: if the breaker is closed, all others may go, else one of them probes next."""
        self._has_prober = False
        self._wake(len(self._waiting) if not self.breaker.is_open else 1)

    def failed(self, call: int, retry_after: float | None) -> None:
        """Record a failure that may be transient."""
        self.breaker.failed(call, retry_after)

    def succeeded(self) -> bool:
        """Record an answer from a working server; True if that ended an outage."""
        if not self.breaker.succeeded():
            return False
        if self._prober_sleep is not None:
            self._prober_sleep.cancel()
        self._wake(len(self._waiting))
        return True

    async def _sleep_until_due(self) -> None:
        while self.breaker.is_open and (delay := self.breaker.probe_delay()) > 0:
            with anyio.CancelScope() as scope:
                self._prober_sleep = scope
                try:
                    await self._sleep(delay)
                finally:
                    self._prober_sleep = None

    async def _wait(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                # It was this request's turn to probe.
                self._wake(1)
            else:
                with contextlib.suppress(ValueError):
                    self._waiting.remove(turn)
            raise

    def _wake(self, count: int) -> None:
        while self._waiting and count > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                count -= 1
