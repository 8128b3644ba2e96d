"""How many requests may be in flight: more while that pays, fewer when the server pushes back."""

from collections.abc import Callable

START = 8
_GAIN = 1.1
_REST = 32
_REQUEST_WEIGHT = 16 * 1024
"""A request counts for this many bytes in addition to its body, so that files of all sizes are measured alike."""


class AdaptiveLimit:
    """A limit that looks for the smallest number of requests in flight with which nearly all throughput is had.

    It begins low and doubles as long as a window of answers comes at least a tenth faster than the one before; a step
    that gains nothing is taken back, and tried again after some windows. A distant or slow server is worth many
    connections; where the network or this machine is the limit, more of them only cost TLS handshakes and memory.
    Windows count only while a request waits for a place; otherwise the limit is not the bottleneck.

    A push-back (429, 503, no descriptors left) halves it immediately, at most once per `cooldown` seconds, because the
    answers of one burst are a single signal; after that it grows by one per window of successes to where it was.
    """

    def __init__(
        self,
        maximum: int,
        clock: Callable[[], float],
        *,
        minimum: int = 1,
        factor: float = 0.5,
        cooldown: float = 1.0,
    ) -> None:
        self._maximum = maximum
        self._minimum = minimum
        self._factor = factor
        self._cooldown = cooldown
        self._clock = clock
        self.current = min(START, maximum)
        self._last_cut = float("-inf")
        self._recovering_to = 0
        self._successes = 0
        # The step that is on trial: where it came from and the rate it must beat.
        self._before_step: int | None = None
        self._rate = 0.0
        self._rest = 0
        self._window: tuple[float, int] | None = None
        self._weight = 0

    def succeeded(self, size: int = 0, *, crowded: bool = False) -> None:
        """Record an answer without push-back; `size` is its request's body in bytes, `crowded` that others wait."""
        if self.current < self._recovering_to:
            self._recover()
        elif crowded:
            self._measure(size + _REQUEST_WEIGHT)
        else:
            self._window = None

    def pushed_back(self) -> None:
        """Record a 429, a 503, or the operating system being out of descriptors."""
        now = self._clock()
        if now - self._last_cut < self._cooldown:
            return
        self._last_cut = now
        self._recovering_to = max(self.current, self._recovering_to)
        self.current = max(self._minimum, int(self.current * self._factor))
        self._successes = 0
        self._before_step, self._window, self._rest = None, None, _REST

    def _recover(self) -> None:
        self._successes += 1
        if self._successes >= self.current:
            self._successes = 0
            self.current += 1

    def _measure(self, weight: int) -> None:
        now = self._clock()
        if self._window is None:
            self._window, self._weight = (now, 2 * self.current), 0
            return
        began, missing = self._window
        self._weight += weight
        if missing > 1:
            self._window = (began, missing - 1)
            return
        self._window = None
        self._judge(self._weight / max(now - began, 1e-6))

    def _judge(self, rate: float) -> None:
        if self._before_step is not None and rate < self._rate * _GAIN:
            self.current, self._before_step, self._rest = self._before_step, None, _REST
            return
        self._before_step, self._rate = None, rate
        self._rest -= 1
        if self._rest < 0 and self.current < self._maximum:
            self._before_step = self.current
            self.current = min(self._maximum, 2 * self.current)
