"""When the scheduler polls what, to the second: random numbers are 0.5, with which no interval has jitter."""

import asyncio
import contextvars
import functools
import logging
import os
from collections.abc import Callable, Iterable
from typing import Any

import anyio
import attrs
import pytest
from anyio.abc import TaskStatus

from aihub_async.errors import (
    AIHubError,
    CertificateError,
    ClosedClientError,
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    ProtocolError,
    RequestDetails,
    RequestTimeoutError,
    WaitTimeoutError,
    status_error_class,
)
from aihub_async.models import JobState, JobStatus, Run
from aihub_async.policies.polling import Pace
from aihub_async.transport.messages import Response
from aihub_async.waiting.entries import WaitOptions
from aihub_async.waiting.outcomes import run_ended
from aihub_async.waiting.pollables import RunPollable, StatePollable
from aihub_async.waiting.scheduler import Scheduler
from tests.waiting.conftest import FakeRuns, VirtualClock

DETAILS = RequestDetails("getRunStatus", "GET", "/v2/apps/runs/run-0")
BEGIN = 1000.0
"""Where the virtual clock begins."""


class FakeInbox:
    """Deliveries of webhooks that the test makes."""

    def __init__(self) -> None:
        self.wake: Callable[[str], None] | None = None
        self.lately: set[str] = set()
        self.asked: list[list[str]] = []
        self.undelivered = 0
        self.error: Exception | None = None
        self.ready = asyncio.Event()
        self.ready.set()

    async def listen(self, wake: Callable[[str], None], *, task_status: TaskStatus[None]) -> None:
        await self.ready.wait()
        self.wake = wake
        task_status.started()
        try:
            if self.error is not None:
                raise self.error
            await asyncio.get_running_loop().create_future()
        finally:
            self.wake = None

    async def recently_delivered(self, ids: Iterable[str]) -> set[str]:
        self.asked.append(list(ids))
        return self.lately.intersection(self.asked[-1])

    def ended_undelivered(self) -> None:
        self.undelivered += 1


@pytest.fixture
def time() -> VirtualClock:
    time = VirtualClock()
    time.clock = attrs.evolve(time.clock, random=lambda: 0.5)
    return time


@pytest.fixture
def runs(time: VirtualClock) -> FakeRuns:
    return FakeRuns(lambda: time.time)


@attrs.define(eq=False)
class Waits:
    """A scheduler, the runs that it polls, and the waits of a test."""

    time: VirtualClock
    runs: FakeRuns
    inbox: FakeInbox | None = None
    tasks: list["asyncio.Task[Run]"] = attrs.field(factory=list)
    scheduler: Scheduler = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.scheduler = Scheduler(self.time.clock, self.inbox)

    def start(self, run_id: str = "run-0", **options: Any) -> "asyncio.Task[Run]":
        review = options.pop("review", False)
        ended = functools.partial(run_ended, through_review=review)
        work = self.scheduler.wait(self.runs.pollable(), run_id, ended, WaitOptions(**options))
        self.tasks.append(asyncio.create_task(work))
        return self.tasks[-1]

    async def until(self, second: float) -> None:
        """Let time pass until so many seconds after the beginning."""
        await self.time.advance(BEGIN + second - self.time.time)

    @property
    def moments(self) -> list[float]:
        """When the server was asked, in seconds after the beginning."""
        return [round(moment - BEGIN, 3) for moment in self.runs.moments]

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)
        assert self.scheduler.waiting == 0
        assert self.scheduler.groups == []


@pytest.fixture
async def waits(time: VirtualClock, runs: FakeRuns) -> Any:
    waits = Waits(time, runs)
    yield waits
    await waits.close()


@pytest.fixture
async def with_inbox(time: VirtualClock, runs: FakeRuns) -> Any:
    waits = Waits(time, runs, FakeInbox())
    yield waits
    await waits.close()


def moments_of_pace(until: float, *, first: float = 0.0) -> list[float]:
    """Moments at which one run is polled that began at 0: after half a second, then after a quarter of its age."""
    moments, now = [], first
    while now <= until:
        moments.append(round(now, 3))
        now += min(30.0, max(0.5, 0.25 * now))
    return moments


# One


