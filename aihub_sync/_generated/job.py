# Written by `python -m aihub_sync._generate` from aihub_async/ingest/job.py. DO NOT EDIT.
"""Sync twins of the classes of `aihub_async.ingest.job`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aihub_sync._facade import Facade

if TYPE_CHECKING:
    from aihub_async.ingest import job
    from aihub_async.ingest.engines import Engine
    from aihub_async.ingest.options import JobOptions
    from aihub_async.ingest.plan import Plan
    from aihub_async.ingest.progress import IngestStatus


class IngestJob(Facade):
    """A bulk job; `AIHub.ingest` makes it.

    Everything that it does is in its journal. Whatever interrupts it, making the same job again and running it goes on
    where it stopped.

    Example:
        >>> def ingest(client):
        ...     job = client.ingest("scans", app_name="invoices", out="results")
        ...     print(job.plan())
        ...     return job.run()
    """

    _async: job.IngestJob

    @property
    def options(self) -> JobOptions:
        """See the class."""
        return self._async.options

    def plan(self, *, contents: bool = True) -> Plan:
        """Read the source and record it in the journal; nothing is sent.

        Args:
            contents: look for files of equal content, which reads all files that have the size of another.

        Returns:
            What there is to do, and what has changed since the last plan or run.

        Raises:
            JournalError: the journal cannot be used; see the exception tree.
        """
        return self._lease.run(self._async.plan(contents=contents))

    def run(self, *, retry_failed: bool = False, engine: Engine | None = None) -> IngestStatus:
        """Do the whole job, or what is left of it.

        Results appear in `out` as one part per batch, and at the end the dead-letter list as ``failures.jsonl``.

        Args:
            retry_failed: plan the files on the dead-letter list again, except those that were refused.
            engine: where to run it, such as a `DaskEngine`; here by default.

        Returns:
            How far the job came; `complete` unless it was stopped or a run waits for a review.

        Raises:
            IngestError: it cannot go on, such as on a full disk. Run the same job again to resume it.
            JournalError: the journal cannot be used; see the exception tree.
            RequestError: the server refuses everything, or cannot be reached.
        """
        return self._lease.run(self._async.run(retry_failed=retry_failed, engine=engine))

    def stop(self) -> None:
        """Let `run` finish what is in flight and return; from any thread, or from a signal handler."""
        self._async.stop()

    def status(self) -> IngestStatus:
        """How far the journal says that the job is; it can be asked while another process works.

        Raises:
            JournalError: there is no journal, or it cannot be read.
        """
        return self._lease.run(self._async.status())
