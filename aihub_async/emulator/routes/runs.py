"""Runs of apps and deployments, and their results."""

from collections.abc import Callable, Mapping
from typing import Any

from aihub_async import operations as ops
from aihub_async.emulator.apps import Deployment
from aihub_async.emulator.hub import Hub
from aihub_async.emulator.results import Include
from aihub_async.emulator.routes.batches import page_window, remove_batch
from aihub_async.emulator.runs import NewRun, RunFilter, run_view
from aihub_async.emulator.settings import MAX_TAG_CHARACTERS
from aihub_async.emulator.storage import clean_path
from aihub_async.emulator.webhooks import check_target
from aihub_async.emulator.wire import Answer, ApiError, Call, Handler, json_answer, json_integer


async def run_app(hub: Hub, call: Call) -> Answer:
    """Start a run of an app."""
    wanted = await call.json()
    app = hub.apps.named(optional_text(wanted, "app_name"), optional_text(wanted, "app_id"))
    output_dir = optional_path(wanted, "output_dir")
    workspace = optional_text(wanted, "output_workspace")
    if output_dir is None:
        workspace = hub.workspace(workspace, call.account, remedy="output_workspace or output_dir")
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
    return json_answer(await start_run(hub, new))


async def run_deployment(hub: Hub, call: Call) -> Answer:
    """Start a run of a deployment."""
    wanted = await call.json()
    deployment = hub.apps.deployed(call.values["deployment_id"])
    app = hub.apps.named(deployment.app_name, None)
    if wanted.get("manual_upstream_integration"):
        batch_id, input_dir = None, _upstream(deployment, wanted)
    else:
        batch_id, input_dir = run_input(hub, wanted)
    settings, tags = new_run_settings(wanted)
    new = NewRun(
        app_name=app.name,
        app_id=app.id,
        deployment_id=deployment.id,
        username=call.account.user,
        batch_id=batch_id,
        input_dir=input_dir,
        output_dir=optional_path(wanted, "output_dir"),
        tags=tags,
        settings=settings,
    )
    return json_answer(await start_run(hub, new), 202)


async def list_runs(hub: Hub, call: Call) -> Answer:
    """List runs, of the last 24 hours unless told otherwise, newest first."""
    limit, offset = page_window(hub, call)
    names = ("app_id", "app_name", "deployment_id", "username")
    wanted = RunFilter(
        equal={**{name: call.text(name) for name in names}, "id": call.text("run_id")},
        statuses=call.query.get("status", ()),
        workspaces=call.query.get("output_workspaces", ()),
        from_timestamp=call.number("from_timestamp"),
        to_timestamp=call.number("to_timestamp"),
        sort_by=call.text("sort_by"),
        order=call.text("order"),
    )
    return json_answer({"runs": [run_view(row) for row in hub.runs.select(wanted, limit=limit, offset=offset)]})


async def get_run_status(hub: Hub, call: Call) -> Answer:
    """Tell about one run."""
    return json_answer(run_view(hub.runs.get(call.values["run_id"])))


async def delete_run(hub: Hub, call: Call) -> Answer:
    """Delete a run and, unless told otherwise, its input (and so its batch), output and logs."""
    run = hub.runs.get(call.values["run_id"])
    chosen = {part: call.flag(f"delete_{part}", default=True) for part in ("db_data", "input", "output", "logs")}
    hub.worker.cancel(run["id"])
    jobs: dict[str, str | None] = {"input": None, "output": None, "log": None}
    if chosen["input"]:
        batch = hub.db.one("SELECT * FROM batches WHERE id = ? AND NOT deleted", run["batch_id"])
        jobs["input"] = remove_batch(hub, batch) if batch else hub.jobs.delete(run["input_dir"])
    if chosen["output"]:
        jobs["output"] = hub.jobs.delete(run["output_dir"])
    if chosen["logs"]:
        jobs["log"] = hub.jobs.delete(f"{run['output_dir']}/logs")
    hub.runs.delete(run["id"], row=chosen["db_data"], results=chosen["output"])
    return json_answer({f"delete_{part}_dir_job_id": job for part, job in jobs.items()}, 202)


