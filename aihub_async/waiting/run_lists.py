"""Finding many runs in lists, page by page, in a bounded number of requests."""

from collections.abc import Callable
from typing import TypeVar

from aihub_async.errors import BadRequestError, NotFoundError, UnprocessableError
from aihub_async.models.decode import DecodeError
from aihub_async.policies.polling import MAX_ROUND_REQUESTS
from aihub_async.waiting.entries import Group, Watch
from aihub_async.waiting.pollables import RunSummary, run_summaries

S = TypeVar("S")

_SMALLEST_PAGE = 50
_MARGIN = 1
"""Seconds before the oldest start, for clocks of the server that disagree."""


async def read_lists(
    group: Group[S], summary_received: Callable[[Watch[S], RunSummary], None]
) -> tuple[list[Watch[S]], int]:
    """Look for all watches of a group in lists of runs, the oldest first: new runs only lengthen the end.

    A list that is longer than a round may take is gone on with in the next round.

    Returns:
        The watches that were not found, those longest unasked first, and how many requests the round has left.

    Raises:
        RequestError: a list could not be had.
    """
    expected = dict(group.watches)
    starts = [watch.start for watch in expected.values() if watch.start is not None]
    since = min(starts) - _MARGIN if starts else None
    offset, group.offset = group.offset, 0
    before: list[RunSummary] = []
    pages = 0
    while expected and pages < MAX_ROUND_REQUESTS - 1:
        page = await _page(group, since, offset)
        pages += 1
        if not page or (before and page[0].id == before[0].id):
            break
        if before:
            group.page_cap = max(group.page_cap, len(before))
        for summary in page:
            watch = expected.pop(summary.id, None)
            if watch is not None:
                summary_received(watch, summary)
        offset += len(page)
        if len(page) < group.page_cap:
            break
        before = page
    else:
        group.offset = offset if expected else 0
    group.pages = pages
    return sorted(expected.values(), key=lambda watch: watch.due), MAX_ROUND_REQUESTS - pages


async def _page(group: Group[S], since: int | None, offset: int) -> list[RunSummary]:
    """A page; after a refusal an empty one, and smaller pages from then on."""
    try:
        answer = await group.source.page(since, group.page_limit, offset)
        return run_summaries(answer.body)
    except (BadRequestError, UnprocessableError, NotFoundError, DecodeError):
        group.page_limit //= 2
        if group.page_limit < _SMALLEST_PAGE:
            group.page_limit = 0
        return []
