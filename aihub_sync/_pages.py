"""Iteration over the pages of a list, with one hand-off a page."""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Protocol, Self, TypeVar

from aihub_sync._facade import Lease
from aihub_sync._portal import shared

T = TypeVar("T")


class AsyncPages(Protocol[T]):
    """What every async iterator of the client can do."""

    async def next_page(self) -> list[T] | None:
        """Return the next items, or None after the last."""


class Pages(Iterator[T]):
    """The items of all pages: `for item in pages`, or page by page with `pages.next_page()`.

    Holds one page at a time. `answer` is the last answer of lists whose answers have more than the items, such as the
    `case_info` of a run's results. Iteration continues where it stopped. `close()`, or the end of a `with` block,
    releases what a partly read iterator still holds. Not thread-safe.

    Raises:
        PaginationError: a page repeats itself, or the server promises more items and sends none.
    """

    def __init__(self, pages: AsyncPages[T], lease: Lease) -> None:
        self._pages: AsyncPages[T] | None = pages
        self._lease = lease
        self._left: Iterator[T] = iter(())
        self.answer: Any = None
        self._text = repr(pages)

    def __repr__(self) -> str:
        return self._text if self._pages is None else repr(self._pages)

    def next_page(self) -> list[T] | None:
        """Return the rest of the current page, else the items of the next one; None after the last."""
        left = list(self._left)
        if left or self._pages is None:
            return left or None
        page = self._lease.run(self._pages.next_page())
        self.answer = getattr(self._pages, "answer", None)
        self._text = repr(self._pages)
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
        """Stop iterating; a second call does nothing."""
        aclose = self._release()
        if aclose is not None:
            self._lease.run(aclose())

    def _release(self) -> Callable[[], Coroutine[Any, Any, None]] | None:
        pages, self._pages, self._left = self._pages, None, iter(())
        return getattr(pages, "aclose", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        aclose = self._release()
        if aclose is not None and self._lease.is_open:
            shared.post(aclose)