async def get_run_results(hub: Hub, call: Call) -> Answer:
    """Give a page of what a run found."""
    include = Include(
        review=call.flag("include_review_results", default=False),
        confidence=call.flag("include_confidence_scores", default=False),
        validation=call.flag("include_validation_results", default=False),
        source=call.flag("include_source_info", default=False),
    )
    run = hub.runs.get(call.values["run_id"])
    return json_answer(hub.runs.results(run, include, call.number("file_offset") or 0))


async def start_run(hub: Hub, new: NewRun, created: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Create and begin a run; `created` is called with its id in between.

    Raises:
        ApiError: 400, too many files.
    """
    count = hub.drive.count(new.input_dir, hub.settings.max_files_per_run + 1)
    if count > hub.settings.max_files_per_run:
        raise ApiError(400, f"A run takes {hub.settings.max_files_per_run} files at most.")
    run = hub.runs.create(new)
    created(run["id"])
    hub.worker.start(run["id"])
    if hub.webhooks.plan.early:
        await hub.worker.wait(run["id"])
    return run_view(run)


def run_input(hub: Hub, wanted: Mapping[str, Any]) -> tuple[int | None, str]:
    """Batch and folder that a request names.

    Raises:
        ApiError: 400 none or both, 404 no such input.
    """
    input_dir = optional_path(wanted, "input_dir")
    if (wanted.get("batch_id") is None) == (input_dir is None):
        raise ApiError(400, "Give one of batch_id and input_dir.")
    if input_dir is not None:
        if not hub.drive.is_folder(input_dir):
            raise ApiError(404, f"There is no folder /{input_dir}.")
        return None, input_dir
    batch_id = json_integer(wanted, "batch_id")
    batch = hub.db.one("SELECT id, folder FROM batches WHERE id = ? AND NOT deleted", batch_id)
    if batch is None:
        raise ApiError(404, f"There is no batch {batch_id}.")
    return batch_id, batch["folder"]


def _upstream(deployment: Deployment, wanted: Mapping[str, Any]) -> str:
    if wanted.get("batch_id") is not None or wanted.get("input_dir") is not None:
        raise ApiError(400, "Give one of batch_id, input_dir and manual_upstream_integration.")
    if deployment.upstream_dir is None:
        raise ApiError(400, f"The deployment {deployment.id} has no upstream integration.")
    return clean_path(deployment.upstream_dir)


def new_run_settings(wanted: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The settings of a request, and their tags.

    Raises:
        ApiError: 400, they cannot be used.
    """
    settings = wanted.get("settings")
    if settings is None:
        return {}, []
    if not isinstance(settings, dict):
        raise ApiError(400, "settings must be an object.")
    tags = settings.get("tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ApiError(400, "settings.tags must be a list of strings.")
    if sum(map(len, tags)) > MAX_TAG_CHARACTERS:
        raise ApiError(400, f"All tags together have {MAX_TAG_CHARACTERS} characters at most.")
    check_target(settings.get("webhook_config"))
    return settings, tags


def optional_text(wanted: Mapping[str, Any], name: str) -> str | None:
    """A text in a request.

    Raises:
        ApiError: 400, something else.
    """
    value = wanted.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ApiError(400, f"{name} must be a string.")
    return value


def optional_path(wanted: Mapping[str, Any], name: str) -> str | None:
    """A drive path in a request.

    Raises:
        ApiError: 400, something else.
    """
    value = optional_text(wanted, name)
    return None if value is None else clean_path(value)


HANDLERS: Mapping[ops.Operation, Handler] = {
    ops.RUN_APP: run_app,
    ops.LIST_RUNS: list_runs,
    ops.RUN_DEPLOYMENT: run_deployment,
    ops.GET_RUN_STATUS: get_run_status,
    ops.DELETE_RUN: delete_run,
    ops.GET_RUN_RESULTS: get_run_results,
}
