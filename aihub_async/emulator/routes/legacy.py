"""Legacy app runs, and the jobs and results of the v1 API."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from aihub_async import operations as ops
from aihub_async.emulator.forms import read_json_or_form
from aihub_async.emulator.hub import Hub
from aihub_async.emulator.legacy_records import inline_files, page_of_records, run_in_memory
from aihub_async.emulator.routes.runs import (
    new_run_settings,
    optional_path,
    optional_text,
    run_input,
    start_run,
)
from aihub_async.emulator.routes.v1 import Serve, v1
from aihub_async.emulator.runs import NewRun
from aihub_async.emulator.wire import Answer, ApiError, Call, Handler, json_answer

_NO_END = 10**17


async def run_app(hub: Hub, call: Call) -> Answer:
    """Start a run of an app by its id."""
    return await _run(hub, call, await read_json_or_form(call), app_id=call.values["app_id"])


async def run_app_by_name(hub: Hub, call: Call) -> Answer:
    """Start a run of an app by its name."""
    wanted = await read_json_or_form(call)
    return await _run(hub, call, wanted, name=optional_text(wanted, "name") or "")


async def run_app_sync(hub: Hub, call: Call) -> Answer:
    """Run an app on the files in the request; nothing is kept."""
    app = hub.apps.named(None, call.values["app_id"])
    files = inline_files(await call.json(), None)
    results = await run_in_memory(hub, [app], files)
    return json_answer({"response": {**results, "binary_path": _binary_of(hub, app.id)}})


@v1
async def job_status(hub: Hub, call: Call) -> Answer:
    """Tell the state of a job."""
    job_id = call.text("job_id")
    if job_id is None:
        raise ApiError(400, "job_id is missing.")
    return json_answer(hub.legacy_jobs.status(job_id))


@v1
async def list_jobs(hub: Hub, call: Call) -> Answer:
    """List jobs, newest first."""
    limit = min(call.number("limit", least=1) or hub.settings.list_page_size, hub.settings.max_page_size)
    until = call.number("finish_time") or _NO_END
    jobs, following = hub.legacy_jobs.page(limit, call.number("after") or _NO_END, until)
    answer: dict[str, Any] = {"status": "OK", "jobs": jobs}
    if following is not None:
        query = urlencode({"limit": limit, "finish_time": until, "after": following})
        answer["next_page"] = f"{hub.api_root}/v1/jobs/list?{query}"
    return json_answer(answer)


@v1
async def get_results(hub: Hub, call: Call) -> Answer:
    """Give a page of the records of a finished run."""
    wanted = await call.json()
    path, offset = optional_path(wanted, "ibresults_path"), wanted.get("file_offset", 0)
    if path is None or type(offset) is not int or offset < 0:
        raise ApiError(400, "ibresults_path must be a string, and file_offset an integer of at least 0.")
    options = wanted.get("options") or {}
    run = hub.legacy_jobs.run_of(path)
    records = page_of_records(hub, run, offset, layouts=options.get("include_page_layouts") is True)
    return json_answer({"status": "OK", "records": records})


def _control(action: str) -> Serve:
    @v1
    async def control(hub: Hub, call: Call) -> Answer:
        job_id = (await call.json()).get("job_id")
        hub.legacy_jobs.control(str(job_id), action)
        return json_answer({"status": "OK"})

    return control


async def _run(
    hub: Hub, call: Call, wanted: Mapping[str, Any], *, name: str | None = None, app_id: str | None = None
) -> Answer:
    app = hub.apps.named(name, app_id)
    output_dir, workspace = optional_path(wanted, "output_dir"), optional_text(wanted, "output_workspace")
    if output_dir is None:
        workspace = hub.workspace(workspace, call.account, remedy="output_workspace or output_dir")
    batch_id = wanted.get("batch_id")
    # A text that holds a number, unlike in v2; a number is taken as well.
    if isinstance(batch_id, str) and batch_id.isdecimal():
        wanted = {**wanted, "batch_id": int(batch_id)}
    batch_id, input_dir = run_input(hub, wanted)
    settings, tags = new_run_settings(wanted)
    new = NewRun(
        app_name=app.name,
        app_id=app.id,
        username=call.account.user,
        batch_id=batch_id,
        input_dir=input_dir,
        output_dir=output_dir,
        output_workspace=workspace,
        tags=tags,
        settings=settings,
    )

    def created(run_id: str) -> None:
        hub.legacy_jobs.add_run(run_id, _binary_of(hub, app.id).strip("/"), settings)

    return json_answer({"job_id": (await start_run(hub, new, created))["id"]})


def _binary_of(hub: Hub, app_id: str) -> str:
    """An app of AI Hub has a flow binary too, though nobody compiled it."""
    return f"/{hub.settings.workspace_folder('apps')}/{app_id}/build/bin/app.ibflowbin"


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
