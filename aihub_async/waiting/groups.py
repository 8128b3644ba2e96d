"""All that is waited for from one pollable, and when and how it is polled."""

import heapq
import logging
import math
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import attrs
from anyio.abc import TaskGroup

from aihub_async.clock import Clock
from aihub_async.errors import (
    AIHubError,
    CertificateError,
    ConnectError,
    ConnectionLostError,
    ProtocolError,
    RequestError,
    RequestTimeoutError,
    ServerError,
    StatusError,
)
from aihub_async.policies.polling import (
    MAX_ROUND_REQUESTS,
    REQUEST_SECONDS,
    Durations,
    Pace,
    WebhookHealth,
    backoff,
)
from aihub_async.waiting.entries import Waiter, WaitOptions, Watch
from aihub_async.waiting.pollables import Pollable, start_seconds
from aihub_async.waiting.run_lists import ListReader, RunSummary

logger = logging.getLogger("aihub_async")
S = TypeVar("S")

FEW = 8
"""Up to so many are polled one by one; more are looked up in lists."""
_SINGLES_PER_SECOND = 4.0
_SINGLES_GAP = 0.5
"""Seconds between two batches of single polls while there are many."""
_LONGEST_TURN = 30.0
"""Seconds in which each of many that cannot be listed is polled once."""
_NOTIFY_GAP = 1.0
"""Seconds between two polls that webhooks about the same run can cause."""
_MIN_ROUND_SECONDS = 1.0
"""Minimum seconds between two rounds of lists."""
_UNREADABLE_SECONDS = 1800.0
"""Seconds for which unreadable answers count as an outage, such as a maintenance page with status 200."""
_WARNING_SECONDS = 60.0
_NEVER = float("inf")


@attrs.define
class Polling:
    """What all groups of a scheduler share.

    Attributes:
        clock: Time, sleep and randomness.
        wake: Lets the scheduler look at its groups again.
        notify: Reports that a webhook of this id has arrived.
        undelivered: Reports the end of something whose webhook has not arrived.
        pace: How often to poll.
        durations: How long runs of each app take.
        health: Whether webhooks arrive.
        warned: The unknown statuses that have been reported.
    """

    clock: Clock
    wake: Callable[[], None]
    notify: Callable[[str], None]
    undelivered: Callable[[], None]
    pace: Pace
    durations: Durations = attrs.field(factory=Durations)
    health: WebhookHealth = attrs.field(factory=WebhookHealth)
    warned: set[str | None] = attrs.field(factory=set)


