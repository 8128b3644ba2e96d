"""How many requests may be in flight: additive increase, multiplicative decrease (AIMD)."""

from collections.abc import Callable


class AdaptiveLimit:
    """A limit that grows by one per window of successes and is cut when the server pushes back.

    It starts at the maximum: most servers take it, and one that does not says so with its first 429 or 503. Cuts are
    at least `cooldown` seconds apart, because the answers of one burst all tell the same thing.
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
        self._last_cut = float("-inf")
        self._successes = 0
        self.current = maximum

    def succeeded(self) -> None:
        """Record an answer without push-back."""
        if self.current >= self._maximum:
            return
        self._successes += 1
        if self._successes >= self.current:
            self._successes = 0
            self.current += 1

    def pushed_back(self) -> None:
        """Record a 429, a 503, or the operating system being out of descriptors."""
        now = self._clock()
        if now - self._last_cut < self._cooldown:
            return
        self._last_cut = now
        self._successes = 0
        self.current = max(self._minimum, int(self.current * self._factor))
