"""All pages of a list."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import anyio
import attrs

from aihub_async.errors import PaginationError, ProtocolError, RequestDetails
from aihub_async.models.raw import KeepsRaw
from aihub_async.operations import Operation

T = TypeVar("T")

_REPEATED = "the server repeats a page; does it ignore the offset? Servers of 2024 need api_version='2024'"


@attrs.frozen
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        items: the items.
        next: the cursor of the next page; None at the end.
        short: whether they are fewer than were requested.
        answer: the whole answer, where it has more than the items.
    """

    items: list[T]
    next: str | int | None
    short: bool = False
    answer: Any = None


class Pages(Generic[T]):
    """The items of all pages: `async for item in pages`, or page by page with `await pages.next_page()`.

    Holds two pages at most. Iteration continues where it stopped.

    Attributes:
        answer: the last answer, of lists whose answers have more than the items: `RunResults` with its `case_info` for
            the results of a run. None before the first page.

    Raises:
        PaginationError: a page repeats itself, or the server promises more items and sends none.
    """

    answer: Any = None

    def __init__(
        self,
        operation: Operation,
        fetch: Callable[[str | int | None], Awaitable[Page[T]]],
        *,
        start: str | int | None = None,
        key: Callable[[T], object] | None = None,
    ) -> None:
        self._operation = operation
        self._fetch = fetch
        self._key = key
        self._cursor = start
        self._last_keys: frozenset[object] = frozenset()
        self._last_items: list[T] = []
        self._seen: set[str | int] = set()
        self._done = False

    async def next_page(self) -> list[T] | None:
        """Return the items of the next page, or None after the last one."""
        if self._done:
            return None
        page = await self._fetch(self._cursor)
        self.answer = page.answer
        items = self._new_items(page)
        if page.next is None or self._done:
            self._done = True
            return items
        if page.next in self._seen or page.next == self._cursor:
            raise self._error("the server returned the same cursor twice")
        if not items:
            raise self._error("the server promises more items and returned an empty page")
        self._seen.add(page.next)
        self._cursor = page.next
        return items

    def _new_items(self, page: Page[T]) -> list[T]:
        """Drop items of the previous page: lists by offset shift when something is added meanwhile."""
        if self._key is None:
            if page.items and page.items == self._last_items:
                raise self._error(_REPEATED)
            self._last_items = page.items
            return page.items
        keys = [self._key(item) for item in page.items]
        items = [item for item, key in zip(page.items, keys, strict=True) if key not in self._last_keys]
        if keys and not items:
            if not page.short:
                raise self._error(_REPEATED)
            # The end of a list that grew at its beginning meanwhile, as the audit log does with every request.
            self._done = True
        self._last_keys = frozenset(keys)
        return items

    def _error(self, message: str) -> PaginationError:
        operation = self._operation
        return PaginationError(message, RequestDetails(operation.name, operation.method, operation.path))

    def __repr__(self) -> str:
        state = "all read" if self._done else f"{len(self._seen)} read" if self._seen else "none read yet"
        return f"<{type(self).__name__} of {self._operation.name}: {state}>"

    async def __aiter__(self) -> AsyncIterator[T]:
        while (items := await self.next_page()) is not None:
            for item in items:
                yield item


class OutcomePages(ABC, Generic[T]):
    """The outcomes of concurrent work as they happen: `async for outcome in outcomes`, or `await outcomes.next_page()`.

    Leaving the loop early, the end of an `async with` block, or `aclose()` cancels what is in flight.
    """

    @abstractmethod
    async def next_page(self) -> list[T] | None:
        """Return the outcomes since the last call, waiting for at least one; None when there are no more."""

    @abstractmethod
    async def aclose(self) -> None:
        """Cancel what is in flight and wait until it has ended. A second call does nothing."""

    async def __aiter__(self) -> AsyncIterator[T]:
        try:
            while (page := await self.next_page()) is not None:
                for outcome in page:
                    yield outcome
        finally:
            await self.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


async def cancel_all(tasks: "Iterable[asyncio.Task[None]]") -> None:
    """Cancel tasks and wait until they have ended, even if the caller is cancelled meanwhile."""
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    if running:
        with anyio.CancelScope(shield=True):
            await asyncio.wait(running)


def listed(operation: Operation, answer: KeepsRaw, items: list[T], *names: str) -> list[T]:
    """Return the items of a page whose answer has one of these names.

    Raises:
        ProtocolError: The answer is an object of another kind, such as a gateway's ``{"error": ...}`` with status 200;
            read as an empty page, it would silently end the list.
    """
    if items or not answer.raw or any(name in answer.raw for name in names):
        return items
    message = f"the answer has no `{names[0]}`, so it is not the end of the list"
    raise ProtocolError(message, RequestDetails(operation.name, operation.method, operation.path))


def offset_page(items: list[T], offset: int, limit: int) -> Page[T]:
    """Return a page of a list without `has_more`: only an empty page is the end, for the server may cap the limit."""
    return Page(items, offset + len(items) if items else None, short=len(items) < limit)
