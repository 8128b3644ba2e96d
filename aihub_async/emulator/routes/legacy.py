"""Legacy app runs, and the jobs and results of the v1 API."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from aihub_async import operations as ops
from aihub_async.emulator.forms import read_json_or_form
from aihub_async.emulator.legacy_records import inline_files, page_of_records, run_in_memory
from aihub_async.emulator.routes.starting import (
    optional_path,
    optional_text,
    run_input,
    run_output,
    run_settings_of,
    start_run,
)
from aihub_async.emulator.routes.v1 import Serve, v1
from aihub_async.emulator.runs import NewRun
from aihub_async.emulator.state import EmulatorState
from aihub_async.emulator.wire import ApiError, Handler, Request, Response, json_response

_NO_END = 10**17


async def run_app(state: EmulatorState, request: Request) -> Response:
    """Start a run of an app by its id."""
    return await _run(state, request, await read_json_or_form(request), app_id=request.values["app_id"])


async def run_app_by_name(state: EmulatorState, request: Request) -> Response:
    """Start a run of an app by its name."""
    payload = await read_json_or_form(request)
    return await _run(state, request, payload, name=optional_text(payload, "name") or "")


async def run_app_sync(state: EmulatorState, request: Request) -> Response:
    """Run an app on the files in the request; nothing is kept."""
    app = state.apps.choose(None, request.values["app_id"], user=request.account.user)
    files = inline_files(await request.json(), None)
    results = await run_in_memory(state, [app], files)
    return json_response({"response": {**results, "binary_path": _binary_of(request, app.id)}})


@v1
async def job_status(state: EmulatorState, request: Request) -> Response:
    """Return the state of a job."""
    job_id = request.text("job_id")
    if job_id is None:
        raise ApiError(400, "job_id is missing.")
    return json_response(state.legacy_jobs.status(job_id, request.account))


@v1
async def list_jobs(state: EmulatorState, request: Request) -> Response:
    """List jobs, newest first."""
    limit = min(request.number("limit", least=1) or state.settings.list_page_size, state.settings.max_page_size)
    until = request.number("finish_time") or _NO_END
    jobs, following = state.legacy_jobs.page(request.account, limit, request.number("after") or _NO_END, until)
    response: dict[str, Any] = {"status": "OK", "jobs": jobs}
    if following is not None:
        query = urlencode({"limit": limit, "finish_time": until, "after": following})
        response["next_page"] = f"{state.api_root}/v1/jobs/list?{query}"
    return json_response(response)


@v1
async def get_results(state: EmulatorState, request: Request) -> Response:
    """Return a page of the records of a finished run."""
    payload = await request.json()
    path, offset = optional_path(payload, "ibresults_path"), payload.get("file_offset", 0)
    if path is None or type(offset) is not int or offset < 0:
        raise ApiError(400, "ibresults_path must be a string, and file_offset an integer of at least 0.")
    options = payload.get("options") or {}
    run = state.legacy_jobs.run_of(path, request.account)
    records = page_of_records(state, run, offset, layouts=options.get("include_page_layouts") is True)
    return json_response({"status": "OK", "records": records})


def _control(action: str) -> Serve:
    @v1
    async def control(state: EmulatorState, request: Request) -> Response:
        job_id = (await request.json()).get("job_id")
        state.legacy_jobs.control(str(job_id), action, request.account)
        return json_response({"status": "OK"})

    return control


async def _run(
    state: EmulatorState,
    request: Request,
    payload: Mapping[str, Any],
    *,
    name: str | None = None,
    app_id: str | None = None,
) -> Response:
    account = request.account
    app = state.apps.choose(name, app_id, user=account.user, owner=optional_text(payload, "owner"))
    workspace, output_dir = run_output(payload, account)
    batch_id = payload.get("batch_id")
    # A text that holds a number, unlike in v2; a number is taken as well.
    if isinstance(batch_id, str) and batch_id.isdecimal():
        payload = {**payload, "batch_id": int(batch_id)}
    found = run_input(state, payload, account)
    settings, tags = run_settings_of(payload)
    new = NewRun(
        app_name=app.name,
        app_id=app.id,
        app_version=app.version,
        account=account,
        workspace=workspace,
        output_dir=output_dir,
        tags=tags,
        settings=settings,
        binary_path=_binary_of(request, app.id).strip("/"),
        **found.arguments(),
    )
    return json_response({"job_id": (await start_run(state, new))["id"]})


def _binary_of(request: Request, app_id: str) -> str:
    """Return the flow binary of an app: apps have one too, although it was never compiled."""
    return f"/{request.account.context.folder('apps')}/{app_id}/build/bin/app.ibflowbin"


HANDLERS: Mapping[ops.Operation, Handler] = {
    ops.RUN_LEGACY_APP: run_app,
    ops.RUN_LEGACY_APP_BY_NAME: run_app_by_name,
    ops.RUN_LEGACY_APP_SYNC: run_app_sync,
    ops.LEGACY_JOB_STATUS: job_status,
    ops.LIST_LEGACY_JOBS: list_jobs,
    ops.GET_FLOW_RESULTS: get_results,
    ops.PAUSE_JOB: _control("pause"),
    ops.RESUME_JOB: _control("resume"),
    ops.CANCEL_JOB: _control("cancel"),
    ops.RETRY_JOB: _control("retry"),
}
