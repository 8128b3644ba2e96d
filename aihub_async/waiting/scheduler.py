"""One poller per client: it asks for everybody who waits, in as few requests as it can.

A background task lives only while somebody waits. It belongs to the waits: the last one that leaves ends it.
"""

import asyncio
import functools
import heapq
import itertools
import logging
import os
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup, TaskStatus

from aihub_async.clock import Clock
from aihub_async.errors import AIHubError, ClosedClientError, RequestError
from aihub_async.policies.polling import REQUEST_SECONDS, Durations, Pace, WebhookHealth, backoff
from aihub_async.waiting.entries import Group, Waiter, Watch, passes
from aihub_async.waiting.pollables import RunSummary, Source, start_seconds
from aihub_async.waiting.run_lists import read_lists

logger = logging.getLogger("aihub_async")
S = TypeVar("S")

_NOTIFY_GAP = 1.0
"""Seconds between two questions that webhooks about the same run can cause."""
_SHORTEST_ROUND = 1.0
"""Seconds between two rounds of lists at least."""
_NEVER = float("inf")


class Inbox(Protocol):
    """Where webhooks are heard of."""

    async def listen(self, wake: Callable[[str], None], *, task_status: TaskStatus[None]) -> None:
        """Call `wake` with the id of every delivery, until cancelled."""
        ...

    async def recently_delivered(self, ids: Iterable[str]) -> set[str]:
        """Return those of the ids that were delivered lately."""
        ...

    def ended_undelivered(self) -> None:
        """Note that polling has found the end of a run whose webhook has not arrived."""
        ...


