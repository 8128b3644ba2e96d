"""The scheduler under every order of events: waits, answers, webhooks, outages, cancellations and closing."""

import asyncio
import functools
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import attrs
from anyio.abc import TaskStatus
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aihub_async.errors import (
    AIHubError,
    ClosedClientError,
    ConnectionLostError,
    ProtocolError,
    RequestDetails,
    RunCancelledError,
    RunFailedError,
    RunNeedsReviewError,
    WaitTimeoutError,
)
from aihub_async.models import Run
from aihub_async.waiting.entries import WaitOptions
from aihub_async.waiting.outcomes import run_ended
from aihub_async.waiting.scheduler import Scheduler
from tests.waiting.conftest import FakeRuns, VirtualClock

DETAILS = RequestDetails("getRunStatus", "GET", "/v2/apps/runs/run")
ENDS = {"COMPLETE": None, "FAILED": RunFailedError, "CANCELLED": RunCancelledError}
REVIEW = "STOPPED_AT_CHECKPOINT"
FAILURES: tuple[Callable[[], AIHubError], ...] = (
    lambda: ConnectionLostError("the connection broke", DETAILS),
    lambda: ProtocolError("200 with text/html", DETAILS),
)
LONG_ENOUGH = 600.0
"""Seconds in which every run that ended is found by a server that answers: the longest interval is 144 s."""


class FakeInbox:
    """Deliveries of webhooks that the test makes, also before anything listens."""

    def __init__(self) -> None:
        self.delivered: set[str] = set()
        self.wake: Callable[[str], None] | None = None

    def deliver(self, run_id: str) -> None:
        self.delivered.add(run_id)
        if self.wake is not None:
            self.wake(run_id)

    async def listen(self, wake: Callable[[str], None], *, task_status: TaskStatus[None]) -> None:
        self.wake = wake
        task_status.started()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.wake = None

    async def recently_delivered(self, ids: Iterable[str]) -> set[str]:
        return self.delivered.intersection(ids)

    def ended_undelivered(self) -> None:
        pass


@attrs.define(eq=False)
class Wait:
    """A call of `wait` and what it must lead to."""

    run_id: str
    through_review: bool
    deadline: float
    task: "asyncio.Task[Run]"
    reported: list[str | None]
    closed: bool = False
    cancelled: bool = False


def is_part_in_order(reported: list[str | None], history: list[str]) -> bool:
    """Return whether the reports are a part of the history, in its order."""
    moments = iter(history)
    return all(status in moments for status in reported)