async def test_one_run_is_polled_ever_more_rarely(waits: Waits, caplog: pytest.LogCaptureFixture) -> None:
    waits.runs.add(1)
    waits.start()
    await waits.until(400)
    assert waits.moments == moments_of_pace(400)
    assert waits.scheduler.waiting == 1
    assert not caplog.records


async def test_a_run_that_is_known_is_polled_later(waits: Waits) -> None:
    (run,) = waits.runs.add(1)
    seen: list[str | None] = []
    waits.start(known=run, on_update=lambda run: seen.append(run.status))
    await waits.until(5)
    assert waits.moments == moments_of_pace(5, first=0.5)
    assert seen == ["RUNNING"], "reported before the first poll, and once"


async def test_a_run_that_is_known_to_have_ended_is_not_polled(waits: Waits) -> None:
    waits.runs.add(1, "COMPLETE")
    assert (await waits.start(known=waits.runs.run("run-0"))).status == "COMPLETE"
    assert waits.moments == []


async def test_a_run_that_began_long_ago_is_polled_at_once_and_then_rarely(waits: Waits) -> None:
    (run,) = waits.runs.add(1)
    waits.start(known=run, began=BEGIN - 100)
    await waits.until(60)
    assert waits.moments == [0, 25, 55]


async def test_the_smallest_interval_of_a_caller_holds(waits: Waits) -> None:
    (run,) = waits.runs.add(1)
    waits.start(known=run, min_interval=7)
    await waits.until(30)
    assert waits.moments == [7, 14, 21, 28]


async def test_a_second_caller_polls_at_once_and_hears_of_the_same_status(waits: Waits) -> None:
    waits.runs.add(1)
    seen: list[str | None] = []
    waits.start(min_interval=20)
    await waits.until(3)
    waits.start(on_update=lambda run: seen.append(run.status))
    await waits.until(4)
    assert (waits.moments, seen) == ([0, 3, 3.75], ["RUNNING"])
    assert waits.scheduler.waiting == 1, "one run, two waits"


async def test_typical_durations_are_learned_and_used(waits: Waits) -> None:
    """Half of the time that is probably left is slept; after it, the pace is that of something that has just begun."""
    waits.runs.add(2)
    waits.runs.runs["run-0"]["finish_timestamp"] = (1_700_000_000 + 40) * 10**9
    waits.runs.end("run-0")
    await waits.start("run-0")
    waits.runs.moments.clear()
    waits.start("run-1", known=waits.runs.run("run-1"))
    await waits.until(60)
    assert waits.moments[:4] == [20, 30, 35, 37.5]
    assert waits.moments[-3:] == pytest.approx([52.16, 55.2, 59], abs=1.5)


async def test_without_times_of_the_server_the_wait_itself_is_the_duration(waits: Waits) -> None:
    waits.runs.add(2)
    task = waits.start("run-0")
    await waits.until(11)
    waits.runs.end("run-0")
    await waits.until(20)
    assert task.done()
    ended = waits.moments[-1]
    waits.runs.moments.clear()
    waits.start("run-1", known=waits.runs.run("run-1"))
    await waits.until(20 + ended)
    assert waits.moments[0] == pytest.approx(20 + ended / 2, abs=0.01)


async def test_another_pace_is_used(time: VirtualClock, runs: FakeRuns) -> None:
    waits = Waits(time, runs)
    waits.scheduler = Scheduler(time.clock, pace=Pace(first=3.0, growth=0.0))
    runs.add(1)
    waits.start()
    await waits.until(10)
    assert waits.moments == [0, 3, 6, 9]
    await waits.close()


# Outages


def http_error(status: int) -> AIHubError:
    return status_error_class(status)("refused", attrs.evolve(DETAILS, status=status))


OUTAGES = [
    ConnectError("refused", DETAILS),
    ConnectionLostError("reset", DETAILS),
    RequestTimeoutError("timeout", DETAILS),
    ProtocolError("HTML", DETAILS),
    *map(http_error, (408, 425, 429, 500, 503)),
]


