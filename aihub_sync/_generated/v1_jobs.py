# Written by `python -m aihub_sync._generate` from aihub_async/resources/v1/jobs.py. DO NOT EDIT.
"""Sync twins of the classes of `aihub_async.resources.v1.jobs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aihub_sync._facade import Facade
from aihub_sync._pages import Pages

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub_async.models import LegacyJobInfo, LegacyJobStatus, ListLegacyJobs
    from aihub_async.resources.v1 import jobs


class LegacyJobs(Facade):
    """Jobs of the v1 API."""

    _async: jobs.LegacyJobs

    def status(self, job_id: str, type: str = "flow") -> LegacyJobStatus:
        """Return the state of a job; its `outcome` is one of the states of v2 runs.

        Args:
            job_id: from the call that started it.
            type: ``"flow"`` for all jobs of AI Hub; elsewhere also ``"refiner"``, ``"job"``, ``"async"``, ``"group"``.

        Raises:
            LegacyAPIError: there is no such job.

        Example:
            >>> def is_over(client, job_id):
            ...     return client.legacy.jobs.status(job_id).is_terminal
        """
        return self._lease.run(self._async.status(job_id, type))

    def wait(
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
            >>> def output(client, job_id):
            ...     return client.legacy.jobs.wait(job_id, timeout=600).output_folder
        """
        return self._lease.run(
            self._async.wait(
                job_id,
                type,
                timeout=timeout,
                on_update=on_update,
                through_review=through_review,
                poll_interval=poll_interval,
            )
        )

    def list(
        self, sort_by: str | None = None, limit: int | None = None, finish_time: int | str | None = None
    ) -> ListLegacyJobs:
        """Return one page of jobs; `iter()` returns them all. Unverified: in no published document.

        Args:
            sort_by: a key of the jobs.
            limit: how many at most.
            finish_time: where to begin; the answer's `next_page` has that of the next page.
        """
        return self._lease.run(self._async.list(sort_by, limit, finish_time))

    def iter(self, sort_by: str | None = None, *, page_size: int | None = None) -> Pages[LegacyJobInfo]:
        """Iterate over all jobs, page by page. Unverified: in no published document.

        Example:
            >>> def flows(client):
            ...     return {job.flow_path for job in client.legacy.jobs.iter()}
        """
        return Pages(self._async.iter(sort_by, page_size=page_size), self._lease)


class FlowJobs(Facade):
    """Jobs of flows: what `client.legacy.jobs` has, and four operations of which only the names are published."""

    _async: jobs.FlowJobs

    def status(self, job_id: str, type: str = "flow") -> LegacyJobStatus:
        """Return the state of a job; its `outcome` is one of the states of v2 runs.

        Args:
            job_id: from the call that started it.
            type: ``"flow"`` for all jobs of AI Hub; elsewhere also ``"refiner"``, ``"job"``, ``"async"``, ``"group"``.

        Raises:
            LegacyAPIError: there is no such job.

        Example:
            >>> def is_over(client, job_id):
            ...     return client.legacy.jobs.status(job_id).is_terminal
        """
        return self._lease.run(self._async.status(job_id, type))

    def wait(
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
            >>> def output(client, job_id):
            ...     return client.legacy.jobs.wait(job_id, timeout=600).output_folder
        """
        return self._lease.run(
            self._async.wait(
                job_id,
                type,
                timeout=timeout,
                on_update=on_update,
                through_review=through_review,
                poll_interval=poll_interval,
            )
        )

    def list(
        self, sort_by: str | None = None, limit: int | None = None, finish_time: int | str | None = None
    ) -> ListLegacyJobs:
        """Return one page of jobs; `iter()` returns them all. Unverified: in no published document.

        Args:
            sort_by: a key of the jobs.
            limit: how many at most.
            finish_time: where to begin; the answer's `next_page` has that of the next page.
        """
        return self._lease.run(self._async.list(sort_by, limit, finish_time))

    def iter(self, sort_by: str | None = None, *, page_size: int | None = None) -> Pages[LegacyJobInfo]:
        """Iterate over all jobs, page by page. Unverified: in no published document.

        Example:
            >>> def flows(client):
            ...     return {job.flow_path for job in client.legacy.jobs.iter()}
        """
        return Pages(self._async.iter(sort_by, page_size=page_size), self._lease)

    def pause(self, job_id: str, *, path: str | None = None) -> None:
        """Pause a job. Unverified: only the name of this operation is published.

        Args:
            job_id: the job.
            path: where your server has it, below `api_root`; ``"/v1/jobs/pause"`` by default. ``{job_id}`` in it
                represents the job. It is a POST with ``{"job_id": …, "type": "flow"}``.

        Raises:
            LegacyAPIError: the server refused it.
            NotFoundError: the server has it elsewhere, or there is no such job.
        """
        self._lease.run(self._async.pause(job_id, path=path))

    def resume(self, job_id: str, *, path: str | None = None) -> None:
        """Resume a paused job. Unverified, like `pause()`; by default ``"/v1/jobs/resume"``.

        Raises:
            LegacyAPIError: the server refused it.
            NotFoundError: the server has it elsewhere, or there is no such job.
        """
        self._lease.run(self._async.resume(job_id, path=path))

    def cancel(self, job_id: str, *, path: str | None = None) -> None:
        """End a job as CANCELLED. Unverified, like `pause()`; by default ``"/v1/jobs/cancel"``.

        Raises:
            LegacyAPIError: the server refused it.
            NotFoundError: the server has it elsewhere, or there is no such job.
        """
        self._lease.run(self._async.cancel(job_id, path=path))

    def retry(self, job_id: str, *, path: str | None = None) -> None:
        """Start a failed or cancelled job again. Unverified, like `pause()`; by default ``"/v1/jobs/retry"``.

        Raises:
            LegacyAPIError: the server refused it.
            NotFoundError: the server has it elsewhere, or there is no such job.
            OutcomeUnknownError: the connection broke and the job may or may not have started again.
        """
        self._lease.run(self._async.retry(job_id, path=path))
