"""Handles of runs and jobs that were started: await one for its end."""

import functools
import json
from collections.abc import Callable, Generator
from typing import Any, Protocol

import attrs

from aihub_async.errors import InvalidRequestError
from aihub_async.models import JobStatus, ResultFile, Run, RunDeletion
from aihub_async.pagination import Pages
from aihub_async.waiting.pollables import JobSource, RunSource, job_is_over, run_is_over
from aihub_async.waiting.scheduler import Scheduler


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
    ) -> Pages[ResultFile]:
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
    """What every wait of a client needs: its scheduler, and its source of runs."""

    scheduler: Scheduler
    source: RunSource


@attrs.frozen
class SubmittedRun:
    """What is known of a run that was just submitted; `at` is of the monotonic clock."""

    run: Run
    at: float
    expects_webhook: bool


class RunHandle:
    """A run that goes on at the server: ``await handle`` gives the finished run.

    A handle is the run's id: `to_json()` and `client.apps.runs.handle()` carry it to another process.

    Example:
        >>> async def total(client, batch_id):
        ...     handle = await client.apps.runs.submit(app_name="Invoices", batch_id=batch_id)
        ...     await handle
        ...     return [file async for file in handle.results()]
    """

    def __init__(self, run_id: str, calls: RunCalls, waits: WaitContext, started: SubmittedRun | None = None) -> None:
        self._id = run_id
        self._calls = calls
        self._waits = waits
        self._started = started

    @property
    def id(self) -> str:
        """The run's id."""
        return self._id

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
            timeout: seconds; as long as it takes by default.
            on_update: called with the run when it is first seen and whenever its status has changed.
            through_review: go on waiting while the run is STOPPED_AT_CHECKPOINT for a human review.
            poll_interval: least seconds between two requests about this run; by default they follow how long runs of
                the app take. A webhook is followed up at once.

        Returns:
            The run, COMPLETE.

        Raises:
            RunFailedError: the run failed; the error has the run.
            RunCancelledError: somebody cancelled it.
            RunNeedsReviewError: it waits for a human review.
            WaitTimeoutError: the time is up; the run goes on.
            RequestError: the server refused to tell, such as `NotFoundError`.
        """
        started = self._started
        return await self._waits.scheduler.wait(
            self._waits.source,
            self._id,
            functools.partial(run_is_over, through_review=through_review),
            timeout=timeout,
            on_update=on_update,
            min_interval=poll_interval,
            known=started.run if started else None,
            began=started.at if started else None,
            expects_webhook=started is not None and started.expects_webhook,
        )

    async def status(self) -> Run:
        """The state of the run now."""
        return await self._calls.status(self._id)

    def results(
        self,
        file_offset: int = 0,
        include_confidence_scores: bool = False,
        include_source_info: bool = False,
        include_review_results: bool = False,
        include_validation_results: bool = False,
    ) -> Pages[ResultFile]:
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
        """The handle as JSON; `client.apps.runs.handle()` takes it back."""
        return json.dumps({"run_id": self._id})

    def __await__(self) -> Generator[Any, None, Run]:
        return self.wait().__await__()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._id!r})"


class JobHandle:
    """A job that goes on at the server, such as a deletion: ``await handle`` waits for its end.

    Example:
        >>> async def remove(client, batch_id):
        ...     job = await client.batches.delete(batch_id)
        ...     await client.jobs.handle(job.job_id)
    """

    def __init__(self, job_id: str, scheduler: Scheduler, source: JobSource) -> None:
        self._id = job_id
        self._scheduler = scheduler
        self._source = source

    @property
    def id(self) -> str:
        """The job's id."""
        return self._id

    async def wait(self, timeout: float | None = None, *, poll_interval: float | None = None) -> JobStatus:
        """Wait for the end of the job; an empty id stands for something that was gone already.

        Args:
            timeout: seconds; as long as it takes by default.
            poll_interval: least seconds between two requests about this job.

        Raises:
            JobFailedError: it ended FAILED or CANCELLED.
            WaitTimeoutError: the time is up; the job goes on.
        """
        if not self._id:
            return JobStatus(state="COMPLETE")
        over = functools.partial(job_is_over, self._id)
        return await self._scheduler.wait(self._source, self._id, over, timeout=timeout, min_interval=poll_interval)

    async def status(self) -> JobStatus:
        """The state of the job now."""
        return JobStatus(state="COMPLETE") if not self._id else await self._source.fetch(self._id)

    def to_json(self) -> str:
        """The handle as JSON; `client.jobs.handle()` takes it back."""
        return json.dumps({"job_id": self._id})

    def __await__(self) -> Generator[Any, None, JobStatus]:
        return self.wait().__await__()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._id!r})"


def id_of(text: str, key: str) -> str:
    """The id in the JSON of a handle, or the text itself if it is an id.

    Raises:
        InvalidRequestError: JSON of something else.
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
