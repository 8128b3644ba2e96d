"""Batches, their files, and the jobs that delete them."""

from collections.abc import Mapping
from typing import Any

from aihub_async import operations as ops
from aihub_async.emulator.hub import Hub
from aihub_async.emulator.state import Row
from aihub_async.emulator.storage import Node
from aihub_async.emulator.wire import Answer, ApiError, Call, Handler, from_token, json_answer, to_token

_FOLDER_IN_DRIVE = "aihub/batches"
_PERMISSIONS = {"can_read": True, "can_write": True, "can_delete": True}


async def create_batch(hub: Hub, call: Call) -> Answer:
    """Create a batch, in the personal workspace where none is given."""
    wanted = await call.json()
    name = required_name(wanted, "name")
    given = wanted.get("workspace")
    if given is not None and not isinstance(given, str):
        raise ApiError(400, "workspace must be a string.")
    workspace = hub.workspace(given, call.account, remedy="workspace")
    now = hub.settings.now_ms()
    cursor = hub.db.write(
        "INSERT INTO batches(name, workspace, owner, created_ms, updated_ms) VALUES (?, ?, ?, ?, ?)",
        *(name, workspace, call.account.user, now, now),
    )
    folder = f"{hub.settings.workspace_folder(workspace)}/{_FOLDER_IN_DRIVE}/{cursor.lastrowid}"
    hub.db.write("UPDATE batches SET folder = ? WHERE id = ?", folder, cursor.lastrowid)
    return json_answer({"id": cursor.lastrowid})


async def list_batches(hub: Hub, call: Call) -> Answer:
    """List batches, oldest first."""
    limit, offset = page_window(hub, call)
    rows = hub.db.all(
        "SELECT * FROM batches WHERE NOT deleted AND workspace = COALESCE(?, workspace) AND owner = COALESCE(?, owner)"
        " ORDER BY id LIMIT ? OFFSET ?",
        *(call.text("workspace"), call.text("username"), limit, offset),
    )
    return json_answer({"batches": [_view(hub, row) for row in rows]})


async def get_batch(hub: Hub, call: Call) -> Answer:
    """Tell about one batch."""
    return json_answer(_view(hub, hub.batch(call.path_number("batch_id"))))


async def delete_batch(hub: Hub, call: Call) -> Answer:
    """Hide the batch at once and delete its files in a job."""
    batch = hub.batch(call.path_number("batch_id"))
    return json_answer({"job_id": remove_batch(hub, batch)}, 202)


async def list_files(hub: Hub, call: Call) -> Answer:
    """List the files of a batch in order of name."""
    batch = hub.batch(call.path_number("batch_id"))
    size = min(call.number("page_size", least=1) or hub.settings.list_page_size, hub.settings.max_page_size)
    token = call.text("start_token")
    after = f"{batch['folder']}/{from_token(token)}" if token else ""
    nodes = hub.drive.walk(batch["folder"], after=after, limit=size + 1)
    prefix = len(batch["folder"]) + 1
    page: dict[str, Any] = {"nodes": [_node(node, prefix) for node in nodes[:size]], "has_more": len(nodes) > size}
    page["next_page_token"] = to_token(nodes[size - 1].path[prefix:]) if page["has_more"] else ""
    return json_answer(page)


async def add_file(hub: Hub, call: Call) -> Answer:
    """Create or replace a file of a batch."""
    batch = hub.batch(call.path_number("batch_id"))
    name = checked_file_name(call.values["filename"])
    blob, size = await hub.drive.blobs.receive(call.body(), hub.settings.max_file_size)
    # The batch may have gone while the body was coming.
    put_into_batch(hub, batch["id"], name, blob, size)
    return Answer(204)


async def delete_batch_file(hub: Hub, call: Call) -> Answer:
    """Delete a file of a batch in a job, whether it exists or not."""
    batch = hub.batch(call.path_number("batch_id"))
    job_id = hub.jobs.delete(f"{batch['folder']}/{checked_file_name(call.values['filename'])}")
    return Answer(202, headers={"Location": f"{hub.api_root}/v2/jobs/{job_id}"})


async def job_status(hub: Hub, call: Call) -> Answer:
    """Tell the state of a deletion job."""
    return json_answer(hub.jobs.status(call.values["job_id"]))


def remove_batch(hub: Hub, batch: Row) -> str:
    """Hide a batch and start deleting its files; give the job id."""
    hub.db.write("UPDATE batches SET deleted = 1 WHERE id = ?", batch["id"])
    return hub.jobs.delete(batch["folder"])


def put_into_batch(hub: Hub, batch_id: int, name: str, blob: int, size: int) -> None:
    """Let a file name of a batch stand for a blob.

    Raises:
        ApiError: 404, the batch is gone; the blob is removed.
    """
    with hub.drive.blobs.kept_on_success(blob):
        batch = hub.batch(batch_id)
    hub.drive.put(f"{batch['folder']}/{name}", blob, size)
    hub.db.write("UPDATE batches SET updated_ms = ? WHERE id = ?", hub.settings.now_ms(), batch_id)


def required_name(wanted: Mapping[str, Any], key: str) -> str:
    """A name in a request body.

    Raises:
        ApiError: 400, missing, empty or too long.
    """
    name = wanted.get(key)
    if not isinstance(name, str) or not name:
        raise ApiError(400, f"{key} must be a non-empty string.")
    if len(name) > ops.MAX_NAME_LENGTH:
        raise ApiError(400, f"{key} has {ops.MAX_NAME_LENGTH} characters at most.")
    return name


def checked_file_name(name: str) -> str:
    """A file name that can be one.

    Raises:
        ApiError: 400, too long, or not a name.
    """
    if len(name) > ops.MAX_NAME_LENGTH:
        raise ApiError(400, f"A file name has {ops.MAX_NAME_LENGTH} characters at most.")
    if "\0" in name or any(segment in {"", ".", ".."} for segment in name.split("/")):
        raise ApiError(400, "The file name is not one.")
    return name


def page_window(hub: Hub, call: Call) -> tuple[int, int]:
    """`limit` and `offset` of a list request."""
    limit = call.number("limit", least=1) or hub.settings.list_page_size
    return min(limit, hub.settings.max_page_size), call.number("offset") or 0


def _view(hub: Hub, row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": row["name"],
        "workspace": row["workspace"],
        "mount_point": hub.settings.drive,
        "repo_owner": hub.settings.org,
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
