"""Batches, their files, and the jobs that delete them."""

from collections.abc import Mapping
from typing import Any

from aihub_async import limits
from aihub_async import operations as ops
from aihub_async.emulator.access import chosen_workspace
from aihub_async.emulator.database import Row, to_json
from aihub_async.emulator.state import EmulatorState
from aihub_async.emulator.storage import Node
from aihub_async.emulator.wire import ApiError, Handler, Request, Response, from_token, json_response, to_token
from aihub_async.emulator.world import Account

_FOLDER_IN_DRIVE = "aihub/batches"
_PERMISSIONS = {"can_read": True, "can_write": True, "can_delete": True}


async def create_batch(state: EmulatorState, request: Request) -> Response:
    """Create a batch, in the personal workspace unless the request names one."""
    payload = await request.json()
    name = required_name(payload, "name")
    given = payload.get("workspace")
    if given is not None and not isinstance(given, str):
        raise ApiError(400, "workspace must be a string.")
    account, now = request.account, state.settings.now_ms()
    workspace = chosen_workspace(given, account, remedy="workspace")
    cursor = state.db.write(
        "INSERT INTO batches(name, context, mount_point, workspace, owner, created_ms, updated_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        *(name, account.context.id, account.context.drive, workspace, account.user, now, now),
    )
    folder = f"{account.context.folder(workspace)}/{_FOLDER_IN_DRIVE}/{cursor.lastrowid}"
    state.db.write("UPDATE batches SET folder = ? WHERE id = ?", folder, cursor.lastrowid)
    return json_response({"id": cursor.lastrowid})


