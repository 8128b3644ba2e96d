"""`client.apps.runs` and `client.apps.deployments.runs`: running apps and reading their results."""

from collections.abc import Mapping, Sequence
from typing import Any

from aihub_async import operations as ops
from aihub_async.errors import InvalidRequestError
from aihub_async.models import (
    ListRuns,
    ResultFile,
    Run,
    RunDeletion,
    RunResults,
    RunSettings,
    RunStatus,
    settings_dict,
)
from aihub_async.resources._base import Id, Resource, build_request, given, read_answer
from aihub_async.resources._paging import Page, Pages, offset_page
from aihub_async.resources.batches import as_batch_id
from aihub_async.transport.messages import Request
from aihub_async.transport.transport import Transport

_PAGE = 100
_MAX_SECONDS = 10_000_000_000
Settings = RunSettings | Mapping[str, Any]


class _AnyRuns(Resource):
    """What is the same for runs of apps and of deployments."""

    async def list(
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
        """List one page of runs; `iter()` gives them all.

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
        _check_seconds(from_timestamp=from_timestamp, to_timestamp=to_timestamp)
        return await self._fetch(
            ListRuns,
            ops.LIST_RUNS,
            query=given(
                app_id=app_id,
                app_name=app_name,
                deployment_id=deployment_id,
                username=username,
                run_id=run_id,
                status=_texts(status),
                output_workspaces=_texts(output_workspaces),
                from_timestamp=from_timestamp,
                to_timestamp=to_timestamp,
                limit=limit,
                offset=offset,
                sort_by=sort_by,
                order=order,
            ),
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
        page_size: int = _PAGE,
    ) -> Pages[Run]:
        """All runs, page by page; arguments as for `list()`."""

        async def fetch(cursor: str | int | None) -> Page[Run]:
            offset = int(cursor or 0)
            answer = await self.list(
                app_id=app_id,
                app_name=app_name,
                deployment_id=deployment_id,
                username=username,
                status=status,
                output_workspaces=output_workspaces,
                from_timestamp=from_timestamp,
                to_timestamp=to_timestamp,
                limit=page_size,
                offset=offset,
                sort_by=sort_by,
                order=order,
            )
            return offset_page(answer.runs, offset)

        return Pages(ops.LIST_RUNS, fetch, key=lambda run: run.id)

    async def status(self, run_id: str) -> Run:
        """State of a run. It is over when COMPLETE, FAILED or CANCELLED; STOPPED_AT_CHECKPOINT waits for a person."""
        return await self._fetch(Run, ops.GET_RUN_STATUS, run_id=run_id)

    async def results(
        self,
        run_id: str,
        file_offset: int | None = None,
        include_confidence_scores: bool = False,
        include_source_info: bool = False,
        include_review_results: bool = False,
        include_validation_results: bool = False,
    ) -> RunResults:
        """One page of a run's results; `iter_results()` gives the files of all pages.

        Field names are those of the app with everything but letters, digits and underscores replaced by ``_``, and
        ``_`` doubled. `page_numbers` begin at 1, but those of `source_coordinates` and `page_layouts` at 0.

        Args:
            run_id: the run.
            file_offset: index of the first file, from 0. The next page begins at `file_offset + len(files)`.
            include_confidence_scores: confidences of classification, model and OCR.
            include_source_info: coordinates, page layouts and paths of post-processed files.
            include_review_results: the history of human edits.
            include_validation_results: results of validation rules.
        """
        return await self._fetch(
            RunResults,
            ops.GET_RUN_RESULTS,
            query=given(
                file_offset=file_offset,
                include_confidence_scores=include_confidence_scores or None,
                include_source_info=include_source_info or None,
                include_review_results=include_review_results or None,
                include_validation_results=include_validation_results or None,
            ),
            run_id=run_id,
        )

    def iter_results(
        self,
        run_id: str,
        file_offset: int = 0,
        include_confidence_scores: bool = False,
        include_source_info: bool = False,
        include_review_results: bool = False,
        include_validation_results: bool = False,
    ) -> Pages[ResultFile]:
        """The files of a run's results, all pages; arguments as for `results()`."""

        async def fetch(cursor: str | int | None) -> Page[ResultFile]:
            offset = int(cursor or 0)
            answer = await self.results(
                run_id,
                offset,
                include_confidence_scores,
                include_source_info,
                include_review_results,
                include_validation_results,
            )
            # An empty page that promises more must not look like a cursor given twice.
            step = len(answer.files) or 1
            return Page(answer.files, offset + step if answer.has_more else None)

        return Pages(ops.GET_RUN_RESULTS, fetch, start=file_offset)

    async def delete(
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
        response = await self._send(
            ops.DELETE_RUN,
            query={
                "delete_db_data": delete_db_data,
                "delete_input": delete_input,
                "delete_output": delete_output,
                "delete_logs": delete_logs,
            },
            run_id=run_id,
        )
        if response.settled:
            return RunDeletion()
        return self._read(RunDeletion, ops.DELETE_RUN, response, run_id=run_id)

    async def _start(self, request: Request) -> Run:
        return read_answer(self._transport, Run, request, await self._transport.send(request))


class Runs(_AnyRuns):
    """Runs of apps."""

    async def create(
        self,
        app_name: str | None = None,
        app_id: str | None = None,
        batch_id: Id | None = None,
        input_dir: str | None = None,
        output_dir: str | None = None,
        owner: str | None = None,
        version: str | None = None,
        output_workspace: str | None = None,
        settings: Settings | None = None,
    ) -> Run:
        """Start a run of an app and return at once.

        Args:
            app_name: name of the app; this or `app_id`.
            app_id: id of the app.
            batch_id: the batch to process (at most 1,000 files); this or `input_dir`.
            input_dir: a folder on a drive, such as ``/org/workspace/fs/Instabase Drive/in``.
            output_dir: where results go; wins over `output_workspace`.
            owner: who made the app: yourself by default, ``instabase`` for published ones.
            version: the latest production version by default.
            output_workspace: your personal workspace by default; service accounts must give this or `output_dir`.
            settings: keys, runtime configuration, tags; a `RunSettings` or a dict, sent as it is.

        Returns:
            The run, usually RUNNING. Times are Unix nanoseconds.

        Raises:
            InvalidRequestError: none or both of a pair given.
            OutcomeUnknownError: the connection broke and the run may or may not have started.
        """
        _exactly_one(app_name=app_name, app_id=app_id)
        _exactly_one(batch_id=batch_id, input_dir=input_dir)
        body = given(
            app_name=app_name,
            app_id=app_id,
            owner=owner,
            batch_id=None if batch_id is None else as_batch_id(batch_id),
            input_dir=input_dir,
            version=version,
            output_workspace=output_workspace,
            output_dir=output_dir,
        )
        request = _run_request(ops.RUN_APP, {}, body, settings)
        # It may hold passwords, and this frame is part of a traceback.
        del settings
        return await self._start(request)


class DeploymentRuns(_AnyRuns):
    """Runs of deployments; status, results, list and delete are those of `client.apps.runs`."""

    async def create(
        self,
        deployment_id: str,
        batch_id: Id | None = None,
        input_dir: str | None = None,
        manual_upstream_integration: bool | None = None,
        from_timestamp: int | None = None,
        to_timestamp: int | None = None,
        version: str | None = None,
        output_workspace: str | None = None,
        output_dir: str | None = None,
        settings: Settings | None = None,
    ) -> Run:
        """Start a run of a deployment and return at once.

        Args:
            deployment_id: from the deployment's URL.
            batch_id: the batch to process; this, `input_dir` or `manual_upstream_integration`.
            input_dir: a folder on a drive.
            manual_upstream_integration: take the input from the deployment's own integration.
            from_timestamp: for a mailbox integration, the earliest mail, Unix **milliseconds**.
            to_timestamp: for a mailbox integration, the latest mail, Unix **milliseconds**.
            version: the latest production version by default.
            output_workspace: not in the published specification since March 2025, but sent when given.
            output_dir: where results go; wins over the deployment's workspace.
            settings: as for `client.apps.runs.create()`.

        Raises:
            InvalidRequestError: not exactly one input.
            OutcomeUnknownError: the connection broke and the run may or may not have started.
        """
        _exactly_one(
            batch_id=batch_id,
            input_dir=input_dir,
            manual_upstream_integration=manual_upstream_integration or None,
        )
        body = given(
            batch_id=None if batch_id is None else as_batch_id(batch_id),
            input_dir=input_dir,
            manual_upstream_integration=manual_upstream_integration,
            from_timestamp=from_timestamp,
            to_timestamp=to_timestamp,
            version=version,
            output_workspace=output_workspace,
            output_dir=output_dir,
        )
        request = _run_request(ops.RUN_DEPLOYMENT, {"deployment_id": deployment_id}, body, settings)
        # It may hold passwords, and this frame is part of a traceback.
        del settings
        return await self._start(request)


class Deployments:
    """`client.apps.deployments`."""

    def __init__(self, transport: Transport) -> None:
        self.runs = DeploymentRuns(transport)


class Apps:
    """`client.apps`."""

    def __init__(self, transport: Transport) -> None:
        self.runs = Runs(transport)
        self.deployments = Deployments(transport)


def _exactly_one(**values: object) -> None:
    count = sum(value is not None for value in values.values())
    if count == 1:
        return
    names = " or ".join(values)
    raise InvalidRequestError(f"give {names}" if count == 0 else f"give only one of {names}")


def _check_seconds(**values: int | None) -> None:
    for name, value in values.items():
        if value is not None and value >= _MAX_SECONDS:
            raise InvalidRequestError(f"{name} is Unix seconds here; {value} looks like milliseconds or nanoseconds")


def _texts(values: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if values is None:
        return None
    if isinstance(values, str):
        return (str(values),)
    return tuple(str(RunStatus(value)) if isinstance(value, RunStatus) else value for value in values)


def _run_request(
    operation: ops.Operation, path: Mapping[str, Id], body: dict[str, Any], settings: Settings | None
) -> Request:
    plain = settings_dict(settings)
    if settings is not None:
        body = {**body, "settings": plain}
    return build_request(operation, path, json=body, secrets=_secrets_in(plain))


def _secrets_in(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """PDF passwords and webhook headers, so that a server that echoes them does not put them into an error."""
    found = (
        _values_at(settings, "runtime_config", "instabase", "pdf", "passwords"),
        _values_at(settings, "webhook_config", "headers"),
    )
    return tuple(value for values in found for value in values if isinstance(value, str))


def _values_at(settings: object, *keys: str) -> Sequence[object]:
    for key in keys:
        settings = settings.get(key) if isinstance(settings, Mapping) else None
    return tuple(settings.values()) if isinstance(settings, Mapping) else ()
