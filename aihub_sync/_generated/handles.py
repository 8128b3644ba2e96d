# Written by `python -m aihub_sync._generate` from aihub_async/waiting/handles.py. DO NOT EDIT.
"""Sync twins of the classes of `aihub_async.waiting.handles`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aihub_sync._facade import Facade
from aihub_sync._pages import Pages

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub_async.models import JobStatus, ResultFile, Run, RunDeletion
    from aihub_async.waiting import handles


class RunHandle(Facade):
    """A run that was started: ``handle.wait()`` waits for its end and returns the finished run.

    A handle is the run's id: `to_json()` and `client.apps.runs.handle()` carry it to another process.

    Example:
        >>> def total(client, batch_id):
        ...     handle = client.apps.runs.submit(app_name="Invoices", batch_id=batch_id)
        ...     handle.wait()
        ...     return [file for file in handle.iter_results()]
    """

    _async: handles.RunHandle

    @property
    def id(self) -> str:
        """Its id at the service."""
        return self._async.id

    @property
    def status(self) -> str | None:
        """The last known status, without a request; None before the first. `refresh()` requests the current one."""
        return self._async.status

    def wait(
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
        return self._lease.run(
            self._async.wait(timeout, on_update=on_update, through_review=through_review, poll_interval=poll_interval)
        )

    def refresh(self) -> Run:
        """Request and return the current state of the run."""
        return self._lease.run(self._async.refresh())

    def iter_results(
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
        return Pages(
            self._async.iter_results(
                file_offset,
                include_confidence_scores,
                include_source_info,
                include_review_results,
                include_validation_results,
            ),
            self._lease,
        )

    def delete(
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
        return self._lease.run(self._async.delete(delete_db_data, delete_input, delete_output, delete_logs))

    def to_json(self) -> str:
        """Return the handle as JSON, which `client.apps.runs.handle()` takes."""
        return self._async.to_json()


class JobHandle(Facade):
    """A job that was started, such as a deletion: ``handle.wait()`` waits for its end.

    Example:
        >>> def remove(client, batch_id):
        ...     job = client.batches.delete(batch_id)
        ...     client.jobs.handle(job.job_id).wait()
    """

    _async: handles.JobHandle

    @property
    def id(self) -> str:
        """Its id at the service."""
        return self._async.id

    @property
    def status(self) -> str | None:
        """The last known status, without a request; None before the first. `refresh()` requests the current one."""
        return self._async.status

    def wait(self, timeout: float | None = None, *, poll_interval: float | None = None) -> JobStatus:
        """Wait for the end of the job; an empty id means that nothing was left to wait for.

        Args:
            timeout: Seconds; no limit by default.
            poll_interval: Minimum seconds between two polls of this job.

        Raises:
            JobFailedError: It ended FAILED or CANCELLED.
            WaitTimeoutError: The timeout has passed; the job continues.
        """
        return self._lease.run(self._async.wait(timeout, poll_interval=poll_interval))

    def refresh(self) -> JobStatus:
        """Request and return the current state of the job."""
        return self._lease.run(self._async.refresh())

    def to_json(self) -> str:
        """Return the handle as JSON, which `client.jobs.handle()` takes."""
        return self._async.to_json()
