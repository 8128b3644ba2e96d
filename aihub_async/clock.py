"""Time, sleep and randomness, passed in so that tests and simulations can replace them."""

import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import anyio
import attrs


@attrs.frozen
class Clock:
    """The sources of time and randomness of one client.

    `monotonic` returns seconds and never goes back; every deadline uses it. `now` is the calendar time, which may be
    wrong by hours: it never decides anything about the server. `random` returns a number from 0 up to 1.
    """

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    random: Callable[[], float] = random.random
