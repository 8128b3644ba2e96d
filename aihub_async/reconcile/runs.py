"""Find runs by the tags that they were started with."""

import itertools
import logging
from collections.abc import AsyncIterable, Callable, Iterable
from uuid import uuid4

import anyio
import attrs

from aihub_async.clock import Clock
from aihub_async.errors import BadRequestError, UnprocessableError
from aihub_async.limits import MAX_TAGS_LENGTH
from aihub_async.models import BatchInfo, Run
from aihub_async.models.decode import DecodeError
from aihub_async.reconcile.once import Inconclusive, NotCreated, UnreadableList, server_time_at
from aihub_async.transport.messages import Response
from aihub_async.waiting.pollables import RunPollable, start_seconds
from aihub_async.waiting.run_lists import RunSummary, run_summaries

logger = logging.getLogger("aihub_async")

TAG_PREFIX = "aihub-sdk:"
_SHORT_PAGE = 100
"""The first page: what was just started is at its top."""
_LONG_PAGE = 1000
_MAX_PAGES = 50
_MARGIN = 60
"""Seconds by which the clocks of the server's machines may disagree."""
_MIN_INTERVAL = 0.5
"""Minimum seconds between two readings of the lists: lookups in between share the later one."""


def with_tag(tags: list[str]) -> tuple[list[str], str | None]:
    """Return the tags with a unique one added, and that one; None if the limit on all tags leaves no room for it."""
    tag = f"{TAG_PREFIX}{uuid4().hex}"
    if sum(map(len, tags)) + len(tag) > MAX_TAGS_LENGTH:
        return tags, None
    return [*tags, tag], tag


async def find_tagged(
    list_since: Callable[[int], AsyncIterable[Run]], prefix: str, batches: Iterable[BatchInfo]
) -> dict[str, str]:
    """Find all runs of some batches that have a tag with a prefix, such as those of a bulk job that was killed.

    A run is never older than its batch. The creation time of the oldest batch, by the server's own clock, bounds the
    search; this machine's calendar may be wrong by hours.

    Args:
        list_since: Lists all runs since a time in Unix seconds. The oldest must come first: runs that start meanwhile
            are appended, and move nothing to another page.
        prefix: The beginning of the tags.
        batches: The batches.

    Returns:
        The id of the first run with each tag.

    Raises:
        RequestError: A list was refused.
    """
    created = [batch.created_at_ms or 0 for batch in batches]
    found: dict[str, str] = {}
    async for run in list_since(max(min(created, default=0) // 1000 - _MARGIN, 1)):
        for tag in run.tags or ():
            if tag.startswith(prefix):
                found.setdefault(tag, run.id)
    return found


@attrs.frozen
class RunLookup:
    """A run that may have been started: its tag, its input, and when it was first sent (monotonic clock)."""

    tag: str
    began: float
    batch_id: int | None = None
    input_dir: str | None = None

    def may_be(self, run: Run) -> bool:
        """Return whether a run that the server lists without any tags may be this one."""
        if self.batch_id is not None:
            return run.batch_id == self.batch_id
        if self.input_dir is not None and run.input_dir is not None:
            return run.input_dir.strip("/") == self.input_dir.strip("/")
        return True


@attrs.define
class _Snapshot:
    """What one reading of the lists has found; `complete` if it reaches back to before all that is sought."""

    number: int
    tagged: dict[str, list[RunSummary]] = attrs.field(factory=dict)
    untagged: list[RunSummary] = attrs.field(factory=list)
    complete: bool = False

    def add(self, page: list[RunSummary]) -> None:
        for summary in page:
            if summary.tags is None:
                self.untagged.append(summary)
            for tag in summary.tags or ():
                if tag.startswith(TAG_PREFIX):
                    self.tagged.setdefault(tag, []).append(summary)


class RunFinder:
    """Looks up runs by tag. Concurrent lookups share one reading of the lists, at most two readings a second."""

    def __init__(self, runs: RunPollable, clock: Clock) -> None:
        self._runs = runs
        self._clock = clock
        self._lock = anyio.Lock()
        self._begun = 0
        self._next_reading = float("-inf")
        self._sought: list[tuple[RunLookup, bool]] = []
        self._latest = _Snapshot(0)

    async def find(self, lookup: RunLookup, *, thorough: bool) -> Run:
        """Return the run with the tag; a lookup that is not thorough reads only the newest runs.

        Raises:
            NotCreated: No list since before the request was sent has it.
            Inconclusive: The lists are incomplete, or show runs without tags that may be it.
            RequestError: A list was refused.
        """
        snapshot = await self._snapshot(lookup, thorough=thorough)
        found = {summary.id: summary for summary in snapshot.tagged.get(lookup.tag, ())}
        if len(found) > 1:
            logger.error("runs %s were started by one submission; delete all but one", ", ".join(found))
        if found:
            return min(found.values(), key=lambda summary: summary.start_timestamp or 0).run()
        # A server that does not keep tags shows runs without any; one of them may be ours.
        if not snapshot.complete or any(lookup.may_be(summary.run()) for summary in snapshot.untagged):
            raise Inconclusive
        raise NotCreated

    async def _snapshot(self, lookup: RunLookup, *, thorough: bool) -> _Snapshot:
        begun_before = self._begun
        self._sought.append((lookup, thorough))
        try:
            async with self._lock:
                # A reading that had begun before this lookup may lack the run.
                if self._latest.number <= begun_before:
                    await self._pause()
                    self._latest = await self._read(list(self._sought))
                return self._latest
        finally:
            self._sought.remove((lookup, thorough))
            if not self._sought:
                self._latest = _Snapshot(self._latest.number)

    async def _pause(self) -> None:
        pause = self._next_reading - self._clock.monotonic()
        if pause > 0:
            await self._clock.sleep(pause)
        self._next_reading = self._clock.monotonic() + _MIN_INTERVAL

    async def _read(self, sought: list[tuple[RunLookup, bool]]) -> _Snapshot:
        self._begun += 1
        snapshot = _Snapshot(self._begun)
        cutoff: float | None = None
        offset = 0
        for number in range(_MAX_PAGES):
            answer = await self._page(offset)
            if number == 0:
                moment = server_time_at(min(lookup.began for lookup, _ in sought), answer, self._clock)
                cutoff = None if moment is None else moment - _MARGIN
            page = _decoded(answer)
            snapshot.add(page)
            offset += len(page)
            at_end = not page or (cutoff is not None and _reaches(page, cutoff))
            if at_end or all(lookup.tag in snapshot.tagged or not thorough for lookup, thorough in sought):
                snapshot.complete = at_end
                return snapshot
        return snapshot

    async def _page(self, offset: int) -> Response:
        limit = _LONG_PAGE if offset else _SHORT_PAGE
        try:
            return await self._runs.page(None, limit, offset, newest_first=True)
        except (BadRequestError, UnprocessableError):
            return await self._runs.page(None, _SHORT_PAGE, offset, newest_first=True)


def _decoded(answer: Response) -> list[RunSummary]:
    try:
        return run_summaries(answer.body, as_proof=True)
    except DecodeError:
        raise UnreadableList from None


def _reaches(page: list[RunSummary], cutoff: float) -> bool:
    """Return whether a page of runs, sorted with the newest first, reaches back to before the cutoff."""
    starts = [start_seconds(summary.start_timestamp) for summary in page]
    known = [start for start in starts if start is not None]
    in_order = len(known) == len(starts) and all(earlier >= later for earlier, later in itertools.pairwise(known))
    return in_order and known[-1] < cutoff
