"""One event loop in one thread, shared by all sync clients of the process: every call is a task of an anyio group.

The thread starts with the first call and stops with the last client. anyio's own blocking portal does the same with two
hand-offs for each call, one to begin it and one to end it; here a call is handed over once.
"""

import asyncio
import atexit
import concurrent.futures
import contextlib
import importlib
import os
import threading
from collections.abc import Collection, Coroutine
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from aihub_async.client import AsyncAIHub

Posted = concurrent.futures.Future[None]

EXIT_GRACE = 1.0
"""Seconds that closing a client, or the end of the process, waits for clean-ups that still go on."""


class LoopThread(threading.Thread):
    """A thread with an event loop and a task group for the calls, until `stop` is set on the loop."""

    def __init__(self, before: "LoopThread | None") -> None:
        super().__init__(name="aihub_sync", daemon=True, target=self._live, args=(before,))
        maker: Any = asyncio
        with contextlib.suppress(ImportError):
            maker = importlib.import_module("uvloop")
        self.loop: asyncio.AbstractEventLoop = maker.new_event_loop()
        self._posted: set[Posted] = set()
        self.stop = asyncio.Event()
        self.ready = threading.Event()
        self.entering: list[None] = []
        self.interrupted: set[asyncio.Task[Any]] = set()
        self.tasks: TaskGroup

    def post(self, coroutine: Coroutine[Any, Any, None]) -> Posted:
        """Run a coroutine without waiting, from any thread: also from this one, where the portal refuses."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        self._posted.add(future)
        future.add_done_callback(self._posted.discard)
        return future

    async def close(self, clients: Collection[AsyncAIHub], *, last: bool) -> None:
        """On the loop: close clients, and with the last one the loop."""
        try:
            if self.interrupted:
                await asyncio.wait(self.interrupted, timeout=EXIT_GRACE)
            for client in clients:
                await client.aclose()
        finally:
            if last:
                self.stop.set()

    def _live(self, before: "LoopThread | None") -> None:
        if before is not None:
            # A client is in one loop at a time: the last one must have ended. Calls queue up meanwhile.
            before.join(EXIT_GRACE)
        # Raised by a callback, they end the loop and go to the caller, and this thread has nothing to add.
        with contextlib.suppress(SystemExit, KeyboardInterrupt):
            anyio.run(self._serve, backend_options={"loop_factory": lambda: self.loop})

    async def _serve(self) -> None:
        async with anyio.create_task_group() as self.tasks:
            self.ready.set()
            try:
                await self.stop.wait()
            finally:
                portal.leave(self)
                # A hand-off to a loop that has ended would wait for ever.
                with anyio.move_on_after(EXIT_GRACE, shield=True):
                    while self.entering:  # noqa: ASYNC110 - other threads count it down, and an event would be late
                        await anyio.sleep(0.001)
                    # The last hand-off may still be on its way to becoming a task.
                    await anyio.lowlevel.checkpoint()
                self.tasks.cancel_scope.cancel()


class Portal:
    """The way to the loop thread, of which there is one at most."""

    def __init__(self) -> None:
        self.clients: set[AsyncAIHub] = set()
        self.reset()

    def reset(self) -> None:
        """Start anew: after a fork the thread is in the parent only, and the lock may be held by it."""
        # Reentrant: a garbage collection inside a locked section may retire a client.
        self._lock = threading.RLock()
        self._thread: LoopThread | None = None
        self._last: LoopThread | None = None

    def is_here(self) -> bool:
        """True on the loop thread itself."""
        return self._thread is not None and self._thread.ident == threading.get_ident()

    def enter(self) -> LoopThread:
        """The thread to hand a call to; the caller takes one from its `entering` afterwards."""
        # The lock is not held during the hand-off: the loop may need it, to retire a client.
        with self._lock:
            thread = self._running()
            thread.entering.append(None)
            return thread

    def post(self, coroutine: Coroutine[Any, Any, None], only: LoopThread | None = None) -> Posted | None:
        """Run a coroutine on the loop without waiting for it; with `only`, not at all if that thread is not it."""
        # Under the lock: what comes behind the loop's last callback would never run.
        with self._lock:
            if only is None or only is self._thread:
                return self._running().post(coroutine)
        coroutine.close()
        return None

    def retire(self, *clients: AsyncAIHub) -> Posted | None:
        """Begin to close clients; with the last one the thread ends."""
        with self._lock:
            self.clients.difference_update(clients)
            thread, self._thread = self._thread, self._thread if self.clients else None
            return None if thread is None else thread.post(thread.close(clients, last=not self.clients))

    def leave(self, thread: LoopThread) -> None:
        """Send no more calls to a thread."""
        with self._lock:
            if self._thread is thread:
                self._thread = None

    def shut_down(self) -> None:
        """At the end of the process: let clean-ups finish, close what is open, stop the thread."""
        self.retire(*self.clients)
        if self._last is not None:
            self._last.join(2 * EXIT_GRACE)

    def _running(self) -> LoopThread:
        if self._thread is None:
            self._thread = self._last = LoopThread(self._last)
            self._thread.start()
        return self._thread


portal = Portal()
atexit.register(portal.shut_down)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=portal.reset)
