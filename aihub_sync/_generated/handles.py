# Written by `python -m aihub_sync._generate` from aihub_async/waiting/handles.py. DO NOT EDIT: edits are lost.
"""Sync twins of the classes of `aihub_async.waiting.handles`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aihub_sync._base import Facade

if TYPE_CHECKING:
    from aihub_async.models import JobStatus
    from aihub_async.waiting import handles


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

    def __repr__(self) -> str:
        return repr(self._async)
