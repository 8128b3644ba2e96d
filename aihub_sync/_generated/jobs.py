# Written by `python -m aihub_sync._generate` from aihub_async/resources/jobs.py. DO NOT EDIT.
"""Sync twins of the classes of `aihub_async.resources.jobs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aihub_sync._compat import renamed
from aihub_sync._facade import Facade
from aihub_sync._generated.handles import JobHandle

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aihub_async.models import JobStatus
    from aihub_async.resources import jobs
    from aihub_async.resources.jobs import JobReference


class Jobs(Facade):
    """Asynchronous jobs of the server, such as deletions."""

    _async: jobs.Jobs

    @renamed(id="job_id")
    def status(self, job_id: str) -> JobStatus:
        """Return the state of a job: PENDING or RUNNING, then COMPLETE, FAILED or CANCELLED."""
        return self._lease.run(self._async.status(job_id))

    def handle(self, job_id: str) -> JobHandle:
        """Return a handle of a job, by its id or by what `JobHandle.to_json()` returned."""
        return JobHandle(self._async.handle(job_id), self._lease)

    def wait(self, job: JobReference, timeout: float | None = None, *, poll_interval: float | None = None) -> JobStatus:
        """Wait until a deletion has finished. An outage of the server does not end the wait.

        Args:
            job: a job id, or what a delete method returned: all its jobs are waited for. One without an id is done.
            timeout: seconds; as long as it takes by default.
            poll_interval: minimum seconds between two polls of one job.

        Returns:
            The state of the job, COMPLETE; of several, that of the last.

        Raises:
            JobFailedError: one ended FAILED or CANCELLED.
            WaitTimeoutError: the timeout expired; the job continues.

        Example:
            >>> def remove(client, batch_id):
            ...     client.jobs.wait(client.batches.delete(batch_id), timeout=60)
        """
        return self._lease.run(self._async.wait(job, timeout, poll_interval=poll_interval))

    def wait_all(
        self, jobs: Iterable[JobReference], timeout: float | None = None, *, poll_interval: float | None = None
    ) -> list[JobStatus]:
        """Wait for several deletions concurrently; all are waited for, also when one fails.

        Args:
            jobs: as for `wait()`.
            timeout: seconds for all together.
            poll_interval: as for `wait()`.

        Returns:
            The states, in the order of `jobs`.

        Raises:
            JobFailedError: one ended FAILED or CANCELLED; the first in the order of `jobs`.
            WaitTimeoutError: the timeout expired.
        """
        return self._lease.run(self._async.wait_all(jobs, timeout, poll_interval=poll_interval))
