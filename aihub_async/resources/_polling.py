"""Waiting for what has no webhook and no list: one request after another."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from aihub_async.errors import WaitTimeoutError
from aihub_async.transport.transport import Clock

T = TypeVar("T")

FIRST_POLL = 0.25
"""Seconds before the second look."""

LAST_POLL = 5.0
"""Longest time between two looks, in seconds: that of the published samples."""

_GROWTH = 1.5


async def poll(
    clock: Clock,
    id: str,
    fetch: Callable[[], Awaitable[T]],
    *,
    is_over: Callable[[T], bool],
    tell: Callable[[T], str | None],
    timeout: float | None,
) -> T:
    """Fetch a state until it is over.

    Args:
        clock: time and sleep.
        id: what is waited for, for the error.
        fetch: asks the server.
        is_over: whether a state is the last one.
        tell: a state in a word, for the error.
        timeout: seconds; None waits as long as it takes.

    Raises:
        WaitTimeoutError: it goes on after `timeout`.
    """
    expires = float("inf") if timeout is None else clock.monotonic() + timeout
    delay, state = FIRST_POLL, None
    while True:
        with anyio.move_on_after(expires - clock.monotonic()):
            state = await fetch()
            if is_over(state):
                return state
        left = expires - clock.monotonic()
        if left <= 0:
            last = None if state is None else tell(state)
            raise WaitTimeoutError(f"{id} still goes on after {timeout} s (last: {last})", id=id, last=last)
        await clock.sleep(min(delay, left))
        delay = min(delay * _GROWTH, LAST_POLL)