@pytest.mark.parametrize("error", OUTAGES, ids=repr)
async def test_an_outage_backs_off_and_then_goes_on(waits: Waits, error: AIHubError) -> None:
    (run,) = waits.runs.add(1)
    waits.runs.failure = lambda: error
    task = waits.start(known=run)
    await waits.until(100)
    assert waits.moments == [0.5, 2, 5, 11, 23, 45.5, 68, 90.5]
    waits.runs.failure = None
    await waits.until(150)
    assert waits.moments[8:] == [113, 141.25]
    waits.runs.failure = lambda: error
    await waits.until(180)
    assert waits.moments[10:] == [171.25, 172.75, 175.75], "the failures before do not count"
    waits.runs.failure = None
    waits.runs.end("run-0")
    await waits.until(230)
    assert task.done()


async def test_an_outage_leaves_the_interval_of_a_caller(waits: Waits) -> None:
    waits.runs.add(1)
    waits.runs.failure = lambda: ConnectionLostError("reset", DETAILS)
    waits.start(min_interval=10)
    await waits.until(70)
    assert waits.moments == [0, 10, 20, 30, 42, 64.5]


REFUSALS = [http_error(401), CertificateError("expired", DETAILS), ConfigurationError("no key")]


# A list that is refused with 400 or 404 is read in smaller pages.
@pytest.mark.parametrize(
    ("error", "count"),
    [*((error, 1) for error in (http_error(400), http_error(404), *REFUSALS)), *((error, 20) for error in REFUSALS)],
    ids=repr,
)
async def test_a_refusal_ends_the_wait(waits: Waits, error: AIHubError, count: int) -> None:
    waits.runs.add(count)
    waits.runs.failure = waits.runs.page_failure = lambda: error
    tasks = [waits.start(f"run-{number}") for number in range(count)]
    await waits.until(1)
    assert [task.exception() for task in tasks] == [error] * count
    assert waits.moments == [0]


async def test_unreadable_answers_end_a_wait_after_half_an_hour_and_warn(
    waits: Waits, caplog: pytest.LogCaptureFixture
) -> None:
    waits.runs.add(1)
    error = ProtocolError("200 with text/html", DETAILS)
    waits.runs.failure = lambda: error
    task = waits.start()
    await waits.until(100)
    # Warned of at 0, then at the first poll a minute later.
    expected = f"the state of run-0 is unreadable; polling continues: {error}"
    assert caplog.record_tuples == [("aihub_async", logging.WARNING, expected)] * 2
    await waits.until(1799)
    assert not task.done()
    await waits.until(1830)
    assert task.exception() is error
    assert waits.moments[-1] >= 1800
    assert len(caplog.records) <= 30


async def test_a_readable_answer_ends_that_half_hour(waits: Waits) -> None:
    waits.runs.add(1)
    waits.runs.failure = lambda: ProtocolError("200 with text/html", DETAILS)
    task = waits.start()
    await waits.until(1500)
    waits.runs.failure = None
    await waits.until(1600)
    waits.runs.failure = lambda: ProtocolError("200 with text/html", DETAILS)
    await waits.until(3300)
    assert not task.done()
    await waits.until(3500)
    assert isinstance(task.exception(), ProtocolError)


async def test_an_unknown_status_is_named_once(waits: Waits, caplog: pytest.LogCaptureFixture) -> None:
    waits.runs.add(2, "NEW")
    waits.start("run-0")
    waits.start("run-1")
    await waits.until(20)
    expected = "run run-0 has the unknown status 'NEW'; waiting continues until its status is a known end"
    assert caplog.record_tuples == [("aihub_async", logging.WARNING, expected)]
    waits.runs.end("run-1", status="NEWER")
    await waits.until(60)
    assert len(caplog.records) == 2


# Timeouts


async def test_a_timeout_is_exact_and_each_callers_own(waits: Waits) -> None:
    waits.runs.add(1)
    first, second = waits.start(timeout=10), waits.start(timeout=20)
    await waits.until(9.99)
    assert not first.done()
    await waits.until(10)
    error = first.exception()
    assert isinstance(error, WaitTimeoutError)
    assert "run run-0 is RUNNING after 10 s" in str(error)
    assert not second.done()
    waits.runs.end("run-0")
    await waits.until(15)
    assert second.result().status == "COMPLETE"
    assert waits.scheduler.waiting == 0


