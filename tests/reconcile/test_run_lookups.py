"""Runs by their tags: which lists are read, how far, and what they prove."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest

from aihub_async.models import BatchInfo, Run
from aihub_async.reconcile.once import Inconclusive, NotCreated, UnreadableList
from aihub_async.reconcile.runs import TAG_PREFIX, RunFinder, RunLookup, find_tagged, with_tag
from aihub_async.transport.messages import Response
from aihub_async.waiting.pollables import RunPollable
from tests.reconcile.conftest import SERVER, PassingTime, refused

TAG = f"{TAG_PREFIX}ours"
NANOSECONDS = 10**9


@attrs.define(eq=False)
class Lists:
    """A server's lists of runs, the newest first."""

    time: PassingTime
    runs: list[dict[str, Any]] = attrs.field(factory=list)
    pages: list[tuple[int, int]] = attrs.field(factory=list)
    moments: list[float] = attrs.field(factory=list)
    dated: bool = True
    longest: int = 1000
    refusal: int = 400
    body: bytes | None = None
    gate: asyncio.Event | None = None
    endless: bool = False

    def add(self, *tags: str, start: float | None = 0.0, untagged: bool = False, **fields: Any) -> str:
        """Add a run that started so many seconds after the test began."""
        number = f"run-{len(self.runs)}"
        nanoseconds = None if start is None else int((SERVER + start) * NANOSECONDS)
        run = {"id": number, "start_timestamp": nanoseconds, "tags": None if untagged else list(tags), **fields}
        self.runs.append(run)
        return number

    def fill(self, count: int, start: float = 0.0) -> None:
        for _ in range(count):
            self.add(start=start)

    async def _one(self, run_id: str) -> Run:
        raise AssertionError(f"nobody asks for {run_id}")

    async def _page(self, since: int | None, limit: int, offset: int, newest_first: bool) -> Response:
        assert (since, newest_first) == (None, True)
        self.pages.append((limit, offset))
        self.moments.append(self.time.passed)
        if limit > self.longest:
            raise refused(self.refusal)
        if self.gate is not None:
            await self.gate.wait()
        if self.body is not None:
            return self.time.answer(self.body)
        listed = self.runs[:1] if self.endless else self.runs[offset : offset + limit]
        return self.time.answer({"runs": listed}, date=self.dated)

    def finder(self) -> RunFinder:
        return RunFinder(RunPollable(self, self._one, self._page), self.time.clock)


@pytest.fixture
def lists(time: PassingTime) -> Lists:
    return Lists(time)


def lookup(tag: str = TAG, began: float = 1000.0, **fields: Any) -> RunLookup:
    return RunLookup(tag, began, **fields)


# Tags


def test_a_tag_is_unique_and_kept_with_the_others() -> None:
    tags, tag = with_tag(["march"])
    assert tag is not None
    assert tags == ["march", tag]
    assert tag.startswith("aihub-sdk:")
    assert len(tag) == 42
    assert with_tag(["march"])[1] != tag


@pytest.mark.parametrize(("lengths", "fits"), [([458], True), ([459], False), ([200, 258], True), ([200, 259], False)])
def test_a_tag_that_would_exceed_the_limit_is_left_out(lengths: list[int], fits: bool) -> None:
    given = ["x" * length for length in lengths]
    tags, tag = with_tag(given)
    assert tags == (given if tag is None else [*given, tag])
    assert (tag is not None) is fits


# All runs of a job


async def tagged(runs: list[Run], batches: list[BatchInfo]) -> tuple[dict[str, str], int]:
    since: list[int] = []

    async def list_since(moment: int) -> AsyncIterator[Run]:
        since.append(moment)
        for run in runs:
            yield run

    return await find_tagged(list_since, "job:", batches), since[0]


async def test_the_first_run_of_each_tag_of_a_job_is_found() -> None:
    runs = [
        Run(id="a", tags=["march", "job:1"]),
        Run(id="b", tags=None),
        Run(id="c", tags=["job:2", "job:1"]),
        Run(id="d", tags=["my job:3"]),
    ]
    found, _ = await tagged(runs, [])
    assert found == {"job:1": "a", "job:2": "c"}


@pytest.mark.parametrize(
    ("created", "since"), [([5_000_999, 9_000_000], 4940), ([60_999], 1), ([62_000, None], 1), ([61_999], 1), ([], 1)]
)
async def test_runs_are_never_older_than_their_batches(created: list[int | None], since: int) -> None:
    batches = [BatchInfo(number, created_at_ms=moment) for number, moment in enumerate(created)]
    assert (await tagged([], batches))[1] == since


