"""Files of the drive."""

import re
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

from aihub_async import operations as ops
from aihub_async.emulator.access import check_file_path
from aihub_async.emulator.state import EmulatorState
from aihub_async.emulator.storage import Child, Node, clean_path
from aihub_async.emulator.wire import (
    ApiError,
    FileSlice,
    Handler,
    Request,
    Response,
    from_token,
    json_response,
    to_token,
)

_OCTETS = "application/octet-stream"
_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{1,18})\s*-\s*(\d{0,18})\s*")
# JSON, Python's repr and a form without quotes are all in use.
_RETRIES = re.compile(r"retries['\"]?\s*:\s*(\d{1,2})\b")
_BACKOFF = re.compile(r"backoff-seconds['\"]?\s*:\s*(\d{1,3}(?:\.\d+)?)\b")


async def read_file(state: EmulatorState, request: Request) -> Response:
    """Send a file or a range of it, or list a folder."""
    path = _path(request)
    expected = request.text("expect-node-type")
    if expected not in {"file", "folder"}:
        raise ApiError(400, "expect-node-type must be file or folder.")
    await _wait_for(state, request, path)
    if expected == "folder":
        return _listing(state, request, path)
    node = state.drive.find(path)
    if node is None:
        raise _missing(state, path)
    return _content(state, node, request.headers.get("Range"))


async def write_file(state: EmulatorState, request: Request) -> Response:
    """Create or replace a file; with `If-None-Match: *` only create."""
    path = _path(request)
    condition = request.headers.get("If-None-Match")
    if condition not in {None, "*"}:
        raise ApiError(400, "If-None-Match must be *.")
    if state.drive.is_folder(path):
        raise ApiError(400, f"/{path} is a folder.")
    if condition and state.drive.find(path):
        raise ApiError(412)
    blob, size = await state.drive.blobs.receive(request.body(), state.settings.max_file_size)
    with state.drive.blobs.kept_on_success(blob):
        if size == 0:
            raise ApiError(400, "A file must not be empty.")
        # Another request may have created it while the body was coming.
        if condition and state.drive.find(path):
            raise ApiError(412)
    state.drive.put(path, blob, size)
    if condition:
        return Response(201, headers={"Location": f"{state.api_root}/v2/files/{quote(path)}"})
    return Response(204)


async def get_file_metadata(state: EmulatorState, request: Request) -> Response:
    """Answer in headers whether a path is a file or a folder."""
    path = _path(request)
    await _wait_for(state, request, path)
    node = state.drive.find(path)
    if node is not None:
        modified = formatdate(node.modified, usegmt=True)
        headers = {"Content-Type": _OCTETS, "Content-Length": str(node.size), "Last-Modified": modified}
        return Response(200, headers=headers)
    if state.drive.is_folder(path):
        return Response(200, headers={"Content-Type": "application/json"})
    raise ApiError(404)


async def delete_file(state: EmulatorState, request: Request) -> Response:
    """Delete a file or folder in a job, whether it exists or not."""
    path = _path(request)
    state.db.write(
        "UPDATE batches SET deleted = 1 WHERE folder = ? OR (folder > ? AND folder < ?)", path, f"{path}/", f"{path}0"
    )
    job_id = state.jobs.delete(path)
    return Response(202, headers={"Location": f"{state.api_root}/v2/jobs/{job_id}"})


def _path(request: Request) -> str:
    return check_file_path(clean_path(request.values["path"]), request.account)


def _missing(state: EmulatorState, path: str) -> ApiError:
    if state.drive.is_folder(path):
        return ApiError(400, f"/{path} is a folder.")
    return ApiError(404, f"There is no file /{path}.")


def _content(state: EmulatorState, node: Node, payload: str | None) -> Response:
    local = state.drive.blobs.path(node.blob)
    if payload is None:
        return Response(200, headers={"Content-Type": _OCTETS}, file=FileSlice(local, 0, node.size))
    found = _RANGE.fullmatch(payload)
    if found is None:
        raise ApiError(400, "Range must be a single one, such as bytes=0-4.")
    start, end = int(found[1]), min(int(found[2] or node.size - 1), node.size - 1)
    if start >= node.size or start > end:
        raise ApiError(416, "The range is outside the file.", {"Content-Range": f"bytes */{node.size}"})
    headers = {"Content-Type": _OCTETS, "Content-Range": f"bytes {start}-{end}/{node.size}"}
    return Response(206, headers=headers, file=FileSlice(local, start, end - start + 1))


def _listing(state: EmulatorState, request: Request, path: str) -> Response:
    if not state.drive.is_folder(path):
        raise ApiError(400 if state.drive.find(path) else 404, f"There is no folder /{path}.")
    token = request.text("start-token")
    size = state.settings.list_page_size
    children = state.drive.children(path, after=from_token(token) if token else "", limit=size + 1)
    more = len(children) > size
    page: dict[str, Any] = {"nodes": [_child(path, child) for child in children[:size]], "has_more": more}
    page["next_page_token"] = to_token(children[size - 1].cursor) if more else ""
    return json_response(page)


def _child(folder: str, child: Child) -> dict[str, Any]:
    metadata: dict[str, Any] = {"node_type": "folder"}
    if child.node is not None:
        metadata = {"node_type": "file", "size": child.node.size, "modified_timestamp": child.node.modified}
    return {"name": child.name, "full_path": f"/{folder}/{child.name}", "metadata": metadata}


async def _wait_for(state: EmulatorState, request: Request, path: str) -> None:
    config = request.headers.get("IB-Retry-Config")
    if config is None:
        return
    retries, backoff = _RETRIES.search(config), _BACKOFF.search(config)
    if retries is None or backoff is None:
        raise ApiError(400, "IB-Retry-Config must have retries and backoff-seconds.")
    for _ in range(int(retries[1])):
        if state.drive.find(path) or state.drive.is_folder(path):
            return
        await state.settings.clock.sleep(float(backoff[1]))


HANDLERS: Mapping[ops.Operation, Handler] = {
    ops.READ_FILE: read_file,
    ops.WRITE_FILE: write_file,
    ops.GET_FILE_METADATA: get_file_metadata,
    ops.DELETE_FILE: delete_file,
}
