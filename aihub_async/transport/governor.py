"""Who may send now: one governor per client for requests and bytes in flight."""

import asyncio
import os
import random
import weakref
from collections import deque
from collections.abc import Awaitable, Callable

import attrs

from aihub_async.policies.concurrency import AdaptiveLimit
from aihub_async.transport.messages import Lane

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
        """Whether nobody waits here any more: cancelled just now, or gone with its event loop."""
        return self.gone or self.turn.cancelled()


class Governor:
    """Admits requests within an adaptive limit of requests and a budget of body bytes, in order of arrival.

    A Retry-After from the server pauses everybody: `pause_until` is a time of `clock` before which nothing starts.
    """

    def __init__(
        self,
        max_requests: int,
        max_bytes: int,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        random: Callable[[], float] = random.random,
    ) -> None:
        self.limit = AdaptiveLimit(max_requests, clock)
        self._max_bytes = max_bytes
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self.pause_until = float("-inf")
        self.forget()
        _governors.add(self)

    def forget(self) -> None:
        """Begin without requests: the child of a fork never finishes those of its parent."""
        self._bulk = 0
        self._control = 0
        self._bytes = 0
        self._queues: dict[Lane, deque[_Waiter]] = {Lane.BULK: deque(), Lane.CONTROL: deque()}

    @property
    def in_flight(self) -> int:
        """Requests that are being sent now."""
        return self._bulk + self._control

    @property
    def crowded(self) -> bool:
        """Whether anybody waits for a place among the uploads."""
        return bool(self._queues[Lane.BULK])

    def try_acquire(self, lane: Lane, size: int) -> bool:
        """Take a place if one is free now, nobody waits for it and there is no pause."""
        if self._queues[lane] or not self._admits(lane, size) or self.pause_until > self._clock():
            return False
        self._enter(lane, size)
        return True

    async def acquire(self, lane: Lane, size: int) -> None:
        """Wait for a place for a request with a body of `size` bytes, and for the end of a pause."""
        queue = self._queues[lane]
        if not queue and self._admits(lane, size):
            self._enter(lane, size)
        else:
            await self._queue_up(_Waiter(lane, size, asyncio.get_running_loop().create_future()))
        try:
            while (pause := self.pause_until - self._clock()) > 0:
                # Spread, so that everybody who waited for the same moment does not start in it.
                await self._sleep(pause + min(pause, 1.0) * self._random())
        except BaseException:
            self.release(lane, size)
            raise

    def release(self, lane: Lane, size: int) -> None:
        """Give the place back."""
        if lane is Lane.CONTROL:
            self._control -= 1
        else:
            self._bulk -= 1
        self._bytes -= size
        self._wake()

    def pause(self, seconds: float) -> None:
        """Let nobody start for so long: the server asked for it."""
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
