"""How often to poll runs and jobs; all times are seconds."""

import math
from collections import OrderedDict
from collections.abc import Callable

import attrs

REQUEST_SECONDS = 0.5
"""Room between two polling requests on average: a round of ten is followed by five seconds of rest."""
MAX_ROUND_REQUESTS = 20
"""Polling requests of one round."""


@attrs.frozen
class Pace:
    """Poll intervals: `first` at the beginning, then a share `growth` of the time that has passed, at most `cap`.

    Jitter of up to a fifth keeps clients apart. While webhooks arrive, polling is `webhook_factor` times slower.
    """

    first: float = 0.5
    growth: float = 0.25
    cap: float = 30.0
    webhook_factor: float = 4.0

    def interval(
        self,
        elapsed: float,
        random: Callable[[], float],
        *,
        typical: float | None = None,
        expects_webhook: bool = False,
        min_interval: float = 0.0,
    ) -> float:
        """Return the seconds until the next poll.

        Args:
            elapsed: since the beginning.
            random: returns numbers in [0, 1).
            typical: how long such things take, if that is known. Half of the time that is left is slept, so that an
                early end is seen too; after it, the pace is that of something that has just begun.
            expects_webhook: a webhook is expected and lately they have come.
            min_interval: never less than this.
        """
        elapsed = max(0.0, elapsed)
        if typical is None:
            seconds = elapsed * self.growth
        elif elapsed < typical:
            seconds = (typical - elapsed) / 2
        else:
            seconds = (elapsed - typical) * self.growth
        seconds = min(self.cap, max(self.first, seconds))
        if expects_webhook:
            seconds *= self.webhook_factor
        return max(min_interval, seconds * (0.8 + 0.4 * random()))


def backoff(failures: int, random: Callable[[], float], *, cap: float = 30.0) -> float:
    """Return the seconds without requests after this many failures of a server in a row."""
    return min(cap, 2.0 ** min(failures, 16)) * (0.5 + 0.5 * random())


class Durations:
    """How long runs of each app take: a moving average that follows changes within a few runs."""

    def __init__(self, *, size: int = 1000, weight: float = 0.3) -> None:
        self._size = size
        self._weight = weight
        self._known: OrderedDict[str, float] = OrderedDict()

    def learn(self, key: str, seconds: float) -> None:
        """Record one that took so long."""
        if not math.isfinite(seconds) or seconds < 0:
            return
        before = self._known.pop(key, seconds)
        self._known[key] = before + self._weight * (seconds - before)
        if len(self._known) > self._size:
            self._known.popitem(last=False)

    def typical(self, key: str | None) -> float | None:
        """Return how long they take, or None when none has been seen."""
        return None if key is None else self._known.get(key)


class WebhookHealth:
    """Whether webhooks can be relied on: yes after one has come, no after `patience` ends in a row without one."""

    def __init__(self, patience: int = 3) -> None:
        self._patience = patience
        self._missed = patience

    @property
    def good(self) -> bool:
        """Webhooks come."""
        return self._missed < self._patience

    def delivered(self) -> None:
        """Record an end that a webhook reported."""
        self._missed = 0

    def missed(self) -> None:
        """Record an end that polling found although a webhook was expected."""
        self._missed += 1


class TokenBucket:
    """A rate limit: `burst` immediately, refilled at `rate` a second of `clock`."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._tokens = float(burst)
        self._filled = clock()

    def take(self) -> bool:
        """Whether there is room for one more now."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._filled) * self._rate)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