# One run


async def test_a_run_at_the_top_takes_one_short_page(lists: Lists) -> None:
    lists.add("march")
    lists.add("march", TAG, status="RUNNING")
    lists.fill(500)
    run = await lists.finder().find(lookup(), thorough=True)
    assert (run.id, run.status) == ("run-1", "RUNNING")
    assert lists.pages == [(100, 0)]


async def test_a_lookup_that_is_not_thorough_reads_the_newest_only(lists: Lists) -> None:
    lists.fill(150)
    lists.add(TAG)
    with pytest.raises(Inconclusive):
        await lists.finder().find(lookup(), thorough=False)
    assert lists.pages == [(100, 0)]


async def test_a_thorough_lookup_reads_on_in_long_pages(lists: Lists) -> None:
    lists.fill(1150)
    found = lists.add(TAG)
    lists.fill(2000)
    assert (await lists.finder().find(lookup(), thorough=True)).id == found
    assert lists.pages == [(100, 0), (1000, 100), (1000, 1100)]


async def test_absence_is_proven_by_the_end_of_the_list(lists: Lists) -> None:
    lists.add(f"{TAG}-longer", "ours", TAG[:-1])
    with pytest.raises(NotCreated):
        await lists.finder().find(lookup(), thorough=True)
    assert lists.pages == [(100, 0), (1000, 1)]


@pytest.mark.parametrize("thorough", [True, False])
async def test_an_empty_list_proves_absence(lists: Lists, thorough: bool) -> None:
    with pytest.raises(NotCreated):
        await lists.finder().find(lookup(), thorough=thorough)
    assert lists.pages == [(100, 0)]


@pytest.mark.parametrize(("start", "pages"), [(-61, 1), (-60, 3), (-59, 3)])
async def test_runs_since_a_minute_before_the_request_prove_absence(lists: Lists, start: float, pages: int) -> None:
    """The clocks of the server's machines may disagree by a minute."""
    lists.fill(99, start=5)
    lists.add(start=start)
    lists.fill(10, start=start)
    with pytest.raises(NotCreated):
        await lists.finder().find(lookup(), thorough=True)
    assert len(lists.pages) == pages


async def test_the_age_of_runs_is_by_the_servers_clock(lists: Lists, time: PassingTime) -> None:
    time.time += 300
    lists.fill(99, start=5)
    lists.add(start=-61)
    lists.fill(10, start=-61)
    with pytest.raises(NotCreated):
        await lists.finder().find(lookup(began=1000), thorough=True)
    assert len(lists.pages) == 1
    lists.pages.clear()
    with pytest.raises(NotCreated):
        await lists.finder().find(lookup(began=900), thorough=True)
    assert len(lists.pages) == 3, "this one was sent before those runs"


@pytest.mark.parametrize("newest", [-1000, None])
async def test_a_list_that_is_not_in_order_is_read_to_its_end(lists: Lists, newest: float | None) -> None:
    lists.add(start=newest)
    lists.fill(98, start=5)
    lists.add(start=-1000)
    lists.fill(10, start=-1000)
    found = lists.add(TAG)
    assert (await lists.finder().find(lookup(), thorough=True)).id == found
    assert len(lists.pages) == 2


async def test_runs_without_starts_prove_nothing_about_order(lists: Lists) -> None:
    for _ in range(100):
        lists.add(start=None)
    found = lists.add(TAG)
    assert (await lists.finder().find(lookup(), thorough=True)).id == found


async def test_without_a_date_of_the_server_the_list_is_read_to_its_end(lists: Lists) -> None:
    lists.dated = False
    lists.fill(100, start=-5000)
    found = lists.add(TAG)
    assert (await lists.finder().find(lookup(), thorough=True)).id == found


async def test_a_list_without_an_end_proves_nothing(lists: Lists) -> None:
    lists.endless = True
    lists.add()
    with pytest.raises(Inconclusive):
        await lists.finder().find(lookup(), thorough=True)
    assert len(lists.pages) == 50


@pytest.mark.parametrize("refusal", [400, 422])
async def test_a_server_that_refuses_long_pages_gets_short_ones(lists: Lists, refusal: int) -> None:
    lists.longest, lists.refusal = 100, refusal
    lists.fill(150)
    found = lists.add(TAG)
    assert (await lists.finder().find(lookup(), thorough=True)).id == found
    assert lists.pages == [(100, 0), (1000, 100), (100, 100)]