async def test_a_timeout_in_an_outage_names_its_error(waits: Waits) -> None:
    waits.runs.add(1)
    error = ConnectionLostError("reset", DETAILS)
    waits.runs.failure = lambda: error
    task = waits.start(timeout=10)
    await waits.until(10)
    assert str(task.exception()).endswith(f"; the last request failed: {error}")


# Webhooks


async def test_a_webhook_polls_at_once(waits: Waits) -> None:
    (run,) = waits.runs.add(1)
    task = waits.start(known=run, expects_webhook=True, min_interval=100)
    await waits.until(50)
    waits.runs.end("run-0")
    waits.scheduler.notify("run-0")
    await waits.until(50.01)
    assert task.result().status == "COMPLETE"
    assert waits.moments == [50]
    assert waits.scheduler.health.good


async def test_repeated_webhooks_poll_once_a_second(waits: Waits) -> None:
    (run,) = waits.runs.add(1)
    waits.start(known=run, min_interval=100)
    for tenth in range(35):
        await waits.until(tenth / 10)
        waits.scheduler.notify("run-0")
        waits.scheduler.notify("nobody waits for this")
    await waits.until(50)
    assert waits.moments == [0, 1, 2, 3, 4]


async def test_a_second_webhook_within_a_second_polls_after_it(waits: Waits) -> None:
    (run,) = waits.runs.add(1)
    waits.start(known=run, min_interval=100)
    for second in (0.0, 0.25):
        await waits.until(second)
        waits.scheduler.notify("run-0")
    await waits.until(50)
    assert waits.moments == [0, 1]


async def test_a_webhook_during_a_poll_causes_another(waits: Waits) -> None:
    """The answer on its way may be older than the end that the webhook reports."""
    (run,) = waits.runs.add(1)
    task = waits.start(known=run, min_interval=100)
    waits.runs.gate = asyncio.Event()
    await waits.until(100.5)
    assert waits.moments == [100]
    waits.scheduler.notify("run-0")
    waits.scheduler.notify("run-0")
    await waits.time.settle()
    waits.runs.gate.set()
    await waits.until(150)
    assert waits.moments == [100, 100.5], "and no more"
    waits.runs.end("run-0")
    waits.scheduler.notify("run-0")
    await waits.time.settle()
    assert task.done()


async def test_a_webhook_during_the_poll_of_another_is_not_lost(waits: Waits) -> None:
    (run,) = waits.runs.add(1)
    waits.start(known=run, min_interval=100)
    waits.runs.gate = asyncio.Event()
    for second in (0.0, 0.125):
        await waits.until(second)
        waits.scheduler.notify("run-0")
    await waits.until(0.25)
    waits.runs.gate.set()
    await waits.until(50)
    assert waits.moments == [0, 1]


async def test_polling_is_four_times_slower_while_webhooks_arrive(waits: Waits) -> None:
    runs = waits.runs.add(3)
    waits.scheduler.health.delivered()
    waits.start("run-0", known=runs[0], expects_webhook=True)
    await waits.until(9)
    assert waits.moments == [2, 4, 8]
    waits.runs.moments.clear()
    waits.scheduler.notify("run-0")
    await waits.until(20)
    assert waits.moments == [9, 11.25, 14.062, 17.578], "its webhook has come: no other will"


async def test_ends_without_their_webhooks_are_counted(with_inbox: Waits) -> None:
    waits = with_inbox
    runs = waits.runs.add(5)
    waits.scheduler.health.delivered()
    for number, expects in enumerate((True, True, False, True)):
        first = waits.start(f"run-{number}", known=runs[number], expects_webhook=expects)
        second = waits.start(f"run-{number}", expects_webhook=False)
        waits.runs.end(f"run-{number}")
        await waits.time.advance(10)
        assert first.done()
        assert second.done()
        assert waits.inbox.undelivered == [1, 2, 2, 3][number]
        assert waits.scheduler.health.good is (number < 3)
    task = waits.start("run-4", known=runs[4], expects_webhook=True)
    await waits.time.settle()
    waits.runs.end("run-4")
    waits.inbox.wake("run-4")
    await waits.time.settle()
    assert task.done()
    assert (waits.inbox.undelivered, waits.scheduler.health.good) == (3, True)


