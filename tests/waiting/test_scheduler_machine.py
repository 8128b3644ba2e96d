"""Any order of waits, webhooks, outages, lagging lists, cancellations and time: every wait ends, nothing is left."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import attrs
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from aihub_async.errors import ConnectionLostError, ProtocolError, RequestDetails, RunError, WaitTimeoutError
from aihub_async.models import Run
from aihub_async.policies.polling import MAX_ROUND_REQUESTS, REQUEST_SECONDS
from aihub_async.waiting.entries import WaitOptions
from aihub_async.waiting.groups import FEW
from aihub_async.waiting.outcomes import run_ended
from aihub_async.waiting.scheduler import Scheduler
from tests.waiting.conftest import FakeRuns, VirtualClock

DETAILS = RequestDetails("getRunStatus", "GET", "/v2/apps/runs/run-0")
ENDS = ("COMPLETE", "FAILED", "CANCELLED", "STOPPED_AT_CHECKPOINT")
OUTAGES: tuple[Callable[[], Exception], ...] = (
    lambda: ConnectionLostError("the connection broke", DETAILS),
    lambda: ProtocolError("200 with text/html", DETAILS),
)
NUMBERS = st.integers(0, 39)


class SchedulerMachine(RuleBasedStateMachine):
    """Each wait is a task; `self.ended` maps each run to its final status."""

    @initialize(page=st.sampled_from([3, 20, 1000]), count=st.sampled_from([1, 5, 12, 40]))
    def begin(self, page: int, count: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.time = VirtualClock()
        self.runs = FakeRuns(lambda: self.time.time, most=page)
        self.runs.add(count)
        self.count = count
        self.scheduler = Scheduler(self.time.clock)
        self.waits: list[tuple[str, float | None, float, asyncio.Task[Run]]] = []
        self.ended: dict[str, str] = {}
        self.started_at = self.time.time
        self.causes = 0

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(work)

    @rule(
        number=NUMBERS,
        known=st.booleans(),
        webhook=st.booleans(),
        timeout=st.none() | st.floats(0.1, 500),
        min_interval=st.none() | st.floats(0, 40),
    )
    def wait(self, number: int, known: bool, webhook: bool, timeout: float | None, min_interval: float | None) -> None:
        run_id = f"run-{number % self.count}"
        self.do(self.start([run_id], known, WaitOptions(timeout=timeout, min_interval=min_interval), webhook))

    @rule(first=NUMBERS, number=st.integers(9, 40), known=st.booleans(), webhook=st.booleans())
    def wait_for_many(self, first: int, number: int, known: bool, webhook: bool) -> None:
        ids = [f"run-{each % self.count}" for each in range(first, first + number)]
        self.do(self.start(ids, known, WaitOptions(), webhook))

    async def start(self, ids: list[str], known: bool, options: WaitOptions[Run], webhook: bool) -> None:
        self.causes += len(ids)
        for run_id in ids:
            state = self.runs.run(run_id) if known and run_id not in self.ended else None
            chosen = attrs.evolve(options, known=state, expects_webhook=webhook)
            task = asyncio.create_task(self.scheduler.wait(self.runs.pollable(), run_id, run_ended, chosen))
            self.waits.append((run_id, options.timeout, self.time.time, task))
        await self.time.settle()

    @rule(number=NUMBERS, status=st.sampled_from(ENDS))
    def end(self, number: int, status: str) -> None:
        run_id = f"run-{number % self.count}"
        if run_id not in self.ended:
            self.ended[run_id] = status
            self.runs.end(run_id, status=status)

    @rule(number=NUMBERS)
    def deliver(self, number: int) -> None:
        self.causes += 1

        async def notify() -> None:
            self.scheduler.notify(f"run-{number}")
            await self.time.settle()

        self.do(notify())

    @rule(index=st.integers(0, 1000))
    def cancel(self, index: int) -> None:
        if not self.waits:
            return

        async def cancel() -> None:
            task = self.waits.pop(index % len(self.waits))[3]
            task.cancel()
            await asyncio.wait({task})

        self.do(cancel())

    @rule(single=st.none() | st.sampled_from(OUTAGES), lists=st.none() | st.sampled_from(OUTAGES))
    def break_or_mend(self, single: Callable[[], Exception] | None, lists: Callable[[], Exception] | None) -> None:
        self.runs.failure, self.runs.page_failure = single, lists

    @rule(hidden=st.sets(NUMBERS))
    def let_lists_lag(self, hidden: set[int]) -> None:
        self.runs.hidden = {f"run-{number}" for number in hidden}

    @rule(seconds=st.floats(0.01, 300))
    def pass_time(self, seconds: float) -> None:
        self.do(self.time.advance(seconds))

    @invariant()
    def no_wait_ends_but_for_a_reason(self) -> None:
        if not hasattr(self, "loop"):
            return
        for run_id, timeout, began, task in self.waits:
            if not task.done():
                assert timeout is None or self.time.time <= began + timeout + 1e-6, "a timeout was not kept"
                continue
            error = task.exception()
            if error is None:
                assert self.ended[run_id] == "COMPLETE"
            elif isinstance(error, RunError):
                assert self.ended[run_id] == error.run.status != "COMPLETE"
            else:
                assert isinstance(error, WaitTimeoutError)
                assert timeout is not None

    @invariant()
    def no_more_is_asked_than_the_budget_allows(self) -> None:
        if not hasattr(self, "loop"):
            return
        passed = self.time.time - self.started_at
        budget = (MAX_ROUND_REQUESTS + 1) * (passed / (MAX_ROUND_REQUESTS * REQUEST_SECONDS) + 2)
        # Few runs are polled one by one, each every 0.4 s at most; each wait and each webhook may cause a poll.
        few = FEW * 2.5 * (passed + 1)
        assert self.runs.requests <= budget + few + 2 * self.causes

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return

        async def finish() -> None:
            self.runs.failure = self.runs.page_failure = None
            self.runs.hidden = set()
            for number in range(self.count):
                if f"run-{number}" not in self.ended:
                    self.ended[f"run-{number}"] = "COMPLETE"
                    self.runs.end(f"run-{number}")
            # The longest intervals are those of a user, 40 s with jitter, and the backoff after an outage, 30 s.
            await self.time.advance(200)
            assert all(task.done() for *_, task in self.waits), "every wait ends"
            await asyncio.gather(*(task for *_, task in self.waits), return_exceptions=True)
            assert self.scheduler.waiting == 0
            assert self.scheduler.groups == []
            await self.time.settle()
            assert asyncio.all_tasks() == {asyncio.current_task()}, "no task is left"

        self.do(finish())
        self.no_wait_ends_but_for_a_reason()
        self.loop.close()


TestScheduler = SchedulerMachine.TestCase
TestScheduler.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