async def list_batches(state: EmulatorState, request: Request) -> Response:
    """List batches, oldest first."""
    account, workspace = request.account, request.text("workspace")
    if workspace is not None:
        chosen_workspace(workspace, account, remedy="workspace")
    offset_name = "file_offset" if state.settings.api_version == "2024" else "offset"
    limit, offset = page_window(state, request, offset_name)
    allowed = None if account.workspaces is None else to_json(sorted(account.workspaces))
    rows = state.db.all(
        "SELECT * FROM batches WHERE NOT deleted AND context = ? AND workspace = COALESCE(?, workspace)"
        " AND owner = COALESCE(?, owner) AND created_ms <= ?"
        " AND (? IS NULL OR workspace IN (SELECT value FROM json_each(?))) ORDER BY id LIMIT ? OFFSET ?",
        *(account.context.id, workspace, request.text("username"), state.as_of_ns(request) // 10**6),
        *(allowed, allowed, limit, offset),
    )
    return json_response({"batches": [_view(row) for row in rows]})


async def get_batch(state: EmulatorState, request: Request) -> Response:
    """Return one batch."""
    return json_response(_view(state.batch(request.path_number("batch_id"), request.account)))


async def delete_batch(state: EmulatorState, request: Request) -> Response:
    """Hide the batch immediately and delete its files in a job."""
    batch = state.batch(request.path_number("batch_id"), request.account)
    return json_response({"job_id": remove_batch(state, batch)}, 202)


async def list_files(state: EmulatorState, request: Request) -> Response:
    """List the files of a batch in order of name."""
    batch = state.batch(request.path_number("batch_id"), request.account)
    size = min(request.number("page_size", least=1) or state.settings.list_page_size, state.settings.max_page_size)
    token = request.text("start_token")
    after = f"{batch['folder']}/{from_token(token)}" if token else ""
    nodes = state.drive.walk(batch["folder"], after=after, limit=size + 1, as_of_ns=state.as_of_ns(request))
    prefix = len(batch["folder"]) + 1
    page: dict[str, Any] = {"nodes": [_node(node, prefix) for node in nodes[:size]], "has_more": len(nodes) > size}
    page["next_page_token"] = to_token(nodes[size - 1].path[prefix:]) if page["has_more"] else ""
    return json_response(page)


async def add_file(state: EmulatorState, request: Request) -> Response:
    """Create or replace a file of a batch."""
    batch = state.batch(request.path_number("batch_id"), request.account)
    name = checked_file_name(request.values["filename"])
    blob, size = await state.drive.blobs.receive(request.body(), state.settings.max_file_size)
    # The batch may have gone while the body was coming.
    put_into_batch(state, batch["id"], name, blob, size, request.account)
    return Response(204)


async def delete_batch_file(state: EmulatorState, request: Request) -> Response:
    """Delete a file of a batch in a job, whether it exists or not."""
    batch = state.batch(request.path_number("batch_id"), request.account)
    job_id = state.jobs.delete(f"{batch['folder']}/{checked_file_name(request.values['filename'])}")
    return Response(202, headers={"Location": f"{state.api_root}/v2/jobs/{job_id}"})


async def job_status(state: EmulatorState, request: Request) -> Response:
    """Return the state of a deletion job."""
    return json_response(state.jobs.status(request.values["job_id"]))


def remove_batch(state: EmulatorState, batch: Row) -> str:
    """Hide a batch and start deleting its files; return the job id."""
    state.db.write("UPDATE batches SET deleted = 1 WHERE id = ?", batch["id"])
    return state.jobs.delete(batch["folder"])


def put_into_batch(state: EmulatorState, batch_id: int, name: str, blob: int, size: int, account: Account) -> None:
    """Store a blob as a file of a batch.

    Raises:
        ApiError: 404, the batch no longer exists; the blob is removed.
    """
    with state.drive.blobs.kept_on_success(blob):
        batch = state.batch(batch_id, account)
    state.drive.put(f"{batch['folder']}/{name}", blob, size)
    state.db.write("UPDATE batches SET updated_ms = ? WHERE id = ?", state.settings.now_ms(), batch_id)


def required_name(payload: Mapping[str, Any], key: str) -> str:
    """Return a name in a request body.

    Raises:
        ApiError: 400, missing, empty or too long.
    """
    name = payload.get(key)
    if not isinstance(name, str) or not name:
        raise ApiError(400, f"{key} must be a non-empty string.")
    if len(name) > limits.MAX_NAME_LENGTH:
        raise ApiError(400, f"{key} has {limits.MAX_NAME_LENGTH} characters at most.")
    return name


def checked_file_name(name: str) -> str:
    """Return a file name, if it can be one.

    Raises:
        ApiError: 400, too long, or not a name.
    """
    if len(name) > limits.MAX_NAME_LENGTH:
        raise ApiError(400, f"A file name has {limits.MAX_NAME_LENGTH} characters at most.")
    if "\0" in name or any(segment in {"", ".", ".."} for segment in name.split("/")):
        raise ApiError(400, "The file name must not be empty, or have NUL or a segment that is empty, . or .. in it.")
    return name


def page_window(state: EmulatorState, request: Request, offset_name: str = "offset") -> tuple[int, int]:
    """Return the limit and offset of a list request."""
    limit = request.number("limit", least=1) or state.settings.list_page_size
    return min(limit, state.settings.max_page_size), request.number(offset_name) or 0


def _view(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": row["name"],
        "workspace": row["workspace"],
        "mount_point": row["mount_point"],
        "repo_owner": row["context"],
        "batch_owner": row["owner"],
        "created_at_ms": row["created_ms"],
        "updated_at_ms": row["updated_ms"],
        "path_suffix": f"{_FOLDER_IN_DRIVE}/{row['id']}",
    }


def _node(node: Node, prefix: int) -> dict[str, Any]:
    return {
        "name": node.path[prefix:],
        "full_path": f"/{node.path}",
        "metadata": {"node_type": "file", "size": node.size, "modified_timestamp": node.modified},
        "perms": _PERMISSIONS,
    }


HANDLERS: Mapping[ops.Operation, Handler] = {
    ops.CREATE_BATCH: create_batch,
    ops.LIST_BATCHES: list_batches,
    ops.GET_BATCH: get_batch,
    ops.DELETE_BATCH: delete_batch,
    ops.LIST_FILES: list_files,
    ops.ADD_FILE: add_file,
    ops.DELETE_BATCH_FILE: delete_batch_file,
    ops.POLL_BATCHES_JOB: job_status,
    ops.JOB_STATUS: job_status,
}