async def test_a_missing_webhook_counts_once(with_inbox: Waits) -> None:
    waits = with_inbox
    (run,) = waits.runs.add(1, "COMPLETE")
    options = WaitOptions(expects_webhook=True)
    work = waits.scheduler.wait(waits.runs.pollable(), run.id, lambda run: run.status is None, options)
    waits.tasks.append(asyncio.create_task(work))
    await waits.until(30)
    assert len(waits.moments) > 3
    assert waits.inbox.undelivered == 1


async def test_a_caller_that_expects_a_webhook_speaks_for_the_others(waits: Waits) -> None:
    (run,) = waits.runs.add(1)
    waits.scheduler.health.delivered()
    waits.start(known=run)
    waits.start(expects_webhook=True)
    await waits.until(9)
    assert waits.moments == [0, 2, 4, 8]


async def test_deliveries_that_came_before_the_wait_are_looked_up_once(with_inbox: Waits) -> None:
    waits = with_inbox
    runs = waits.runs.add(3)
    waits.inbox.lately = {"run-1"}
    waits.inbox.ready.clear()
    waits.start("run-0", known=runs[0], min_interval=100)
    waits.start("run-1", known=runs[1], min_interval=100)
    await waits.until(5)
    assert (waits.inbox.asked, waits.moments) == ([], []), "only what came before it listened can have been missed"
    waits.inbox.ready.set()
    await waits.until(10)
    assert (waits.inbox.asked, waits.runs.singles) == ([["run-0", "run-1"]], ["run-1"])
    waits.start("run-2", known=runs[2], min_interval=100)
    waits.start("run-0")
    await waits.time.settle()
    assert waits.inbox.asked[1:] == [["run-2"]], "nothing is looked up twice"
    assert waits.inbox.wake is not None
    await waits.close()
    assert waits.inbox.wake is None


async def test_a_bus_that_fails_fails_the_waits(with_inbox: Waits) -> None:
    waits = with_inbox
    waits.runs.add(1)
    waits.inbox.error = RuntimeError("the bus is gone")
    task = waits.start()
    await waits.until(1)
    assert isinstance(task.exception(), ExceptionGroup)
    waits.inbox.error = None
    again = waits.start()
    waits.runs.end("run-0")
    await waits.until(2)
    assert again.done()


# Many


async def test_up_to_eight_are_polled_one_by_one(waits: Waits) -> None:
    for run in waits.runs.add(8):
        waits.start(run.id)
    await waits.until(1)
    assert (len(waits.runs.singles), waits.runs.pages) == (24, [])


async def test_nine_are_polled_in_lists(waits: Waits) -> None:
    for run in waits.runs.add(9):
        waits.start(run.id)
    await waits.until(20)
    # Nobody's start is known before the first answer, and a round is never within a second of the one before.
    assert waits.runs.singles == []
    assert [since for since, _, _ in waits.runs.pages[:2]] == [None, 1_699_999_999]
    assert waits.moments == [0, 1, 2, 3, 4, 5, 6.25, 7.812, 9.766, 12.207, 15.259, 19.073]


async def test_known_runs_are_listed_when_the_first_is_due(waits: Waits) -> None:
    runs = waits.runs.add(12)
    for number, run in enumerate(runs):
        waits.start(run.id, known=run, min_interval=19 + number)
    await waits.until(18.9)
    assert waits.moments == []
    await waits.until(100)
    assert waits.moments == [19, 38, 57, 76, 95]
    assert {since for since, _, _ in waits.runs.pages} == {1_699_999_999}, "a second before the oldest start"


async def test_a_round_leaves_half_a_second_for_each_request(waits: Waits) -> None:
    waits.runs.most = 2
    for run in waits.runs.add(18):
        waits.start(run.id)
    await waits.until(13.4)
    # Nine pages of two: 4.5 seconds until the next round.
    assert waits.moments == [0.0] * 9 + [4.5] * 9 + [9.0] * 9


async def test_the_youngest_of_many_decides_the_pace(waits: Waits) -> None:
    runs = waits.runs.add(12)
    for run in runs[:11]:
        waits.start(run.id, known=run, began=BEGIN - 1000)
    waits.start(runs[11].id, known=runs[11], began=BEGIN - 40)
    await waits.until(40)
    assert waits.moments == [0, 10, 22.5, 38.125]


