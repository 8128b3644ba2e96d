"""Which requests may be sent now: one governor per client for requests in flight, bytes in flight, and outages."""

import asyncio
import os
import random
import weakref
from collections import deque
from collections.abc import Awaitable, Callable

import attrs

from aihub_async.operations import Lane
from aihub_async.policies.concurrency import AdaptiveLimit
from aihub_async.policies.outage import THRESHOLD, CircuitBreaker
from aihub_async.policies.pacing import RequestRate
from aihub_async.transport.deadlines import Deadlines
from aihub_async.transport.gate import OutageGate

CONTROL_RESERVE = 4
"""Requests that polls, cancels and aborts may have in flight beyond the limit, so that uploads never block them."""


@attrs.define
class _Waiter:
    lane: Lane
    size: int
    turn: asyncio.Future[None]
    gone: bool = False

    @property
    def left(self) -> bool:
        """Whether the request no longer waits here: it was cancelled, or its event loop is closed."""
        return self.gone or self.turn.cancelled()


class Governor:
    """Admits requests within an adaptive limit of requests and a budget of body bytes, in order of arrival.

    A Retry-After from the server pauses all requests: `pause_until` is a time of `clock` before which nothing starts.
    During an outage the requests of a lane wait at its gate, and only one probe at a time is admitted. A `rate` spaces
    all requests, of both lanes.
    """

    def __init__(
        self,
        max_requests: int,
        max_bytes: int,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        random: Callable[[], float] = random.random,
        rate: RequestRate | None = None,
    ) -> None:
        self._rate = rate
        self.limit = AdaptiveLimit(max_requests, clock)
        self._max_bytes = max_bytes
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self.pause_until = float("-inf")
        threshold = min(THRESHOLD, max(2, max_requests))
        self.gates = {lane: OutageGate(CircuitBreaker(clock, random, threshold), sleep) for lane in Lane}
        self._deadlines: Deadlines | None = None
        self.forget()
        _governors.add(self)

    def forget(self) -> None:
        """Start without requests: the child of a fork never finishes those of its parent."""
        for gate in self.gates.values():
            gate.forget()
        self._bulk = 0
        self._control = 0
        self._bytes = 0
        self._queues: dict[Lane, deque[_Waiter]] = {Lane.BULK: deque(), Lane.CONTROL: deque()}

    @property
    def in_flight(self) -> int:
        """Requests that are in flight now."""
        return self._bulk + self._control

    @property
    def crowded(self) -> bool:
        """Whether a request of the bulk lane waits for a place."""
        return bool(self._queues[Lane.BULK])

    def try_acquire(self, lane: Lane, size: int) -> bool:
        """Take a place if one is free now, no request waits for it, and there is neither a pause nor an outage."""
        if self._queues[lane] or not self._admits(lane, size) or self.pause_until > self._clock():
            return False
        if self.gates[lane].breaker.is_open or (self._rate is not None and not self._rate.is_free):
            return False
        if self._rate is not None:
            self._rate.reserve()
        self._enter(lane, size)
        return True

    async def acquire(self, lane: Lane, size: int) -> bool:
        """Wait for a place for a request with a body of `size` bytes, and for the end of a pause or an outage.

        Returns:
            Whether the request is the probe of an outage; `release` needs to know it.
        """
        gate = self.gates[lane]
        while True:
            probe = gate.breaker.is_open and await gate.enter()
            try:
                await self._take_place(lane, size)
            except BaseException:
                if probe:
                    gate.leave()
                raise
            if probe or not gate.breaker.is_open:
                return probe
            # The outage began while this request waited for its place.
            self.release(lane, size)

    async def acquire_within(self, lane: Lane, size: int, seconds: float) -> bool | None:
        """Do as `acquire` for up to `seconds`; return None when they pass first.

        Uploads of small files queue nearly always: one cancel scope each would cost them a tenth of their time.
        """
        loop = asyncio.get_running_loop()
        deadlines = self._deadlines
        if deadlines is None or deadlines.loop is not loop:
            deadlines = self._deadlines = Deadlines(loop)
        limit = deadlines.start(seconds)
        cancelling = limit.task.cancelling()
        try:
            return await self.acquire(lane, size)
        except asyncio.CancelledError:
            if limit.expired and limit.task.uncancel() <= cancelling:
                return None
            raise
        finally:
            deadlines.stop(limit)

    async def _take_place(self, lane: Lane, size: int) -> None:
        queue = self._queues[lane]
        if not queue and self._admits(lane, size):
            self._enter(lane, size)
        else:
            await self._queue_up(_Waiter(lane, size, asyncio.get_running_loop().create_future()))
        try:
            while (pause := self.pause_until - self._clock()) > 0:
                # Spread, so that the requests that waited for the same moment do not all start in it.
                await self._sleep(pause + min(pause, 1.0) * self._random())
            if self._rate is not None and (turn := self._rate.reserve()) > 0:
                await self._sleep(turn)
        except BaseException:
            self.release(lane, size)
            raise

    def release(self, lane: Lane, size: int, *, probe: bool = False) -> None:
        """Release the place, and with it the role of the probe."""
        if lane is Lane.CONTROL:
            self._control -= 1
        else:
            self._bulk -= 1
        self._bytes -= size
        self._wake()
        if probe:
            self.gates[lane].leave()

    def pause(self, seconds: float) -> None:
        """Start nothing for this many seconds, as the server requested."""
        self.pause_until = max(self.pause_until, self._clock() + seconds)

    def _admits(self, lane: Lane, size: int) -> bool:
        if lane is Lane.CONTROL:
            return self._bulk + self._control < self.limit.current + CONTROL_RESERVE
        if self._bulk >= self.limit.current:
            return False
        # A body larger than the whole budget goes alone rather than never.
        return self._bytes + size <= self._max_bytes or self._bytes == 0

    def _enter(self, lane: Lane, size: int) -> None:
        if lane is Lane.CONTROL:
            self._control += 1
        else:
            self._bulk += 1
        self._bytes += size

    def _wake(self) -> None:
        for lane in (Lane.CONTROL, Lane.BULK):
            queue = self._queues[lane]
            while queue and (queue[0].left or self._admits(lane, queue[0].size)):
                waiter = queue.popleft()
                if not waiter.left:
                    self._enter(lane, waiter.size)
                    waiter.turn.set_result(None)

    async def _queue_up(self, waiter: _Waiter) -> None:
        self._queues[waiter.lane].append(waiter)
        try:
            await waiter.turn
        except BaseException:
            if waiter.turn.done() and not waiter.turn.cancelled():
                self.release(waiter.lane, waiter.size)
            else:
                # Stays in its queue, where `_wake` drops it.
                waiter.gone = True
                self._wake()
            raise


_governors: weakref.WeakSet[Governor] = weakref.WeakSet()


def _forget_all() -> None:
    for governor in _governors:
        governor.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