class Scheduler:
    """Serves all waits of a client and of the clients made from it."""

    def __init__(self, clock: Clock, inbox: Inbox | None = None, pace: Pace | None = None) -> None:
        self.pace = pace or Pace()
        self.durations = Durations()
        self.health = WebhookHealth()
        self._clock = clock
        self._inbox = inbox
        self._groups: dict[Source[Any], Group[Any]] = {}
        self._timers: list[tuple[float, int, Callable[[], None], Callable[[], bool]]] = []
        self._numbers = itertools.count()
        self._warned: set[str | None] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        self._driver: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._notified: list[str] = []
        self._fresh: list[str] = []
        self._listening = False
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many runs and jobs are waited for."""
        return sum(len(group.watches) for group in self._groups.values())

    async def wait(
        self,
        source: Source[S],
        id: str,
        over: Callable[[S], bool],
        *,
        timeout: float | None = None,
        on_update: Callable[[S], None] | None = None,
        min_interval: float | None = None,
        known: S | None = None,
        began: float | None = None,
        expects_webhook: bool = False,
    ) -> S:
        """Wait until `over(state)` is true or raises.

        Args:
            source: whom to ask.
            id: what for.
            over: tells the end; what it raises ends the wait.
            timeout: seconds; None waits for ever.
            on_update: called with the state when it is first seen and when its status has changed.
            min_interval: seconds between two questions about this one at least, unless a webhook tells of it.
            known: its state as of `began`, so that the first question can wait.
            began: when it began, by the monotonic clock; now by default.
            expects_webhook: a webhook will tell of its end.

        Raises:
            WaitTimeoutError: the time is up.
            RequestError: a question was refused; outages are waited through.
        """
        watch, waiter = self._enter(
            source, id, over, timeout, on_update, min_interval or 0.0, known, began, expects_webhook=expects_webhook
        )
        try:
            return await waiter.result
        finally:
            await self._leave(watch, waiter)

    def notify(self, id: str) -> None:
        """A webhook told of this id: ask now, if somebody waits for it. May be called from any thread."""
        if self._loop is None or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._take_notification, id)

    def _take_notification(self, id: str) -> None:
        self._notified.append(id)
        self._wake.set()

    async def aclose(self) -> None:
        """End all waits with `ClosedClientError`, and the background task."""
        self._closed = True
        if self._loop is not asyncio.get_running_loop() or self._pid != os.getpid():
            return
        self._fail_all(ClosedClientError("the client was closed while this waited"))
        await self._stop()

    # Coming and going

    def _enter(
        self,
        source: Source[S],
        id: str,
        over: Callable[[S], bool],
        timeout: float | None,
        on_update: Callable[[S], None] | None,
        min_interval: float,
        known: S | None,
        began: float | None,
        *,
        expects_webhook: bool,
    ) -> tuple[Watch[S], Waiter[S]]:
        loop = self._move_to(asyncio.get_running_loop())
        now = self._clock.monotonic()
        began = now if began is None else began
        waiter = Waiter(loop.create_future(), over, on_update, min_interval, timeout)
        group: Group[S] = self._groups.setdefault(source, Group(source))
        watch = group.watches.get(id)
        if watch is None:
            watch = Watch(source, id, began, now, expects_webhook=expects_webhook)
            if known is not None:
                self._remember(watch, known)
                watch.due = max(now, began + self._interval(watch, began, min_interval))
            watch.waiters.append(waiter)
            group.add(watch)
            if self._inbox is not None:
                self._fresh.append(id)
        else:
            watch.waiters.append(waiter)
            watch.expects_webhook = watch.expects_webhook or expects_webhook
            # What is known of it may be old; the next look counts as news for everybody.
            watch.status = None
            watch.due = min(watch.due, now)
            group.due = min(group.due, max(now, group.earliest))
        if timeout is not None:
            self._at(now + timeout, functools.partial(watch.expire, waiter), waiter.result.done)
        if known is not None:
            waiter.see(known, source.status(known))
        if self._driver is None or self._driver.done():
            self._driver = loop.create_task(self._drive(), name="aihub-waiting")
            self._driver.add_done_callback(self._driver_ended)
        self._wake.set()
        return watch, waiter

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
        if self._closed:
            raise ClosedClientError("the client is closed; make a new one")
        same_process = self._pid == os.getpid()
        if self._loop is loop and same_process:
            return loop
        if same_process and self._loop is not None and self._loop.is_running() and self._groups:
            raise ClosedClientError(
                "the client is in use by another event loop; make one client per loop (in threads, use aihub_sync)"
            )
        self._loop, self._pid, self._driver = loop, os.getpid(), None
        self._groups, self._timers, self._notified, self._fresh = {}, [], [], []
        self._wake = asyncio.Event()
        return loop

    async def _leave(self, watch: Watch[S], waiter: Waiter[S]) -> None:
        watch.waiters.remove(waiter)
        waiter.result.cancel()
        if watch.waiters:
            return
        group = self._groups.get(watch.source)
        if group is not None and group.watches.get(watch.id) is watch:
            del group.watches[watch.id]
            if not group.watches:
                del self._groups[watch.source]
        if not self._groups:
            await self._stop()

    async def _stop(self) -> None:
        driver, self._driver = self._driver, None
        self._timers, self._notified, self._fresh = [], [], []
        if driver is None or driver is asyncio.current_task():
            return
        driver.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait({driver})

    def _driver_ended(self, driver: "asyncio.Task[None]") -> None:
        if not driver.cancelled() and (error := driver.exception()) is not None:
            self._fail_all(error)

    def _fail_all(self, error: BaseException) -> None:
        for group in self._groups.values():
            for watch in group.watches.values():
                watch.fail(error)

    def _at(self, when: float, call: Callable[[], None], obsolete: Callable[[], bool]) -> None:
        heapq.heappush(self._timers, (when, next(self._numbers), call, obsolete))
        if len(self._timers) > 64 + 4 * self.waiting:
            self._timers = [timer for timer in self._timers if not timer[3]()]
            heapq.heapify(self._timers)

    # The background task

    async def _drive(self) -> None:
        self._listening = False
        async with anyio.create_task_group() as tasks:
            if self._inbox is not None:
                tasks.start_soon(self._attend, self._inbox, tasks)
            while True:
                self._wake.clear()
                now = self._clock.monotonic()
                self._ring(now)
                self._handle_notifications(tasks, now)
                for group in list(self._groups.values()):
                    self._poll(tasks, group, now)
                if self._inbox is not None and self._listening and self._fresh:
                    fresh, self._fresh = self._fresh, []
                    tasks.start_soon(self._look_up, self._inbox, fresh)
                await self._rest(self._next_event() - now)

    async def _attend(self, inbox: Inbox, tasks: TaskGroup) -> None:
        await tasks.start(inbox.listen, self.notify)
        # Only what was delivered before this moment can have been missed, so it is looked up after it.
        self._listening = True
        self._wake.set()

    async def _look_up(self, inbox: Inbox, ids: list[str]) -> None:
        for found in await inbox.recently_delivered(ids):
            self.notify(found)

    def _ring(self, now: float) -> None:
        while self._timers and (self._timers[0][0] <= now or self._timers[0][3]()):
            heapq.heappop(self._timers)[2]()

    def _next_event(self) -> float:
        if self._notified:
            return float("-inf")
        moments = [self._timers[0][0]] if self._timers else []
        moments.extend(group.next_due() for group in self._groups.values())
        return min(moments, default=_NEVER)

    async def _rest(self, seconds: float) -> None:
        if seconds <= 0:
            await anyio.lowlevel.checkpoint()
            return
        if seconds == _NEVER:
            await self._wake.wait()
            return
        async with anyio.create_task_group() as nap:
            nap.start_soon(self._nap, seconds, nap.cancel_scope)
            await self._wake.wait()
            nap.cancel_scope.cancel()

    async def _nap(self, seconds: float, scope: anyio.CancelScope) -> None:
        await self._clock.sleep(seconds)
        scope.cancel()

    def _handle_notifications(self, tasks: TaskGroup, now: float) -> None:
        notified, self._notified = self._notified, []
        for last_reported in dict.fromkeys(notified):
            for group in self._groups.values():
                watch = group.watches.get(last_reported)
                if watch is None:
                    continue
                if watch.asking or now < watch.notify_again:
                    # Another question at once would be one for each forged or repeated delivery.
                    if not watch.recheck and not watch.asking:
                        self._at(watch.notify_again, functools.partial(self.notify, last_reported), watch.is_over)
                    watch.recheck = True
                    continue
                watch.recheck, watch.notified = False, True
                watch.notify_again = now + _NOTIFY_GAP
                self._start(tasks, group, watch)

    def _poll(self, tasks: TaskGroup, group: Group[Any], now: float) -> None:
        if group.many:
            if not group.busy and group.due <= now:
                group.busy = True
                tasks.start_soon(self._round, tasks, group)
            return
        due = [watch for watch in group.watches.values() if watch.due <= now and not watch.asking]
        if due:
            for watch in heapq.nsmallest(group.allowance(now), due, key=lambda watch: watch.due):
                self._start(tasks, group, watch)

    def _start(self, tasks: TaskGroup, group: Group[Any], watch: Watch[Any]) -> None:
        watch.asking = True
        group.asking += 1
        tasks.start_soon(self._ask, group, watch)

    # Questions and answers

    async def _ask(self, group: Group[S], watch: Watch[S]) -> None:
        try:
            state = await watch.source.fetch(watch.id)
        except AIHubError as error:
            self._failed(watch, error)
        else:
            self._saw(watch, state)
            now = self._clock.monotonic()
            watch.due = now + self._interval(watch, now, watch.min_interval)
        finally:
            watch.asking = False
            group.asking -= 1
            if watch.recheck:
                watch.recheck = False
                self._notified.append(watch.id)
            self._wake.set()

    async def _round(self, tasks: TaskGroup, group: Group[S]) -> None:
        """Read lists for a group, and ask singly for those that are not in them."""
        requests = 0
        try:
            missing, room = await read_lists(group, self._summary_received)
            group.failures = 0
            for watch in missing[:room]:
                if not watch.asking and group.watches.get(watch.id) is watch:
                    requests += 1
                    self._start(tasks, group, watch)
        except AIHubError as error:
            group.failures += 1
            for watch in list(group.watches.values()):
                self._failed(watch, error)
        finally:
            group.busy = False
        self._plan(group, group.pages + requests)
        self._wake.set()

    def _plan(self, group: Group[Any], requests: int) -> None:
        """When the next list is read."""
        now, watches = self._clock.monotonic(), group.watches.values()
        if not group.many:
            for watch in watches:
                watch.due = now + self._interval(watch, now, watch.min_interval)
            return
        youngest = max(watches, key=lambda watch: watch.began)
        min_interval = min(watch.min_interval for watch in watches)
        if group.failures:
            group.due = now + max(min_interval, backoff(group.failures, self._clock.random))
            return
        group.earliest = now + max(_SHORTEST_ROUND, requests * REQUEST_SECONDS)
        group.due = max(group.earliest, now + self._interval(youngest, now, min_interval))

    def _summary_received(self, watch: Watch[Any], summary: RunSummary) -> None:
        watch.failures, watch.error = 0, None
        if watch.start is None:
            watch.start = start_seconds(summary.start_timestamp)
        # Decoding everything for everybody in every round would cost more than all the rest.
        if summary.status != watch.status or summary.status is None:
            self._saw(watch, summary.run())

    def _saw(self, watch: Watch[S], state: S) -> None:
        source = watch.source
        watch.failures, watch.error = 0, None
        self._remember(watch, state)
        if not source.is_known_status(watch.status) and watch.status not in self._warned:
            self._warned.add(watch.status)
            logger.warning("%s has the unknown status %r; waiting goes on", source.describe(watch.id)[0], watch.status)
        observed_duration = source.observed_duration(state)
        if observed_duration is not None and watch.waiters:
            self._learn(watch, *observed_duration)
        for waiter in watch.waiters:
            waiter.see(state, watch.status)

    def _learn(self, watch: Watch[Any], duration_key: str, seconds: float | None) -> None:
        self.durations.learn(duration_key, self._clock.monotonic() - watch.began if seconds is None else seconds)
        if watch.notified:
            self.health.delivered()
        elif watch.expects_webhook:
            self.health.missed()
            if self._inbox is not None:
                self._inbox.ended_undelivered()
        # Its waits leave one after the other; it must not teach the same twice.
        watch.notified = watch.expects_webhook = False

    def _remember(self, watch: Watch[S], state: S) -> None:
        watch.status = watch.source.status(state)
        watch.duration_key = watch.source.duration_key(state)
        if watch.start is None:
            watch.start = start_seconds(getattr(state, "start_timestamp", None))

    def _failed(self, watch: Watch[Any], error: AIHubError) -> None:
        if not passes(error) or not isinstance(error, RequestError):
            watch.fail(error)
            return
        watch.failures += 1
        watch.error = error
        pause = max(watch.min_interval, backoff(watch.failures, self._clock.random))
        watch.due = self._clock.monotonic() + pause

    def _interval(self, watch: Watch[Any], now: float, min_interval: float) -> float:
        return self.pace.interval(
            now - watch.began,
            self._clock.random,
            typical=self.durations.typical(watch.duration_key),
            # One that was told of too early must not wait for a webhook that has come already.
            expects_webhook=watch.expects_webhook and not watch.notified and self.health.good,
            min_interval=min_interval,
        )