class Group(Generic[S]):
    """All that is waited for from one pollable. It alone changes its state and that of its watches."""

    def __init__(self, pollable: Pollable[S], polling: Polling) -> None:
        self._pollable = pollable
        self._polling = polling
        self._watches: dict[str, Watch[S]] = {}
        self._lists = ListReader(pollable)
        # When the next list is read while there are many, and the earliest time that the budget of requests allows.
        self._due = _NEVER
        self._earliest = float("-inf")
        self._reading = False
        self._polls = 0
        self._failures = 0
        self._next_single = float("-inf")
        self._next_warning = float("-inf")

    def __len__(self) -> int:
        return len(self._watches)

    @property
    def uses_lists(self) -> bool:
        """Whether reading lists takes fewer requests than polling one by one."""
        return self._lists.is_usable and len(self._watches) > max(FEW, self._lists.pages)

    @property
    def rounds_planned(self) -> tuple[float, bool]:
        """When the next list is due, and whether one is being read."""
        return self._due, self._reading

    # Joining and leaving

    def join(self, id: str, waiter: Waiter[S], options: WaitOptions[S], now: float) -> tuple[Watch[S], bool]:
        """Add a waiter; return its watch, and whether the watch is new."""
        watch = self._watches.get(id)
        if watch is not None:
            watch.waiters.append(waiter)
            watch.expects_webhook = watch.expects_webhook or options.expects_webhook
            # What is known of it may be old; the next poll counts as news for everybody.
            watch.status = None
            watch.due = min(watch.due, now)
            self._due = min(self._due, max(now, self._earliest))
            return watch, False
        began = now if options.began is None else options.began
        watch = Watch(self._pollable, id, began, now, expects_webhook=options.expects_webhook)
        if options.known is not None:
            self._remember(watch, options.known)
            watch.due = max(now, began + self._interval(watch, began, waiter.min_interval))
        watch.waiters.append(waiter)
        self._add(watch)
        return watch, True

    def _add(self, watch: Watch[S]) -> None:
        used_lists = self.uses_lists
        self._watches[watch.id] = watch
        if not self.uses_lists:
            return
        first = watch.due if used_lists else min(each.due for each in self._watches.values())
        self._due = min(self._due, max(first, self._earliest))

    def leave(self, watch: Watch[S], waiter: Waiter[S]) -> None:
        """Remove a waiter, and its watch with the last one."""
        watch.waiters.remove(waiter)
        if not watch.waiters and self._watches.get(watch.id) is watch:
            del self._watches[watch.id]

    def fail(self, error: BaseException) -> None:
        """End all waits with an error."""
        for watch in self._watches.values():
            watch.fail(error)

    # Planning

    def next_due(self) -> float:
        """Return when there is something to poll."""
        if self.uses_lists:
            return _NEVER if self._reading else self._due
        due = min((watch.due for watch in self._watches.values() if not watch.polling), default=_NEVER)
        return due if len(self._watches) <= FEW else max(due, self._next_single)

    def start_due(self, tasks: TaskGroup, now: float) -> None:
        """Start the polls that are due."""
        if self.uses_lists:
            if not self._reading and self._due <= now:
                self._reading = True
                tasks.start_soon(self._round, tasks)
            return
        due = [watch for watch in self._watches.values() if watch.due <= now and not watch.polling]
        if due:
            for watch in heapq.nsmallest(self._allowance(now), due, key=lambda watch: watch.due):
                self._start(tasks, watch)

    def notified(self, tasks: TaskGroup, id: str, now: float) -> Watch[S] | None:
        """Poll an item whose webhook has arrived; return its watch if that must wait until `notify_again`."""
        watch = self._watches.get(id)
        if watch is None:
            return None
        if watch.polling or now < watch.notify_again:
            # An immediate poll each time would be one for each forged or repeated delivery.
            is_new = not watch.recheck and not watch.polling
            watch.recheck = True
            return watch if is_new else None
        watch.recheck, watch.notified = False, True
        watch.notify_again = now + _NOTIFY_GAP
        self._start(tasks, watch)
        return None

    def _allowance(self, now: float) -> int:
        """Return how many single polls may start; they count as started."""
        count = len(self._watches)
        if count <= FEW:
            return FEW
        if now < self._next_single:
            return 0
        self._next_single = now + _SINGLES_GAP
        rate = max(_SINGLES_PER_SECOND, count / _LONGEST_TURN)
        return max(0, min(math.ceil(rate * _SINGLES_GAP), MAX_ROUND_REQUESTS + math.ceil(rate) - self._polls))

    def _interval(self, watch: Watch[S], now: float, min_interval: float) -> float:
        polling = self._polling
        return polling.pace.interval(
            now - watch.began,
            polling.clock.random,
            typical=polling.durations.typical(watch.duration_key),
            # One whose webhook came too early must not wait for a webhook that has arrived already.
            expects_webhook=watch.expects_webhook and not watch.notified and polling.health.good,
            min_interval=min_interval,
        )

    def _plan_round(self, requests: int) -> None:
        """Plan the next list after a round of so many requests."""
        now, watches = self._polling.clock.monotonic(), self._watches.values()
        if not self.uses_lists:
            for watch in watches:
                watch.due = now + self._interval(watch, now, watch.min_interval)
            return
        youngest = max(watches, key=lambda watch: watch.began)
        min_interval = min(watch.min_interval for watch in watches)
        if self._failures:
            self._due = now + max(min_interval, backoff(self._failures, self._polling.clock.random))
            return
        self._earliest = now + max(_MIN_ROUND_SECONDS, requests * REQUEST_SECONDS)
        self._due = max(self._earliest, now + self._interval(youngest, now, min_interval))

    # Polling

    def _start(self, tasks: TaskGroup, watch: Watch[S]) -> None:
        watch.polling = True
        self._polls += 1
        tasks.start_soon(self._poll, watch)

    async def _poll(self, watch: Watch[S]) -> None:
        """Poll one item."""
        try:
            state = await self._pollable.fetch(watch.id)
        except AIHubError as error:
            self._failed(watch, error)
        else:
            self._received(watch, state)
            now = self._polling.clock.monotonic()
            watch.due = now + self._interval(watch, now, watch.min_interval)
        finally:
            watch.polling = False
            self._polls -= 1
            if watch.recheck:
                watch.recheck = False
                self._polling.notify(watch.id)
            self._polling.wake()

    async def _round(self, tasks: TaskGroup) -> None:
        """Read lists, and poll one by one those that are not in them."""
        requests = 0
        try:
            missing, room = await self._lists.read(self._watches, self._summary_received)
            self._failures = 0
            for watch in missing[:room]:
                if not watch.polling and self._watches.get(watch.id) is watch:
                    requests += 1
                    self._start(tasks, watch)
        except AIHubError as error:
            self._failures += 1
            for watch in list(self._watches.values()):
                self._failed(watch, error)
        finally:
            self._reading = False
        self._plan_round(self._lists.pages + requests)
        self._polling.wake()

    def _summary_received(self, watch: Watch[Any], summary: RunSummary) -> None:
        watch.succeeded()
        if watch.start is None:
            watch.start = start_seconds(summary.start_timestamp)
        # Decoding everything for everybody in every round would cost more than all the rest.
        if summary.status != watch.status or summary.status is None:
            # What is listed are runs.
            state: Any = summary.run()
            self._received(watch, state)

    def _received(self, watch: Watch[S], state: S) -> None:
        watch.succeeded()
        self._remember(watch, state)
        if not self._pollable.is_known_status(watch.status) and watch.status not in self._polling.warned:
            self._polling.warned.add(watch.status)
            logger.warning(
                "%s has the unknown status %r; waiting continues until its status is a known end",
                self._pollable.describe(watch.id)[0],
                watch.status,
            )
        observed = self._pollable.observed_duration(state)
        if observed is not None and watch.waiters:
            self._learn(watch, *observed)
        for waiter in watch.waiters:
            waiter.report(state, watch.status)

    def _remember(self, watch: Watch[S], state: S) -> None:
        watch.status = self._pollable.status(state)
        watch.duration_key = self._pollable.duration_key(state)
        if watch.start is None:
            watch.start = start_seconds(self._pollable.start_timestamp(state))

    def _learn(self, watch: Watch[S], duration_key: str, seconds: float | None) -> None:
        polling = self._polling
        polling.durations.learn(duration_key, polling.clock.monotonic() - watch.began if seconds is None else seconds)
        if watch.notified:
            polling.health.delivered()
        elif watch.expects_webhook:
            polling.health.missed()
            polling.undelivered()
        # Its waits leave one after the other; it must not count twice.
        watch.notified = watch.expects_webhook = False

    def _failed(self, watch: Watch[S], error: AIHubError) -> None:
        now = self._polling.clock.monotonic()
        if not isinstance(error, RequestError) or not _is_outage(error):
            watch.fail(error)
            return
        watch.failed(error, now)
        if isinstance(error, ProtocolError):
            if now - watch.failing_since >= _UNREADABLE_SECONDS:
                watch.fail(error)
                return
            self._warn_unreadable(watch, error, now)
        watch.due = now + max(watch.min_interval, backoff(watch.failures, self._polling.clock.random))

    def _warn_unreadable(self, watch: Watch[S], error: ProtocolError, now: float) -> None:
        """Warn of an unreadable answer, once a minute at most: it may concern all items of a list."""
        if now < self._next_warning:
            return
        self._next_warning = now + _WARNING_SECONDS
        logger.warning("the state of %s is unreadable; polling continues: %s", watch.id, error)


_PASSING = frozenset({408, 425, 429})
_OUTAGES = (ConnectError, ConnectionLostError, ProtocolError, RequestTimeoutError, ServerError)


def _is_outage(error: RequestError) -> bool:
    """Return whether polling continues after an error: the server or the way to it fails, not the request."""
    if isinstance(error, CertificateError):
        return False
    return isinstance(error, _OUTAGES) or (isinstance(error, StatusError) and error.status in _PASSING)
