"""What the scheduler keeps of those who wait."""

import asyncio
import math
from collections.abc import Callable
from typing import Generic, TypeVar

import attrs

from aihub_async.errors import (
    AIHubError,
    CertificateError,
    ConnectError,
    ConnectionLostError,
    RequestError,
    RequestTimeoutError,
    ServerError,
    StatusError,
    WaitTimeoutError,
)
from aihub_async.policies.polling import MAX_ROUND_REQUESTS
from aihub_async.waiting.pollables import Source

S = TypeVar("S")

FEW = 8
"""So many are asked for one by one; more are looked for in lists."""
_SINGLES_PER_SECOND = 4.0
_SINGLES_GAP = 0.5
"""Seconds between two helpings of single questions about many."""
_LONGEST_TURN = 30.0
"""Seconds in which each of many that cannot be listed is asked for once."""


@attrs.define(eq=False)
class Waiter(Generic[S]):
    """One `wait`: `over` tells the end from the rest, or raises the error that the wait shall end with."""

    result: "asyncio.Future[S]"
    over: Callable[[S], bool]
    on_update: Callable[[S], None] | None
    min_interval: float
    timeout: float | None
    last_reported: str | None = None

    def see(self, state: S, status: str | None) -> None:
        """Take a look at a new state."""
        if self.result.done():
            return
        try:
            if self.on_update is not None and (status != self.last_reported or status is None):
                self.last_reported = status
                self.on_update(state)
            if self.over(state):
                self.result.set_result(state)
        except Exception as error:  # noqa: BLE001 - whatever a callback raises belongs to its own wait
            self.result.set_exception(error)

    def fail(self, error: BaseException) -> None:
        """End the wait with an error."""
        if not self.result.done():
            self.result.set_exception(error)


@attrs.define(eq=False)
class Watch(Generic[S]):
    """One run or job that somebody waits for. Times are of the monotonic clock, `start` is Unix seconds."""

    source: Source[S]
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
    asking: bool = False
    failures: int = 0
    error: RequestError | None = None

    @property
    def min_interval(self) -> float:
        """The smallest interval that somebody who waits allows."""
        return min((waiter.min_interval for waiter in self.waiters), default=0.0)

    def is_over(self) -> bool:
        """Whether all its waits have ended."""
        return all(waiter.result.done() for waiter in self.waiters)

    def fail(self, error: BaseException) -> None:
        """End all its waits."""
        for waiter in self.waiters:
            waiter.fail(error)

    def expire(self, waiter: Waiter[S]) -> None:
        """End one wait whose time is up."""
        name, line = self.source.describe(self.id)
        state = f"is {self.status}" if self.status else "has not ended"
        why = f"; the last request failed: {self.error}" if self.error is not None else ""
        message = f"{name} {state} after {waiter.timeout:g} s; it goes on, wait again with {line}{why}"
        waiter.fail(WaitTimeoutError(message, id=self.id, last=self.status))


@attrs.define(eq=False)
class Group(Generic[S]):
    """All that is waited for from one source.

    `due` is when the next list is read, while there are many; `earliest` keeps it within the budget of requests.
    `page_limit` is what is asked for, `page_cap` what the server was seen to give although there was more; `offset` is
    where a long list is gone on with; `pages` what the last one took. `next_single` spaces single questions.
    """

    source: Source[S]
    watches: dict[str, Watch[S]] = attrs.field(factory=dict)
    due: float = float("inf")
    earliest: float = float("-inf")
    busy: bool = False
    asking: int = 0
    page_limit: int = 1000
    page_cap: int = 0
    offset: int = 0
    pages: int = 1
    failures: int = 0
    next_single: float = float("-inf")

    @property
    def many(self) -> bool:
        """Whether reading lists takes fewer requests than asking one by one."""
        return self.source.supports_list and self.page_limit > 0 and len(self.watches) > max(FEW, self.pages)

    def allowance(self, now: float) -> int:
        """How many single questions there is room for; it is taken as used."""
        if len(self.watches) <= FEW:
            return FEW
        if now < self.next_single:
            return 0
        self.next_single = now + _SINGLES_GAP
        rate = max(_SINGLES_PER_SECOND, len(self.watches) / _LONGEST_TURN)
        return max(0, min(math.ceil(rate * _SINGLES_GAP), MAX_ROUND_REQUESTS + math.ceil(rate) - self.asking))

    def next_due(self) -> float:
        """When there is something to ask."""
        if self.many:
            return float("inf") if self.busy else self.due
        due = min((watch.due for watch in self.watches.values() if not watch.asking), default=float("inf"))
        return due if len(self.watches) <= FEW else max(due, self.next_single)

    def add(self, watch: Watch[S]) -> None:
        """Watch one more."""
        was_many = self.many
        self.watches[watch.id] = watch
        if not self.many:
            return
        first = watch.due if was_many else min(each.due for each in self.watches.values())
        self.due = min(self.due, max(first, self.earliest))


_PASSING = frozenset({408, 425, 429})
_OUTAGES = (ConnectError, ConnectionLostError, RequestTimeoutError, ServerError)


def passes(error: AIHubError) -> bool:
    """Whether polling goes on after this error: the server or the way to it is out of order, not the question."""
    if isinstance(error, CertificateError):
        return False
    return isinstance(error, _OUTAGES) or (isinstance(error, StatusError) and error.status in _PASSING)