async def test_a_newcomer_among_many_is_polled_when_the_budget_allows(waits: Waits) -> None:
    runs = waits.runs.add(13)
    for run in runs[:12]:
        waits.start(run.id, known=run, began=BEGIN - 100)
    await waits.until(10)
    waits.runs.moments.clear()
    waits.start(runs[12].id)
    await waits.until(10.5)
    assert waits.moments == [10]
    waits.start(runs[0].id)
    await waits.until(11.5)
    assert waits.moments == [10, 11], "not within a second of the round before"


async def test_a_newcomer_that_need_not_be_polled_yet_changes_nothing(waits: Waits) -> None:
    runs = waits.runs.add(13)
    for run in runs[:12]:
        waits.start(run.id, known=run, began=BEGIN - 100)
    await waits.until(5)
    waits.start(runs[12].id, known=runs[12], min_interval=60)
    await waits.until(25)
    assert waits.moments == [0, 25]


async def test_one_list_is_read_at_a_time_however_long_it_takes(waits: Waits) -> None:
    """Meanwhile the poller sleeps: it must not ask for the time over and over."""
    reading, most, looks = 0, 0, 0
    clock = waits.time.clock

    def monotonic() -> float:
        nonlocal looks
        looks += 1
        return clock.monotonic()

    async def page(*arguments: Any) -> Response:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        await clock.sleep(10)
        reading -= 1
        return await waits.runs.page(*arguments)

    waits.scheduler = Scheduler(attrs.evolve(clock, monotonic=monotonic))
    pollable = RunPollable(object(), waits.runs.fetch, page)
    for run in waits.runs.add(12):
        work = waits.scheduler.wait(pollable, run.id, run_ended, WaitOptions(known=run, timeout=500))
        waits.tasks.append(asyncio.create_task(work))
    await waits.until(100)
    assert most == 1
    assert waits.moments == [10.5, 23.125, 38.906, 58.633, 83.291]
    assert looks < 100


async def test_changes_in_lists_are_reported_once(waits: Waits) -> None:
    seen: list[str | None] = []
    waits.runs.add(10)
    for number in range(1, 10):
        waits.start(f"run-{number}")
    task = waits.start("run-0", on_update=lambda run: seen.append(run.status), review=True)
    await waits.until(3)
    waits.runs.end("run-0", status="STOPPED_AT_CHECKPOINT")
    await waits.until(6)
    waits.runs.end("run-0")
    await waits.until(9)
    assert task.done()
    assert seen == ["RUNNING", "STOPPED_AT_CHECKPOINT", "COMPLETE"]


async def test_what_lists_do_not_show_is_polled_alone(waits: Waits) -> None:
    waits.runs.add(30)
    waits.runs.hidden = {f"run-{number}" for number in range(5)}
    for number in range(30):
        waits.start(f"run-{number}")
    await waits.until(0.5)
    assert len(waits.runs.pages) == 2, "the second is empty"
    assert waits.runs.singles == [f"run-{number}" for number in range(5)]
    await waits.until(3.4)
    assert len(waits.runs.pages) == 2, "seven requests take 3.5 seconds"
    await waits.until(3.5)
    assert len(waits.runs.pages) == 4


async def test_what_is_being_polled_alone_is_not_polled_twice(waits: Waits) -> None:
    waits.runs.add(12)
    waits.runs.hidden = {"run-0"}
    waits.runs.gate = asyncio.Event()
    for number in range(12):
        waits.start(f"run-{number}")
    await waits.until(10)
    assert len(waits.runs.pages) > 4
    assert waits.runs.singles == ["run-0"]


async def test_lists_begin_where_the_first_answer_says_that_runs_started(waits: Waits) -> None:
    for run in waits.runs.add(12):
        waits.start(run.id, known=attrs.evolve(run, start_timestamp=None))
    await waits.until(3)
    assert [since for since, _, _ in waits.runs.pages[:2]] == [None, 1_699_999_999]