async def test_another_refusal_is_raised(lists: Lists) -> None:
    lists.longest, lists.refusal = 100, 503
    lists.fill(150)
    with pytest.raises(type(refused(503))):
        await lists.finder().find(lookup(), thorough=True)
    assert len(lists.pages) == 2


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"error": "try later"}', b'{"runs": null}', b'{"runs": {}}'])
async def test_a_page_that_is_no_list_is_unreadable(lists: Lists, body: bytes) -> None:
    """A gateway's error with status 200 must not prove that the run was not started: it would start twice."""
    lists.body = body
    with pytest.raises(UnreadableList):
        await lists.finder().find(lookup(), thorough=True)


# Servers that keep no tags


@pytest.mark.parametrize(
    ("sought", "run", "may_be"),
    [
        ({}, {}, True),
        ({"batch_id": 7}, {"batch_id": 7}, True),
        ({"batch_id": 7}, {"batch_id": 8}, False),
        ({"batch_id": 7}, {}, False),
        ({"input_dir": "acme/in"}, {"input_dir": "/acme/in/"}, True),
        ({"input_dir": "/acme/in/"}, {"input_dir": "acme/in"}, True),
        ({"input_dir": "acme/in"}, {"input_dir": "acme/input"}, False),
        ({"input_dir": "acme/in"}, {"input_dir": "acme/in/X"}, False),
        ({"input_dir": "acme/in/X"}, {"input_dir": "acme/in"}, False),
        ({"input_dir": "acme/in"}, {}, True),
        ({}, {"input_dir": "acme/in"}, True),
        ({"batch_id": 7, "input_dir": "a"}, {"batch_id": 7, "input_dir": "b"}, True),
    ],
)
async def test_a_run_without_tags_may_be_the_one(
    lists: Lists, sought: dict[str, Any], run: dict[str, Any], may_be: bool
) -> None:
    lists.add(untagged=True, **run)
    with pytest.raises((Inconclusive, NotCreated)) as caught:
        await lists.finder().find(lookup(**sought), thorough=True)
    assert isinstance(caught.value, Inconclusive) is may_be


async def test_runs_with_other_tags_or_an_empty_list_of_them_are_not_the_one(lists: Lists) -> None:
    lists.add()
    lists.add("march")
    with pytest.raises(NotCreated):
        await lists.finder().find(lookup(), thorough=True)


async def test_a_tagged_run_counts_beside_runs_without_tags(lists: Lists) -> None:
    lists.add(untagged=True)
    found = lists.add(TAG)
    assert (await lists.finder().find(lookup(), thorough=True)).id == found


# Two runs of one submission


async def test_of_two_runs_the_earlier_is_taken_and_the_other_reported(
    lists: Lists, caplog: pytest.LogCaptureFixture
) -> None:
    for start in (9, 7, 8):
        lists.add(TAG, start=start)
    assert (await lists.finder().find(lookup(), thorough=True)).id == "run-1"
    expected = "runs run-0, run-1, run-2 were started by one submission; delete all but one"
    assert caplog.record_tuples == [("aihub_async", logging.ERROR, expected)]


async def test_a_run_that_has_not_started_comes_first(lists: Lists, caplog: pytest.LogCaptureFixture) -> None:
    lists.add(TAG, start=-SERVER)
    waiting = lists.add(TAG, start=None)
    lists.runs[0]["start_timestamp"] = 1
    assert (await lists.finder().find(lookup(), thorough=True)).id == waiting
    assert len(caplog.records) == 1


async def test_a_run_that_is_listed_twice_is_one_run(lists: Lists, caplog: pytest.LogCaptureFixture) -> None:
    lists.add(TAG)
    lists.runs.append(lists.runs[0])
    assert (await lists.finder().find(lookup(), thorough=True)).id == "run-0"
    assert not caplog.records


# Many lookups


@pytest.mark.parametrize(("passed", "pause"), [(0.0, 0.5), (0.375, 0.125), (0.5, 0.0), (3.0, 0.0)])
async def test_lists_are_read_twice_a_second_at_most(
    lists: Lists, time: PassingTime, passed: float, pause: float
) -> None:
    finder = lists.finder()
    lists.add(TAG)
    await finder.find(lookup(), thorough=True)
    time.time += passed
    await finder.find(lookup(), thorough=True)
    assert time.slept == ([pause] if pause else [])
    await finder.find(lookup(), thorough=True)
    assert time.slept == ([pause, 0.5] if pause else [0.5])


