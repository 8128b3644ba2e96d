# Written by `python -m aihub_sync._generate` from aihub_async/resources/v1/legacy.py. DO NOT EDIT.
"""Sync twins of the classes of `aihub_async.resources.v1.legacy`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aihub_sync._facade import Facade
from aihub_sync._generated.v1_handles import LegacyRunHandle
from aihub_sync._generated.v1_jobs import LegacyJobs
from aihub_sync._pages import Pages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aihub_async.models import LegacyRecord, LegacyResults, RunSettings
    from aihub_async.resources.named_files import NamedFiles
    from aihub_async.resources.v1 import legacy
    from aihub_async.types import Id
    from aihub_sync._facade import Lease


class LegacyApps(Facade):
    """Runs of apps by the deprecated endpoint."""

    _async: legacy.LegacyApps

    def run(
        self,
        app_id: str,
        batch_id: Id | None = None,
        input_dir: str | None = None,
        output_workspace: str | None = None,
        output_dir: str | None = None,
        settings: RunSettings | Mapping[str, Any] | None = None,
    ) -> LegacyRunHandle:
        """Start a run of an app and return immediately.

        Args:
            app_id: from the app's URL.
            batch_id: the batch to process; this or `input_dir`.
            input_dir: a folder on a drive, such as ``/org/workspace/fs/Instabase Drive/in``.
            output_workspace: your personal workspace by default.
            output_dir: where results go; wins over `output_workspace`.
            settings: a `RunSettings` or a dict, sent as it is; its `webhook_config` is called at the end, by default
                the client's receiver of webhooks, if it has one.

        Returns:
            A handle; its `wait()` waits for the end.

        Raises:
            InvalidRequestError: none or both of `batch_id` and `input_dir` given.
            OutcomeUnknownError: the connection broke and the run may or may not have started.

        Example:
            >>> def records(client, app_id, batch_id):
            ...     run = client.legacy.apps.run(app_id, batch_id=batch_id)
            ...     return [record.values for record in run.iter_results()]
        """
        try:
            found = self._lease.run(
                self._async.run(app_id, batch_id, input_dir, output_workspace, output_dir, settings)
            )
            return LegacyRunHandle(found, self._lease)
        finally:
            del settings

    def run_by_name(
        self,
        name: str,
        batch_id: Id | None = None,
        input_dir: str | None = None,
        owner: str | None = None,
        output_workspace: str | None = None,
        output_dir: str | None = None,
        settings: RunSettings | Mapping[str, Any] | None = None,
    ) -> LegacyRunHandle:
        """Start a run of an app, chosen by name, and return immediately; further arguments as for `run()`.

        Args:
            name: the app's name.
            batch_id: the batch to process; this or `input_dir`.
            input_dir: a folder on a drive.
            owner: who made the app: yourself by default, ``"instabase"`` for published ones.
            output_workspace: your personal workspace by default.
            output_dir: where results go; wins over `output_workspace`.
            settings: as for `run()`.

        Raises:
            InvalidRequestError: none or both of `batch_id` and `input_dir` given.
            OutcomeUnknownError: the connection broke and the run may or may not have started.
        """
        try:
            found = self._lease.run(
                self._async.run_by_name(name, batch_id, input_dir, owner, output_workspace, output_dir, settings)
            )
            return LegacyRunHandle(found, self._lease)
        finally:
            del settings

    def run_sync(self, app_id: str, files: NamedFiles) -> LegacyResults:
        """Run an app on a few files and wait for the results; the server keeps neither files nor results.

        Args:
            app_id: from the app's URL.
            files: contents by name, or a list of local paths and of pairs of name and content. A content is bytes, a
                `pathlib.Path` or an open binary file. At most 50 MB each and 100 MB together; they are held in memory.

        Raises:
            InvalidRequestError: no files, or too large ones.
            SourceError: a file cannot be read.
            OutcomeUnknownError: the connection broke and the run may or may not have been carried out.

        Example:
            >>> def total(client, app_id):
            ...     results = client.legacy.apps.run_sync(app_id, ["invoice.pdf"])
            ...     return results.records[0].values["total"]
        """
        return self._lease.run(self._async.run_sync(app_id, files))


class Legacy(Facade):
    """`client.legacy`."""

    _async: legacy.Legacy
    jobs: LegacyJobs
    """Jobs of the v1 API."""
    apps: LegacyApps
    """Runs of apps by the deprecated endpoint."""

    def _bind(self, wrapped: legacy.Legacy, lease: Lease) -> None:
        super()._bind(wrapped, lease)
        self.jobs = LegacyJobs(wrapped.jobs, lease)
        self.apps = LegacyApps(wrapped.apps, lease)

    def results(
        self,
        output_folder: str,
        file_offset: int = 0,
        include_page_layouts: bool = False,
        include_checkpoint_results: bool = False,
        include_validations_standardization: bool = False,
        refined_phrases_features: Sequence[str] = (),
    ) -> Pages[LegacyRecord]:
        """Iterate over the records of a finished job, page by page (20 files each).

        Args:
            output_folder: of the job, or the full path of its ``.ibflowresults`` file.
            file_offset: index of the first file, from 0.
            include_page_layouts: sizes of pages.
            include_checkpoint_results: what checkpoints found.
            include_validations_standardization: validations in the standard form.
            refined_phrases_features: ``"provenance_info"`` and ``"internal_keys"``.

        Raises:
            LegacyAPIError: there are no such results.

        Example:
            >>> def values(client, job):
            ...     return [record.values for record in client.legacy.results(job.output_folder)]
        """
        return Pages(
            self._async.results(
                output_folder,
                file_offset,
                include_page_layouts,
                include_checkpoint_results,
                include_validations_standardization,
                refined_phrases_features,
            ),
            self._lease,
        )