async def test_a_server_without_lists_is_polled_one_by_one(waits: Waits) -> None:
    for run in waits.runs.add(30):
        waits.start(run.id, known=run, began=BEGIN - 100)
    waits.runs.page_failure = lambda: http_error(400)
    await waits.until(200)
    # Five rounds with a refused list and 19 polls each; then turns, of two each half second, at the pace of the runs.
    rounds = [moment for moment in (0, 25, 55, 85, 115) for _ in range(20)]
    turns = [begin + number / 4 - number % 2 / 4 for begin in (145, 175) for number in range(30)]
    assert waits.moments == rounds + turns
    assert set(waits.runs.singles[95:125]) == set(waits.runs.runs)


async def test_a_failing_list_backs_off(waits: Waits) -> None:
    for run in waits.runs.add(20):
        waits.start(run.id, known=run)
    waits.runs.page_failure = lambda: ConnectionLostError("reset", DETAILS)
    await waits.until(60)
    assert waits.moments == [0.5, 2, 5, 11, 23, 45.5]
    waits.runs.page_failure = None
    await waits.until(69)
    assert waits.moments[6:] == [68]
    waits.runs.page_failure = lambda: ConnectionLostError("reset", DETAILS)
    await waits.until(90)
    assert waits.moments[7:] == [85, 86.5, 89.5]
    assert waits.runs.singles == []


async def test_a_failing_list_leaves_the_interval_of_the_callers(waits: Waits) -> None:
    for run in waits.runs.add(20):
        waits.start(run.id, min_interval=10)
    waits.runs.page_failure = lambda: ConnectionLostError("reset", DETAILS)
    await waits.until(70)
    assert waits.moments == [0, 10, 20, 30, 42, 64.5]


async def test_when_only_a_few_are_left_they_are_polled_alone(waits: Waits) -> None:
    runs = waits.runs.add(12)
    for run in runs:
        waits.start(run.id, known=run, began=BEGIN - 100)
    waits.runs.end(*(run.id for run in runs[:5]))
    await waits.until(10)
    assert len(waits.runs.pages) == 1
    assert set(waits.runs.singles) == {f"run-{number}" for number in range(5, 12)}


def jobs(time: VirtualClock, seconds: float = 0.0) -> tuple[StatePollable[JobStatus], list[tuple[float, str]]]:
    """Jobs that nothing lists, each answer of which takes so many seconds."""
    asked: list[tuple[float, str]] = []

    async def status(job_id: str) -> JobStatus:
        asked.append((round(time.time - BEGIN, 3), job_id))
        if seconds:
            await time.clock.sleep(seconds)
        return JobStatus(state="RUNNING")

    states = frozenset(JobState)
    return StatePollable(object(), "job", "client.jobs.wait", status, lambda job: job.state, states, states), asked


async def job_polls(
    time: VirtualClock, count: int, until: float, seconds: float = 0.0, **options: Any
) -> list[tuple[float, str]]:
    scheduler, (pollable, asked) = Scheduler(time.clock), jobs(time, seconds)
    tasks = [
        asyncio.create_task(scheduler.wait(pollable, f"job-{number}", lambda _: False, WaitOptions(**options)))
        for number in range(count)
    ]
    await time.advance(until)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return asked


async def test_what_cannot_be_listed_takes_turns(time: VirtualClock) -> None:
    asked = await job_polls(time, 12, 2.9)
    assert [moment for moment, _ in asked] == [0, 0, 0.5, 0.5, 1, 1, 1.5, 1.5, 2, 2, 2.5, 2.5]
    assert [job for _, job in asked] == [f"job-{number}" for number in range(12)], "the longest unpolled first"


async def test_each_of_many_has_its_turn_within_half_a_minute(time: VirtualClock) -> None:
    asked = await job_polls(time, 600, 29.9)
    assert len(asked) == len({job for _, job in asked}) == 600
    assert [moment for moment, _ in asked[:20]] == [0] * 10 + [0.5] * 10


async def test_slow_answers_bound_how_many_polls_are_under_way(time: VirtualClock) -> None:
    asked = await job_polls(time, 60, 200, seconds=20)
    under_way = [sum(moment - 20 < earlier <= moment for earlier, _ in asked) for moment, _ in asked]
    assert max(under_way) == 24
    assert len({job for _, job in asked}) == 60


