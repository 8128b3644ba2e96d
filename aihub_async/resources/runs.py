"""`client.apps.runs`: running apps and reading their results."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from aihub_async import operations as ops
from aihub_async.errors import InvalidRequestError
from aihub_async.models import (
    GivenRunSettings,
    ListRuns,
    Run,
    RunDeletion,
    RunStatus,
    conceal_settings,
)
from aihub_async.pagination import Page, Pages, listed, offset_page
from aihub_async.resources._base import as_batch_id, exactly_one, given
from aihub_async.resources._run_results import RunResultsAPI
from aihub_async.resources._run_submission import RunRequest, Starter
from aihub_async.transport.messages import Response
from aihub_async.transport.transport import Transport
from aihub_async.types import Id
from aihub_async.waiting.handles import RunHandle, WaitContext, id_of
from aihub_async.waiting.pollables import RunPollable
from aihub_async.waiting.scheduler import Scheduler

if TYPE_CHECKING:
    from aihub_async.webhooks.receiver import WebhookReceiver

_PAGE = 100
_MAX_SECONDS = 10_000_000_000


class AnyRuns(RunResultsAPI):
    """What runs of apps and of deployments have in common."""

    def __init__(self, transport: Transport, scheduler: Scheduler, webhooks: "WebhookReceiver | None" = None) -> None:
        super().__init__(transport)
        pollable = RunPollable(transport, self.status, self._page)
        self._waits = WaitContext(scheduler, pollable, transport.telemetry)
        self._starter = Starter(transport, self._waits.pollable, webhooks)

    def handle(self, run_id: str) -> RunHandle:
        """Return a handle of a run, by its id or by what `RunHandle.to_json()` returned, also in another process.

        Example:
            >>> async def resume(client, saved):
            ...     return await client.apps.runs.handle(saved)
        """
        return RunHandle(id_of(run_id, "run_id"), self, self._waits)

    async def wait(
        self,
        run_id: str,
        timeout: float | None = None,
        *,
        on_update: Callable[[Run], None] | None = None,
        through_review: bool = False,
        poll_interval: float | None = None,
    ) -> Run:
        """Wait for the end of a run: `handle(run_id).wait(…)`, where arguments and errors are described."""
        return await self.handle(run_id).wait(
            timeout, on_update=on_update, through_review=through_review, poll_interval=poll_interval
        )

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
        """Return all runs, page by page; arguments as for `list()`."""

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
            return offset_page(listed(ops.LIST_RUNS, answer, answer.runs, "runs"), offset, page_size)

        return Pages(ops.LIST_RUNS, fetch, key=lambda run: run.id)

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

    async def _submit(self, prepared: RunRequest) -> RunHandle:
        started = await self._starter.submit(prepared)
        return RunHandle(started.run.id, self, self._waits, started)

    async def _page(self, since: int | None, limit: int, offset: int, newest_first: bool) -> Response:
        order = "DESCENDING" if newest_first else "ASCENDING"
        query = given(from_timestamp=since, limit=limit, offset=offset, sort_by="start_timestamp", order=order)
        return await self._send(ops.LIST_RUNS, query=query)


class Runs(AnyRuns):
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
        # It may hold passwords, and this frame is part of a traceback.
        settings = conceal_settings(settings)
        prepared = self._prepare(
            app_name, app_id, batch_id, input_dir, output_dir, owner, version, output_workspace, settings, dedupe=dedupe
        )
        return (await self._starter.start(prepared)).run

    async def submit(
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
        """Start a run of an app and return a handle: ``await handle`` returns the finished run.

        The arguments and errors are those of `create()`.

        Example:
            >>> async def process(client, batch_id):
            ...     handle = await client.apps.runs.submit(app_name="Invoices", batch_id=batch_id)
            ...     return await handle.wait(timeout=3600)
        """
        # It may hold passwords, and this frame is part of a traceback.
        settings = conceal_settings(settings)
        prepared = self._prepare(
            app_name, app_id, batch_id, input_dir, output_dir, owner, version, output_workspace, settings, dedupe=dedupe
        )
        return await self._submit(prepared)

    def _prepare(
        self,
        app_name: str | None,
        app_id: str | None,
        batch_id: Id | None,
        input_dir: str | None,
        output_dir: str | None,
        owner: str | None,
        version: str | None,
        output_workspace: str | None,
        settings: GivenRunSettings | None,
        *,
        dedupe: bool,
    ) -> RunRequest:
        exactly_one(app_name=app_name, app_id=app_id)
        exactly_one(batch_id=batch_id, input_dir=input_dir)
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
        return self._starter.prepare(ops.RUN_APP, {}, body, settings, dedupe=dedupe)


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
