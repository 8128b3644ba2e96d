"""What the generated classes stand on."""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import functools
import importlib
import threading
import warnings
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, cast

from aihub_async.client import AsyncAIHub
from aihub_async.errors import AIHubError, ClosedClientError, OutcomeUnknownError
from aihub_sync._portal import EXIT_GRACE, LoopThread, portal

T = TypeVar("T")
P = ParamSpec("P")

INTERRUPT_GRACE = 0.5
"""Seconds that an interrupted call waits for its clean-up, such as the abort of a multipart upload."""


class Call(Generic[T]):
    """One coroutine on its way to the loop and back."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._thread: LoopThread | None = None
        self._task: asyncio.Task[Any] | None = None
        self._result: T | None = None
        self._error: BaseException | None = None
        # A lock is the cheapest thing that a thread can wait for; it is released once, at the end.
        self._finished = threading.Lock()
        self._finished.acquire()

    def outcome(self) -> tuple[T | None, BaseException | None]:
        """Start, wait for the end, and give the answer or what went wrong; a signal handler may raise out of it."""
        self._thread = thread = portal.enter()
        try:
            thread.ready.wait()
            self._hand_over(thread)
        finally:
            thread.entering.pop()
        self._finished.acquire()
        return self._result, self._error

    def _hand_over(self, thread: LoopThread) -> None:
        context = contextvars.copy_context()
        # anyio asks sniffio, where it is installed, which finds nothing in a callback unless it is named there.
        with contextlib.suppress(ImportError):
            context.run(importlib.import_module("sniffio").current_async_library_cvar.set, "asyncio")
        thread.loop.call_soon_threadsafe(self._begin, thread, context=context)

    def _begin(self, thread: LoopThread) -> None:
        try:
            thread.tasks.start_soon(self._carry)
        except BaseException as error:
            # The caller waits for this call: whatever happens on the loop, it must be released.
            self._coroutine.close()
            self._error = error
            self._finished.release()
            if not isinstance(error, Exception):
                raise

    def abandon(self) -> None:
        """Break off after an interrupt, and wait a moment for the clean-up."""
        if self._thread is None:
            self._coroutine.close()
        elif cleaning := portal.post(self._clean_up(self._thread.interrupted), self._thread):
            concurrent.futures.wait((cleaning,), INTERRUPT_GRACE)

    async def _carry(self) -> None:
        self._task = asyncio.current_task()
        try:
            self._result = await self._coroutine
        except asyncio.CancelledError:
            self._error = ClosedClientError("the client was closed, or the process ended, during the call")
        except BaseException as error:
            self._error = error
            if not isinstance(error, Exception):
                raise
        finally:
            self._finished.release()

    async def _clean_up(self, interrupted: set[asyncio.Task[Any]]) -> None:
        if self._task is None:
            # Interrupted before it was handed over.
            self._coroutine.close()
            return
        self._task.cancel()
        interrupted.add(self._task)
        await asyncio.wait({self._task})
        interrupted.discard(self._task)


class Attached(Protocol):
    """What works with a client, but was made before it."""

    def attach(self, lease: "Lease") -> None:
        """Run on this lease from now on."""


class Lease:
    """Keeps the loop thread for one client, until it is closed or nobody holds it any more."""

    def __init__(self, client: AsyncAIHub, *attached: "Attached | None") -> None:
        portal.clients.add(client)
        self._finalizer = weakref.finalize(self, portal.retire, client)
        self._finalizer.atexit = False
        self._client = client
        for part in attached:
            if part is not None:
                part.attach(self)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for it; an interrupt cancels it."""
        if portal.is_here() or not self._finalizer.alive:
            raise _refusal(coroutine)
        call = Call(coroutine)
        try:
            result, error = call.outcome()
        except BaseException:
            # Ctrl-C, or whatever else a signal handler raised.
            call.abandon()
            raise
        if error is None:
            return cast("T", result)
        try:
            raise self._presentable(error)
        finally:
            # The traceback holds this frame: without this they would keep each other alive.
            del error, call

    def run_later(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the loop without waiting for it; not at all after closing."""
        if self._finalizer.alive:
            portal.post(coroutine)
        else:
            coroutine.close()

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Call a function on the loop without waiting for it."""
        self.run_later(_called(callback))

    def close(self) -> None:
        """Close the client; a second call does nothing."""
        if portal.is_here():
            raise ClosedClientError("close() would wait for itself here, on the client's own event loop thread")
        if self._finalizer.detach() is None:
            return
        closing = portal.retire(self._client)
        if closing is not None:
            concurrent.futures.wait((closing,), 2 * EXIT_GRACE)

    def _presentable(self, error: BaseException) -> BaseException:
        if not isinstance(error, AIHubError):
            return error
        if isinstance(error, OutcomeUnknownError) and error.reconcile is not None:
            error.reconcile = functools.partial(self._reconcile, error.reconcile)
        # Where inside the client it was raised helps nobody; the frames of the caller do.
        return error.with_traceback(None)

    def _reconcile(self, reconcile: Callable[[], Awaitable[T]]) -> T:
        return self.run(_awaited(reconcile))


def _refusal(coroutine: Coroutine[Any, Any, Any]) -> ClosedClientError:
    coroutine.close()
    if not portal.is_here():
        return ClosedClientError("the client is closed; make a new one")
    name = getattr(coroutine, "__qualname__", "the call")
    return ClosedClientError(
        f"{name}() would wait for itself: this code (a hook, a callback or a source) runs on the client's own event "
        f"loop thread. Write: asyncio.get_running_loop().run_in_executor(None, METHOD, ARGUMENT …)"
    )


async def _called(callback: Callable[[], object]) -> None:
    callback()


async def _awaited(make: Callable[[], Awaitable[T]]) -> T:
    return await make()


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
        """Another one on the same lease; closing it ends nothing."""
        derived = type(self).__new__(type(self))
        derived._bind(wrapped, self._lease)
        derived._owner = False
        return derived

    def _repr(self) -> str:
        # Tracebacks with locals show a client whose construction failed.
        wrapped = getattr(self, "_async", None)
        shown = "that was not made" if wrapped is None else repr(wrapped).partition("(")[2].rstrip(")")
        return f"{type(self).__name__}({shown})"

    def _close(self) -> None:
        if self._owner:
            self._lease.close()


class AsyncPages(Protocol[T]):
    """The one shape of async iterators."""

    async def next_page(self) -> list[T] | None:
        """The next items, or None."""


class Pages(Iterator[T]):
    """The items of all pages: `for item in pages`, or page by page with `pages.next_page()`.

    Holds one page at a time. Iterating goes on where it stopped. It may be left half-way; `close()`, or the end of a
    `with` block, then lets go at once of what it still holds. For one thread at a time.

    Raises:
        PaginationError: a page repeats itself, or more is promised and nothing comes.
    """

    def __init__(self, pages: AsyncPages[T], lease: Lease) -> None:
        self._pages: AsyncPages[T] | None = pages
        self._lease = lease
        self._left: Iterator[T] = iter(())

    def next_page(self) -> list[T] | None:
        """What is left of the current page, else the items of the next one; None after the last."""
        left = list(self._left)
        if left or self._pages is None:
            return left or None
        page = self._lease.run(self._pages.next_page())
        if page is None:
            self._pages = None
        return page

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        while True:
            for item in self._left:
                return item
            page = self.next_page()
            if page is None:
                raise StopIteration
            self._left = iter(page)

    def close(self) -> None:
        """Stop; a second call does nothing."""
        aclose = self._let_go()
        if aclose is not None:
            self._lease.run(aclose())

    def _let_go(self) -> Callable[[], Coroutine[Any, Any, None]] | None:
        pages, self._pages, self._left = self._pages, None, iter(())
        return getattr(pages, "aclose", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        aclose = self._let_go()
        if aclose is not None:
            self._lease.run_later(aclose())


def renamed(**names: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Accept keywords under the names that older versions of the official SDK gave them: `renamed(old="new")`."""

    def decorate(method: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(method)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            if not kwargs.keys().isdisjoint(names):
                _rename(method.__qualname__, kwargs, names)
            return method(*args, **kwargs)

        return wrapper

    return decorate


def _rename(method: str, kwargs: dict[str, Any], names: dict[str, str]) -> None:
    for old in names.keys() & kwargs.keys():
        new = names[old]
        if new in kwargs:
            raise TypeError(f"{method}() got {old}=, the old name of {new}=, beside {new}= itself")
        warnings.warn(f"{method}(): {old}= is now {new}=", DeprecationWarning, stacklevel=3)
        kwargs[new] = kwargs.pop(old)


class _Hidden(str):
    """Text that tracebacks with local variables do not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def hidden(text: str | None) -> str | None:
    """Keep a secret out of tracebacks that show local variables."""
    return _Hidden(text) if isinstance(text, str) else text


def warn_of_debug(debug: bool | None) -> None:
    """The official SDK's switch; its output showed the API key."""
    if debug is not None:
        warnings.warn(
            'AIHub(): debug= has no effect; write logging.getLogger("aihub_async").setLevel(logging.DEBUG)',
            DeprecationWarning,
            stacklevel=3,
        )
