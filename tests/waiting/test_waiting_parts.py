"""The parts of waiting, each alone: ends, timers, watches, what is polled, handles, counted inboxes."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from anyio.abc import TaskStatus

from aihub_async.errors import (
    ConnectionLostError,
    InvalidRequestError,
    JobFailedError,
    RequestDetails,
    RunCancelledError,
    RunFailedError,
    RunNeedsReviewError,
    WaitTimeoutError,
)
from aihub_async.models import JobState, JobStatus, Run, RunDeletion
from aihub_async.transport.messages import Response
from aihub_async.transport.observing import Telemetry
from aihub_async.waiting.entries import Waiter, WaitOptions, Watch
from aihub_async.waiting.handles import JobHandle, RunHandle, SubmittedRun, WaitContext, id_of
from aihub_async.waiting.inbox import ObservedInbox, observed
from aihub_async.waiting.outcomes import job_ended, run_ended
from aihub_async.waiting.pollables import RunPollable, StatePollable, server_time, start_seconds
from aihub_async.waiting.timers import Timers

SECOND = 10**9
ERROR = ConnectionLostError("the connection broke", RequestDetails("getRunStatus", "GET", "/v2/apps/runs/run-0"))


# Ends


@pytest.mark.parametrize("status", ["RUNNING", "PENDING", "SOMETHING_NEW", None])
def test_a_run_goes_on_until_a_known_end(status: str | None) -> None:
    assert run_ended(Run(id="run-0", status=status)) is False
    assert run_ended(Run(id="run-0", status="COMPLETE")) is True


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        ("FAILED", RunFailedError, "run run-0 failed: disk full"),
        ("CANCELLED", RunCancelledError, "run run-0 was cancelled: disk full"),
        (
            "STOPPED_AT_CHECKPOINT",
            RunNeedsReviewError,
            "run run-0 waits for a human review: disk full; wait with through_review=True to wait for its end",
        ),
    ],
)
def test_another_end_is_an_error_with_its_reason(status: str, error: type[RunFailedError], message: str) -> None:
    run = Run(id="run-0", status=status, msg="disk full")
    with pytest.raises(error) as caught:
        run_ended(run)
    assert (str(caught.value), caught.value.run) == (message, run)
    with pytest.raises(error) as caught:
        run_ended(attrs.evolve(run, msg=None), noun="flow job")
    assert str(caught.value) == message.replace(": disk full", "").replace("run run-0", "flow job run-0")


def test_only_a_review_is_waited_through() -> None:
    assert run_ended(Run(id="run-0", status="STOPPED_AT_CHECKPOINT"), through_review=True) is False
    for status in ("FAILED", "CANCELLED"):
        with pytest.raises((RunFailedError, RunCancelledError)):
            run_ended(Run(id="run-0", status=status), through_review=True)


@pytest.mark.parametrize(("state", "ended"), [("COMPLETE", True), ("RUNNING", False), (None, False), ("NEW", False)])
def test_the_end_of_a_job(state: str | None, ended: bool) -> None:
    assert job_ended("job-0", JobStatus(state=state)) is ended


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
@pytest.mark.parametrize(("text", "reason"), [("disk full", ": disk full"), (None, "")])
def test_a_failed_job_is_an_error(state: str, text: str | None, reason: str) -> None:
    with pytest.raises(JobFailedError) as caught:
        job_ended("job-0", JobStatus(state=state, message=text))
    error = caught.value
    assert (str(error), error.job_id, error.state) == (f"job job-0 ended {state}{reason}", "job-0", state)
    assert error.job_message == text


# Timers


def test_timers_run_in_order_when_they_are_due() -> None:
    timers, called = Timers(), list[int]()
    assert timers.next_due() == float("inf")
    for when in (3, 1, 2, 1):
        timers.add(when, lambda when=when: called.append(when), lambda: False, live=4)
    assert timers.next_due() == 1
    timers.run(0.99)
    assert called == []
    timers.run(2)
    assert (called, timers.next_due()) == ([1, 1, 2], 3)
    timers.clear()
    timers.run(9)
    assert (called, timers.next_due()) == ([1, 1, 2], float("inf"))


def test_obsolete_timers_are_dropped_without_a_call() -> None:
    timers, called, obsolete = Timers(), list[int](), set[int]()
    for when in (1, 2, 3, 4):
        timers.add(when, lambda when=when: called.append(when), lambda when=when: when in obsolete, live=4)
    obsolete.update({1, 2, 4})
    timers.run(0)
    assert (called, timers.next_due()) == ([], 3), "those at the top are dropped before they are due"
    timers.run(5)
    assert (called, timers.next_due()) == ([3], float("inf"))


def test_the_heap_is_bounded_by_what_is_needed() -> None:
    """A wait that ends early leaves its timer behind; a million of them must not pile up."""
    timers, checked, called = Timers(), [0], list[int]()

    def is_obsolete() -> bool:
        checked[0] += 1
        return True

    timers.add(1000, lambda: called.append(1000), lambda: False, live=1)
    for _ in range(67):
        timers.add(5, lambda: called.append(5), is_obsolete, live=1)
    assert checked == [0]
    timers.add(5, lambda: called.append(5), is_obsolete, live=1)
    assert checked == [68], "cleared when it is longer than 64 and four times what is needed"
    assert timers.next_due() == 1000
    timers.add(7, lambda: called.append(7), lambda: False, live=1)
    timers.add(6, lambda: called.append(6), lambda: False, live=1)
    timers.run(1000)
    assert called == [6, 7, 1000]


@pytest.mark.parametrize(("live", "longest"), [(0, 64), (10, 104)])
def test_timers_that_are_needed_are_not_cleared_all_the_time(live: int, longest: int) -> None:
    timers, checked = Timers(), list[int]()
    for number in range(longest + 1):
        assert checked == []
        timers.add(5, lambda: None, lambda number=number: bool(checked.append(number)), live=live)
    assert len(checked) == longest + 1


# Waiters and watches


async def waiter(**options: Any) -> Waiter[Run]:
    chosen = {"has_ended": run_ended, "on_update": None, "min_interval": 0.0, "timeout": None} | options
    return Waiter(asyncio.get_running_loop().create_future(), **chosen)


def pollable(**fields: Any) -> RunPollable:
    async def fetch(run_id: str) -> Run:
        return Run(id=run_id)

    async def page(*arguments: Any) -> Response:
        return Response(200, "OK", {}, repr(arguments).encode())

    return RunPollable(object(), fetch, page, **fields)


def watch(*waiters: Waiter[Run], **fields: Any) -> Watch[Run]:
    return Watch(pollable(), "run-0", 0.0, 0.0, list(waiters), **fields)


async def test_a_waiter_reports_each_status_once_and_unknown_ones_always() -> None:
    reported: list[str | None] = []
    waits = await waiter(on_update=lambda run: reported.append(run.status))
    for status in ("PENDING", "PENDING", "RUNNING", None, None, "RUNNING", "COMPLETE", "RUNNING"):
        waits.report(Run(id="run-0", status=status), status)
    assert reported == ["PENDING", "RUNNING", None, None, "RUNNING", "COMPLETE"]
    assert waits.result.result().status == "COMPLETE"


async def test_what_a_callback_raises_ends_its_wait() -> None:
    def fail(_: Run) -> None:
        raise KeyError("mine")

    waits = await waiter(on_update=fail)
    waits.report(Run(id="run-0", status="RUNNING"), "RUNNING")
    assert isinstance(waits.result.exception(), KeyError)
    waits.fail(ERROR)
    assert isinstance(waits.result.exception(), KeyError), "the first end counts"


async def test_the_smallest_interval_of_those_who_wait() -> None:
    assert watch().min_interval == 0.0
    assert watch(await waiter(min_interval=7.0), await waiter(min_interval=3.0)).min_interval == 3.0


async def test_a_watch_is_done_when_all_its_waits_are() -> None:
    first, second = await waiter(), await waiter()
    both = watch(first, second)
    first.fail(ERROR)
    assert not both.is_done()
    both.fail(ERROR)
    assert both.is_done()
    assert [each.result.exception() for each in (first, second)] == [ERROR, ERROR]


async def test_failures_are_counted_since_the_first() -> None:
    failing = watch()
    assert (failing.failures, failing.error, failing.failing_since) == (0, None, 0.0)
    failing.failed(ERROR, 5.0)
    failing.failed(ERROR, 7.0)
    assert (failing.failures, failing.error, failing.failing_since) == (2, ERROR, 5.0)
    failing.succeeded()
    assert (failing.failures, failing.error) == (0, None)
    failing.failed(ERROR, 9.0)
    assert (failing.failures, failing.failing_since) == (1, 9.0)


@pytest.mark.parametrize(
    ("fields", "state", "reason"),
    [
        ({}, "has not ended", ""),
        ({"status": "RUNNING"}, "is RUNNING", ""),
        ({"error": ERROR}, "has not ended", f"; the last request failed: {ERROR}"),
    ],
)
async def test_a_timeout_says_what_is_known_and_how_to_go_on(fields: dict[str, Any], state: str, reason: str) -> None:
    waits = await waiter(timeout=1.5)
    watch(waits, **fields).expire(waits)
    error = waits.result.exception()
    assert isinstance(error, WaitTimeoutError)
    code = "client.apps.runs.wait('run-0')"
    assert str(error) == f"run run-0 {state} after 1.5 s; it continues, wait again with {code}{reason}"
    assert (error.id, error.last) == ("run-0", fields.get("status"))


# What is polled


async def test_how_runs_are_polled() -> None:
    runs = pollable()
    assert runs.supports_list
    assert (await runs.fetch("run-7")).id == "run-7"
    assert (await runs.page(5, 100, 20)).body == b"(5, 100, 20, False)"
    assert (await runs.page(None, 100, 20, newest_first=True)).body == b"(None, 100, 20, True)"
    run = Run(id="run-7", status="RUNNING", start_timestamp=5 * SECOND, app_id="app")
    assert (runs.status(run), runs.start_timestamp(run), runs.duration_key(run)) == ("RUNNING", 5 * SECOND, "app")
    assert runs.duration_key(attrs.evolve(run, deployment_id="deployment")) == "deployment"
    assert [runs.is_known_status(status) for status in ("RUNNING", "NEW", None)] == [True, False, False]
    assert runs.describe("run-7") == ("run run-7", "client.apps.runs.wait('run-7')")
    assert runs == attrs.evolve(pollable(), transport=runs.transport)
    assert runs != pollable()


@pytest.mark.parametrize(
    ("fields", "observed"),
    [
        (
            {"status": "COMPLETE", "app_id": "app", "start_timestamp": SECOND, "finish_timestamp": 4 * SECOND},
            ("app", 3),
        ),
        ({"status": "FAILED", "app_id": "app", "start_timestamp": SECOND, "finish_timestamp": 2 * SECOND}, ("app", 1)),
        ({"status": "COMPLETE", "app_id": "app"}, ("app", None)),
        ({"status": "COMPLETE", "app_id": "app", "start_timestamp": SECOND}, ("app", None)),
        ({"status": "COMPLETE", "app_id": "app", "finish_timestamp": SECOND}, ("app", None)),
        ({"status": "COMPLETE", "app_id": "app", "start_timestamp": 5, "finish_timestamp": 5}, ("app", None)),
        ({"status": "COMPLETE", "app_id": "app", "start_timestamp": 6, "finish_timestamp": 5}, ("app", None)),
        ({"status": "COMPLETE", "start_timestamp": SECOND, "finish_timestamp": 4 * SECOND}, None),
        ({"status": "RUNNING", "app_id": "app", "start_timestamp": SECOND, "finish_timestamp": 4 * SECOND}, None),
    ],
)
def test_how_long_a_run_took(fields: dict[str, Any], observed: Any) -> None:
    assert pollable().observed_duration(Run(id="run-0", **fields)) == observed


async def test_how_jobs_are_polled() -> None:
    async def fetch(job_id: str) -> JobStatus:
        return JobStatus(state="RUNNING", message=job_id)

    known, ended = frozenset({"RUNNING", "COMPLETE"}), frozenset({"COMPLETE"})
    transport = object()
    jobs = StatePollable(transport, "job", "client.jobs.wait", fetch, lambda job: job.state, known, ended)
    job = await jobs.fetch("job-0")
    assert job.message == "job-0"
    assert not jobs.supports_list
    with pytest.raises(NotImplementedError):
        await jobs.page(None, 1, 0)
    assert (jobs.status(job), jobs.start_timestamp(job), jobs.duration_key(job)) == ("RUNNING", None, "job")
    assert [jobs.is_known_status(status) for status in ("RUNNING", "NEW", None)] == [True, False, False]
    assert jobs.observed_duration(job) is None
    assert jobs.observed_duration(JobStatus(state="COMPLETE")) == ("job", None)
    assert jobs.describe("job-0") == ("job job-0", "client.jobs.wait('job-0')")
    assert jobs != attrs.evolve(jobs, noun="compilation")


def test_starts_are_whole_seconds() -> None:
    starts = [start_seconds(start) for start in (None, 0, 5 * SECOND - 1, 5 * SECOND)]
    assert starts == [None, None, 4, 5]


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("Tue, 14 Nov 2023 22:13:20 GMT", 1_700_000_000),
        ("Tue, 14 Nov 2023 22:13:20", 1_700_000_000),
        ("Tue, 14 Nov 2023 22:13:20 -0000", 1_700_000_000),
        ("Tue, 14 Nov 2023 23:13:20 +0100", 1_700_000_000),
        ("yesterday", None),
        ("Tue, 14 Nov 99999 22:13:20 GMT", None),
        (None, None),
    ],
)
def test_the_servers_clock(date: str | None, expected: float | None) -> None:
    headers = {} if date is None else {"Date": date}
    assert server_time(Response(200, "OK", headers, b"")) == expected


# Handles


@attrs.define(eq=False)
class FakeScheduler:
    """Records how it is asked to wait, and ends the wait with `states`, one after the other."""

    states: list[Any]
    calls: list[tuple[Any, ...]] = attrs.field(factory=list)

    async def wait(self, polled: Any, id: str, has_ended: Callable[[Any], bool], options: WaitOptions[Any]) -> Any:
        self.calls.append((polled, id, options))
        for state in self.states:
            if options.on_update is not None:
                options.on_update(state)
            if has_ended(state):
                return state
        raise AssertionError("none of the states is an end")


@attrs.define(eq=False)
class FakeCalls:
    """The calls of `client.apps.runs`, recorded."""

    calls: list[Any] = attrs.field(factory=list)

    async def status(self, run_id: str) -> Run:
        return Run(id=run_id, status="RUNNING")

    def iter_results(self, *arguments: Any) -> Any:
        self.calls.append(arguments)
        return "pages"

    async def delete(self, *arguments: Any) -> RunDeletion:
        self.calls.append(arguments)
        return RunDeletion()


class Recording(Telemetry):
    """Keeps what was measured."""

    def __init__(self) -> None:
        self.values: list[tuple[str, float, Mapping[str, Any]]] = []

    def measured(self, name: str, value: float, facts: Mapping[str, Any]) -> None:
        self.values.append((name, value, facts))


RUNNING, COMPLETE = Run(id="run-0", status="RUNNING"), Run(id="run-0", status="COMPLETE")


async def test_a_handle_waits_as_it_is_told() -> None:
    scheduler, seen, runs = FakeScheduler([RUNNING, COMPLETE]), list[str | None](), pollable()
    handle = RunHandle("run-0", FakeCalls(), WaitContext(scheduler, runs))
    assert (handle.id, handle.status, repr(handle)) == ("run-0", None, "RunHandle('run-0')")
    run = await handle.wait(9.0, on_update=lambda run: seen.append(run.status), poll_interval=2.0)
    assert run is COMPLETE
    assert (seen, handle.status) == (["RUNNING", "COMPLETE"], "COMPLETE")
    polled, run_id, options = scheduler.calls[0]
    assert (polled, run_id) == (runs, "run-0")
    assert attrs.evolve(options, on_update=None) == WaitOptions(timeout=9.0, min_interval=2.0)
    assert await handle is COMPLETE
    assert attrs.evolve(scheduler.calls[1][2], on_update=None) == WaitOptions()


@pytest.mark.parametrize("webhook", [True, False])
async def test_the_handle_of_a_submission_knows_when_it_began(webhook: bool) -> None:
    scheduler, ends = FakeScheduler([RUNNING, COMPLETE]), list[Any]()
    started = SubmittedRun(RUNNING, 5.0, webhook, lambda facts, error: ends.append((facts, error)))
    handle = RunHandle("run-0", FakeCalls(), WaitContext(scheduler, pollable()), started)
    assert handle.status == "RUNNING"
    await handle
    options = attrs.evolve(scheduler.calls[0][2], on_update=None)
    assert options == WaitOptions(known=RUNNING, began=5.0, expects_webhook=webhook)
    assert ends[0] == ({"id": "run-0", "status": "COMPLETE"}, None)
    assert {facts["status"] for facts, _ in ends} == {"COMPLETE"}, "only its end"


@pytest.mark.parametrize("status", ["COMPLETE", "FAILED"])
async def test_the_seconds_of_a_wait_are_measured(status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([5.0, 7.5])
    monkeypatch.setattr("aihub_async.waiting.handles.time", SimpleNamespace(monotonic=lambda: next(moments)))
    telemetry = Recording()
    context = WaitContext(FakeScheduler([RUNNING, attrs.evolve(RUNNING, status=status)]), pollable(), telemetry)
    handle = RunHandle("run-0", FakeCalls(), context)
    with contextlib.suppress(RunFailedError):
        await handle
    assert telemetry.values == [("wait", 2.5, {"status": status})]


async def test_a_handle_waits_through_a_review_only_if_it_is_told() -> None:
    review = attrs.evolve(RUNNING, status="STOPPED_AT_CHECKPOINT")
    handle = RunHandle("run-0", FakeCalls(), WaitContext(FakeScheduler([review, COMPLETE]), pollable()))
    assert await handle.wait(through_review=True) is COMPLETE
    with pytest.raises(RunNeedsReviewError):
        await handle.wait()
    assert handle.status == "STOPPED_AT_CHECKPOINT"


async def test_a_handle_passes_on_what_it_is_given() -> None:
    calls = FakeCalls()
    handle = RunHandle("run-0", calls, WaitContext(FakeScheduler([]), pollable()))
    assert handle.iter_results() == "pages"
    for position in range(4):
        handle.iter_results(7, *(number == position for number in range(4)))
    await handle.delete()
    for position in range(4):
        await handle.delete(*(number == position for number in range(4)))
    chosen = [tuple(number == position for number in range(4)) for position in range(4)]
    assert calls.calls == [
        ("run-0", 0, False, False, False, False),
        *(("run-0", 7, *each) for each in chosen),
        ("run-0", True, True, True, True),
        *(("run-0", *each) for each in chosen),
    ]
    assert await handle.refresh() == RUNNING
    assert handle.status == "RUNNING"


def jobs(*states: str) -> tuple[FakeScheduler, StatePollable[JobStatus]]:
    async def fetch(job_id: str) -> JobStatus:
        return JobStatus(state="RUNNING", message=job_id)

    every = frozenset(JobState)
    polled = StatePollable(object(), "job", "client.jobs.wait", fetch, lambda job: job.state, every, every)
    return FakeScheduler([JobStatus(state=state) for state in states]), polled


async def test_the_handle_of_a_job() -> None:
    scheduler, polled = jobs("RUNNING", "COMPLETE")
    handle = JobHandle("job-0", scheduler, polled)
    assert (handle.id, handle.status, repr(handle)) == ("job-0", None, "JobHandle('job-0')")
    assert (await handle.wait(9.0, poll_interval=2.0)).state == "COMPLETE"
    asked, job_id, options = scheduler.calls[0]
    assert (asked, job_id) == (polled, "job-0")
    assert attrs.evolve(options, on_update=None) == WaitOptions(timeout=9.0, min_interval=2.0)
    assert (await handle).state == handle.status == "COMPLETE"
    assert (await handle.refresh()).message == "job-0"
    assert handle.status == "RUNNING"


async def test_a_job_that_fails_names_itself() -> None:
    handle = JobHandle("job-0", *jobs("RUNNING", "FAILED"))
    with pytest.raises(JobFailedError, match="job job-0 ended FAILED"):
        await handle
    assert handle.status == "FAILED"


async def test_a_job_of_something_that_was_gone_is_complete() -> None:
    handle = JobHandle("", *jobs())
    assert handle.status == "COMPLETE"
    assert (await handle.wait()).state == (await handle.refresh()).state == "COMPLETE"


def test_handles_as_json() -> None:
    run = RunHandle("run-0", FakeCalls(), WaitContext(FakeScheduler([]), pollable())).to_json()
    job = JobHandle("job-0", *jobs()).to_json()
    assert (run, job) == ('{"run_id": "run-0"}', '{"job_id": "job-0"}')
    assert (id_of(run, "run_id"), id_of(job, "job_id"), id_of("run-0", "run_id")) == ("run-0", "job-0", "run-0")
    for wrong in (job, "{", '{"run_id": 7}', '{"run_id": null}'):
        with pytest.raises(InvalidRequestError) as caught:
            id_of(wrong, "run_id")
        assert str(caught.value) == "this is not the JSON of a handle with a run_id"


# Counted inboxes


class FakeInbox:
    def __init__(self) -> None:
        self.status: Any = None
        self.missed = 0

    async def listen(self, wake: Callable[[str], None], *, task_status: TaskStatus[None]) -> None:
        self.status = task_status
        wake("run-0")
        wake("run-1")

    async def recently_delivered(self, ids: Iterable[str]) -> set[str]:
        return {*ids, "more"}

    def ended_undelivered(self) -> None:
        self.missed += 1


async def test_an_inbox_is_counted_and_passed_on() -> None:
    inbox, telemetry, woken, status = FakeInbox(), Recording(), list[str](), object()
    counted = observed(inbox, telemetry)
    assert isinstance(counted, ObservedInbox)
    await counted.listen(woken.append, task_status=status)
    assert (woken, inbox.status) == (["run-0", "run-1"], status)
    assert await counted.recently_delivered(["run-0"]) == {"run-0", "more"}
    counted.ended_undelivered()
    assert inbox.missed == 1
    assert telemetry.values == [("webhook.delivery", 1, {})] * 2 + [("webhook.miss", 1, {})]


def test_without_telemetry_or_an_inbox_nothing_is_counted() -> None:
    inbox = FakeInbox()
    assert observed(inbox, None) is inbox
    assert observed(None, Recording()) is None
