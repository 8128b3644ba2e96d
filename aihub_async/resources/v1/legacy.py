"""`client.legacy`: apps, jobs and results as they were before `client.apps.runs`.

The service still answers these calls but calls them deprecated; new programs use `client.apps.runs`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aihub_async import operations as ops
from aihub_async.errors import InvalidRequestError
from aihub_async.models import (
    LegacyJob,
    LegacyRecord,
    LegacyResults,
    LegacyResultsAnswer,
    RunSettings,
    conceal_settings,
    settings_dict,
)
from aihub_async.pagination import Page, Pages
from aihub_async.resources._base import as_batch_id, given
from aihub_async.resources._run_settings import with_webhook
from aihub_async.resources.named_files import NamedFiles, inline_files
from aihub_async.resources.v1._base import LegacyResource
from aihub_async.resources.v1.handles import LegacyRunHandle
from aihub_async.resources.v1.jobs import LegacyJobs
from aihub_async.secrecy import SecretValue
from aihub_async.transport.transport import Transport
from aihub_async.types import Id
from aihub_async.waiting.scheduler import Scheduler

if TYPE_CHECKING:
    from aihub_async.webhooks.receiver import WebhookReceiver

RESULTS_FILE = "batch.ibflowresults"
_RESULTS_PAGE = 20


class LegacyApps(LegacyResource):
    """Runs of apps by the deprecated endpoint."""

    def __init__(self, transport: Transport, legacy: "Legacy", webhooks: "WebhookReceiver | None") -> None:
        super().__init__(transport)
        self._legacy = legacy
        self._webhooks = webhooks

    async def run(
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
            >>> async def records(client, app_id, batch_id):
            ...     run = await client.legacy.apps.run(app_id, batch_id=batch_id)
            ...     return [record.values async for record in run.iter_results()]
        """
        # It may hold passwords, and this frame is part of a traceback.
        settings = conceal_settings(settings)
        body = self._body(batch_id, input_dir, output_workspace, output_dir, settings)
        job = await self._call(LegacyJob, ops.RUN_LEGACY_APP, json=body, app_id=app_id)
        return LegacyRunHandle(job.job_id, self._legacy.jobs, self._legacy.results)

    async def run_by_name(
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
        # It may hold passwords, and this frame is part of a traceback.
        settings = conceal_settings(settings)
        body = self._body(batch_id, input_dir, output_workspace, output_dir, settings, name=name, owner=owner)
        job = await self._call(LegacyJob, ops.RUN_LEGACY_APP_BY_NAME, json=body)
        return LegacyRunHandle(job.job_id, self._legacy.jobs, self._legacy.results)

    async def run_sync(self, app_id: str, files: NamedFiles) -> LegacyResults:
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
            >>> async def total(client, app_id):
            ...     results = await client.legacy.apps.run_sync(app_id, ["invoice.pdf"])
            ...     return results.records[0].values["total"]
        """
        body = {"files": await inline_files(files)}
        return (await self._call(LegacyResultsAnswer, ops.RUN_LEGACY_APP_SYNC, json=body, app_id=app_id)).response

    def _body(
        self,
        batch_id: Id | None,
        input_dir: str | None,
        output_workspace: str | None,
        output_dir: str | None,
        settings: RunSettings | None,
        **fields: str | None,
    ) -> SecretValue[dict[str, Any]]:
        if (batch_id is None) == (input_dir is None):
            raise InvalidRequestError("pass one of batch_id and input_dir")
        # A string here, unlike in v2 (docs: request parameters).
        batch = None if batch_id is None else str(as_batch_id(batch_id))
        return SecretValue(
            given(
                **fields,
                batch_id=batch,
                input_dir=input_dir,
                output_workspace=output_workspace,
                output_dir=output_dir,
                settings=with_webhook(settings_dict(settings), self._webhooks) or None,
            )
        )


class Legacy(LegacyResource):
    """`client.legacy`."""

    def __init__(self, transport: Transport, scheduler: Scheduler, webhooks: "WebhookReceiver | None" = None) -> None:
        super().__init__(transport)
        self.jobs = LegacyJobs(transport, scheduler)
        self.apps = LegacyApps(transport, self, webhooks)

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
            >>> async def values(client, job):
            ...     return [record.values async for record in client.legacy.results(job.output_folder)]
        """
        options = {
            "include_page_layouts": include_page_layouts,
            "include_checkpoint_results": include_checkpoint_results,
            "include_validations_standardization": include_validations_standardization,
            "refined_phrases_features": list(refined_phrases_features),
        }
        # Only what the caller has chosen: the server's own defaults apply to the rest.
        chosen = {name: value for name, value in options.items() if value}

        async def fetch(cursor: str | int | None) -> Page[LegacyRecord]:
            offset = int(cursor or 0)
            body = {"ibresults_path": _results_path(output_folder), "options": chosen, "file_offset": offset}
            answer = await self._call(LegacyResults, ops.GET_FLOW_RESULTS, json=body)
            return Page(answer.records, offset + _files_of(answer.records) if answer.records else None)

        return Pages(ops.GET_FLOW_RESULTS, fetch, start=file_offset, key=LegacyRecord.to_json)


def _results_path(output_folder: str) -> str:
    if output_folder.endswith(".ibflowresults"):
        return output_folder
    return f"{output_folder.rstrip('/')}/{RESULTS_FILE}"


def _files_of(records: Sequence[LegacyRecord]) -> int:
    """Return how many files a page of records is about; the next page begins that much further."""
    files = {record.file_index if record.file_index is not None else record.file_name for record in records}
    return _RESULTS_PAGE if files == {None} else len(files)
