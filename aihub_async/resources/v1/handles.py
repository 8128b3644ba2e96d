"""Handles of legacy jobs: what a submission returns."""

from collections.abc import Awaitable, Callable

from aihub_async import operations as ops
from aihub_async.errors import InvalidRequestError
from aihub_async.models import LegacyJobStatus, LegacyRecord
from aihub_async.pagination import Page, Pages
from aihub_async.resources.v1.jobs import LegacyJobs
from aihub_async.waiting.handles import Handle


class LegacyJobHandle(Handle[LegacyJobStatus]):
    """A job of the v1 API that was started: ``await handle`` waits for its end."""

    def __init__(self, job_id: str, jobs: LegacyJobs) -> None:
        super().__init__(job_id, _outcome)
        self._jobs = jobs

    async def wait(
        self,
        timeout: float | None = None,
        *,
        on_update: Callable[[LegacyJobStatus], None] | None = None,
        through_review: bool = False,
        poll_interval: float | None = None,
    ) -> LegacyJobStatus:
        """Wait until the job is COMPLETE. Outages of the server are waited through.

        Args:
            timeout: Seconds; no limit by default.
            on_update: Called with the job when it is first seen and whenever its outcome has changed.
            through_review: Continue to wait while the job is STOPPED_AT_CHECKPOINT.
            poll_interval: Minimum seconds between two polls of this job; a webhook bypasses it.

        Raises:
            RunFailedError: It FAILED.
            RunCancelledError: It was CANCELLED.
            RunNeedsReviewError: It is STOPPED_AT_CHECKPOINT.
            WaitTimeoutError: The timeout has passed; the job continues.
        """
        job = await self._jobs.wait(
            self._id,
            timeout=timeout,
            on_update=self._observing(on_update),
            through_review=through_review,
            poll_interval=poll_interval,
        )
        return self._observe(job)

    async def refresh(self) -> LegacyJobStatus:
        """Request and return the state of the job; its `outcome` is one of the statuses of v2 runs."""
        return self._observe(await self._jobs.status(self._id))

    def _wait(self) -> Awaitable[LegacyJobStatus]:
        return self.wait()


class LegacyRunHandle(LegacyJobHandle):
    """A run of the v1 API that was started: ``await handle`` waits for its end, `iter_results()` reads its results."""

    def __init__(
        self,
        job_id: str,
        jobs: LegacyJobs,
        read_results: Callable[[str], Pages[LegacyRecord]],
        output_folder: str | None = None,
    ) -> None:
        super().__init__(job_id, jobs)
        self._read_results = read_results
        self._output_folder = output_folder

    @property
    def output_folder(self) -> str | None:
        """The folder of the results; None where only the finished job has it."""
        return self._output_folder

    def iter_results(self) -> Pages[LegacyRecord]:
        """Iterate over the records of the run, page by page; the first page waits for the end.

        Raises:
            RunError: It ended without results; see `wait()`.
        """
        pages: Pages[LegacyRecord] | None = None

        async def fetch(cursor: str | int | None) -> Page[LegacyRecord]:
            nonlocal pages
            if pages is None:
                pages = self._read_results(await self._folder())
            items = await pages.next_page()
            return Page(items or [], int(cursor or 0) + 1 if items else None)

        return Pages(ops.GET_FLOW_RESULTS, fetch)

    async def _folder(self) -> str:
        folder = (await self.wait()).output_folder or self._output_folder
        if folder is None:
            raise InvalidRequestError(f"job {self._id} names no output folder; use client.legacy.results()")
        return folder


def _outcome(job: LegacyJobStatus) -> str | None:
    return job.outcome
