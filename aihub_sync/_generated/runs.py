# Written by `python -m aihub_sync._generate` from aihub_async/resources/runs.py. DO NOT EDIT.
"""Sync twins of the classes of `aihub_async.resources.runs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aihub_sync._compat import renamed
from aihub_sync._facade import Facade
from aihub_sync._generated.handles import RunHandle
from aihub_sync._pages import Pages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aihub_async.models import GivenRunSettings, ListRuns, ResultFile, Run, RunDeletion, RunResults
    from aihub_async.resources import runs
    from aihub_async.results.processed import Processed
    from aihub_async.results.tables import Table
    from aihub_async.types import Id


class Runs(Facade):
    """Runs of apps."""

    _async: runs.Runs

    @renamed(id="run_id")
    def status(self, run_id: str) -> Run:
        """Return the state of a run.

        COMPLETE, FAILED and CANCELLED are final; STOPPED_AT_CHECKPOINT waits for a person.
        """
        return self._lease.run(self._async.status(run_id))

    @renamed(id="run_id")
    def results(
        self,
        run_id: str,
        file_offset: int | None = None,
        include_confidence_scores: bool = False,
        include_source_info: bool = False,
        include_review_results: bool = False,
        include_validation_results: bool = False,
    ) -> RunResults:
        """Return one page of a run's results; `iter_results()` iterates over the files of all pages.

        Field names are those of the app with everything but letters, digits and underscores replaced by ``_``, and
        ``_`` doubled. `page_numbers` begin at 1, but those of `source_coordinates` and `page_layouts` at 0.

        Args:
            run_id: the run.
            file_offset: index of the first file, from 0. The next page begins at `file_offset + len(files)`.
            include_confidence_scores: confidences of classification, model and OCR.
            include_source_info: coordinates, page layouts and paths of post-processed files.
            include_review_results: the history of human edits.
            include_validation_results: results of validation rules.

        Raises:
            ProtocolError: The answer has neither files nor the run's id: it is an error, not the end of the results.
        """
        return self._lease.run(
            self._async.results(
                run_id,
                file_offset,
                include_confidence_scores,
                include_source_info,
                include_review_results,
                include_validation_results,
            )
        )

    def collect_results(
        self,
        run_id: str,
        include_confidence_scores: bool = False,
        include_source_info: bool = False,
        include_review_results: bool = False,
        include_validation_results: bool = False,
    ) -> RunResults:
        """Return a run's results with the files of all pages and the fields of the packet (`case_info`).

        Arguments as for `results()`. Everything is held in memory; `iter_results()` holds two pages.
        """
        return self._lease.run(
            self._async.collect_results(
                run_id,
                include_confidence_scores,
                include_source_info,
                include_review_results,
                include_validation_results,
            )
        )

    def processed(
        self,
        run_id: str,
        include_confidence_scores: bool = True,
        include_source_info: bool = False,
        include_review_results: bool = False,
        include_validation_results: bool = False,
    ) -> Processed:
        """Return a finished run with all of its results, as `client.process()` does; arguments as for `results()`.

        Confidences are included by default, because they cost nothing.

        Example:
            >>> def totals(client, run_id):
            ...     processed = client.apps.runs.processed(run_id)
            ...     return {row.file: row.confidence for row in processed if row.field == "total"}
        """
        return self._lease.run(
            self._async.processed(
                run_id,
                include_confidence_scores,
                include_source_info,
                include_review_results,
                include_validation_results,
            )
        )

    def table(
        self, run_id: str, rows: str = "document", columns: str | None = None, include: str | Sequence[str] = ()
    ) -> Table:
        """Return the results of a run as a table: `to_arrow()`, `to_pandas()`, `to_polars()` or `write("x.csv")`.

        Args:
            run_id: the run.
            rows: one row per ``"document"`` or one per ``"field"``.
            columns: for documents, ``"wide"`` (one column per field) or ``"long"`` (all values in ``fields``).
            include: what else to have for each field, which is requested from the server: ``"error"``,
                ``"confidence"``, ``"ocr"``, ``"valid"``, ``"alerts"``, ``"page"``, ``"boxes"`` or ``"edits"``.

        Example:
            >>> def frame(client, run_id):
            ...     table = client.apps.runs.table(run_id, include=["confidence"])
            ...     return table.to_pandas()
        """
        return self._lease.run(self._async.table(run_id, rows, columns, include))

    def iter_results(
        self,
        run_id: str,
        file_offset: int = 0,
        include_confidence_scores: bool = False,
        include_source_info: bool = False,
        include_review_results: bool = False,
        include_validation_results: bool = False,
    ) -> Pages[ResultFile]:
        """Iterate over the files of a run's results, all pages; arguments as for `results()`.

        The fields of the packet are in `pages.answer.case_info` of the returned pages, once they arrived.
        """
        return Pages(
            self._async.iter_results(
                run_id,
                file_offset,
                include_confidence_scores,
                include_source_info,
                include_review_results,
                include_validation_results,
            ),
            self._lease,
        )

    def handle(self, run_id: str) -> RunHandle:
        """Return a handle of a run, by its id or by what `RunHandle.to_json()` returned, also in another process.

        Example:
            >>> def resume(client, saved):
            ...     return client.apps.runs.handle(saved).wait()
        """
        return RunHandle(self._async.handle(run_id), self._lease)

    def wait(
        self,
        run_id: str,
        timeout: float | None = None,
        *,
        on_update: Callable[[Run], None] | None = None,
        through_review: bool = False,
        poll_interval: float | None = None,
    ) -> Run:
        """Wait for the end of a run: `handle(run_id).wait(…)`, where arguments and errors are described."""
        return self._lease.run(
            self._async.wait(
                run_id, timeout, on_update=on_update, through_review=through_review, poll_interval=poll_interval
            )
        )

    @renamed(output_repo="output_workspaces")
    def list(
        self,
        app_id: str | None = None,
        app_name: str | None = None,
        deployment_id: str | None = None,
        username: str | None = None,
        run_id: str | None = None,
        status: str | Sequence[str] | None = None,
        output_workspaces: str | Sequence[str] | None = None,
        from_timestamp: int | None = None,
        to_timestamp: int | None = None,
        limit: int | None = None,
        offset: int | None = None,
        sort_by: str | None = None,
        order: str | None = None,
    ) -> ListRuns:
        """List one page of runs; `iter()` returns all of them.

        Without `from_timestamp` the API lists the last 24 hours only. Timestamps here are Unix **seconds**, while those
        of the runs themselves are nanoseconds.

        Args:
            app_id: only runs of this app.
            app_name: only runs of apps of this name.
            deployment_id: only runs of this deployment.
            username: only runs started by this user.
            run_id: only this run.
            status: one status or several, such as ``["RUNNING", "FAILED"]``.
            output_workspaces: one workspace name or several.
            from_timestamp: Unix seconds; 24 hours ago by default.
            to_timestamp: Unix seconds; now by default.
            limit: how many at most.
            offset: how many to skip.
            sort_by: ``"start_timestamp"`` or ``"status"``.
            order: ``"ASCENDING"`` or ``"DESCENDING"``.
        """
        return self._lease.run(
            self._async.list(
                app_id,
                app_name,
                deployment_id,
                username,
                run_id,
                status,
                output_workspaces,
                from_timestamp,
                to_timestamp,
                limit,
                offset,
                sort_by,
                order,
            )
        )

    def iter(
        self,
        app_id: str | None = None,
        app_name: str | None = None,
        deployment_id: str | None = None,
        username: str | None = None,
        status: str | Sequence[str] | None = None,
        output_workspaces: str | Sequence[str] | None = None,
        from_timestamp: int | None = None,
        to_timestamp: int | None = None,
        sort_by: str | None = None,
        order: str | None = None,
        *,
        page_size: int = 100,
    ) -> Pages[Run]:
        """Return all runs, page by page; arguments as for `list()`."""
        return Pages(
            self._async.iter(
                app_id,
                app_name,
                deployment_id,
                username,
                status,
                output_workspaces,
                from_timestamp,
                to_timestamp,
                sort_by,
                order,
                page_size=page_size,
            ),
            self._lease,
        )

    @renamed(id="run_id")
    def delete(
        self,
        run_id: str,
        delete_db_data: bool = True,
        delete_input: bool = True,
        delete_output: bool = True,
        delete_logs: bool = True,
    ) -> RunDeletion:
        """Delete a run. By default this deletes its input too, and with it **the batch**.

        Returns:
            Up to three jobs to wait for (`job_ids`).
        """
        return self._lease.run(self._async.delete(run_id, delete_db_data, delete_input, delete_output, delete_logs))

    def create(
        self,
        app_name: str | None = None,
        app_id: str | None = None,
        batch_id: Id | None = None,
        input_dir: str | None = None,
        output_dir: str | None = None,
        owner: str | None = None,
        version: str | None = None,
        output_workspace: str | None = None,
        settings: GivenRunSettings | None = None,
        *,
        dedupe: bool = True,
    ) -> Run:
        """Start a run of an app and return immediately.

        Args:
            app_name: name of the app; this or `app_id`.
            app_id: id of the app.
            batch_id: the batch to process (at most 1,000 files); this or `input_dir`.
            input_dir: a folder on a drive, such as ``/org/workspace/fs/Instabase Drive/in``.
            output_dir: where results go; wins over `output_workspace`.
            owner: who made the app: yourself by default, ``instabase`` for published ones.
            version: the latest production version by default.
            output_workspace: your personal workspace by default; service accounts must set this or `output_dir`.
            settings: keys, runtime configuration, tags; a `RunSettings` or a dict, sent as it is.
            dedupe: add a tag ``aihub-sdk:<uuid>``, if the 500 characters of all tags have room for it. After an unclear
                failure the run is looked up by it, and started again only if it was not started. With False there is no
                tag, and such a failure is raised immediately.

        Returns:
            The run, usually RUNNING. Times are Unix nanoseconds.

        Raises:
            InvalidRequestError: none or both of a pair were passed.
            OutcomeUnknownError: the connection broke, and it could not be determined whether the run has started.
        """
        try:
            return self._lease.run(
                self._async.create(
                    app_name,
                    app_id,
                    batch_id,
                    input_dir,
                    output_dir,
                    owner,
                    version,
                    output_workspace,
                    settings,
                    dedupe=dedupe,
                )
            )
        finally:
            del settings

    def submit(
        self,
        app_name: str | None = None,
        app_id: str | None = None,
        batch_id: Id | None = None,
        input_dir: str | None = None,
        output_dir: str | None = None,
        owner: str | None = None,
        version: str | None = None,
        output_workspace: str | None = None,
        settings: GivenRunSettings | None = None,
        *,
        dedupe: bool = True,
    ) -> RunHandle:
        """Start a run of an app and return a handle: ``handle.wait()`` returns the finished run.

        The arguments and errors are those of `create()`.

        Example:
            >>> def process(client, batch_id):
            ...     handle = client.apps.runs.submit(app_name="Invoices", batch_id=batch_id)
            ...     return handle.wait(timeout=3600)
        """
        try:
            found = self._lease.run(
                self._async.submit(
                    app_name,
                    app_id,
                    batch_id,
                    input_dir,
                    output_dir,
                    owner,
                    version,
                    output_workspace,
                    settings,
                    dedupe=dedupe,
                )
            )
            return RunHandle(found, self._lease)
        finally:
            del settings
