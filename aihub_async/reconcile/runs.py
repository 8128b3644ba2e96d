"""Finding runs again by the tag that they were started with."""

import itertools
import logging
from uuid import uuid4

import anyio
import attrs

from aihub_async.clock import Clock
from aihub_async.errors import BadRequestError, UnprocessableError
from aihub_async.limits import MAX_TAGS_LENGTH
from aihub_async.models import Run
from aihub_async.models.decode import DecodeError
from aihub_async.reconcile.once import Inconclusive, NotCreated, server_time_of
from aihub_async.transport.messages import Response
from aihub_async.waiting.pollables import RunSource, RunSummary, run_summaries, start_seconds

logger = logging.getLogger("aihub_async")

TAG_PREFIX = "aihub-sdk:"
_SHORT_PAGE = 100
"""The first page: what was just started stands at its top."""
_LONG_PAGE = 1000
_MOST_PAGES = 50
_MARGIN = 60
"""Seconds that the server's clocks may disagree among each other."""


def with_tag(tags: list[str]) -> tuple[list[str], str | None]:
    """The tags with one that nobody else has, and that one; None if 500 characters have no room for it."""
    tag = f"{TAG_PREFIX}{uuid4().hex}"
    if sum(map(len, tags)) + len(tag) > MAX_TAGS_LENGTH:
        return tags, None
    return [*tags, tag], tag


@attrs.frozen
class RunLookup:
    """A run that may have been started: its tag, its input, and when it was first sent (monotonic clock)."""

    tag: str
    began: float
    batch_id: int | None = None
    input_dir: str | None = None

    def may_be(self, run: Run) -> bool:
        """Whether a run that the server lists without any tags may be this one."""
        if self.batch_id is not None:
            return run.batch_id == self.batch_id
        if self.input_dir is not None and run.input_dir is not None:
            return run.input_dir.strip("/") == self.input_dir.strip("/")
        return True


@attrs.define
class _Snapshot:
    number: int
    tagged: dict[str, list[RunSummary]] = attrs.field(factory=dict)
    untagged: list[RunSummary] = attrs.field(factory=list)
    complete: bool = False

    def take(self, page: list[RunSummary]) -> None:
        for summary in page:
            if summary.tags is None:
                self.untagged.append(summary)
            for tag in summary.tags or ():
                if tag.startswith(TAG_PREFIX):
                    self.tagged.setdefault(tag, []).append(summary)


class RunFinder:
    """Looks runs up by tag. Those who look at the same time share one reading of the lists."""

    def __init__(self, source: RunSource, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._lock = anyio.Lock()
        self._begun = 0
        self._sought: list[tuple[RunLookup, bool]] = []
        self._latest = _Snapshot(0)

    async def find(self, lookup: RunLookup, *, thorough: bool) -> Run:
        """The run with the tag; a look that need not be thorough reads only the newest runs.

        Raises:
            AbsentError: no list since before it was sent has it.
            UndecidedError: the lists cannot tell.
            RequestError: the lists could not be had.
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
        asked = self._begun
        self._sought.append((lookup, thorough))
        try:
            async with self._lock:
                # One that was begun before the question was asked may lack what is asked for.
                if self._latest.number <= asked:
                    self._latest = await self._read(list(self._sought))
                return self._latest
        finally:
            self._sought.remove((lookup, thorough))
            if not self._sought:
                self._latest = _Snapshot(self._latest.number)

    async def _read(self, sought: list[tuple[RunLookup, bool]]) -> _Snapshot:
        self._begun += 1
        snapshot = _Snapshot(self._begun)
        cutoff: float | None = None
        offset = 0
        for number in range(_MOST_PAGES):
            answer = await self._page(offset)
            if number == 0:
                moment = server_time_of(min(lookup.began for lookup, _ in sought), answer, self._clock)
                cutoff = None if moment is None else moment - _MARGIN
            try:
                page = run_summaries(answer.body)
            except DecodeError:
                return snapshot
            snapshot.take(page)
            offset += len(page)
            over = not page or (cutoff is not None and _reaches(page, cutoff))
            if over or all(lookup.tag in snapshot.tagged or not thorough for lookup, thorough in sought):
                snapshot.complete = over
                return snapshot
        return snapshot

    async def _page(self, offset: int) -> Response:
        limit = _LONG_PAGE if offset else _SHORT_PAGE
        try:
            return await self._source.page(None, limit, offset, newest_first=True)
        except (BadRequestError, UnprocessableError):
            return await self._source.page(None, _SHORT_PAGE, offset, newest_first=True)


def _reaches(page: list[RunSummary], cutoff: float) -> bool:
    """Whether a page of runs, the newest first as asked for, goes back to before the cutoff."""
    starts = [start_seconds(summary.start_timestamp) for summary in page]
    known = [start for start in starts if start is not None]
    in_order = len(known) == len(starts) and all(earlier >= later for earlier, later in itertools.pairwise(known))
    return in_order and known[-1] < cutoff
