"""One poller per client: it polls for everybody who waits, in as few requests as it can.

A background task runs only while calls wait. The last wait that ends also ends the task.
"""

import asyncio
import contextvars
import functools
import os
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup, TaskStatus

from aihub_async.clock import Clock
from aihub_async.errors import ClosedClientError
from aihub_async.loops import running_loop
from aihub_async.policies.polling import Pace, WebhookHealth
from aihub_async.waiting.entries import Waiter, WaitOptions, Watch
from aihub_async.waiting.groups import Group, Polling
from aihub_async.waiting.pollables import Pollable
from aihub_async.waiting.timers import Timers

S = TypeVar("S")
_NEVER = float("inf")


class Inbox(Protocol):
    """Where deliveries of webhooks arrive."""

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
    """Serves all waits of a client and of the clients derived from it."""

    def __init__(self, clock: Clock, inbox: Inbox | None = None, pace: Pace | None = None) -> None:
        self.polling = Polling(clock, self._set_wake, self._take_notification, self._undelivered, pace or Pace())
        self._clock = clock
        self._inbox = inbox
        self._groups: dict[Pollable[Any], Group[Any]] = {}
        self._timers = Timers()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        self._driver: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._notified: list[str] = []
        # Ids that have not yet been looked up among recent deliveries.
        self._fresh: list[str] = []
        self._listening = False
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many runs and jobs are waited for."""
        return sum(map(len, self._groups.values()))

    @property
    def groups(self) -> list[Group[Any]]:
        """The groups of what is waited for."""
        return list(self._groups.values())

    @property
    def health(self) -> WebhookHealth:
        """Whether webhooks arrive."""
        return self.polling.health

    async def wait(
        self, pollable: Pollable[S], id: str, has_ended: Callable[[S], bool], options: WaitOptions[S] | None = None
    ) -> S:
        """Wait until `has_ended(state)` is true or raises; return the state.

        Args:
            pollable: Requests the state.
            id: What to wait for.
            has_ended: Returns whether a state is the end; what it raises ends the wait.
            options: How to wait.

        Raises:
            WaitTimeoutError: The timeout has passed.
            RequestError: A poll was refused; outages are waited through.
        """
        group, watch, waiter = self._enter(pollable, id, has_ended, options or WaitOptions())
        try:
            return await waiter.result
        finally:
            await self._leave(group, watch, waiter)

    def notify(self, id: str) -> None:
        """Poll an id immediately if a call waits for it: a webhook has arrived. May be called from any thread."""
        if self._loop is None or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._take_notification, id)

    async def aclose(self) -> None:
        """End all waits with `ClosedClientError`, and the background task."""
        self._closed = True
        if self._loop is not running_loop() or self._pid != os.getpid():
            return
        self._fail_all(ClosedClientError("the client was closed while this waited"))
        await self._stop()

    # Entering and leaving

    def _enter(
        self, pollable: Pollable[S], id: str, has_ended: Callable[[S], bool], options: WaitOptions[S]
    ) -> tuple[Group[S], Watch[S], Waiter[S]]:
        loop = self._move_to(running_loop())
        now = self._clock.monotonic()
        waiter = Waiter(
            loop.create_future(), has_ended, options.on_update, options.min_interval or 0.0, options.timeout
        )
        group: Group[S] = self._groups.setdefault(pollable, Group(pollable, self.polling))
        watch, is_new = group.join(id, waiter, options, now)
        if is_new and self._inbox is not None:
            self._fresh.append(id)
        if options.timeout is not None:
            self._at(now + options.timeout, functools.partial(watch.expire, waiter), waiter.result.done)
        if options.known is not None:
            waiter.report(options.known, pollable.status(options.known))
        if self._driver is None or self._driver.done():
            # It polls for everybody: the context of the first to wait, with its trace, is not that of the others.
            context = contextvars.Context()
            self._driver = loop.create_task(self._drive(), name="aihub-waiting", context=context)
            self._driver.add_done_callback(self._driver_ended)
        self._wake.set()
        return group, watch, waiter

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
        self._groups, self._notified, self._fresh = {}, [], []
        self._timers.clear()
        self._wake = asyncio.Event()
        return loop

    async def _leave(self, group: Group[S], watch: Watch[S], waiter: Waiter[S]) -> None:
        group.leave(watch, waiter)
        waiter.result.cancel()
        if not group and self._groups.get(watch.pollable) is group:
            del self._groups[watch.pollable]
        if not self._groups:
            await self._stop()

    async def _stop(self) -> None:
        driver, self._driver = self._driver, None
        self._notified, self._fresh = [], []
        self._timers.clear()
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
            group.fail(error)

    def _at(self, when: float, call: Callable[[], None], is_obsolete: Callable[[], bool]) -> None:
        self._timers.add(when, call, is_obsolete, live=self.waiting)

    # Callbacks

    def _set_wake(self) -> None:
        self._wake.set()

    def _take_notification(self, id: str) -> None:
        self._notified.append(id)
        self._wake.set()

    def _undelivered(self) -> None:
        if self._inbox is not None:
            self._inbox.ended_undelivered()

    # The background task

    async def _drive(self) -> None:
        self._listening = False
        async with anyio.create_task_group() as tasks:
            if self._inbox is not None:
                tasks.start_soon(self._listen, self._inbox, tasks)
            while True:
                self._wake.clear()
                now = self._clock.monotonic()
                self._timers.run(now)
                self._handle_notifications(tasks, now)
                for group in list(self._groups.values()):
                    group.start_due(tasks, now)
                if self._inbox is not None and self._listening and self._fresh:
                    fresh, self._fresh = self._fresh, []
                    tasks.start_soon(self._look_up_deliveries, self._inbox, fresh)
                await self._rest(self._next_event() - now)

    async def _listen(self, inbox: Inbox, tasks: TaskGroup) -> None:
        await tasks.start(inbox.listen, self.notify)
        # Only what was delivered before this moment can have been missed, so it is looked up after it.
        self._listening = True
        self._wake.set()

    async def _look_up_deliveries(self, inbox: Inbox, ids: list[str]) -> None:
        for found in await inbox.recently_delivered(ids):
            self.notify(found)

    def _handle_notifications(self, tasks: TaskGroup, now: float) -> None:
        notified, self._notified = self._notified, []
        for item in dict.fromkeys(notified):
            for group in self._groups.values():
                later = group.notified(tasks, item, now)
                if later is not None:
                    self._at(later.notify_again, functools.partial(self._take_notification, item), later.is_done)

    def _next_event(self) -> float:
        return min([self._timers.next_due(), *(group.next_due() for group in self._groups.values())])

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
