"""`client.ingest()`: bulk jobs."""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aihub_async.models import RunSettings, conceal_settings
from aihub_async.resources._raw import RawRequests
from aihub_async.resources.apps import Apps
from aihub_async.resources.batches import Batches

if TYPE_CHECKING:
    from aihub_async.ingest.job import IngestJob
    from aihub_async.ingest.options import SettingsOf
    from aihub_async.ingest.progress import IngestStatus
    from aihub_async.ingest.scan import Sources as IngestSources
    from aihub_async.results.gates import Gate


class BulkJobs(RawRequests):
    """The part of the client that makes bulk jobs."""

    batches: Batches
    apps: Apps
    _connect: Callable[[], Any]
    """Makes a client like this one in another process."""

    def ingest(
        self,
        sources: "IngestSources",
        *,
        app_name: str | None = None,
        app_id: str | None = None,
        deployment_id: str | None = None,
        out: "str | os.PathLike[str]",
        journal: "str | os.PathLike[str] | None" = None,
        owner: str | None = None,
        version: str | None = None,
        workspace: str | None = None,
        settings: "RunSettings | Mapping[str, Any] | SettingsOf | None" = None,
        group: "str | Callable[[Path], str] | None" = None,
        group_sorted: bool = False,
        on_review: str = "skip",
        gate: "Gate | None" = None,
        format: str = "jsonl",
        rows: str = "document",
        columns: str | None = None,
        add: str | Sequence[str] = (),
        raw: bool = False,
        formulas: bool = False,
        send_all_types: bool = False,
        include: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        batch_files: int = 1000,
        batch_bytes: int = 1 << 30,
        max_runs: int = 8,
        in_flight_grace: float = 60.0,
        outage_patience: float = 1800.0,
        max_files: int | None = None,
        max_pages: int | None = None,
        max_runs_total: int | None = None,
        on_progress: "Callable[[IngestStatus], None] | None" = None,
    ) -> "IngestJob":
        """Create a resumable bulk-ingestion job.

        Nothing happens before `job.plan()` or `job.run()`. After an interruption of any kind, create the same job again
        and run it: it continues where it stopped, loses nothing, and starts no run twice.

        Args:
            sources: a folder, a file, an fsspec URL such as ``s3://bucket/invoices/**/*.pdf`` (extra `fsspec` and the
                package of the file system), or an iterable of these or of ``(name, path)``, which must yield the same
                again.
            app_name: name of the app; exactly one of this, `app_id` and `deployment_id`.
            app_id: id of the app.
            deployment_id: id of a deployment, from its URL.
            out: folder of the results: one part per batch, and the dead-letter list ``failures.jsonl``. With an fsspec
                URL the parts are written below ``~/.aihub/jobs`` and copied whole, a copy of the journal at the end.
            journal: the job's record, an SQLite file; ``.aihub/job.db`` in `out` by default.
            owner: who made the app.
            version: of the app; the latest production version by default.
            workspace: of the batches and of the runs' output.
            settings: keys, runtime configuration and tags of all runs, or a callable that returns them for the name of
                a group; not kept in the journal.
            group: ``"folder"`` makes one batch and one run of each subfolder of the source with everything below it
                (and one of the files directly in the source, named ``"."``); a callable returns the group of a path.
                The name is a column of every row. A group of more than 1,000 files is refused. The run of a subfolder
                starts when the next one is read. Those of a callable start when the source has been read, since any
                later file may belong to any group; see `group_sorted`.
            group_sorted: the source has the files of each group of a callable one after the other, so that the run of a
                group starts when the next group begins. A file whose group had ended before is refused: a group never
                becomes two runs.
            on_review: what to do when a run stops for a human review: ``"skip"`` leaves it to a later call of the same
                job, which collects the results; ``"wait"`` waits; ``"export"`` writes the current results, with
                ``review_completed`` false, until a later call replaces them. The API documents results of completed
                runs only: where the server refuses those of a run in review, it is left as with ``"skip"``.
            gate: rules for documents to be used as they are; those that it refuses are listed in ``review.jsonl``.
            format: ``"jsonl"``, ``"csv"``, ``"parquet"`` (extra `parquet`) or ``"xlsx"`` (extra `xlsx`).
            rows: one per ``"document"`` or one per ``"field"``.
            columns: for documents, ``"long"`` (all values in the column ``fields``, the default) or ``"wide"`` (one
                column per field; when the job ends, all parts get the columns of all).
            add: what else to have for each field, as `include` of `Processed.table`: ``"confidence"``, ``"valid"``,
                ``"page"`` …
            raw: keep the server's result pages too, in ``out/raw``.
            formulas: leave texts in CSV that a spreadsheet would run as a formula as they are.
            send_all_types: also send files whose extension AI Hub is not known to accept.
            include: only files of folders that match one of these `fnmatch` patterns.
            exclude: no files or folders of folders that match one of these.
            batch_files: files of a run, at most 1,000.
            batch_bytes: bytes of a batch, about.
            max_runs: maximum number of runs in flight.
            in_flight_grace: seconds to look up what a request of unknown outcome created, before it is sent again.
            outage_patience: seconds that the server may be unreachable before the job stops with an error.
            max_files: files that the job may send over all its resumptions; it continues with a higher limit.
            max_pages: likewise pages: of PDF and TIFF files and images; other files count as one page.
            max_runs_total: likewise runs.
            on_progress: called with the `IngestStatus` about twice a second.

        Raises:
            ConfigurationError: the arguments do not make a job.

        Example:
            >>> async def ingest(client):
            ...     job = client.ingest("scans", app_name="invoices", out="results")
            ...     print(await job.plan())
            ...     status = await job.run()
            ...     return status.complete
        """
        settings = settings if callable(settings) else conceal_settings(settings)
        # SQLite and all of the job's machinery are only needed here.
        from aihub_async.ingest.cloud import split_out  # noqa: PLC0415
        from aihub_async.ingest.folder import default_journal  # noqa: PLC0415
        from aihub_async.ingest.job import IngestJob  # noqa: PLC0415
        from aihub_async.ingest.options import JobOptions  # noqa: PLC0415

        folder, url = split_out(out)
        options = JobOptions(
            out=folder,
            publish_to=url,
            journal=default_journal(folder) if journal is None else journal,
            app_name=app_name,
            app_id=app_id,
            deployment_id=deployment_id,
            owner=owner,
            version=version,
            workspace=workspace,
            settings=settings,
            group=group,
            group_sorted=group_sorted,
            on_review=on_review,
            gate=gate,
            format=format,
            rows=rows,
            columns=columns,
            add=add,
            raw=raw,
            formulas=formulas,
            send_all_types=send_all_types,
            include=include,
            exclude=exclude,
            batch_files=batch_files,
            batch_bytes=batch_bytes,
            max_runs=max_runs,
            in_flight_grace=in_flight_grace,
            outage_patience=outage_patience,
            max_files=max_files,
            max_pages=max_pages,
            max_runs_total=max_runs_total,
        )
        transport = self._transport
        job = functools.partial(
            IngestJob, connect=self._connect, server=transport.settings.api_root, telemetry=transport.telemetry
        )
        return job(self, sources, options, on_progress=on_progress)
