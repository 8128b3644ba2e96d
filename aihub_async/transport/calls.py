"""The state of one call, and the outcome of one attempt."""

import itertools

import attrs

from aihub_async.errors import Attempt
from aihub_async.policies.retry import FailureKind
from aihub_async.transport.messages import AttemptFailure, Request, Response
from aihub_async.transport.observing import CallEnd

_numbers = itertools.count()


@attrs.define
class Call:
    """The progress of one `send`: what has been tried, and how long it may still take.

    `retries` counts what `max_retries` limits: not the attempts of an outage. `unclear` means that an attempt may have
    been carried out. `last` is the outcome of the last attempt. `renewed` means that a newer key has been requested.
    `queued` is the time in seconds that it waited for its turn.
    """

    request: Request
    started: float
    expires: float
    unclear: bool
    number: int = attrs.field(factory=lambda: next(_numbers))
    retries: int = 0
    stale: int = 0
    attempts: list[Attempt] = attrs.field(factory=list)
    last: Response | AttemptFailure | None = None
    renewed: bool = False
    queued: float = 0.0

    def remaining(self, now: float) -> float:
        """Return the seconds until the deadline."""
        return self.expires - now

    def record(self, tried: "Tried", now: float, wait: float) -> Attempt:
        """Add an attempt that ends now, to be followed by a wait of so many seconds."""
        outcome = tried.outcome
        status = outcome.status if isinstance(outcome, Response) else None
        text = str(status) if isinstance(outcome, Response) else outcome.failure.value
        number = len(self.attempts) + 1
        attempt = Attempt(number, tried.began - self.started, now - tried.began, text, status, wait)
        self.attempts.append(attempt)
        return attempt

    def end(self, now: float, error: BaseException | None) -> CallEnd:
        """Summarize the call for telemetry."""
        last = self.last
        status = last.status if isinstance(last, Response) else None
        size = last.received if last is not None else 0
        return CallEnd(now - self.started, self.queued, tuple(self.attempts), status, size, error)


@attrs.define
class Tried:
    """One attempt: its outcome, when it began, whether it was the probe of an outage."""

    outcome: Response | AttemptFailure
    began: float
    probe: bool = False

    @property
    def result(self) -> int | FailureKind:
        """The HTTP status, or why there is none."""
        return self.outcome.status if isinstance(self.outcome, Response) else self.outcome.failure
