import asyncio
import functools
import logging
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import anyio
import pytest

from aihub_async.errors import (
    BadRequestError,
    ClosedClientError,
    ConnectionLostError,
    NotFoundError,
    ProtocolError,
    RequestDetails,
    RunCancelledError,
    RunFailedError,
    RunNeedsReviewError,
    WaitTimeoutError,
)
from aihub_async.models import JobState, JobStatus, Run
from aihub_async.waiting.entries import WaitOptions
from aihub_async.waiting.outcomes import run_ended
from aihub_async.waiting.pollables import StatePollable
from aihub_async.waiting.scheduler import Scheduler

DETAILS = RequestDetails("getRunStatus", "GET", "/v2/apps/runs/run-0", status=404)


@pytest.fixture
def scheduler(time: Any) -> Scheduler:
    return Scheduler(time.clock)


def waiting(
    scheduler: Scheduler, runs: Any, run_id: str, *, review: bool = False, **options: Any
) -> Coroutine[Any, Any, Run]:
    ended = functools.partial(run_ended, through_review=review)
    return scheduler.wait(runs.pollable(), run_id, ended, WaitOptions(**options))


def start(scheduler: Scheduler, runs: Any, run_id: str, **options: Any) -> "asyncio.Task[Run]":
    return asyncio.create_task(waiting(scheduler, runs, run_id, **options))


async def test_a_wait_returns_the_finished_run(scheduler: Scheduler, runs: Any, time: Any) -> None:
    runs.add(1)
    task = start(scheduler, runs, "run-0")
    await time.advance(5)
    assert not task.done()
    runs.end("run-0")
    await time.advance(3)
    assert (await task).status == "COMPLETE"


