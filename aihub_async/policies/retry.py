"""When a request is sent again, and how long to wait before it."""

import email.utils
import enum
import math
from collections.abc import Callable
from datetime import UTC, datetime

import attrs

from aihub_async.operations import Repeat


class FailureKind(enum.Enum):
    """Why an attempt brought no answer."""

    NOT_SENT = "connect"
    QUEUED = "queued"
    CERTIFICATE = "certificate"
    LOST = "lost"
    TRUNCATED = "truncated"
    TIMEOUT = "timeout"
    TOO_LARGE = "too large"
    PROTOCOL = "protocol"
    SOURCE = "source"


class Verdict(enum.Enum):
    """What to do with the outcome of an attempt."""

    ACCEPT = "accept"
    RETRY = "retry"
    FAIL = "fail"
    AMBIGUOUS = "ambiguous"


_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_NEVER_AGAIN = frozenset(
    {FailureKind.QUEUED, FailureKind.CERTIFICATE, FailureKind.TOO_LARGE, FailureKind.PROTOCOL, FailureKind.SOURCE}
)


def judge(repeat: Repeat, outcome: int | FailureKind, *, has_retry_after: bool, unclear_before: bool) -> Verdict:
    """Judge one outcome, an HTTP status or a `FailureKind`.

    `unclear_before` tells that an earlier attempt of the call may have been carried out.
    """
    if isinstance(outcome, int):
        return _judge_status(repeat, outcome, has_retry_after=has_retry_after, unclear_before=unclear_before)
    if outcome is FailureKind.TOO_LARGE and repeat is Repeat.ONCE:
        return Verdict.AMBIGUOUS
    if outcome in _NEVER_AGAIN:
        return Verdict.FAIL
    if outcome is FailureKind.NOT_SENT or repeat is not Repeat.ONCE:
        return Verdict.RETRY
    return Verdict.AMBIGUOUS


def _judge_status(repeat: Repeat, status: int, *, has_retry_after: bool, unclear_before: bool) -> Verdict:
    if 200 <= status < 300:
        return Verdict.ACCEPT
    if status == 404 and repeat is Repeat.IDEMPOTENT_DELETE and unclear_before:
        return Verdict.ACCEPT
    if repeat is not Repeat.ONCE:
        return Verdict.RETRY if status in _PASSING else Verdict.FAIL
    if status == 429 or (status == 503 and has_retry_after):
        return Verdict.RETRY
    return Verdict.AMBIGUOUS if status >= 500 or status == 408 else Verdict.FAIL


@attrs.frozen
class Backoff:
    """Full jitter: a random wait between 0 and an exponentially growing bound, in seconds."""

    base: float = 0.5
    cap: float = 20.0

    def delay(self, retry: int, random: Callable[[], float]) -> float:
        """Seconds to wait before the `retry`-th retry (1-based); `random` gives numbers in [0, 1)."""
        return random() * min(self.cap, self.base * 2.0 ** min(retry - 1, 30))


def parse_retry_after(value: str | None, *, now: datetime, maximum: float) -> float | None:
    """Seconds that the server asks to wait, clamped to [0, maximum]; None when it says nothing usable.

    Takes both forms of the header: a number of seconds or an HTTP date. Negative, past and unreadable values count as
    not given, so that the ordinary backoff applies.
    """
    if value is None:
        return None
    seconds = _retry_after_seconds(value.strip(), now)
    if seconds is None or math.isnan(seconds) or seconds < 0:
        return None
    return min(seconds, maximum)


def _retry_after_seconds(value: str, now: datetime) -> float | None:
    try:
        return float(value)
    except ValueError:
        pass
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return (date - now).total_seconds()


class RetryQuota:
    """A token bucket shared by all calls of a client, so that an outage is not answered with a storm of retries.

    A retry takes tokens, a success returns some. When the bucket is empty, calls fail at their first error until
    successes fill it again.
    """

    def __init__(self, capacity: int = 500, *, cost: int = 5, refund: int = 1) -> None:
        self._capacity = capacity
        self._cost = cost
        self._refund = refund
        self.tokens = capacity

    def take(self) -> bool:
        """Pay for one retry; False when the bucket is empty."""
        if self.tokens < self._cost:
            return False
        self.tokens -= self._cost
        return True

    def give_back(self) -> None:
        """Record a success."""
        self.tokens = min(self._capacity, self.tokens + self._refund)
