# Written by `python -m aihub_sync._generate` from aihub_async/ingest/job.py. DO NOT EDIT.
"""Sync twins of the classes of `aihub_async.ingest.job`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aihub_sync._facade import Facade

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from aihub_async.ingest import job
    from aihub_async.ingest.engines import Engine
    from aihub_async.ingest.plan import Plan
    from aihub_async.ingest.progress import IngestStatus


class IngestJob(Facade):
    """A resumable bulk-ingestion job; `AIHub.ingest` creates it.

    Everything that it does is in its journal. After any interruption, create the same job again and run it: it
    continues where it stopped.

    Example:
        >>> def ingest(client):
        ...     job = client.ingest("scans", app_name="invoices", out="results")
        ...     print(job.plan())
        ...     return job.run()
    """

    _async: job.IngestJob

    def plan(self, *, contents: bool = True, pages: bool = True) -> Plan:
        """Read the source and record it in the journal; nothing is sent.

        Args:
            contents: look for files of equal content, which reads all files that have the size of another.
            pages: count pages, which reads all PDF and TIFF files.

        Returns:
            What there is to do, and what has changed since the last plan or run.

        Raises:
            JournalError: the journal cannot be used; see the exception tree.
        """
        return self._lease.run(self._async.plan(contents=contents, pages=pages))

    def run(self, *, retry_failed: bool = False, engine: Engine | None = None) -> IngestStatus:
        """Do the whole job, or the rest of it.

        Results appear in `out` as one part per batch, and at the end the dead-letter list as ``failures.jsonl``.
        Outages of the server shorter than `outage_patience` are waited out.

        Args:
            retry_failed: plan the files on the dead-letter list again, except those that were refused.
            engine: where to run it, such as a `DaskEngine`; in this process by default.

        Returns:
            The status at the end; `complete` unless it was stopped or something needs attention (`attention`).

        Raises:
            IngestError: it cannot continue, such as on a full disk. Run the same job again to resume it.
            JournalError: the journal cannot be used; see the exception tree.
            RequestError: the server refuses everything, or cannot be reached.
        """
        return self._lease.run(self._async.run(retry_failed=retry_failed, engine=engine))

    def watch(
        self, *, settle: float = 5.0, batch_after: float = 60.0, move: str | os.PathLike[str] | None = None
    ) -> IngestStatus:
        """Run the job on a folder that fills, until `stop()`: files are sent as they arrive.

        The journal is that of `run`: after a kill, watching again loses and repeats nothing.

        Args:
            settle: seconds for which size and time of a file must not change before it is sent; an empty file waits.
            batch_after: seconds after which a batch that is not full is sent.
            move: a folder to which files are moved when their results are written; by default they stay.

        Returns:
            The status at the end.

        Raises:
            IngestError: the source is not a folder, or the job cannot continue; see `run`.
        """
        return self._lease.run(self._async.watch(settle=settle, batch_after=batch_after, move=move))

    def retry_failed(self, *, engine: Engine | None = None) -> IngestStatus:
        """Plan the files on the dead-letter list again, except those that were refused, and run the job."""
        return self._lease.run(self._async.retry_failed(engine=engine))

    def stop(self) -> None:
        """Let `run` finish the requests in flight and return; call it from any thread, or from a signal handler.

        Files that are being sent arrive, and results that are being written are written. Runs continue on the server;
        the next `run` of the same job collects them.
        """
        self._async.stop()

    def status(self) -> IngestStatus:
        """Return the status that the journal shows; also while another process works on the job.

        Raises:
            JournalError: there is no journal, or it cannot be read.
        """
        return self._lease.run(self._async.status())

    def report(self, target: str | os.PathLike[str]) -> Path:
        """Write a page about the job as self-contained HTML, and return its path.

        Raises:
            JournalError: there is no journal, or it cannot be read.
            IngestError: the page cannot be written.
        """
        return self._lease.run(self._async.report(target))

    def rebuild(self, job: str | None = None) -> IngestStatus:
        """Recreate a lost journal from the names and tags on the server, the source and the results folder.

        The next `run` collects the results of all runs that were started, and starts none of them again.

        Args:
            job: the job's id; that of the results folder by default, or of the only job that the server has batches of.

        Raises:
            IngestError: the journal is there, or it is not clear which job is meant.
            RequestError: the server cannot be read.
        """
        return self._lease.run(self._async.rebuild(job))
