# Written by `python -m aihub_sync._generate` from aihub_async/resources/v1/handles.py. DO NOT EDIT.
"""Sync twins of the classes of `aihub_async.resources.v1.handles`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aihub_sync._facade import Facade
from aihub_sync._pages import Pages

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub_async.models import LegacyJobStatus, LegacyRecord
    from aihub_async.resources.v1 import handles


class LegacyJobHandle(Facade):
    """A job of the v1 API that was started: ``handle.wait()`` waits for its end."""

    _async: handles.LegacyJobHandle

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
        return self._lease.run(
            self._async.wait(timeout, on_update=on_update, through_review=through_review, poll_interval=poll_interval)
        )

    def refresh(self) -> LegacyJobStatus:
        """Request and return the state of the job; its `outcome` is one of the statuses of v2 runs."""
        return self._lease.run(self._async.refresh())


class LegacyRunHandle(Facade):
    """A run of the v1 API that was started: ``handle.wait()`` waits for its end, `iter_results()` reads its results."""

    _async: handles.LegacyRunHandle

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
        return self._lease.run(
            self._async.wait(timeout, on_update=on_update, through_review=through_review, poll_interval=poll_interval)
        )

    def refresh(self) -> LegacyJobStatus:
        """Request and return the state of the job; its `outcome` is one of the statuses of v2 runs."""
        return self._lease.run(self._async.refresh())

    @property
    def output_folder(self) -> str | None:
        """The folder of the results; None where only the finished job has it."""
        return self._async.output_folder

    def iter_results(self) -> Pages[LegacyRecord]:
        """Iterate over the records of the run, page by page; the first page waits for the end.

        Raises:
            RunError: It ended without results; see `wait()`.
        """
        return Pages(self._async.iter_results(), self._lease)
