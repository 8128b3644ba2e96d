"""The event loop thread that all sync clients of a process share: anyio's `BlockingPortal`, and what it lacks.

The first call starts the thread, and closing the last client stops it. anyio's `start_blocking_portal` is not used,
because it joins its thread without a time limit: a callback that blocks would keep the process from ending.
"""

import asyncio
import atexit
import concurrent.futures.thread  # noqa: F401 - importing it later fails in threads that outlive the main thread
import contextlib
import contextvars
import importlib
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import anyio
from anyio.from_thread import BlockingPortal

from aihub_async.errors import ClosedClientError

T = TypeVar("T")
AsyncFunction = Callable[[], Coroutine[Any, Any, T]]

CLOSE_GRACE = 2.0
"""Seconds that closing a client and ending the process wait for the loop."""

_loops: Any = asyncio
with contextlib.suppress(ImportError):
    _loops = importlib.import_module("uvloop")


class LoopThread(threading.Thread):
    """A thread that runs an event loop and a portal to it until `stop` is set."""

    def __init__(self) -> None:
        super().__init__(name="aihub_sync", daemon=True)
        self._starter = threading.get_native_id()
        self._portal: Future[BlockingPortal] = Future()
        self._futures: set[Future[Any]] = set()
        self.loop: asyncio.AbstractEventLoop = _loops.new_event_loop()
        # One item for each call that is being handed over: appending and popping are atomic.
        self.starting: list[None] = []
        self.stop = asyncio.Event()

    def start(self) -> None:
        """Start the thread, or close the loop that it would have run."""
        try:
            super().start()
        except RuntimeError:
            self.loop.close()
            raise

    def start_task(self, function: AsyncFunction[T]) -> Future[T]:
        """Start a task, and end the hand-over that the caller has counted in `starting`."""
        try:
            return self.track(self._portal.result().start_task_soon(function))
        finally:
            self.starting.pop()

    def track(self, future: Future[T]) -> Future[T]:
        """Cancel the future if the loop ends before it is done."""
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        return future

    def run(self) -> None:
        """Run the event loop."""
        options = {"loop_factory": self._checked_loop}
        try:
            # A thread may inherit the context of its starter, in which another async library may be running.
            contextvars.Context().run(lambda: anyio.run(self._serve, backend_options=options))
        except BaseException as error:  # noqa: BLE001 - callers get it, from the portal or from their calls
            if not self._portal.done():
                self._portal.set_exception(error)
        finally:
            self.stop.set()
            self.loop.close()
            # Tasks that are cancelled before their first step leave their future pending.
            for future in tuple(self._futures):
                future.cancel()

    def _checked_loop(self) -> asyncio.AbstractEventLoop:
        if threading.get_native_id() == self._starter:
            raise RuntimeError("threads are patched to run in the thread that starts them (gevent, eventlet)")
        return self.loop

    async def _serve(self) -> None:
        async with BlockingPortal() as portal:
            self._portal.set_result(portal)
            try:
                await self.stop.wait()
            finally:
                with shared.lock:
                    self.stop.set()
                # A call that is handed to a loop which has ended never returns.
                with anyio.move_on_after(CLOSE_GRACE, shield=True):
                    while self.starting:  # noqa: ASYNC110 - other threads count it down, and an event would be late
                        await anyio.sleep(0.001)
                await portal.stop(cancel_remaining=True)


class SharedLoop:
    """The loop thread of this process, and the functions that close the clients it runs for."""

    def __init__(self) -> None:
        self.clients: set[AsyncFunction[None]] = set()
        self.reset()

    def reset(self) -> None:
        """Forget the thread: after a fork it exists in the parent only, and the lock may be held by it."""
        self.lock = threading.RLock()
        self._thread: LoopThread | None = None

    def start(self, call: AsyncFunction[T]) -> Future[T]:
        """Start a call on the loop.

        Raises:
            ClosedClientError: No loop can run here, or it has just ended.
        """
        try:
            with self.lock:
                if self._thread is None or self._thread.stop.is_set():
                    thread = LoopThread()
                    thread.start()
                    self._thread = thread
                thread = self._thread
                thread.starting.append(None)
            # The loop takes the lock to stop, so nobody may hold it and wait for the loop.
            return thread.start_task(call)
        except (RuntimeError, OSError) as error:
            raise ClosedClientError(f"no event loop can run the call here: {error}") from error

    def post(self, function: AsyncFunction[None]) -> Future[None] | None:
        """Start a task without waiting, if a loop is running; lock-free, because garbage collection may call this."""
        thread = self._thread
        if thread is None or thread.stop.is_set():
            return None
        coroutine = function()
        try:
            posted = contextvars.Context().run(asyncio.run_coroutine_threadsafe, coroutine, thread.loop)
        except RuntimeError:
            # The loop has just ended.
            coroutine.close()
            return None
        return thread.track(posted)

    def retire(self, close: AsyncFunction[None]) -> Future[None] | None:
        """Begin to close a client."""
        closing = self.post(close)
        if closing is None:
            self.clients.discard(close)
        else:
            closing.add_done_callback(lambda _: self._discard(close))
        return closing

    def _discard(self, close: AsyncFunction[None]) -> None:
        self.clients.discard(close)
        if not self.clients:
            self.post(self._stop)

    async def _stop(self) -> None:
        with self.lock:
            thread = self._thread
            if thread is not None and thread.loop is asyncio.get_running_loop() and not self.clients:
                thread.stop.set()

    def shut_down(self) -> None:
        """Close every client and wait for the thread, at the end of the process."""
        for close in tuple(self.clients):
            self.retire(close)
        self.post(self._stop)
        if self._thread is not None:
            self._thread.join(CLOSE_GRACE)


shared = SharedLoop()
atexit.register(shared.shut_down)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=shared.reset)
