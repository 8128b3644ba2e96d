"""A limit of requests per second."""

from collections.abc import Callable


class RequestRate:
    """Spaces requests evenly, so that no second has more than the limit.

    Args:
        per_second: the limit.
        clock: seconds of a monotonic clock.
    """

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self._interval = 1.0 / per_second
        self._clock = clock
        self._next = float("-inf")

    @property
    def is_free(self) -> bool:
        """Whether a request may start now."""
        return self._next <= self._clock()

    def reserve(self) -> float:
        """Take the next moment at which a request may start; return the seconds until then."""
        now = self._clock()
        start = max(now, self._next)
        self._next = start + self._interval
        return start - now
