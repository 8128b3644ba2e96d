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


def http_date(text: str) -> datetime | None:
    """Return the moment that an HTTP date names, such as that of a Date header; None if it cannot be read.

    Example:
        >>> http_date("Sun, 06 Nov 1994 08:49:37 GMT").isoformat()
        '1994-11-06T08:49:37+00:00'
    """
    import email.utils  # noqa: PLC0415 - a thirtieth of the import's time, needed only now

    try:
        date = email.utils.parsedate_to_datetime(text)
        return date if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        # An offset of twenty digits overflows.
        return None
