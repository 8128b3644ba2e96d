"""When the server counts as down, and when a single request may test whether it is back."""

from collections.abc import Callable

THRESHOLD = 8
"""Calls that must be failing concurrently, with no answer in between, before the server counts as down."""
_BASE = 0.5
_CAP = 5.0


class CircuitBreaker:
    """Decides for one lane whether requests may be sent.

    Without it, an outage of a second would spend all retries of a large upload within that second. The breaker opens
    when `threshold` calls fail concurrently and none gets an answer, or when `open` is called because the retry quota
    is empty. While it is open, one request at a time, a probe, may be sent once `probe_delay()` is zero. Any answer
    that shows that the server works closes it.

    A single call that keeps failing does not open it: its own request may be the cause.
    """

    def __init__(self, clock: Callable[[], float], random: Callable[[], float], threshold: int = THRESHOLD) -> None:
        self._clock = clock
        self._random = random
        self._threshold = threshold
        self._failing: set[int] = set()
        self._probes = 0
        self._probe_at = 0.0
        self.is_open = False

    def failed(self, call: int, retry_after: float | None = None) -> None:
        """Record a failure that may be transient; `retry_after` is the server's Retry-After, in seconds."""
        self._failing.add(call)
        if not self.is_open:
            if len(self._failing) >= self._threshold:
                self.open(retry_after)
        elif retry_after is not None:
            self._probe_at = max(self._probe_at, self._clock() + retry_after)

    def probe_failed(self) -> None:
        """Record that a probe failed: the next one is sent after a longer delay."""
        self._probes += 1
        self._schedule_probe()

    def succeeded(self) -> bool:
        """Record an answer that shows a working server; True if that closed the breaker."""
        if self._failing:
            self._failing.clear()
        closed, self.is_open = self.is_open, False
        return closed

    def ended(self, call: int) -> None:
        """Record that a call is finished: from now on it is not one of those that fail concurrently."""
        self._failing.discard(call)

    def is_failing(self, call: int) -> bool:
        """Return whether a call has failed, and no call has been answered since then."""
        return call in self._failing

    def open(self, retry_after: float | None = None) -> None:
        """Let nothing but probes be sent until one of them succeeds."""
        if self.is_open:
            return
        self.is_open = True
        self._probes = 0
        self._schedule_probe(retry_after)

    def probe_delay(self) -> float:
        """Return the seconds until the next probe may be sent; zero if it may be sent now."""
        return max(0.0, self._probe_at - self._clock())

    def _schedule_probe(self, retry_after: float | None = None) -> None:
        delay = min(_CAP, _BASE * 2.0 ** min(self._probes, 16)) * (0.5 + 0.5 * self._random())
        self._probe_at = max(self._probe_at, self._clock() + max(delay, retry_after or 0.0))
