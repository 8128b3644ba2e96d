"""`client.jobs`: asynchronous jobs, such as deletions."""

from collections.abc import Iterable

import anyio

from aihub_async import operations as ops
from aihub_async.models import TERMINAL_JOB_STATES, BatchDeletionJob, DeletionJob, JobState, JobStatus, RunDeletion
from aihub_async.resources._base import Resource
from aihub_async.transport.transport import Transport
from aihub_async.waiting.handles import JobHandle, id_of
from aihub_async.waiting.pollables import StatePollable
from aihub_async.waiting.scheduler import Scheduler

JobReference = str | BatchDeletionJob | DeletionJob | RunDeletion
"""A job by its id, or what a method that deletes returned."""


class Jobs(Resource):
    """Asynchronous jobs of the server, such as deletions."""

    def __init__(self, transport: Transport, scheduler: Scheduler) -> None:
        super().__init__(transport)
        self._scheduler = scheduler
        self._pollable = StatePollable(
            transport,
            "job",
            "client.jobs.wait",
            self.status,
            status_of=lambda job: job.state,
            known=frozenset(JobState),
            ended=TERMINAL_JOB_STATES,
        )

    async def status(self, job_id: str) -> JobStatus:
        """Return the state of a job: PENDING or RUNNING, then COMPLETE, FAILED or CANCELLED."""
        return await self._fetch(JobStatus, ops.JOB_STATUS, job_id=job_id)

    def handle(self, job_id: str) -> JobHandle:
        """Return a handle of a job, by its id or by what `JobHandle.to_json()` returned."""
        return JobHandle(id_of(job_id, "job_id"), self._scheduler, self._pollable)

    async def wait(
        self, job: JobReference, timeout: float | None = None, *, poll_interval: float | None = None
    ) -> JobStatus:
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
            >>> async def remove(client, batch_id):
            ...     await client.jobs.wait(await client.batches.delete(batch_id), timeout=60)
        """
        states = await self.wait_all([job], timeout, poll_interval=poll_interval)
        return states[0]

    async def wait_all(
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
        groups = [_job_ids(job) for job in jobs]
        ends: dict[str, JobStatus | Exception] = {}

        async def wait_for(job_id: str) -> None:
            try:
                ends[job_id] = await self.handle(job_id).wait(timeout, poll_interval=poll_interval)
            except Exception as error:  # noqa: BLE001 - raised below, when the others have ended too
                ends[job_id] = error

        async with anyio.create_task_group() as tasks:
            for job_id in dict.fromkeys(job_id for ids in groups for job_id in ids):
                tasks.start_soon(wait_for, job_id)
        return [_last([ends[job_id] for job_id in ids]) for ids in groups]


def _job_ids(job: JobReference) -> tuple[str, ...]:
    if isinstance(job, str):
        return (job,) if job else ()
    if isinstance(job, RunDeletion):
        return job.job_ids
    return (job.job_id,) if job.job_id else ()


def _last(ends: list[JobStatus | Exception]) -> JobStatus:
    last = JobStatus(state=JobState.COMPLETE)
    for end in ends:
        if isinstance(end, Exception):
            raise end
        last = end
    return last