async def test_every_reading_is_new(lists: Lists) -> None:
    finder = lists.finder()
    with pytest.raises(NotCreated):
        await finder.find(lookup(), thorough=True)
    lists.add(TAG)
    assert (await finder.find(lookup(), thorough=True)).id == "run-0"


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_concurrent_lookups_share_the_next_reading(lists: Lists) -> None:
    finder = lists.finder()
    lists.gate = asyncio.Event()
    first = asyncio.create_task(finder.find(lookup(), thorough=False))
    await settle()
    others = [f"{TAG_PREFIX}{number}" for number in range(50)]
    tasks = [asyncio.create_task(finder.find(lookup(tag), thorough=False)) for tag in others]
    await settle()
    # These runs appear after the first reading has begun.
    numbers = [lists.add(tag) for tag in others]
    mine = lists.add(TAG)
    lists.gate.set()
    assert (await first).id == mine
    assert [(await task).id for task in tasks] == numbers
    assert len(lists.pages) == 2


async def test_a_reading_that_began_before_a_lookup_is_not_enough_for_it(lists: Lists) -> None:
    """It may lack the run: the reading that comes after it decides."""
    finder = lists.finder()
    lists.body = b'{"runs": []}'
    lists.gate = asyncio.Event()
    first = asyncio.create_task(finder.find(lookup("aihub-sdk:other"), thorough=True))
    await settle()
    second = asyncio.create_task(finder.find(lookup(), thorough=True))
    await settle()
    lists.gate.set()
    while not first.done():
        await asyncio.sleep(0)
    assert isinstance(first.exception(), NotCreated)
    lists.body = None
    lists.add(TAG)
    assert (await second).id == "run-0"


async def test_a_shared_reading_is_as_thorough_as_one_of_them_needs(lists: Lists) -> None:
    finder = lists.finder()
    lists.add(TAG)
    lists.fill(150)
    deep = lists.add(f"{TAG_PREFIX}deep")
    lists.gate = asyncio.Event()
    first = asyncio.create_task(finder.find(lookup(), thorough=False))
    await settle()
    others = [
        asyncio.create_task(finder.find(lookup(), thorough=False)),
        asyncio.create_task(finder.find(lookup(f"{TAG_PREFIX}deep"), thorough=True)),
    ]
    await settle()
    lists.gate.set()
    assert (await first).id == "run-0"
    assert [(await task).id for task in others] == ["run-0", deep]
    assert lists.pages == [(100, 0), (100, 0), (1000, 100)]


async def test_a_shared_reading_reaches_back_to_the_earliest_request(lists: Lists, time: PassingTime) -> None:
    finder = lists.finder()
    time.time += 500
    lists.fill(100, start=300)
    lists.gate = asyncio.Event()
    first = asyncio.create_task(finder.find(lookup("aihub-sdk:other", began=1450), thorough=True))
    await settle()
    early = asyncio.create_task(finder.find(lookup("aihub-sdk:early", began=1010), thorough=True))
    late = asyncio.create_task(finder.find(lookup("aihub-sdk:late", began=1450), thorough=True))
    await settle()
    lists.gate.set()
    for task in (first, early, late):
        with pytest.raises(NotCreated):
            await task
    assert lists.pages == [(100, 0), (100, 0), (1000, 100)]


async def test_a_cancelled_lookup_needs_no_reading(lists: Lists) -> None:
    finder = lists.finder()
    lists.fill(500)
    lists.gate = asyncio.Event()
    first = asyncio.create_task(finder.find(lookup(), thorough=False))
    await settle()
    cancelled = asyncio.create_task(finder.find(lookup(), thorough=True))
    other = asyncio.create_task(finder.find(lookup(), thorough=False))
    await settle()
    cancelled.cancel()
    await asyncio.wait({cancelled})
    lists.gate.set()
    for task in (first, other):
        with pytest.raises(Inconclusive):
            await task
    assert lists.pages == [(100, 0), (100, 0)], "only that one would have read further"


async def test_a_lookup_that_failed_leaves_the_next_one_alone(lists: Lists) -> None:
    finder = lists.finder()
    lists.longest = 0
    lists.refusal = 503
    with pytest.raises(type(refused(503))):
        await finder.find(lookup(), thorough=True)
    lists.longest = 1000
    lists.add(TAG)
    assert (await finder.find(lookup(), thorough=True)).id == "run-0"
