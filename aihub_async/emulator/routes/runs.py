"""Runs of apps and deployments, and their results."""

from collections.abc import Mapping
from typing import Any

from aihub_async import operations as ops
from aihub_async.emulator.apps import Deployment
from aihub_async.emulator.results import Include
from aihub_async.emulator.routes.batches import page_window, remove_batch
from aihub_async.emulator.runs import NewRun, RunFilter, run_view
from aihub_async.emulator.state import EmulatorState
from aihub_async.emulator.storage import clean_path
from aihub_async.emulator.webhooks import check_target
from aihub_async.emulator.wire import ApiError, Handler, Request, Response, json_integer, json_response
from aihub_async.limits import MAX_TAGS_LENGTH


async def run_app(state: EmulatorState, request: Request) -> Response:
    """Start a run of an app."""
    payload = await request.json()
    app = state.apps.named(optional_text(payload, "app_name"), optional_text(payload, "app_id"))
    output_dir = optional_path(payload, "output_dir")
    workspace = optional_text(payload, "output_workspace")
    if output_dir is None:
        workspace = state.workspace(workspace, request.account, remedy="output_workspace or output_dir")
    batch_id, input_dir = run_input(state, payload)
    settings, tags = new_run_settings(payload)
    new = NewRun(
        app_name=app.name,
        app_id=app.id,
        username=request.account.user,
        batch_id=batch_id,
        input_dir=input_dir,
        output_dir=output_dir,
        output_workspace=workspace,
        tags=tags,
        settings=settings,
    )
    return json_response(await start_run(state, new))


async def run_deployment(state: EmulatorState, request: Request) -> Response:
    """Start a run of a deployment."""
    payload = await request.json()
    deployment = state.apps.deployed(request.values["deployment_id"])
    app = state.apps.named(deployment.app_name, None)
    if payload.get("manual_upstream_integration"):
        batch_id, input_dir = None, _upstream(deployment, payload)
    else:
        batch_id, input_dir = run_input(state, payload)
    settings, tags = new_run_settings(payload)
    new = NewRun(
        app_name=app.name,
        app_id=app.id,
        deployment_id=deployment.id,
        username=request.account.user,
        batch_id=batch_id,
        input_dir=input_dir,
        output_dir=optional_path(payload, "output_dir"),
        tags=tags,
        settings=settings,
    )
    return json_response(await start_run(state, new), 202)


async def list_runs(state: EmulatorState, request: Request) -> Response:
    """List runs, of the last 24 hours unless told otherwise, newest first."""
    limit, offset = page_window(state, request)
    names = ("app_id", "app_name", "deployment_id", "username")
    wanted = RunFilter(
        equal={**{name: request.text(name) for name in names}, "id": request.text("run_id")},
        statuses=request.query.get("status", ()),
        workspaces=request.query.get("output_workspaces", ()),
        from_timestamp=request.number("from_timestamp"),
        to_timestamp=request.number("to_timestamp"),
        sort_by=request.text("sort_by"),
        order=request.text("order"),
    )
    as_of = state.as_of_ns(request)
    rows = state.runs.select(wanted, limit=limit, offset=offset, as_of_ns=as_of)
    return json_response({"runs": [run_view(row, as_of) for row in rows]})


async def get_run_status(state: EmulatorState, request: Request) -> Response:
    """Tell about one run."""
    return json_response(run_view(state.runs.get(request.values["run_id"])))


async def delete_run(state: EmulatorState, request: Request) -> Response:
    """Delete a run and, unless told otherwise, its input (and so its batch), output and logs."""
    run = state.runs.get(request.values["run_id"])
    chosen = {part: request.flag(f"delete_{part}", default=True) for part in ("db_data", "input", "output", "logs")}
    state.worker.cancel(run["id"])
    jobs: dict[str, str | None] = {"input": None, "output": None, "log": None}
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
    """Give a page of what a run found."""
    include = Include(
        review=request.flag("include_review_results", default=False),
        confidence=request.flag("include_confidence_scores", default=False),
        validation=request.flag("include_validation_results", default=False),
        source=request.flag("include_source_info", default=False),
    )
    run = state.runs.get(request.values["run_id"])
    return json_response(state.runs.results(run, include, request.number("file_offset") or 0))


async def start_run(state: EmulatorState, new: NewRun) -> dict[str, Any]:
    """Create and start a run; one with a binary is known as a legacy job too.

    Raises:
        ApiError: 400, too many files.
    """
    count = state.drive.count(new.input_dir, state.settings.max_files_per_run + 1)
    if count > state.settings.max_files_per_run:
        raise ApiError(400, f"A run takes {state.settings.max_files_per_run} files at most.")
    run = state.runs.create(new)
    if new.binary_path is not None:
        state.legacy_jobs.add_run(run["id"], new.binary_path)
    state.worker.start(run["id"])
    if state.webhooks.plan.early:
        await state.worker.wait(run["id"])
    return run_view(run)


def run_input(state: EmulatorState, payload: Mapping[str, Any]) -> tuple[int | None, str]:
    """Batch and folder that a request names.

    Raises:
        ApiError: 400 none or both, 404 no such input.
    """
    input_dir = optional_path(payload, "input_dir")
    if (payload.get("batch_id") is None) == (input_dir is None):
        raise ApiError(400, "Give one of batch_id and input_dir.")
    if input_dir is not None:
        if not state.drive.is_folder(input_dir):
            raise ApiError(404, f"There is no folder /{input_dir}.")
        return None, input_dir
    batch_id = json_integer(payload, "batch_id")
    batch = state.db.one("SELECT id, folder FROM batches WHERE id = ? AND NOT deleted", batch_id)
    if batch is None:
        raise ApiError(404, f"There is no batch {batch_id}.")
    return batch_id, batch["folder"]


def _upstream(deployment: Deployment, payload: Mapping[str, Any]) -> str:
    if payload.get("batch_id") is not None or payload.get("input_dir") is not None:
        raise ApiError(400, "Give one of batch_id, input_dir and manual_upstream_integration.")
    if deployment.upstream_dir is None:
        raise ApiError(400, f"The deployment {deployment.id} has no upstream integration.")
    return clean_path(deployment.upstream_dir)


def new_run_settings(payload: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The settings of a request, and their tags.

    Raises:
        ApiError: 400, they cannot be used.
    """
    settings = payload.get("settings")
    if settings is None:
        return {}, []
    if not isinstance(settings, dict):
        raise ApiError(400, "settings must be an object.")
    tags = settings.get("tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ApiError(400, "settings.tags must be a list of strings.")
    if sum(map(len, tags)) > MAX_TAGS_LENGTH:
        raise ApiError(400, f"All tags together have {MAX_TAGS_LENGTH} characters at most.")
    check_target(settings.get("webhook_config"))
    return settings, tags


def optional_text(payload: Mapping[str, Any], name: str) -> str | None:
    """A text in a request.

    Raises:
        ApiError: 400, something else.
    """
    value = payload.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ApiError(400, f"{name} must be a string.")
    return value


def optional_path(payload: Mapping[str, Any], name: str) -> str | None:
    """A drive path in a request.

    Raises:
        ApiError: 400, something else.
    """
    value = optional_text(payload, name)
    return None if value is None else clean_path(value)


HANDLERS: Mapping[ops.Operation, Handler] = {
    ops.RUN_APP: run_app,
    ops.LIST_RUNS: list_runs,
    ops.RUN_DEPLOYMENT: run_deployment,
    ops.GET_RUN_STATUS: get_run_status,
    ops.DELETE_RUN: delete_run,
    ops.GET_RUN_RESULTS: get_run_results,
}
