"""File operations outside the published specification, and mounting a drive."""

import zipfile
from collections.abc import Mapping

from aihub_async import operations as ops
from aihub_async.emulator.access import check_file_path
from aihub_async.emulator.routes.batches import required_name
from aihub_async.emulator.routes.v1 import v1
from aihub_async.emulator.state import EmulatorState
from aihub_async.emulator.storage import clean_path
from aihub_async.emulator.wire import ApiError, Handler, Request, Response, json_response

_START, _END = "0", "-1"


async def create_node(state: EmulatorState, request: Request) -> Response:
    """Create an empty folder or file in a folder."""
    payload = await request.json()
    parent = check_file_path(clean_path(request.values["path"]), request.account)
    path = clean_path(f"{parent}/{required_name(payload, 'name')}")
    if state.drive.find(path) or state.drive.is_folder(path):
        raise ApiError(409, f"/{path} exists.")
    if state.drive.find(parent):
        raise ApiError(400, f"/{parent} is a file.")
    if payload.get("node_type") == "folder":
        state.drive.make_folder(path)
    elif payload.get("node_type") == "file":
        state.drive.put(path, *state.drive.blobs.save(b""))
    else:
        raise ApiError(400, "node_type must be file or folder.")
    return Response(201)


async def append_to_file(state: EmulatorState, request: Request) -> Response:
    """Write a file from its start, or append to it."""
    path = check_file_path(clean_path(request.values["path"]), request.account)
    cursor = request.headers.get("IB-Cursor")
    if cursor not in {_START, _END}:
        raise ApiError(400, "IB-Cursor must be 0 or -1.")
    blobs = state.drive.blobs
    piece, size = await blobs.receive(request.body(), state.settings.max_file_size)
    node = state.drive.find(path)
    if node is None:
        blobs.delete(piece)
        raise ApiError(404, f"There is no file /{path}.")
    if cursor == _START:
        state.drive.put(path, piece, size)
        return Response(204)
    whole = blobs.reserve()
    await state.threads.run(blobs.join, whole, [node.blob, piece])
    blobs.delete(piece)
    state.drive.put(path, whole, node.size + size)
    return Response(204)


async def copy_file(state: EmulatorState, request: Request) -> Response:
    """Copy a file or folder in a job."""
    source, target = await _both(request)
    if not state.drive.find(source) and not state.drive.is_folder(source):
        raise ApiError(404, f"There is no /{source}.")

    async def work() -> None:
        node = state.drive.find(source)
        nodes = [node] if node else state.drive.walk(source)
        for each in nodes:
            copied = state.drive.blobs.reserve()
            await state.threads.run(state.drive.blobs.join, copied, [each.blob])
            state.drive.put(target + each.path[len(source) :], copied, each.size)

    return _accepted(state, state.jobs.start(work))


async def extract_archive(state: EmulatorState, request: Request) -> Response:
    """Extract a zip archive into a folder in a job."""
    source, target = await _both(request)
    node = state.drive.find(source)
    if node is None:
        raise ApiError(404, f"There is no file /{source}.")
    local = state.drive.blobs.path(node.blob)

    async def work() -> None:
        limit = state.settings.max_extracted_bytes
        for name, content in await state.threads.run(_unzip, local, limit):
            state.drive.put(clean_path(f"{target}/{name}"), *state.drive.blobs.save(content))

    return _accepted(state, state.jobs.start(work))


@v1
async def mount_drive(state: EmulatorState, request: Request) -> Response:
    """Mount a drive as a folder."""
    payload = await request.json()
    details = payload.get("mount_details")
    if payload.get("action") != "mount" or not isinstance(details, dict) or not details.get("client_type"):
        raise ApiError(400, "action must be mount, and mount_details must name a client_type.")
    path = clean_path(f"{request.values['path']}/{required_name(payload, 'mount_point_name')}")
    check_file_path(path, request.account)
    if state.drive.is_folder(path):
        raise ApiError(409, f"/{path} is mounted already.")
    state.drive.make_folder(path)
    return json_response({"status": "OK"})


async def _both(request: Request) -> tuple[str, str]:
    payload = await request.json()
    paths = [payload.get(name) for name in ("src_path", "dst_path")]
    if not all(isinstance(path, str) for path in paths):
        raise ApiError(400, "src_path and dst_path must be strings.")
    source, target = (check_file_path(clean_path(str(path)), request.account) for path in paths)
    if target == source or target.startswith(f"{source}/"):
        raise ApiError(400, "dst_path must be outside src_path.")
    return source, target


def _accepted(state: EmulatorState, job_id: str) -> Response:
    return Response(202, headers={"Location": f"{state.api_root}/v2/jobs/{job_id}"})


def _unzip(local: str, limit: int) -> list[tuple[str, bytes]]:
    """Return the names and contents of the files of an archive, of up to `limit` bytes together."""
    try:
        with zipfile.ZipFile(local) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            # Checked before anything is unpacked, and held to by zipfile, which stops at the declared size.
            if sum(member.file_size for member in members) > limit:
                raise ApiError(413, f"The archive holds more than {limit} bytes.")
            return [(clean_path(member.filename), archive.read(member)) for member in members]
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError):
        raise ApiError(400, "The file is not a zip archive that can be read.") from None


HANDLERS: Mapping[ops.Operation, Handler] = {
    ops.CREATE_NODE: create_node,
    ops.APPEND_FILE: append_to_file,
    ops.COPY_FILE: copy_file,
    ops.EXTRACT_ARCHIVE: extract_archive,
    ops.MOUNT_DRIVE: mount_drive,
}
