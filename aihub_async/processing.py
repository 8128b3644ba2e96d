"""`client.process()`: documents in, extracted fields out, in one call."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aihub_async.models import Run, RunSettings, conceal_settings
from aihub_async.process_run import RunOptions, UploadChoices, process_run
from aihub_async.resources._base import exactly_one
from aihub_async.resources.apps import Apps
from aihub_async.resources.batches import Batches
from aihub_async.uploads.engine import OnProgress
from aihub_async.uploads.sources import Naming, Sources

if TYPE_CHECKING:
    from aihub_async.process_each import Groups, ProcessOutcomes
    from aihub_async.results.processed import Processed


class Processing:
    """The part of the client that takes documents and returns fields."""

    batches: Batches
    """Batches of files, the input of runs."""
    apps: Apps
    """Runs of apps and of deployments, and their results."""

    async def process(
        self,
        sources: Sources | None = None,
        *,
        app_name: str | None = None,
        app_id: str | None = None,
        deployment_id: str | None = None,
        batch_id: str | int | None = None,
        batch_name: str | None = None,
        workspace: str | None = None,
        owner: str | None = None,
        version: str | None = None,
        output_workspace: str | None = None,
        output_dir: str | None = None,
        settings: RunSettings | Mapping[str, Any] | None = None,
        dedupe: bool = True,
        timeout: float | None = None,
        through_review: bool = False,
        on_progress: OnProgress | None = None,
        on_update: Callable[[Run], None] | None = None,
        naming: Naming = None,
        include: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        include_confidence_scores: bool = True,
        include_source_info: bool = False,
        include_review_results: bool = False,
        include_validation_results: bool = False,
    ) -> "Processed":
        """Upload documents to a new batch, run an app on them, wait, and return all extracted fields.

        Sources, names and arguments are checked before the first request: of bad input nothing is left on the server.
        Then the API is queried for the app; some servers only report an unknown app when the run starts.

        Args:
            sources: what `batches.upload()` takes: paths, folders, ``(name, bytes)`` …; at most 1,000 files.
            app_name: the app to run; this, `app_id` or `deployment_id`.
            app_id: the app to run.
            deployment_id: the deployment to run.
            batch_id: process the files of this batch instead of `sources`.
            batch_name: name of the new batch; one with date and random letters by default.
            workspace: where the new batch is made.
            owner: who made the app: yourself by default, ``instabase`` for published ones.
            version: the latest production version by default.
            output_workspace: as for `apps.runs.create()`.
            output_dir: as for `apps.runs.create()`.
            settings: as for `apps.runs.create()`.
            dedupe: as for `apps.runs.create()`.
            timeout: seconds to wait for the run; as long as it takes by default.
            through_review: wait through a human review instead of raising at its beginning.
            on_progress: called with the state of the upload.
            on_update: called with the run at its start and whenever its status changes.
            naming: as for `batches.upload()`.
            include: as for `batches.upload()`.
            exclude: as for `batches.upload()`.
            include_confidence_scores: as for `apps.runs.results()`; on by default, because it costs nothing.
            include_source_info: as for `apps.runs.results()`.
            include_review_results: as for `apps.runs.results()`.
            include_validation_results: as for `apps.runs.results()`.

        Raises:
            InvalidRequestError: not one app, no files, or more than 1,000.
            UploadError: some files could not be uploaded; no run was started.
            RunFailedError: the run failed; see also `RunCancelledError` and `RunNeedsReviewError`.
            WaitTimeoutError: the timeout expired; the run continues, and its id is in the error.

        Example:
            >>> async def totals(client, paths):
            ...     processed = await client.process(paths, app_name="Invoices")
            ...     return {row.file: row.value for row in processed.rows() if row.field == "total"}
        """
        settings = conceal_settings(settings)
        choices = UploadChoices(
            sources=sources,
            batch_id=batch_id,
            batch_name=batch_name,
            workspace=workspace,
            naming=naming,
            include=include,
            exclude=exclude,
        )
        options = RunOptions(
            app_name=app_name,
            app_id=app_id,
            deployment_id=deployment_id,
            owner=owner,
            version=version,
            output_workspace=output_workspace,
            output_dir=output_dir,
            settings=settings,
            dedupe=dedupe,
        )
        return await process_run(
            self.batches,
            self.apps,
            choices,
            options,
            timeout=timeout,
            through_review=through_review,
            on_progress=on_progress,
            on_update=on_update,
            details={
                "include_confidence_scores": include_confidence_scores,
                "include_source_info": include_source_info,
                "include_review_results": include_review_results,
                "include_validation_results": include_validation_results,
            },
        )

    def process_each(
        self,
        groups: "Groups",
        *,
        app_name: str | None = None,
        app_id: str | None = None,
        deployment_id: str | None = None,
        workspace: str | None = None,
        owner: str | None = None,
        version: str | None = None,
        output_workspace: str | None = None,
        settings: RunSettings | Mapping[str, Any] | None = None,
        timeout: float | None = None,
        through_review: bool = False,
        max_in_flight: int = 8,
        ordered: bool = False,
        include_confidence_scores: bool = True,
        include_source_info: bool = False,
        include_review_results: bool = False,
        include_validation_results: bool = False,
    ) -> "ProcessOutcomes":
        """Process each group of sources in its own run, several at a time; return the outcomes as each ends.

        It is between `process()` and `ingest()`: any number of groups in flat memory, nothing kept, no journal.
        After an interruption the caller has to know which groups have ended.

        Args:
            groups: an iterable of what `process()` takes: a folder, or a list of sources, for each run.
            app_name: as for `process()`, as all that follows.
            app_id: the app to run.
            deployment_id: the deployment to run.
            workspace: where the batches are made.
            owner: who made the app.
            version: the latest production version by default.
            output_workspace: as for `apps.runs.create()`.
            settings: as for `apps.runs.create()`.
            timeout: seconds to wait for each run.
            through_review: wait through human reviews.
            max_in_flight: groups in progress at a time.
            ordered: return outcomes in the order of the groups; by default as they end.
            include_confidence_scores: as for `apps.runs.results()`.
            include_source_info: as for `apps.runs.results()`.
            include_review_results: as for `apps.runs.results()`.
            include_validation_results: as for `apps.runs.results()`.

        Returns:
            An iterator of `ProcessOutcome`: the group with its `result`, or its `error`.

        Raises:
            InvalidRequestError: not exactly one app or deployment, or `max_in_flight` below 1.

        Example:
            >>> async def totals(client, folders):
            ...     async for outcome in client.process_each(folders, app_name="Claims"):
            ...         print(outcome.sources, outcome.error or outcome.result.run.id)
        """
        settings = conceal_settings(settings)
        exactly_one(app_name=app_name, app_id=app_id, deployment_id=deployment_id)
        from aihub_async.process_each import ProcessOutcomes  # noqa: PLC0415 - needed only now

        process = functools.partial(
            self.process,
            app_name=app_name,
            app_id=app_id,
            deployment_id=deployment_id,
            workspace=workspace,
            owner=owner,
            version=version,
            output_workspace=output_workspace,
            settings=settings,
            timeout=timeout,
            through_review=through_review,
            include_confidence_scores=include_confidence_scores,
            include_source_info=include_source_info,
            include_review_results=include_review_results,
            include_validation_results=include_validation_results,
        )
        return ProcessOutcomes(process, groups, max_in_flight=max_in_flight, ordered=ordered)
