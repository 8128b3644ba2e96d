"""Handles of runs and jobs that were started: await one for its end."""

import functools
import json
import time
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import attrs

from aihub_async.errors import InvalidRequestError
from aihub_async.models import JobState, JobStatus, Run, RunDeletion
from aihub_async.pagination import Pages
from aihub_async.transport.observing import ActivityEnded, Telemetry, measure
from aihub_async.waiting.entries import WaitOptions
from aihub_async.waiting.outcomes import job_ended, run_ended
from aihub_async.waiting.pollables import RunPollable, StatePollable
from aihub_async.waiting.scheduler import Scheduler

if TYPE_CHECKING:
    from aihub_async.models import ResultFile

S = TypeVar("S")


class RunCalls(Protocol):
    """What a handle needs of `client.apps.runs`."""

    async def status(self, run_id: str) -> Run:
        """See `Runs.status`."""
        ...

    def iter_results(
        self,
        run_id: str,
        file_offset: int = 0,
        include_confidence_scores: bool = False,
        include_source_info: bool = False,
        include_review_results: bool = False,
        include_validation_results: bool = False,
    ) -> "Pages[ResultFile]":
        """See `Runs.iter_results`."""
        ...

    async def delete(
        self,
        run_id: str,
        delete_db_data: bool = True,
        delete_input: bool = True,
        delete_output: bool = True,
        delete_logs: bool = True,
    ) -> RunDeletion:
        """See `Runs.delete`."""
        ...


@attrs.frozen
class WaitContext:
    """What every wait for a run needs: the client's scheduler, its runs as they are polled, and its telemetry."""

    scheduler: Scheduler
    pollable: RunPollable
    telemetry: Telemetry | None = None


@attrs.frozen
class SubmittedRun:
    """What is known of a run that was just submitted.

    Attributes:
        run: The run as the server returned it.
        at: When, by the monotonic clock.
        expects_webhook: A webhook will report its end.
        ended: Called with the facts of its end, for telemetry.
    """

    run: Run
    at: float
    expects_webhook: bool
    ended: ActivityEnded | None = None


class Handle(Generic[S]):
    """What the handles of runs and jobs have in common: an id, the last known status, and waiting by `await`."""

    def __init__(self, id: str, status_of: Callable[[S], str | None], last: S | None = None) -> None:
        self._id = id
        self._status_of = status_of
        self._last = last

    @property
    def id(self) -> str:
        """Its id at the service."""
        return self._id

    @property
    def status(self) -> str | None:
        """The last known status, without a request; None before the first. `refresh()` requests the current one."""
        return None if self._last is None else self._status_of(self._last)

    def _observe(self, state: S) -> S:
        self._last = state
        return state

    def _observing(self, on_update: Callable[[S], None] | None) -> Callable[[S], None]:
        def observe(state: S) -> None:
            self._observe(state)
            if on_update is not None:
                on_update(state)

        return observe

    def _wait(self) -> Awaitable[S]:
        raise NotImplementedError

    def __await__(self) -> Generator[Any, None, S]:
        return self._wait().__await__()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._id!r})"


