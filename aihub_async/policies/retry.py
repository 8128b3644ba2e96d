"""When a request is sent again, and how long to wait before it."""

import enum
import math
from collections.abc import Callable
from datetime import datetime

import attrs

from aihub_async.clock import http_date
from aihub_async.operations import Repeat


class FailureKind(enum.Enum):
    """Why an attempt got no usable answer."""

    NOT_SENT = "connect"
    QUEUED = "queued"
    CERTIFICATE = "certificate"
    PROXY = "proxy"
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
_UNCLEAR = frozenset({FailureKind.LOST, FailureKind.TRUNCATED, FailureKind.TIMEOUT, 408, 500, 502, 503, 504})
_NEVER_AGAIN = frozenset(
    {
        FailureKind.QUEUED,
        FailureKind.CERTIFICATE,
        FailureKind.PROXY,
        FailureKind.TOO_LARGE,
        FailureKind.PROTOCOL,
        FailureKind.SOURCE,
    }
)


def judge(repeat: Repeat, outcome: int | FailureKind, *, unclear_before: bool) -> Verdict:
    """Judge one outcome, an HTTP status or a `FailureKind`.

    `unclear_before` says that an earlier attempt of the call may have been carried out.
    """
    if isinstance(outcome, int):
        return _judge_status(repeat, outcome, unclear_before=unclear_before)
    if outcome is FailureKind.TOO_LARGE and repeat is Repeat.ONCE:
        return Verdict.AMBIGUOUS
    if outcome in _NEVER_AGAIN:
        return Verdict.FAIL
    if outcome is FailureKind.NOT_SENT or repeat is not Repeat.ONCE:
        return Verdict.RETRY
    return Verdict.AMBIGUOUS


def leaves_unclear(outcome: int | FailureKind) -> bool:
    """Whether the server may have carried out the request although the attempt failed with this outcome.

    A 503 counts, with or without Retry-After: gateways send it after the backend has done its work, too.
    """
    return outcome in _UNCLEAR


def _judge_status(repeat: Repeat, status: int, *, unclear_before: bool) -> Verdict:
    if 200 <= status < 300:
        return Verdict.ACCEPT
    if status == 404 and repeat is Repeat.IDEMPOTENT_DELETE and unclear_before:
        return Verdict.ACCEPT
    if repeat is not Repeat.ONCE:
        return Verdict.RETRY if status in _PASSING else Verdict.FAIL
    if status == 429:
        # A refusal. It does not show what an earlier attempt did, so that attempt must be looked up first.
        return Verdict.AMBIGUOUS if unclear_before else Verdict.RETRY
    return Verdict.AMBIGUOUS if status >= 500 or status == 408 else Verdict.FAIL


@attrs.frozen
class Backoff:
    """Full jitter: a random wait between 0 and an exponentially growing bound, in seconds."""

    base: float = 0.5
    cap: float = 20.0

    def delay(self, retry: int, random: Callable[[], float]) -> float:
        """Return the seconds to wait before the `retry`-th retry (1-based); `random` returns numbers in [0, 1)."""
        return random() * min(self.cap, self.base * 2.0 ** min(retry - 1, 30))


def parse_retry_after(value: str | None, *, now: datetime, maximum: float) -> float | None:
    """Return the seconds that the server asks to wait, clamped to [0, maximum]; None when it says nothing usable.

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
    date = http_date(value)
    try:
        return None if date is None else (date - now).total_seconds()
    except OverflowError:
        # A date near the end of the calendar, with an offset.
        return None


class RetryQuota:
    """A token bucket shared by all calls of a client, so that an outage is not answered with a storm of retries.

    A retry takes tokens, a success returns some. An empty bucket counts as an outage (see `policies.outage`): requests
    wait, a probe is sent, and the end of the outage refills the bucket in part.
    """

    def __init__(self, capacity: int = 500, *, cost: int = 5, refund: int = 1) -> None:
        self._capacity = capacity
        self._cost = cost
        self._refund = refund
        self.tokens = capacity

    def take(self) -> bool:
        """Take the tokens of one retry; return False when the bucket is empty."""
        if self.tokens < self._cost:
            return False
        self.tokens -= self._cost
        return True

    def give_back(self) -> None:
        """Record a success."""
        self.tokens = min(self._capacity, self.tokens + self._refund)

    def refill(self) -> None:
        """Record the end of an outage: a fifth of the bucket at least is there again."""
        self.tokens = max(self.tokens, self._capacity // 5)
