"""Runs of apps and deployments, and their results."""

from collections.abc import Mapping

from aihub_async import operations as ops
from aihub_async.emulator.access import check_path, chosen_workspace
from aihub_async.emulator.results import Include
from aihub_async.emulator.routes.batches import page_window, remove_batch
from aihub_async.emulator.routes.starting import (
    RunInput,
    optional_path,
    optional_text,
    run_input,
    run_output,
    run_settings_of,
    start_run,
    upstream_input,
)
from aihub_async.emulator.runs import NewRun, RunFilter
from aihub_async.emulator.state import EmulatorState
from aihub_async.emulator.wire import Handler, Request, Response, json_response


async def run_app(state: EmulatorState, request: Request) -> Response:
    """Start a run of an app."""
    payload, account = await request.json(), request.account
    app = state.apps.choose(
        optional_text(payload, "app_name"),
        optional_text(payload, "app_id"),
        user=account.user,
        owner=optional_text(payload, "owner"),
        version=optional_text(payload, "version"),
    )
    workspace, output_dir = run_output(payload, account)
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
        **found.arguments(),
    )
    return json_response(await start_run(state, new))


async def run_deployment(state: EmulatorState, request: Request) -> Response:
    """Start a run of a deployment."""
    payload, account = await request.json(), request.account
    deployment = state.apps.deployed(request.values["deployment_id"])
    app = state.apps.latest(deployment.app_name)
    version = optional_text(payload, "version")
    if version is not None:
        app = state.apps.choose(None, app.id, user=account.user, owner=app.owner, version=version)
    if payload.get("manual_upstream_integration"):
        found: RunInput = upstream_input(deployment, payload)
    else:
        found = run_input(state, payload, account)
    settings, tags = run_settings_of(payload, deployment.keys)
    output_dir = optional_path(payload, "output_dir")
    if output_dir is None:
        workspace = chosen_workspace(deployment.output_workspace, account, remedy="output_dir")
    else:
        workspace = None
        check_path(output_dir, account)
    new = NewRun(
        app_name=app.name,
        app_id=app.id,
        app_version=app.version,
        deployment_id=deployment.id,
        account=account,
        workspace=workspace,
        output_dir=output_dir,
        tags=tags,
        settings=settings,
        **found.arguments(),
    )
    return json_response(await start_run(state, new), 202)


async def list_runs(state: EmulatorState, request: Request) -> Response:
    """List runs, newest first; of the last 24 hours by default."""
    limit, offset = page_window(state, request)
    names = ("app_id", "app_name", "deployment_id", "username")
    workspaces = "output_repo" if state.settings.api_version == "2024" else "output_workspaces"
    wanted = RunFilter(
        equal={**{name: request.text(name) for name in names}, "id": request.text("run_id")},
        statuses=request.query.get("status", ()),
        workspaces=request.query.get(workspaces, ()),
        from_timestamp=request.number("from_timestamp"),
        to_timestamp=request.number("to_timestamp"),
        sort_by=request.text("sort_by"),
        order=request.text("order"),
    )
    for workspace in wanted.workspaces:
        chosen_workspace(workspace, request.account, remedy=workspaces)
    as_of = state.as_of_ns(request)
    rows = state.runs.select(wanted, request.account, limit=limit, offset=offset, as_of_ns=as_of)
    return json_response({"runs": [state.runs.view(row, as_of) for row in rows]})


async def get_run_status(state: EmulatorState, request: Request) -> Response:
    """Return one run."""
    return json_response(state.runs.view(state.runs.get(request.values["run_id"], request.account)))


async def delete_run(state: EmulatorState, request: Request) -> Response:
    """Delete a run and, by default, its input (and so its batch), output and logs."""
    run = state.runs.get(request.values["run_id"], request.account)
    chosen = {part: request.flag(f"delete_{part}", default=True) for part in ("db_data", "input", "output", "logs")}
    state.worker.cancel(run["id"])
    jobs: dict[str, str] = {}
    if chosen["input"]:
        batch = state.db.one("SELECT * FROM batches WHERE id = ? AND NOT deleted", run["batch_id"])
        jobs["input"] = remove_batch(state, batch) if batch else state.jobs.delete(run["input_dir"])
    if chosen["output"]:
        jobs["output"] = state.jobs.delete(run["output_dir"])
    if chosen["logs"]:
        jobs["log"] = state.jobs.delete(f"{run['output_dir']}/logs")
    state.runs.delete(run["id"], row=chosen["db_data"], results=chosen["output"])
    return json_response({f"delete_{part}_dir_job_id": job for part, job in jobs.items()}, 202)


async def get_run_results(state: EmulatorState, request: Request) -> Response:
    """Return a page of what a run found."""
    include = Include(
        review=request.flag("include_review_results", default=False),
        confidence=request.flag("include_confidence_scores", default=False),
        validation=request.flag("include_validation_results", default=False),
        source=request.flag("include_source_info", default=False),
    )
    run = state.runs.get(request.values["run_id"], request.account)
    return json_response(state.runs.results(run, include, request.number("file_offset") or 0))


HANDLERS: Mapping[ops.Operation, Handler] = {
    ops.RUN_APP: run_app,
    ops.LIST_RUNS: list_runs,
    ops.RUN_DEPLOYMENT: run_deployment,
    ops.GET_RUN_STATUS: get_run_status,
    ops.DELETE_RUN: delete_run,
    ops.GET_RUN_RESULTS: get_run_results,
}
