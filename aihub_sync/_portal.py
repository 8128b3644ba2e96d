"""One event loop in one thread, shared by all sync clients of the process.

The thread starts with the first call and stops with the last client. anyio's blocking portal does the same with two
hand-offs between threads for each call, has no answer to a fork, and does not cancel on Ctrl-C.
"""

import asyncio
import atexit
import contextlib
import contextvars
import importlib
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from aihub_async.client import AsyncAIHub
from aihub_async.errors import ClosedClientError

T = TypeVar("T")

INTERRUPT_GRACE = 0.5
"""Seconds that an interrupted call waits for its clean-up, such as the abort of a multipart upload."""
EXIT_GRACE = 1.0
"""Seconds that closing a client, or the end of the process, waits for clean-ups that still go on."""


class Call(Generic[T]):
    """One coroutine on its way to the loop and back."""

    __slots__ = ("_context", "_coroutine", "_finished", "_started", "task")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._context = contextvars.copy_context()
        # A lock is the cheapest thing that a thread can wait for; it is released once, at the end.
        self._finished = threading.Lock()
        self._finished.acquire()
        self._started = False
        self.task: asyncio.Task[T]

    def start(self) -> None:
        """On the loop: begin."""
        self._started = True
        self.task = asyncio.get_running_loop().create_task(self._coroutine, context=self._context)
        self.task.add_done_callback(self._end)

    def cancel(self) -> None:
        """On the loop: break off; it may be over already, or never have begun."""
        if not self._started:
            self._coroutine.close()
            self._finished.release()
        elif not self.task.done():
            portal.interrupted.add(self.task)
            self.task.cancel()

    def _end(self, task: "asyncio.Task[T]") -> None:
        portal.interrupted.discard(task)
        if not task.cancelled():
            # Asked for here, so that asyncio does not complain when an interrupted call fails with nobody listening.
            task.exception()
        self._finished.release()

    def wait(self, timeout: float = -1) -> None:
        """Wait for the end, at most `timeout` seconds; a signal handler may raise out of it."""
        self._finished.acquire(timeout=timeout)

    def error(self) -> BaseException | None:
        """What went wrong, once it is over."""
        if self.task.cancelled():
            return ClosedClientError("the client was closed, or the process ended, during the call")
        return self.task.exception()


class _LoopThread(threading.Thread):
    """A thread with an event loop that runs until `stop` is set on it."""

    def __init__(self, before: "_LoopThread | None") -> None:
        super().__init__(name="aihub_sync", daemon=True)
        self._before = before
        self.loop = _new_loop()
        self.stop = asyncio.Event()

    def run(self) -> None:
        """The life of the thread."""
        if self._before is not None:
            # A client is in one loop at a time: the last one must have ended. Calls queue up meanwhile.
            self._before.join(EXIT_GRACE)
            self._before = None
        # Raised by a callback, they end the loop and go to the caller, and this thread has nothing to add.
        with contextlib.suppress(SystemExit, KeyboardInterrupt):
            self._serve()

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            try:
                runner.run(_until(self.stop))
            finally:
                portal.leave(self)
                # Calls that came in last become tasks; leaving the runner cancels those, and their callers return.
                runner.run(asyncio.sleep(0))


class Portal:
    """The way to the loop thread, of which there is one at most."""

    def __init__(self) -> None:
        self.clients: set[AsyncAIHub] = set()
        self.interrupted: set[asyncio.Task[Any]] = set()
        self.reset()

    def reset(self) -> None:
        """Start anew: after a fork the thread is in the parent only, and the lock may be held by it."""
        # Reentrant: a garbage collection inside a locked section may retire a client.
        self._lock = threading.RLock()
        self._thread: _LoopThread | None = None
        self._last: _LoopThread | None = None
        self.interrupted.clear()

    def is_here(self) -> bool:
        """True on the loop thread itself."""
        return self._thread is not None and self._thread.ident == threading.get_ident()

    def submit(self, callback: Callable[[], object]) -> None:
        """Run a callback on the loop, which starts if need be; callbacks run in order."""
        # Under the lock: what comes behind the loop's last callback would never run.
        with self._lock:
            if self._thread is None:
                self._thread = self._last = _LoopThread(self._last)
                self._thread.start()
            self._thread.loop.call_soon_threadsafe(callback)

    def retire(self, client: AsyncAIHub) -> "Call[None] | None":
        """Begin to close a client; with the last one the thread ends."""
        with self._lock:
            self.clients.discard(client)
            if self._thread is None:
                return None
            call = Call(self._close([client], None if self.clients else self._thread.stop))
            self.submit(call.start)
            if not self.clients:
                self._thread = None
            return call

    def leave(self, thread: _LoopThread) -> None:
        """Send no more calls to a thread."""
        with self._lock:
            if self._thread is thread:
                self._thread = None

    def shut_down(self) -> None:
        """At the end of the process: let clean-ups finish, close what is open, stop the thread."""
        with self._lock:
            if self._thread is not None:
                self.submit(Call(self._close(list(self.clients), self._thread.stop)).start)
                self._thread = None
        if self._last is not None:
            self._last.join(2 * EXIT_GRACE)

    async def _close(self, clients: list[AsyncAIHub], stop: asyncio.Event | None) -> None:
        try:
            if self.interrupted:
                await asyncio.wait(self.interrupted, timeout=EXIT_GRACE)
            for client in clients:
                await client.aclose()
        finally:
            if stop is not None:
                stop.set()


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


portal = Portal()
atexit.register(portal.shut_down)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=portal.reset)
