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
        self._pages = pages
        self._lease = lease
        self._left: Iterator[T] = iter(())
        self._has_ended = False
        self.answer: Any = None

    def __repr__(self) -> str:
        return repr(self._pages)

    def next_page(self) -> list[T] | None:
        """Return the rest of the current page, else the items of the next one; None after the last."""
        left = list(self._left)
        if left or self._has_ended:
            return left or None
        page = self._lease.run(self._pages.next_page())
        self.answer = getattr(self._pages, "answer", None)
        self._has_ended = page is None
        return page

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        while True:
            for item in self._left:
                return item
            self._left = iter(self.next_page() or ())
            if self._has_ended:
                raise StopIteration

    def close(self) -> None:
        """Stop iterating; a second call does nothing."""
        aclose = self._release()
        if aclose is not None:
            self._lease.run(aclose())

    def _release(self) -> Callable[[], Coroutine[Any, Any, None]] | None:
        had_ended, self._has_ended, self._left = self._has_ended, True, iter(())
        return None if had_ended else getattr(self._pages, "aclose", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        aclose = self._release()
        if aclose is not None and self._lease.is_open:
            shared.post(aclose)
