"""Flow binaries: compiled, run, and run in memory."""

import csv
import io
import time
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import anyio.lowlevel

from aihub_async import limits
from aihub_async import operations as ops
from aihub_async.emulator.access import check_path
from aihub_async.emulator.clock import NANOSECONDS
from aihub_async.emulator.legacy_records import inline_files, run_in_memory
from aihub_async.emulator.output_schema import OutputSchema
from aihub_async.emulator.routes.starting import optional_path, optional_text, run_settings_of, start_run
from aihub_async.emulator.routes.v1 import v1
from aihub_async.emulator.runs import NewRun
from aihub_async.emulator.state import EmulatorState
from aihub_async.emulator.storage import clean_path
from aihub_async.emulator.wire import ApiError, Handler, Request, Response, json_response

MAX_SYNC_SECONDS = 60

_REQUIRED = {
    "Single Flow": ("flow_file",),
    "Metaflow": ("flows_dir", "metaflow_file", "classifier_file"),
    "Flows": ("flows_dir",),
}


@v1
async def compile_flow(state: EmulatorState, request: Request) -> Response:
    """Compile flows to a binary in a job."""
    payload = await request.json()
    root, kind = optional_path(payload, "flow_project_root"), payload.get("binary_type")
    settings = payload.get("settings") or {}
    if root is None or kind not in _REQUIRED or not isinstance(settings, dict):
        raise ApiError(400, "flow_project_root, binary_type (Single Flow, Metaflow or Flows) and settings are needed.")
    check_path(root, request.account)
    paths = {name: optional_path(settings, name) for name in _REQUIRED[kind]}
    if missing := [name for name, path in paths.items() if path is None]:
        raise ApiError(400, f"settings.{missing[0]} is needed for a {kind}.")
    full = {name: clean_path(f"{root}/{path}") for name, path in paths.items()}
    flows = [full.pop("flow_file")] if kind == "Single Flow" else _flows_in(state, full.pop("flows_dir"))
    stem = flows[0].rpartition("/")[2].removesuffix(".ibflow") if len(flows) == 1 else kind.lower().replace(" ", "_")
    folder = optional_path(payload, "predefined_binary_path") or f"{root}/build/bin"
    binary = check_path(folder if folder.endswith(".ibflowbin") else f"{folder}/{stem}.ibflowbin", request.account)
    job_id = state.legacy_jobs.compile(request.account, binary, flows, list(full.values()), kind)
    return json_response({"status": "OK", "job_id": job_id})


def _flows_in(state: EmulatorState, folder: str) -> list[str]:
    flows = [node.path for node in state.drive.walk(folder) if node.name.endswith(".ibflow")]
    if not flows:
        raise ApiError(404, f"There are no flows to compile in /{folder}.")
    return flows


@v1
async def run_flow(state: EmulatorState, request: Request) -> Response:
    """Start a run of a binary."""
    payload, account = await request.json(), request.account
    binary, input_dir = optional_path(payload, "binary_path"), optional_path(payload, "input_dir")
    if binary is None or input_dir is None:
        raise ApiError(400, "binary_path and input_dir are needed.")
    check_path(binary, account)
    if not state.drive.is_folder(check_path(input_dir, account)):
        raise ApiError(404, f"There is no folder /{input_dir}.")
    job_id = optional_text(payload, "job_id") or state.settings.new_id()
    if len(job_id) > limits.MAX_JOB_ID_LENGTH:
        raise ApiError(400, f"A job id has {limits.MAX_JOB_ID_LENGTH} characters at most.")
    state.legacy_jobs.check_unused(job_id)
    settings, tags = run_settings_of(payload)
    OutputSchema.of(settings)  # a schema that cannot be applied is refused before the run
    app = state.legacy_jobs.app_of(binary)
    output = check_path(optional_path(payload, "output_dir") or f"{input_dir.rpartition('/')[0]}/out", account)
    if settings.get("output_has_run_id"):
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(state.settings.clock.time_ns() / NANOSECONDS))
        output = f"{output}/{stamp}-{job_id}"
    elif settings.get("delete_out_dir"):
        while state.drive.remove_some(output):
            await anyio.lowlevel.checkpoint()
    new = NewRun(
        id=job_id,
        app_name=app.name,
        app_id=app.id,
        app_version=app.version,
        account=account,
        workspace=None,
        input_dir=input_dir,
        output_dir=output,
        tags=tags,
        settings=settings,
        binary_path=binary,
    )
    await start_run(state, new)
    return json_response({"status": "OK", "data": {"job_id": job_id, "output_folder": f"/{output}"}})


@v1
async def run_flow_sync(state: EmulatorState, request: Request) -> Response:
    """Run a binary on the files in the request; nothing is kept."""
    payload = await request.json()
    binary = optional_path(payload, "binary_path")
    if binary is None:
        raise ApiError(400, "binary_path is needed.")
    options = payload.get("options") or {}
    form = options.get("result_format", "json") if isinstance(options, dict) else None
    if form not in {"json", "csv"}:
        raise ApiError(400, "options.result_format is json or csv.")
    files = inline_files(payload, limits.MAX_SYNC_FILES)
    with anyio.move_on_after(MAX_SYNC_SECONDS):
        results = await run_in_memory(state, [state.legacy_jobs.app_of(binary)], files)
        if form == "csv":
            return Response(200, _csv(results["records"]).encode(), {"Content-Type": "text/csv; charset=utf-8"})
        return json_response({"records": results["records"], "binary_path": binary, "job_id": results["job_id"]})
    raise ApiError(400, f"The run took more than {MAX_SYNC_SECONDS} seconds.")


def _csv(records: Sequence[Mapping[str, Any]]) -> str:
    keys = list(dict.fromkeys(item["key"] for record in records for item in record["results"]))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["file_name", *keys])
    for record in records:
        values = {item["key"]: item["value"] for item in record["results"]}
        writer.writerow([record["file_name"], *(values.get(key, "") for key in keys)])
    return text.getvalue()


HANDLERS: Mapping[ops.Operation, Handler] = {
    ops.COMPILE_FLOW: compile_flow,
    ops.RUN_FLOW: run_flow,
    ops.RUN_FLOW_SYNC: run_flow_sync,
}