class Scheduling(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.time = VirtualClock()
        self.runs = FakeRuns(lambda: self.time.time)
        self.history: dict[str, list[str]] = {}
        self.waits: list[Wait] = []
        self.failing = False
        self.open_scheduler()

    def open_scheduler(self) -> None:
        self.inbox = FakeInbox()
        self.scheduler = Scheduler(self.time.clock, self.inbox)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    # What users do

    def add_run(self) -> str:
        (run,) = self.runs.add(1)
        self.history[run.id] = ["RUNNING"]
        return run.id

    def start_wait(self, run_id: str, *, timeout: float | None, through_review: bool, **options: Any) -> None:
        reported: list[str | None] = []

        async def start() -> None:
            work = self.scheduler.wait(
                self.runs.pollable(),
                run_id,
                functools.partial(run_ended, through_review=through_review),
                WaitOptions(timeout=timeout, on_update=lambda run: reported.append(run.status), **options),
            )
            deadline = float("inf") if timeout is None else self.time.time + timeout
            task = asyncio.ensure_future(work)
            self.waits.append(Wait(run_id, through_review, deadline, task, reported))
            await self.time.settle()

        self.do(start())

    @rule(
        known=st.booleans(),
        expects_webhook=st.booleans(),
        timeout=st.none() | st.floats(0.1, 300),
        min_interval=st.none() | st.floats(0, 20),
        through_review=st.booleans(),
    )
    def submit(self, known: bool, expects_webhook: bool, through_review: bool, **options: Any) -> None:
        run_id = self.add_run()
        if known:
            options["known"] = self.runs.run(run_id)
        self.start_wait(run_id, through_review=through_review, expects_webhook=expects_webhook, **options)

    @rule(count=st.integers(7, 25), through_review=st.booleans())
    def submit_many(self, count: int, through_review: bool) -> None:
        for _ in range(count if len(self.history) < 60 else 1):
            self.start_wait(self.add_run(), timeout=None, through_review=through_review)

    @precondition(lambda self: self.history)
    @rule(data=st.data(), timeout=st.none() | st.floats(0.1, 300), through_review=st.booleans())
    def wait_again(self, data: st.DataObject, timeout: float | None, through_review: bool) -> None:
        run_id = data.draw(st.sampled_from(sorted(self.history)))
        self.start_wait(run_id, timeout=timeout, through_review=through_review)

    @precondition(lambda self: self.waits)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        wait = data.draw(st.sampled_from(self.waits))
        wait.cancelled = wait.task.cancel() or wait.cancelled
        self.do(self.time.settle())

    @rule()
    def close(self) -> None:
        for wait in self.waits:
            wait.closed = wait.closed or not wait.task.done()
        self.do(self.scheduler.aclose())
        self.do(self.time.settle())
        assert all(wait.task.done() for wait in self.waits)
        self.check_nothing_left()
        self.open_scheduler()

    # What the server does

    @precondition(lambda self: self.history)
    @rule(data=st.data(), status=st.sampled_from(["RUNNING", REVIEW, "NEW_STATUS", *ENDS]))
    def change(self, data: st.DataObject, status: str) -> None:
        unended = [run_id for run_id, past in self.history.items() if past[-1] not in ENDS and past[-1] != status]
        if unended:
            run_id = data.draw(st.sampled_from(unended))
            self.runs.end(run_id, status=status)
            self.history[run_id].append(status)

    @precondition(lambda self: self.history)
    @rule(data=st.data(), times=st.integers(1, 3))
    def deliver(self, data: st.DataObject, times: int) -> None:
        """Webhooks early, late, repeated and forged."""
        run_id = data.draw(st.sampled_from([*sorted(self.history), f"run-{len(self.history)}", "nobody's"]))
        for _ in range(times):
            self.loop.call_soon(self.inbox.deliver, run_id)
        self.do(self.time.settle())

    @rule(failure=st.none() | st.sampled_from(FAILURES), of_lists=st.none() | st.sampled_from(FAILURES))
    def fail(self, failure: Callable[[], AIHubError] | None, of_lists: Callable[[], AIHubError] | None) -> None:
        self.runs.failure, self.runs.page_failure = failure, of_lists
        self.failing = self.failing or failure is not None or of_lists is not None

    @rule()
    def answers_hang(self) -> None:
        if self.runs.gate is None:
            self.runs.gate = asyncio.Event()

    @rule()
    def answers_arrive(self) -> None:
        gate, self.runs.gate = self.runs.gate, None
        if gate is not None:
            gate.set()
            self.do(self.time.settle())

    @precondition(lambda self: self.history)
    @rule(data=st.data())
    def lists_lag(self, data: st.DataObject) -> None:
        self.runs.hidden = set(data.draw(st.lists(st.sampled_from(sorted(self.history)), max_size=5)))

    @rule(seconds=st.sampled_from([0.0, 0.3, 1.0, 5.0, 40.0]))
    def advance(self, seconds: float) -> None:
        self.do(self.time.advance(seconds))

    # What must hold

    @invariant()
    def waits_are_right(self) -> None:
        waiting = {wait.run_id for wait in self.waits if not wait.task.done()}
        assert self.scheduler.waiting == len(waiting)
        for wait in self.waits:
            history = self.history[wait.run_id]
            assert is_part_in_order(wait.reported, history), f"{wait.reported} is not in the order of {history}"
            if wait.task.done():
                self.check_end(wait)
            else:
                assert self.time.time < wait.deadline
        if not waiting:
            self.check_nothing_left()

    def check_end(self, wait: Wait) -> None:
        if wait.task.cancelled():
            assert wait.cancelled
            return
        error, history = wait.task.exception(), self.history[wait.run_id]
        if isinstance(error, ClosedClientError):
            assert wait.closed
        elif isinstance(error, WaitTimeoutError):
            assert self.time.time >= wait.deadline
        elif isinstance(error, ProtocolError):
            assert self.failing
        elif isinstance(error, RunNeedsReviewError):
            assert not wait.through_review
            assert wait.reported[-1] == REVIEW
        else:
            assert (None if error is None else type(error)) == ENDS[history[-1]]
            assert wait.reported[-1] == history[-1]

    def check_nothing_left(self) -> None:
        assert self.scheduler.waiting == 0
        assert self.scheduler.groups == []
        assert self.inbox.wake is None
        assert not [task for task in asyncio.all_tasks(self.loop) if not task.done()]

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        self.fail(None, None)
        self.answers_arrive()
        self.runs.hidden = set()
        self.do(self.time.advance(LONG_ENOUGH))
        self.waits_are_right()
        for wait in self.waits:
            if self.history[wait.run_id][-1] in ENDS:
                assert wait.task.done(), f"{wait.run_id} has ended, and a wait for it has not"
        for wait in self.waits:
            wait.cancelled = wait.task.cancel() or wait.cancelled
        self.do(self.time.settle())
        self.waits_are_right()
        self.loop.close()


TestScheduling = Scheduling.TestCase
TestScheduling.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