class RunHandle(Handle[Run]):
    """A run that was started: ``await handle`` waits for its end and returns the finished run.

    A handle is the run's id: `to_json()` and `client.apps.runs.handle()` carry it to another process.

    Example:
        >>> async def total(client, batch_id):
        ...     handle = await client.apps.runs.submit(app_name="Invoices", batch_id=batch_id)
        ...     await handle
        ...     return [file async for file in handle.iter_results()]
    """

    def __init__(self, run_id: str, calls: RunCalls, waits: WaitContext, started: SubmittedRun | None = None) -> None:
        super().__init__(run_id, waits.pollable.status, started.run if started else None)
        self._calls = calls
        self._waits = waits
        self._started = started

    async def wait(
        self,
        timeout: float | None = None,
        *,
        on_update: Callable[[Run], None] | None = None,
        through_review: bool = False,
        poll_interval: float | None = None,
    ) -> Run:
        """Wait for the end of the run. Outages of the server are waited through.

        Args:
            timeout: Seconds; no limit by default.
            on_update: Called with the run when it is first seen and whenever its status has changed.
            through_review: Continue to wait while the run is STOPPED_AT_CHECKPOINT for a human review.
            poll_interval: Minimum seconds between two polls of this run; by default they follow how long runs of the
                app take. A webhook bypasses it.

        Returns:
            The run, COMPLETE.

        Raises:
            RunFailedError: The run failed; the error has the run.
            RunCancelledError: The run was cancelled.
            RunNeedsReviewError: It waits for a human review.
            WaitTimeoutError: The timeout has passed; the run continues.
            RequestError: The server refused the request, such as `NotFoundError`.
        """
        started, waits = self._started, self._waits
        options = WaitOptions(
            timeout=timeout,
            on_update=self._observing(on_update),
            min_interval=poll_interval,
            known=started.run if started else None,
            began=started.at if started else None,
            expects_webhook=started is not None and started.expects_webhook,
        )
        has_ended = functools.partial(run_ended, through_review=through_review)
        began = time.monotonic()
        try:
            return self._observe(await waits.scheduler.wait(waits.pollable, self._id, has_ended, options))
        finally:
            measure(waits.telemetry, "wait", time.monotonic() - began, status=self.status)

    def _observe(self, state: Run) -> Run:
        started = self._started
        if started is not None and started.ended is not None and state.is_terminal:
            started.ended({"id": state.id, "status": state.status}, None)
        return super()._observe(state)

    async def refresh(self) -> Run:
        """Request and return the current state of the run."""
        return self._observe(await self._calls.status(self._id))

    def iter_results(
        self,
        file_offset: int = 0,
        include_confidence_scores: bool = False,
        include_source_info: bool = False,
        include_review_results: bool = False,
        include_validation_results: bool = False,
    ) -> "Pages[ResultFile]":
        """Iterate over the files of the run's results, all pages; arguments as for `client.apps.runs.results()`.

        The fields of the packet are in `pages.answer.case_info` of the returned pages, once they arrived.
        """
        return self._calls.iter_results(
            self._id,
            file_offset,
            include_confidence_scores,
            include_source_info,
            include_review_results,
            include_validation_results,
        )

    async def delete(
        self,
        delete_db_data: bool = True,
        delete_input: bool = True,
        delete_output: bool = True,
        delete_logs: bool = True,
    ) -> RunDeletion:
        """Delete the run. By default this deletes its input too, and with it **the batch**.

        Returns:
            The jobs that do it, for `client.jobs.wait()`.
        """
        return await self._calls.delete(self._id, delete_db_data, delete_input, delete_output, delete_logs)

    def to_json(self) -> str:
        """Return the handle as JSON, which `client.apps.runs.handle()` takes."""
        return json.dumps({"run_id": self._id})

    def _wait(self) -> Awaitable[Run]:
        return self.wait()


class JobHandle(Handle[JobStatus]):
    """A job that was started, such as a deletion: ``await handle`` waits for its end.

    Example:
        >>> async def remove(client, batch_id):
        ...     job = await client.batches.delete(batch_id)
        ...     await client.jobs.handle(job.job_id)
    """

    def __init__(self, job_id: str, scheduler: Scheduler, pollable: StatePollable[JobStatus]) -> None:
        # A deletion of something that was gone already has no job.
        super().__init__(job_id, pollable.status, None if job_id else JobStatus(state=JobState.COMPLETE))
        self._scheduler = scheduler
        self._pollable = pollable

    async def wait(self, timeout: float | None = None, *, poll_interval: float | None = None) -> JobStatus:
        """Wait for the end of the job; an empty id means that nothing was left to wait for.

        Args:
            timeout: Seconds; no limit by default.
            poll_interval: Minimum seconds between two polls of this job.

        Raises:
            JobFailedError: It ended FAILED or CANCELLED.
            WaitTimeoutError: The timeout has passed; the job continues.
        """
        if not self._id:
            return JobStatus(state=JobState.COMPLETE)
        options = WaitOptions(timeout=timeout, on_update=self._observing(None), min_interval=poll_interval)
        ended = functools.partial(job_ended, self._id)
        return self._observe(await self._scheduler.wait(self._pollable, self._id, ended, options))

    async def refresh(self) -> JobStatus:
        """Request and return the current state of the job."""
        if not self._id:
            return JobStatus(state=JobState.COMPLETE)
        return self._observe(await self._pollable.fetch(self._id))

    def to_json(self) -> str:
        """Return the handle as JSON, which `client.jobs.handle()` takes."""
        return json.dumps({"job_id": self._id})

    def _wait(self) -> Awaitable[JobStatus]:
        return self.wait()


def id_of(text: str, key: str) -> str:
    """Return the id in the JSON of a handle, or the text itself if it is an id.

    Raises:
        InvalidRequestError: It is the JSON of something else.
    """
    if not text.startswith("{"):
        return text
    try:
        found = json.loads(text)[key]
    except (ValueError, KeyError):
        found = None
    if not isinstance(found, str):
        raise InvalidRequestError(f"this is not the JSON of a handle with a {key}")
    return found