async def test_up_to_eight_jobs_need_no_turns(time: VirtualClock) -> None:
    asked = await job_polls(time, 8, 0.4)
    assert [moment for moment, _ in asked] == [0] * 8


# The background task


async def test_a_scheduler_that_nobody_uses_has_nothing(time: VirtualClock) -> None:
    scheduler = Scheduler(time.clock)
    assert (scheduler.waiting, scheduler.groups, scheduler.health.good) == (0, [], False)
    await scheduler.aclose()


async def test_the_poller_lives_only_while_somebody_waits(waits: Waits) -> None:
    waits.runs.add(1)
    task = waits.start()
    await waits.until(0.1)
    assert [each.get_name() for each in asyncio.all_tasks() if each.get_name() == "aihub-waiting"]
    task.cancel()
    await asyncio.wait({task})
    assert not [each for each in asyncio.all_tasks() if each.get_name() == "aihub-waiting"]


async def test_the_poller_has_ended_when_a_cancelled_wait_has(waits: Waits) -> None:
    waits.runs.add(1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waits.scheduler.wait, waits.runs.pollable(), "run-0", run_ended)
        await waits.until(0.1)
        tasks.cancel_scope.cancel()
    assert not [each for each in asyncio.all_tasks() if each.get_name() == "aihub-waiting"]


async def test_the_poller_has_no_part_in_the_context_of_the_first_caller(waits: Waits) -> None:
    """Its requests would belong to the trace of whoever waited first."""
    trace: contextvars.ContextVar[str] = contextvars.ContextVar("trace", default="none")
    seen: list[str] = []

    async def fetch(run_id: str) -> Run:
        seen.append(trace.get())
        return Run(id=run_id, status="COMPLETE")

    trace.set("first")
    await waits.scheduler.wait(RunPollable(object(), fetch, waits.runs.page), "run-0", run_ended)
    assert seen == ["none"]


async def test_closing_ends_all_waits(time: VirtualClock, runs: FakeRuns) -> None:
    waits = Waits(time, runs)
    runs.add(2)
    tasks = [waits.start("run-0"), waits.start("run-1")]
    await waits.until(0.1)
    await waits.scheduler.aclose()
    await asyncio.wait(tasks)
    for task in tasks:
        error = task.exception()
        assert isinstance(error, ClosedClientError)
        assert str(error) == "the client was closed while this waited"
    with pytest.raises(ClosedClientError) as caught:
        await waits.start()
    assert str(caught.value) == "the client is closed; make a new one"
    await waits.scheduler.aclose()
    assert waits.scheduler.waiting == 0


def test_another_event_loop_is_refused_while_one_waits(time: VirtualClock, runs: FakeRuns) -> None:
    waits = Waits(time, runs)
    runs.add(1)

    async def elsewhere() -> str:
        with pytest.raises(ClosedClientError) as caught:
            await waits.scheduler.wait(runs.pollable(), "run-0", run_ended)
        await waits.scheduler.aclose()
        return str(caught.value)

    async def main() -> None:
        task = waits.start()
        await time.settle()
        message = await asyncio.to_thread(asyncio.run, elsewhere())
        assert message == (
            "the client is in use by another event loop; make one client per loop (in threads, use aihub_sync)"
        )
        assert not task.done(), "closing from another loop leaves it to its own"
        await waits.close()

    asyncio.run(main())


def test_a_notification_without_a_loop_is_dropped(time: VirtualClock, runs: FakeRuns) -> None:
    waits = Waits(time, runs)
    runs.add(1, "COMPLETE")
    waits.scheduler.notify("run-0")

    async def main() -> None:
        await waits.start()

    for _ in range(2):
        asyncio.run(main())
        waits.scheduler.notify("run-0")
    assert runs.singles == ["run-0"] * 2


async def test_a_forked_process_begins_anew(waits: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
    waits.runs.add(2)
    waits.start("run-0")
    await waits.until(0.1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        waits.runs.end("run-1")
        task = waits.start("run-1")
        await waits.until(0.2)
        assert task.done()
        assert waits.scheduler.waiting == 0, "what the parent waits for is not the child's"
        await waits.scheduler.aclose()
