"""Read the states of many runs from lists, page by page, in a bounded number of requests."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import attrs
import msgspec

from aihub_async import operations as ops
from aihub_async.errors import BadRequestError, NotFoundError, ProtocolError, RequestDetails, UnprocessableError
from aihub_async.models import Run
from aihub_async.models.decode import DecodeError, decode
from aihub_async.models.raw import parse
from aihub_async.policies.polling import MAX_ROUND_REQUESTS
from aihub_async.waiting.entries import Watch
from aihub_async.waiting.pollables import Pollable

S = TypeVar("S")

_FIRST_PAGE_LIMIT = 1000
_MIN_PAGE_LIMIT = 50
_MARGIN = 1
"""Seconds before the oldest start, for clocks of the server that disagree."""
_MAX_UNREADABLE = 8
"""Unreadable lists in a row after which runs are polled one by one: the server has something else there."""


class _Item(msgspec.Struct):
    id: str
    status: str | None = None
    start_timestamp: int | None = None
    tags: list[str] | None = None


class _Listing(msgspec.Struct):
    runs: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


_read_listing = msgspec.json.Decoder(_Listing).decode
_read_item = msgspec.json.Decoder(_Item).decode


@attrs.frozen(slots=True)
class RunSummary:
    """A run in a list, decoded only as far as polling needs. `run()` decodes the rest."""

    id: str
    status: str | None
    start_timestamp: int | None
    tags: list[str] | None
    _raw: msgspec.Raw

    def run(self) -> Run:
        """Return the whole run.

        Raises:
            DecodeError: It has no id.
        """
        return decode(Run, bytes(self._raw))


def run_summaries(body: bytes, *, as_proof: bool = False) -> list[RunSummary]:
    """Decode the runs on a page only as far as polling needs: a page of 1,000 takes a few milliseconds.

    Runs that cannot be read are left out; they are polled one by one.

    Args:
        body: The answer.
        as_proof: Whether an empty list is to prove that there are no more runs: then an answer without `runs`, such as
            a gateway's ``{"error": ...}`` with status 200, is refused instead of read as an empty list.

    Raises:
        DecodeError: The body is not a list of runs.
    """
    try:
        items = _read_listing(body).runs
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        items = _read_leniently(body)
    if items is not msgspec.UNSET:
        return list(_summaries(items))
    if as_proof:
        raise DecodeError("not a list of runs: it has no `runs`")
    return []


def _read_leniently(body: bytes) -> list[msgspec.Raw] | msgspec.UnsetType:
    """Split a page into its runs by Python's `json`: one odd text of a run must not make the page unreadable."""
    answer = parse(body)
    if isinstance(answer, dict) and "runs" not in answer:
        return msgspec.UNSET
    runs = answer["runs"] if isinstance(answer, dict) else None
    if not isinstance(runs, list):
        raise DecodeError("not a list of runs")
    return [msgspec.Raw(json.dumps(run).encode()) for run in runs]


def _summaries(items: list[msgspec.Raw]) -> Iterator[RunSummary]:
    for raw in items:
        item = _item(raw)
        if item is not None:
            yield RunSummary(item.id, item.status, item.start_timestamp, item.tags, raw)


def _item(raw: msgspec.Raw) -> Any:
    """Decode one run strictly, or tolerantly if that fails; None if it cannot be read."""
    try:
        return _read_item(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return decode(Run, bytes(raw))
    except DecodeError:
        return None


class ListReader(Generic[S]):
    """Reads lists for one group, and adapts to what the server allows.

    Attributes:
        pages: How many requests the last reading took.
    """

    def __init__(self, pollable: Pollable[S]) -> None:
        self._pollable = pollable
        # The limit that is requested, 0 if the server refuses every list; and the number of items that the server was
        # seen to return at most although there were more.
        self._page_limit = _FIRST_PAGE_LIMIT
        self._page_cap = 0
        # Where a list that was longer than a round is continued.
        self._offset = 0
        self._unreadable = 0
        self.pages = 1

    @property
    def is_usable(self) -> bool:
        """Whether the server lists runs."""
        return self._pollable.supports_list and self._page_limit > 0

    async def read(
        self, watches: Mapping[str, Watch[S]], received: Callable[[Watch[S], RunSummary], None]
    ) -> tuple[list[Watch[S]], int]:
        """Look for watches in lists of runs, the oldest first: new runs only lengthen the end.

        Args:
            watches: What to look for, by id.
            received: Called for each that is found.

        Returns:
            The watches that were not found, those longest unpolled first, and how many requests the round has left.

        Raises:
            RequestError: A list was refused, or the server could not be reached.
        """
        expected = dict(watches)
        starts = [watch.start for watch in expected.values() if watch.start is not None]
        since = min(starts) - _MARGIN if starts else None
        offset, self._offset = self._offset, 0
        before: list[RunSummary] = []
        self.pages = 0
        while expected and self.pages < MAX_ROUND_REQUESTS - 1:
            page = await self._page(since, offset)
            self.pages += 1
            if not page or (before and page[0].id == before[0].id):
                break
            if before:
                self._page_cap = max(self._page_cap, len(before))
            for summary in page:
                watch = expected.pop(summary.id, None)
                if watch is not None:
                    received(watch, summary)
            offset += len(page)
            if len(page) < self._page_cap:
                break
            before = page
        else:
            self._offset = offset if expected else 0
        return sorted(expected.values(), key=lambda watch: watch.due), MAX_ROUND_REQUESTS - self.pages

    async def _page(self, since: int | None, offset: int) -> list[RunSummary]:
        """Return a page; after a refusal an empty one, and request smaller pages from then on."""
        try:
            answer = await self._pollable.page(since, self._page_limit, offset)
        except (BadRequestError, UnprocessableError, NotFoundError):
            self._page_limit //= 2
            if self._page_limit < _MIN_PAGE_LIMIT:
                self._page_limit = 0
            return []
        try:
            page = run_summaries(answer.body)
        except DecodeError as error:
            self._unreadable += 1
            if self._unreadable >= _MAX_UNREADABLE:
                self._page_limit = 0
            details = RequestDetails(ops.LIST_RUNS.name, ops.LIST_RUNS.method, ops.LIST_RUNS.path)
            raise ProtocolError(str(error), details) from None
        self._unreadable = 0
        return page
