"""What the scheduler keeps of each wait."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import attrs

from aihub_async.errors import RequestError, WaitTimeoutError
from aihub_async.waiting.pollables import Pollable

S = TypeVar("S")


@attrs.frozen
class WaitOptions(Generic[S]):
    """How to wait for one thing.

    Attributes:
        timeout: Seconds; None for no limit.
        on_update: Called with the state when it is first seen and when its status has changed.
        min_interval: Minimum seconds between two polls of this item; a webhook bypasses it.
        known: Its state as of `began`, so that the first poll can be later.
        began: When it began, by the monotonic clock; now by default.
        expects_webhook: A webhook will report its end.
    """

    timeout: float | None = None
    on_update: Callable[[S], None] | None = None
    min_interval: float | None = None
    known: S | None = None
    began: float | None = None
    expects_webhook: bool = False


@attrs.define(eq=False)
class Waiter(Generic[S]):
    """One call of `wait`. `has_ended` returns whether a state is the end, or raises the error to end the wait with."""

    result: "asyncio.Future[S]"
    has_ended: Callable[[S], bool]
    on_update: Callable[[S], None] | None
    min_interval: float
    timeout: float | None
    last_reported: str | None = None

    def report(self, state: S, status: str | None) -> None:
        """Report a state to the wait, which may end it."""
        if self.result.done():
            return
        try:
            if self.on_update is not None and (status != self.last_reported or status is None):
                self.last_reported = status
                self.on_update(state)
            if self.has_ended(state):
                self.result.set_result(state)
        except Exception as error:  # noqa: BLE001 - an exception of a callback belongs to its own wait
            self.result.set_exception(error)

    def fail(self, error: BaseException) -> None:
        """End the wait with an error."""
        if not self.result.done():
            self.result.set_exception(error)


@attrs.define(eq=False)
class Watch(Generic[S]):
    """One run or job with all calls that wait for it; only its group changes it.

    Attributes:
        pollable: What kind of thing it is.
        id: Its id.
        began: When it began, by the monotonic clock.
        due: When it is polled next, by the monotonic clock.
        waiters: The calls that wait.
        status: The last known status; None also when it must count as news for a new waiter.
        duration_key: The key of its typical duration.
        start: When it started by the server's clock, in Unix seconds.
        expects_webhook: A webhook will report its end.
        notified: A webhook has arrived.
        notify_again: Earliest monotonic time of the next poll that a webhook causes.
        recheck: A webhook arrived that has not caused a poll yet.
        polling: A poll of this item alone is under way.
        failures: Failed polls in a row.
        failing_since: When the first of them failed, by the monotonic clock.
        error: The error of the last poll.
    """

    pollable: Pollable[S]
    id: str
    began: float
    due: float
    waiters: list[Waiter[S]] = attrs.field(factory=list)
    status: str | None = None
    duration_key: str | None = None
    start: int | None = None
    expects_webhook: bool = False
    notified: bool = False
    notify_again: float = float("-inf")
    recheck: bool = False
    polling: bool = False
    failures: int = 0
    failing_since: float = 0.0
    error: RequestError | None = None

    @property
    def min_interval(self) -> float:
        """The smallest interval that a waiter allows."""
        return min((waiter.min_interval for waiter in self.waiters), default=0.0)

    def is_done(self) -> bool:
        """Return whether all its waits have ended."""
        return all(waiter.result.done() for waiter in self.waiters)

    def succeeded(self) -> None:
        """Note that a poll has succeeded."""
        self.failures, self.error = 0, None

    def failed(self, error: RequestError, now: float) -> None:
        """Note that a poll has failed."""
        if not self.failures:
            self.failing_since = now
        self.failures += 1
        self.error = error

    def fail(self, error: BaseException) -> None:
        """End all its waits with an error."""
        for waiter in self.waiters:
            waiter.fail(error)

    def expire(self, waiter: Waiter[S]) -> None:
        """End a wait that has timed out."""
        name, code = self.pollable.describe(self.id)
        state = f"is {self.status}" if self.status else "has not ended"
        reason = f"; the last request failed: {self.error}" if self.error is not None else ""
        message = f"{name} {state} after {waiter.timeout:g} s; it continues, wait again with {code}{reason}"
        waiter.fail(WaitTimeoutError(message, id=self.id, last=self.status))
