"""`client.legacy.jobs` and `client.flows.jobs`: jobs of the v1 API."""

import functools
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import attrs

from aihub_async import operations as ops
from aihub_async.errors import InvalidRequestError
from aihub_async.models import TERMINAL_RUN_STATUSES, LegacyJobInfo, LegacyJobStatus, ListLegacyJobs, Run, RunStatus
from aihub_async.operations import Operation
from aihub_async.pagination import Page, Pages, listed
from aihub_async.resources._base import given
from aihub_async.resources.v1._base import LegacyResource
from aihub_async.transport.transport import Transport
from aihub_async.waiting.entries import WaitOptions
from aihub_async.waiting.outcomes import run_ended
from aihub_async.waiting.pollables import StatePollable
from aihub_async.waiting.scheduler import Scheduler


class LegacyJobs(LegacyResource):
    """Jobs of the v1 API."""

    def __init__(self, transport: Transport, scheduler: Scheduler) -> None:
        super().__init__(transport)
        self._scheduler = scheduler

    async def status(self, job_id: str, type: str = "flow") -> LegacyJobStatus:
        """Return the state of a job; its `outcome` is one of the states of v2 runs.

        Args:
            job_id: from the call that started it.
            type: ``"flow"`` for all jobs of AI Hub; elsewhere also ``"refiner"``, ``"job"``, ``"async"``, ``"group"``.

        Raises:
            LegacyAPIError: there is no such job.

        Example:
            >>> async def is_over(client, job_id):
            ...     return (await client.legacy.jobs.status(job_id)).is_terminal
        """
        return await self._call(LegacyJobStatus, ops.LEGACY_JOB_STATUS, query={"type": type, "job_id": job_id})

    async def wait(
        self,
        job_id: str,
        type: str = "flow",
        *,
        timeout: float | None = None,
        on_update: Callable[[LegacyJobStatus], None] | None = None,
        through_review: bool = False,
        poll_interval: float | None = None,
    ) -> LegacyJobStatus:
        """Wait until a job is COMPLETE. Outages of the server are waited through; a webhook causes an immediate poll.

        Args:
            job_id: from the call that started it.
            type: as for `status()`.
            timeout: seconds; no limit by default.
            on_update: called with the job when it is first seen and whenever its outcome has changed.
            through_review: continue to wait while the job is STOPPED_AT_CHECKPOINT.
            poll_interval: minimum seconds between two polls of this job.

        Raises:
            RunFailedError: it FAILED.
            RunCancelledError: it was CANCELLED.
            RunNeedsReviewError: it is STOPPED_AT_CHECKPOINT.
            WaitTimeoutError: `timeout` has passed; the job continues.
            LegacyAPIError: there is no such job.

        Example:
            >>> async def output(client, job_id):
            ...     return (await client.legacy.jobs.wait(job_id, timeout=600)).output_folder
        """
        pollable = StatePollable(
            self._transport,
            f"{type} job",
            "client.legacy.jobs.wait",
            lambda job_id: self.status(job_id, type),
            status_of=lambda job: job.outcome,
            known=frozenset(RunStatus),
            ended=TERMINAL_RUN_STATUSES,
        )
        ended = functools.partial(_has_ended, job_id, through_review=through_review)
        options = WaitOptions(timeout=timeout, on_update=on_update, min_interval=poll_interval)
        return await self._scheduler.wait(pollable, job_id, ended, options)

    async def list(
        self, sort_by: str | None = None, limit: int | None = None, finish_time: int | str | None = None
    ) -> ListLegacyJobs:
        """Return one page of jobs; `iter()` returns them all. Unverified: in no published document.

        Args:
            sort_by: a key of the jobs.
            limit: how many at most.
            finish_time: where to begin; the answer's `next_page` has that of the next page.
        """
        query = given(sort_by=sort_by, limit=limit, finish_time=finish_time)
        return await self._call(ListLegacyJobs, ops.LIST_LEGACY_JOBS, query=query)

    def iter(self, sort_by: str | None = None, *, page_size: int | None = None) -> Pages[LegacyJobInfo]:
        """Iterate over all jobs, page by page. Unverified: in no published document.

        Example:
            >>> async def flows(client):
            ...     return {job.flow_path async for job in client.legacy.jobs.iter()}
        """

        async def fetch(cursor: str | int | None) -> Page[LegacyJobInfo]:
            query = given(sort_by=sort_by, limit=page_size) if cursor is None else _query_of(str(cursor))
            answer = await self._call(ListLegacyJobs, ops.LIST_LEGACY_JOBS, query=query)
            return Page(
                listed(ops.LIST_LEGACY_JOBS, answer, answer.jobs, "jobs", "next_page"), answer.next_page or None
            )

        return Pages(ops.LIST_LEGACY_JOBS, fetch)


class FlowJobs(LegacyJobs):
    """Jobs of flows: what `client.legacy.jobs` has, and four operations of which only the names are published."""

    async def pause(self, job_id: str, *, path: str | None = None) -> None:
        """Pause a job. Unverified: only the name of this operation is published.

        Args:
            job_id: the job.
            path: where your server has it, below `api_root`; ``"/v1/jobs/pause"`` by default. ``{job_id}`` in it
                represents the job. It is a POST with ``{"job_id": …, "type": "flow"}``.

        Raises:
            LegacyAPIError: the server refused it.
            NotFoundError: the server has it elsewhere, or there is no such job.
        """
        await self._control(ops.PAUSE_JOB, job_id, path)

    async def resume(self, job_id: str, *, path: str | None = None) -> None:
        """Resume a paused job. Unverified, like `pause()`; by default ``"/v1/jobs/resume"``.

        Raises:
            LegacyAPIError: the server refused it.
            NotFoundError: the server has it elsewhere, or there is no such job.
        """
        await self._control(ops.RESUME_JOB, job_id, path)

    async def cancel(self, job_id: str, *, path: str | None = None) -> None:
        """End a job as CANCELLED. Unverified, like `pause()`; by default ``"/v1/jobs/cancel"``.

        Raises:
            LegacyAPIError: the server refused it.
            NotFoundError: the server has it elsewhere, or there is no such job.
        """
        await self._control(ops.CANCEL_JOB, job_id, path)

    async def retry(self, job_id: str, *, path: str | None = None) -> None:
        """Start a failed or cancelled job again. Unverified, like `pause()`; by default ``"/v1/jobs/retry"``.

        Raises:
            LegacyAPIError: the server refused it.
            NotFoundError: the server has it elsewhere, or there is no such job.
            OutcomeUnknownError: the connection broke and the job may or may not have started again.
        """
        await self._control(ops.RETRY_JOB, job_id, path)

    async def _control(self, operation: Operation, job_id: str, path: str | None) -> None:
        if path is not None:
            operation = attrs.evolve(operation, path=_checked_route(path))
        await self._ask(operation, json={"job_id": job_id, "type": "flow"}, job_id=job_id)


def _has_ended(job_id: str, job: LegacyJobStatus, *, through_review: bool) -> bool:
    run = Run(job_id, job.outcome, msg=job.message)
    return run_ended(run, through_review=through_review, noun="job")


def _query_of(url: str) -> dict[str, str]:
    """Return the query of a URL that the server returned; no request goes to its host."""
    return {name: values[-1] for name, values in parse_qs(urlsplit(url).query).items()}


def _checked_route(path: str) -> str:
    segments = path.split("/")
    if segments[0] or {".", ".."} & set(segments) or any(character in path for character in "?#\r\n\0"):
        raise InvalidRequestError(f"path must begin with a slash and have no query, . or ..: {path!r}")
    return path