async def test_nothing_is_left_when_the_last_wait_ends(scheduler: Scheduler, runs: Any, time: Any) -> None:
    runs.add(1)
    runs.end("run-0")
    assert (await waiting(scheduler, runs, "run-0")).id == "run-0"
    assert scheduler.waiting == 0
    assert [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


@pytest.mark.parametrize(
    ("status", "error"),
    [("FAILED", RunFailedError), ("CANCELLED", RunCancelledError), ("STOPPED_AT_CHECKPOINT", RunNeedsReviewError)],
)
async def test_other_ends_are_exceptions_with_the_run(
    scheduler: Scheduler, runs: Any, status: str, error: type[RunFailedError]
) -> None:
    runs.add(1, status)
    with pytest.raises(error, match="run-0") as caught:
        await waiting(scheduler, runs, "run-0")
    assert caught.value.run.status == status
    assert runs.requests == 1


async def test_a_review_is_waited_through_on_request(scheduler: Scheduler, runs: Any, time: Any) -> None:
    runs.add(1, "STOPPED_AT_CHECKPOINT")
    task = start(scheduler, runs, "run-0", review=True)
    await time.advance(100)
    assert not task.done()
    runs.end("run-0")
    await time.advance(40)
    assert (await task).status == "COMPLETE"


async def test_a_run_that_never_ends_times_out_with_its_id(scheduler: Scheduler, runs: Any, time: Any) -> None:
    runs.add(1)
    task = start(scheduler, runs, "run-0", timeout=60)
    await time.advance(59)
    assert not task.done()
    await time.advance(1)
    with pytest.raises(WaitTimeoutError, match=r"is RUNNING after 60 s.*client\.apps\.runs\.wait\('run-0'\)") as caught:
        await task
    assert (caught.value.id, caught.value.last) == ("run-0", "RUNNING")


async def test_a_deadline_holds_while_a_request_hangs(scheduler: Scheduler, runs: Any, time: Any) -> None:
    runs.add(1)
    runs.gate = asyncio.Event()
    task = start(scheduler, runs, "run-0", timeout=10)
    await time.advance(11)
    with pytest.raises(WaitTimeoutError, match="has not ended"):
        await task


async def test_intervals_grow_and_learn(scheduler: Scheduler, runs: Any, time: Any) -> None:
    runs.add(2)
    first = start(scheduler, runs, "run-0")
    await time.advance(40)
    runs.end("run-0")
    await time.advance(15)
    await first
    gaps = [later - earlier for earlier, later in zip(runs.moments, runs.moments[1:], strict=False)]
    assert gaps[0] < 1
    assert gaps[-1] > 4
    asked = len(runs.singles)
    second = start(scheduler, runs, "run-1", known=runs.run("run-1"))
    await time.advance(15)
    assert len(runs.singles) == asked, "such runs take long, and this one has just begun"
    runs.end("run-1")
    await time.advance(30)
    assert second.done()


async def test_a_floor_of_the_user_holds(scheduler: Scheduler, runs: Any, time: Any) -> None:
    runs.add(1)
    task = start(scheduler, runs, "run-0", min_interval=20)
    await time.advance(100)
    gaps = [later - earlier for earlier, later in zip(runs.moments, runs.moments[1:], strict=False)]
    assert min(gaps) >= 20
    task.cancel()
    await asyncio.wait({task})


async def test_updates_tell_of_changes_only(scheduler: Scheduler, runs: Any, time: Any) -> None:
    runs.add(1)
    told: list[str | None] = []
    task = start(scheduler, runs, "run-0", review=True, on_update=lambda run: told.append(run.status))
    await time.advance(10)
    runs.end("run-0", status="STOPPED_AT_CHECKPOINT")
    await time.advance(10)
    runs.end("run-0")
    await time.advance(10)
    await task
    assert told == ["RUNNING", "STOPPED_AT_CHECKPOINT", "COMPLETE"]


async def test_a_failing_callback_fails_its_own_wait(scheduler: Scheduler, runs: Any, time: Any) -> None:
    runs.add(1)

    def fail(_: Run) -> None:
        raise KeyError("mine")

    bad = start(scheduler, runs, "run-0", on_update=fail)
    good = start(scheduler, runs, "run-0")
    await time.advance(1)
    with pytest.raises(KeyError):
        await bad
    runs.end("run-0")
    await time.advance(5)
    assert good.done()


async def test_an_unknown_status_keeps_waiting_and_warns_once(
    scheduler: Scheduler, runs: Any, time: Any, caplog: pytest.LogCaptureFixture
) -> None:
    runs.add(2, "SOMETHING_NEW")
    tasks = [start(scheduler, runs, f"run-{number}") for number in range(2)]
    with caplog.at_level(logging.WARNING, "aihub_async"):
        await time.advance(60)
    assert not any(task.done() for task in tasks)
    assert [record.getMessage().count("SOMETHING_NEW") for record in caplog.records] == [1]
    runs.end("run-0", "run-1")
    await time.advance(30)
    assert all(task.done() for task in tasks)


async def test_waits_for_one_run_share_its_requests(scheduler: Scheduler, runs: Any, time: Any) -> None:
    runs.add(1)
    tasks = [start(scheduler, runs, "run-0") for _ in range(50)]
    await time.advance(0.1)
    assert runs.requests == 1
    runs.end("run-0")
    await time.advance(2)
    assert {(await task).status for task in tasks} == {"COMPLETE"}


async def test_cancelling_one_wait_leaves_the_others(scheduler: Scheduler, runs: Any, time: Any) -> None:
    runs.add(2)
    first, second = (start(scheduler, runs, f"run-{number}") for number in range(2))
    await time.advance(1)
    first.cancel()
    await time.settle()
    assert first.cancelled()
    assert scheduler.waiting == 1
    runs.end("run-1")
    await time.advance(3)
    assert (await second).id == "run-1"


async def test_cancelling_at_any_moment_leaves_nothing(scheduler: Scheduler, runs: Any, time: Any) -> None:
    runs.add(1)
    for ticks in range(12):
        runs.gate = asyncio.Event()
        with anyio.move_on_after(10) as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(waiting, scheduler, runs, "run-0")
                for _ in range(ticks):
                    await asyncio.sleep(0)
                scope.cancel()
        assert scheduler.waiting == 0
        assert len(asyncio.all_tasks()) == 1


async def test_an_outage_is_waited_through(scheduler: Scheduler, runs: Any, time: Any) -> None:
    runs.add(1)
    task = start(scheduler, runs, "run-0", timeout=7200)
    await time.advance(1)
    runs.failure = lambda: ConnectionLostError("the connection broke", DETAILS)
    await time.advance(3600)
    assert not task.done()
    assert len(runs.singles) < 300, "a server in trouble is left alone"
    runs.failure = None
    runs.end("run-0")
    await time.advance(60)
    assert (await task).status == "COMPLETE"


@pytest.mark.parametrize("count", [1, 50])
async def test_unreadable_answers_are_an_outage(
    scheduler: Scheduler, runs: Any, time: Any, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    """A maintenance page with status 200, or a redirect to a login page, in answer to polls."""
    known = runs.add(count)
    tasks = [start(scheduler, runs, run.id, known=run) for run in known]
    await time.advance(2)
    runs.failure = lambda: ProtocolError("200 with text/html", DETAILS)
    runs.garbage = b"<html>maintenance</html>"
    await time.advance(900)
    assert not any(task.done() for task in tasks)
    warnings = [record for record in caplog.records if "unreadable" in record.getMessage()]
    assert 1 <= len(warnings) <= 15, "one a minute at most, however many items a list has"
    runs.failure = runs.garbage = None
    runs.end(*runs.runs)
    await time.advance(120)
    assert {(await task).status for task in tasks} == {"COMPLETE"}


async def test_one_unreadable_list_changes_nothing(scheduler: Scheduler, runs: Any, time: Any) -> None:
    known = runs.add(50)
    tasks = [start(scheduler, runs, run.id, known=run) for run in known]
    runs.garbage = b"<html>maintenance</html>"
    while not runs.pages:
        await time.advance(0.2)
    runs.garbage = None
    runs.end(*runs.runs)
    await time.advance(20)
    assert all(task.done() for task in tasks)
    assert runs.singles == []
    assert {limit for _, limit, _ in runs.pages} == {1000}, "pages need not be smaller"


async def test_an_address_that_never_answers_readably_is_an_error_after_half_an_hour(
    scheduler: Scheduler, runs: Any, time: Any
) -> None:
    runs.add(1)
    runs.failure = lambda: ProtocolError("200 with text/html", DETAILS)
    task = start(scheduler, runs, "run-0")
    await time.advance(1700)
    assert not task.done()
    await time.advance(200)
    with pytest.raises(ProtocolError):
        await task


async def test_a_timeout_in_an_outage_tells_of_it(scheduler: Scheduler, runs: Any, time: Any) -> None:
    runs.add(1)
    runs.failure = lambda: ConnectionLostError("the connection broke", DETAILS)
    task = start(scheduler, runs, "run-0", timeout=100)
    await time.advance(101)
    with pytest.raises(WaitTimeoutError, match="the connection broke"):
        await task


async def test_a_refusal_ends_the_wait(scheduler: Scheduler, runs: Any, time: Any) -> None:
    runs.add(1)
    runs.failure = lambda: NotFoundError("404", DETAILS)
    with pytest.raises(NotFoundError):
        await waiting(scheduler, runs, "run-0")


@pytest.mark.parametrize("days", [-1, 1])
async def test_jumps_of_the_calendar_change_nothing(scheduler: Scheduler, runs: Any, time: Any, days: int) -> None:
    runs.add(12)
    tasks = [start(scheduler, runs, f"run-{number}", timeout=100) for number in range(12)]
    await time.advance(5)
    time.calendar_error = timedelta(days=days)
    await time.advance(50)
    assert not any(task.done() for task in tasks)
    runs.end("run-0")
    await time.advance(30)
    assert tasks[0].done()
    await time.advance(30)
    for task in tasks[1:]:
        with pytest.raises(WaitTimeoutError):
            await task


async def test_closing_ends_waits_with_a_typed_error(scheduler: Scheduler, runs: Any, time: Any) -> None:
    runs.add(1)
    task = start(scheduler, runs, "run-0")
    await time.settle()
    await scheduler.aclose()
    with pytest.raises(ClosedClientError):
        await task
    with pytest.raises(ClosedClientError):
        await waiting(scheduler, runs, "run-0")


def test_it_serves_one_event_loop_after_another(scheduler: Scheduler, runs: Any) -> None:
    runs.add(1, "COMPLETE")
    for _ in range(3):
        assert asyncio.run(waiting(scheduler, runs, "run-0")).id == "run-0"


# Many


async def test_many_runs_are_polled_in_lists(scheduler: Scheduler, runs: Any, time: Any) -> None:
    known = runs.add(2500)
    tasks = [start(scheduler, runs, run.id, known=run) for run in known]
    await time.advance(1.2)
    assert runs.singles == []
    assert [offset for _, _, offset in runs.pages] == [0, 1000, 2000]
    assert {since for since, _, _ in runs.pages} == {1_700_000_000 - 1}, "from the oldest start"
    runs.end(*runs.runs)
    await time.advance(10)
    assert {(await task).status for task in tasks} == {"COMPLETE"}
    assert runs.singles == []


async def test_the_page_size_of_the_server_is_learned(scheduler: Scheduler, runs: Any, time: Any) -> None:
    runs.most = 20
    known = runs.add(100)
    runs.hidden = {"run-99"}
    tasks = [start(scheduler, runs, run.id, known=run) for run in known]
    await time.advance(1.2)
    assert [offset for _, _, offset in runs.pages] == [0, 20, 40, 60, 80], "a short page is the end"
    assert runs.singles == ["run-99"]
    await cancel(tasks)


async def test_runs_that_do_not_appear_are_asked_singly(scheduler: Scheduler, runs: Any, time: Any) -> None:
    known = runs.add(30)
    runs.hidden = {"run-3", "run-17"}
    tasks = [start(scheduler, runs, run.id, known=run) for run in known]
    await time.advance(1.2)
    assert sorted(runs.singles) == ["run-17", "run-3"]
    runs.end("run-3", "run-17")
    await time.advance(10)
    assert (tasks[3].done(), tasks[17].done(), tasks[4].done()) == (True, True, False)
    await cancel(tasks)


async def test_a_round_has_a_budget_also_when_nothing_is_listed(scheduler: Scheduler, runs: Any, time: Any) -> None:
    known = runs.add(500)
    runs.hidden = set(runs.runs)
    tasks = [start(scheduler, runs, run.id, known=run) for run in known]
    await time.advance(300)
    assert runs.requests <= 20 * (300 / 9.5 + 1)
    assert len(set(runs.singles)) == len(runs.singles) > 200, "everybody gets a turn"
    await cancel(tasks)


async def test_a_refused_list_is_asked_for_in_smaller_pages_and_then_given_up(
    scheduler: Scheduler, runs: Any, time: Any
) -> None:
    runs.page_failure = lambda: BadRequestError("400: limit too large", DETAILS)
    known = runs.add(20)
    tasks = [start(scheduler, runs, run.id, known=run) for run in known]
    await time.advance(120)
    assert [limit for _, limit, _ in runs.pages] == [1000, 500, 250, 125, 62]
    runs.end(*runs.runs)
    await time.advance(60)
    assert all(task.done() for task in tasks)


async def test_a_list_of_an_outage_is_waited_through(scheduler: Scheduler, runs: Any, time: Any) -> None:
    known = runs.add(20)
    runs.page_failure = lambda: ConnectionLostError("the connection broke", DETAILS)
    tasks = [start(scheduler, runs, run.id, known=run) for run in known]
    await time.advance(600)
    assert not any(task.done() for task in tasks)
    runs.page_failure = None
    runs.end(*runs.runs)
    await time.advance(60)
    assert all(task.done() for task in tasks)
    assert runs.singles == []


async def test_attached_runs_of_unknown_age_are_found(scheduler: Scheduler, runs: Any, time: Any) -> None:
    runs.add(40)
    tasks = [start(scheduler, runs, f"run-{number}") for number in range(40)]
    await time.advance(0.1)
    assert len(runs.pages) == 1
    assert len(runs.singles) <= 8
    await cancel(tasks)


async def test_a_webhook_is_followed_up_at_once_among_many(scheduler: Scheduler, runs: Any, time: Any) -> None:
    known = runs.add(100)
    tasks = [start(scheduler, runs, run.id, known=run, expects_webhook=True) for run in known]
    await time.settle()
    runs.end("run-42")
    scheduler.notify("run-42")
    await time.settle()
    assert tasks[42].done()
    assert (runs.singles, runs.pages) == (["run-42"], [])
    await cancel(tasks)


async def test_forged_nudges_cost_one_question_and_then_one_a_second(
    scheduler: Scheduler, runs: Any, time: Any
) -> None:
    known = runs.add(1)
    task = start(scheduler, runs, "run-0", known=known[0], min_interval=1000)
    await time.settle()
    for _ in range(100):
        scheduler.notify("run-0")
        scheduler.notify("no-such-run")
        await asyncio.sleep(0)
    await time.settle()
    assert runs.singles == ["run-0"]
    await time.advance(1.5)
    assert len(runs.singles) == 2
    await time.advance(20)
    assert len(runs.singles) == 2
    await cancel([task])


async def test_polling_slows_down_while_webhooks_come_and_recovers(scheduler: Scheduler, runs: Any, time: Any) -> None:
    async def requests_in_a_minute(number: int) -> int:
        before = runs.requests
        task = start(scheduler, runs, f"run-{number}", known=runs.run(f"run-{number}"), expects_webhook=True)
        await time.advance(60)
        await cancel([task])
        return int(runs.requests - before)

    runs.add(10)
    normal = await requests_in_a_minute(0)
    scheduler.health.delivered()
    assert await requests_in_a_minute(1) <= normal / 2
    for _ in range(3):
        scheduler.health.missed()
    assert await requests_in_a_minute(2) >= normal - 2


async def test_many_jobs_take_turns(scheduler: Scheduler, time: Any) -> None:
    asked: list[str] = []

    async def status(job_id: str) -> JobStatus:
        asked.append(job_id)
        return JobStatus(state="COMPLETE" if time.time > 1060 else "RUNNING")

    states = frozenset(JobState)
    pollable = StatePollable(object(), "job", "client.jobs.wait", status, lambda job: job.state, states, states)
    tasks = [
        asyncio.create_task(scheduler.wait(pollable, f"job-{number}", lambda job: job.state == "COMPLETE"))
        for number in range(300)
    ]
    await time.advance(40)
    assert len(set(asked)) == 300, "nobody starves"
    assert len(asked) < 40 * 10 + 50
    await time.advance(90)
    assert all(task.done() for task in tasks)


async def test_a_nudge_may_come_from_another_thread(scheduler: Scheduler, runs: Any, time: Any) -> None:
    known = runs.add(1)
    task = start(scheduler, runs, "run-0", known=known[0])
    await time.settle()
    runs.end("run-0")
    await asyncio.to_thread(scheduler.notify, "run-0")
    assert (await task).status == "COMPLETE"


async def cancel(tasks: list["asyncio.Task[Run]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
