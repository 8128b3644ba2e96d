"""`client.jobs`: asynchronous jobs, such as deletions."""

from aihub_async import operations as ops
from aihub_async.models import JobStatus
from aihub_async.resources._base import Resource


class Jobs(Resource):
    """Jobs of file operations."""

    async def status(self, job_id: str) -> JobStatus:
        """State of a job: PENDING or RUNNING, then COMPLETE, FAILED or CANCELLED."""
        return await self._fetch(JobStatus, ops.JOB_STATUS, job_id=job_id)
