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
    """A run that goes on at the server: ``handle.wait()`` gives the finished run.

    A handle is the run's id: `to_json()` and `client.apps.runs.handle()` carry it to another process.

    Example:
        >>> def total(client, batch_id):
        ...     handle = client.apps.runs.submit(app_name="Invoices", batch_id=batch_id)
        ...     handle.wait()
        ...     return [file for file in handle.results()]
    """

    _async: handles.RunHandle

    @property
    def id(self) -> str:
        """The run's id."""
        return self._async.id

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
        return self._lease.run(
            self._async.wait(timeout, on_update=on_update, through_review=through_review, poll_interval=poll_interval)
        )

    def status(self) -> Run:
        """The state of the run now."""
        return self._lease.run(self._async.status())

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
        return Pages(
            self._async.results(
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
        """The handle as JSON; `client.apps.runs.handle()` takes it back."""
        return self._async.to_json()


class JobHandle(Facade):
    """A job that goes on at the server, such as a deletion: ``handle.wait()`` waits for its end.

    Example:
        >>> def remove(client, batch_id):
        ...     job = client.batches.delete(batch_id)
        ...     client.jobs.handle(job.job_id).wait()
    """

    _async: handles.JobHandle

    @property
    def id(self) -> str:
        """The job's id."""
        return self._async.id

    def wait(self, timeout: float | None = None, *, poll_interval: float | None = None) -> JobStatus:
        """Wait for the end of the job; an empty id stands for something that was gone already.

        Args:
            timeout: seconds; as long as it takes by default.
            poll_interval: least seconds between two requests about this job.

        Raises:
            JobFailedError: it ended FAILED or CANCELLED.
            WaitTimeoutError: the time is up; the job goes on.
        """
        return self._lease.run(self._async.wait(timeout, poll_interval=poll_interval))

    def status(self) -> JobStatus:
        """The state of the job now."""
        return self._lease.run(self._async.status())

    def to_json(self) -> str:
        """The handle as JSON; `client.jobs.handle()` takes it back."""
        return self._async.to_json()
