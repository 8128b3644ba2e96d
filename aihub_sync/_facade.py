"""The base of the generated classes: an async object behind it, and the client's lease on the shared event loop."""

import asyncio
import concurrent.futures
import threading
import weakref
from collections.abc import Coroutine
from typing import Any, Generic, Protocol, Self, TypeVar, cast

from aihub_async.client import AsyncAIHub
from aihub_async.errors import AIHubError, ClosedClientError, OutcomeUnknownError
from aihub_sync._portal import CLOSE_GRACE, LoopThread, shared

T = TypeVar("T")

INTERRUPT_GRACE = 0.9
"""Seconds that an interrupted call waits for its clean-up, such as the abort of a multipart upload."""


class Call(Generic[T]):
    """A coroutine that can be cancelled before and after it has become a task."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._task: asyncio.Task[Any] | None = None

    async def __call__(self) -> tuple[T | None, BaseException | None]:
        self._task = asyncio.current_task()
        try:
            return await self._coroutine, None
        except (SystemExit, KeyboardInterrupt) as error:
            # A callback of the caller raised it. Raised in a task, it would end the loop.
            return None, error

    def abandon(self) -> None:
        """Cancel the coroutine, and wait a moment for its clean-up."""
        ended = shared.post(self._cancel)
        if ended is not None:
            concurrent.futures.wait((ended,), INTERRUPT_GRACE)
        elif self._task is None:
            self._coroutine.close()

    async def _cancel(self) -> None:
        if self._task is None:
            self._coroutine.close()
        else:
            self._task.cancel()
            await asyncio.wait({self._task})


class Receiver(Protocol):
    """What a lease needs of a webhook receiver."""

    wrapped: Any

    def attach(self, lease: "Lease") -> None:
        """Use the loop of a client."""


class Lease:
    """Keeps the event loop for one client, until the client is closed or garbage-collected."""

    def __init__(self, client: AsyncAIHub, receiver: Receiver | None = None) -> None:
        closers = (client.aclose,) if receiver is None else (client.aclose, receiver.wrapped.aclose)

        async def close() -> None:
            for closer in closers:
                await closer()

        shared.clients.add(close)
        self._close = weakref.finalize(self, shared.retire, close)
        self._close.atexit = False
        if receiver is not None:
            receiver.attach(self)

    @property
    def is_open(self) -> bool:
        """Whether the client has not been closed."""
        return self._close.alive

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for it; an interrupt cancels it."""
        if refusal := self._refusal(getattr(coroutine, "__qualname__", "the call")):
            coroutine.close()
            raise refusal
        call = Call(coroutine)
        try:
            value, error = _outcome(shared.start(call))
        except BaseException:
            # Ctrl-C, or another exception of a signal handler.
            call.abandon()
            raise
        if error is None:
            return cast("T", value)
        try:
            raise self._presentable(error)
        finally:
            # The traceback holds this frame: without this they would keep each other alive.
            del error, call

    def _refusal(self, name: str) -> ClosedClientError | None:
        if isinstance(threading.current_thread(), LoopThread):
            return ClosedClientError(
                f"{name}() would wait for itself: this code (a hook, a callback or a source) runs on the client's own "
                f"event loop thread. Write: asyncio.get_running_loop().run_in_executor(None, METHOD, ARGUMENT …)"
            )
        return None if self.is_open else ClosedClientError("the client is closed; make a new one")

    def _presentable(self, error: BaseException) -> BaseException:
        if isinstance(error, OutcomeUnknownError) and error.reconcile is not None:
            reconcile = error.reconcile
            error.reconcile = lambda: self.run(reconcile())
        if isinstance(error, AIHubError):
            # Only the frames of the caller are of use.
            return error.with_traceback(None)
        if isinstance(error, RuntimeError) and not threading.main_thread().is_alive():
            return ClosedClientError(f"the process is ending, so no thread can be started: {error}")
        return error

    def close(self) -> None:
        """Close the client; a second call does nothing."""
        if not self.is_open:
            return
        if refusal := self._refusal("close"):
            raise refusal
        closing = self._close()
        if closing is not None:
            concurrent.futures.wait((closing,), CLOSE_GRACE)


def _outcome(future: "concurrent.futures.Future[tuple[T | None, BaseException | None]]") -> tuple[T | None, Any]:
    """Wait for a call, and return its result and what it raised."""
    try:
        error = future.exception()
    except concurrent.futures.CancelledError:
        return None, ClosedClientError("the client was closed, or the process ended, during the call")
    return future.result() if error is None else (None, error)


class Facade:
    """An async object, and the lease of the client that it belongs to."""

    _async: Any
    _owner = True

    def __init__(self, wrapped: Any, lease: Lease) -> None:
        self._bind(wrapped, lease)

    def _bind(self, wrapped: Any, lease: Lease) -> None:
        self._async = wrapped
        self._lease = lease

    def _derive(self, wrapped: Any) -> Self:
        """Return another facade on the same lease; closing it closes nothing."""
        derived = type(self).__new__(type(self))
        derived._bind(wrapped, self._lease)
        derived._owner = False
        return derived

    def _close(self) -> None:
        if self._owner:
            self._lease.close()

    def __repr__(self) -> str:
        # Tracebacks with locals show a client whose construction failed.
        wrapped = getattr(self, "_async", None)
        shown = "that was not made" if wrapped is None else repr(wrapped).partition("(")[2].rstrip(")")
        return f"{type(self).__name__}({shown})"
