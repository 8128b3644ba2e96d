# Written by `python -m aihub_sync._generate` from aihub_async/resources/v1/handles.py. DO NOT EDIT.
"""Sync twins of the classes of `aihub_async.resources.v1.handles`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aihub_sync._facade import Facade
from aihub_sync._pages import Pages

if TYPE_CHECKING:
    from aihub_async.models import LegacyJobStatus, LegacyRecord
    from aihub_async.resources.v1 import handles


class LegacyJobHandle(Facade):
    """A job that was started; `wait()` waits for its end."""

    _async: handles.LegacyJobHandle

    @property
    def id(self) -> str:
        """The job's id."""
        return self._async.id

    def status(self) -> LegacyJobStatus:
        """State of the job; its `outcome` is one of the states of v2 runs."""
        return self._lease.run(self._async.status())

    def wait(
        self, timeout: float | None = None, *, through_review: bool = False, poll_interval: float | None = None
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
        return self._lease.run(self._async.wait(timeout, through_review=through_review, poll_interval=poll_interval))


class LegacyRunHandle(Facade):
    """A run that was started; `wait()` waits for its end, `results()` gives what it found."""

    _async: handles.LegacyRunHandle

    @property
    def id(self) -> str:
        """The job's id."""
        return self._async.id

    def status(self) -> LegacyJobStatus:
        """State of the job; its `outcome` is one of the states of v2 runs."""
        return self._lease.run(self._async.status())

    def wait(
        self, timeout: float | None = None, *, through_review: bool = False, poll_interval: float | None = None
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
        return self._lease.run(self._async.wait(timeout, through_review=through_review, poll_interval=poll_interval))

    @property
    def output_folder(self) -> str | None:
        """Where the results go; None where only the finished job tells."""
        return self._async.output_folder

    def results(self) -> Pages[LegacyRecord]:
        """The records of the run, page by page; the first page waits for the end.

        Raises:
            RunError: it came to no results, see `wait()`.
        """
        return Pages(self._async.results(), self._lease)
