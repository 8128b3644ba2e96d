"""Handles of legacy jobs: what a submission returns."""

from collections.abc import Callable, Generator
from typing import Any

from aihub_async import operations as ops
from aihub_async.errors import InvalidRequestError
from aihub_async.models import LegacyJobStatus, LegacyRecord
from aihub_async.pagination import Page, Pages
from aihub_async.resources.v1.jobs import LegacyJobs


class LegacyJobHandle:
    """A job that was started; `wait()` waits for its end."""

    def __init__(self, job_id: str, jobs: LegacyJobs) -> None:
        self._id = job_id
        self._jobs = jobs

    @property
    def id(self) -> str:
        """The job's id."""
        return self._id

    async def status(self) -> LegacyJobStatus:
        """State of the job; its `outcome` is one of the states of v2 runs."""
        return await self._jobs.status(self._id)

    async def wait(
        self,
        timeout: float | None = None,
        *,
        through_review: bool = False,
        poll_interval: float | None = None,
    ) -> LegacyJobStatus:
        """Wait until the job is COMPLETE. Outages of the server are waited through; a webhook is followed up at once.

        Args:
            timeout: seconds; as long as it takes by default.
            through_review: go on waiting while the job is STOPPED_AT_CHECKPOINT.
            poll_interval: least seconds between two requests about this job.

        Raises:
            RunFailedError: it FAILED.
            RunCancelledError: it was CANCELLED.
            RunNeedsReviewError: it is STOPPED_AT_CHECKPOINT.
            WaitTimeoutError: it goes on after `timeout`.
        """
        return await self._jobs.wait(
            self._id, timeout=timeout, through_review=through_review, poll_interval=poll_interval
        )

    def __await__(self) -> Generator[Any, None, LegacyJobStatus]:
        return self.wait().__await__()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._id!r})"


class LegacyRunHandle(LegacyJobHandle):
    """A run that was started; `wait()` waits for its end, `results()` gives what it found."""

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
        """Where the results go; None where only the finished job tells."""
        return self._output_folder

    def results(self) -> Pages[LegacyRecord]:
        """The records of the run, page by page; the first page waits for the end.

        Raises:
            RunError: it came to no results, see `wait()`.
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
            raise InvalidRequestError(f"job {self._id} told no output folder; use client.legacy.results()")
        return folder
