"""File operations outside the published specification, and mounting a drive."""

import asyncio
import zipfile
from collections.abc import Mapping

from aihub_async import operations as ops
from aihub_async.emulator.hub import Hub
from aihub_async.emulator.routes.batches import required_name
from aihub_async.emulator.routes.v1 import v1
from aihub_async.emulator.storage import clean_path
from aihub_async.emulator.wire import Answer, ApiError, Call, Handler, json_answer

_START, _END = "0", "-1"


async def create_node(hub: Hub, call: Call) -> Answer:
    """Create an empty folder or file in a folder."""
    wanted = await call.json()
    parent = clean_path(call.values["path"])
    path = clean_path(f"{parent}/{required_name(wanted, 'name')}")
    if hub.drive.find(path) or hub.drive.is_folder(path):
        raise ApiError(409, f"/{path} exists.")
    if hub.drive.find(parent):
        raise ApiError(400, f"/{parent} is a file.")
    if wanted.get("node_type") == "folder":
        hub.drive.make_folder(path)
    elif wanted.get("node_type") == "file":
        hub.drive.put(path, *hub.drive.blobs.save(b""))
    else:
        raise ApiError(400, "node_type must be file or folder.")
    return Answer(201)


async def append_to_file(hub: Hub, call: Call) -> Answer:
    """Write a file from its start, or append to it."""
    path = clean_path(call.values["path"])
    cursor = call.headers.get("IB-Cursor")
    if cursor not in {_START, _END}:
        raise ApiError(400, "IB-Cursor must be 0 or -1.")
    blobs = hub.drive.blobs
    piece, size = await blobs.receive(call.body(), hub.settings.max_file_size)
    node = hub.drive.find(path)
    if node is None:
        blobs.delete(piece)
        raise ApiError(404, f"There is no file /{path}.")
    if cursor == _START:
        hub.drive.put(path, piece, size)
        return Answer(204)
    whole = blobs.reserve()
    await asyncio.to_thread(blobs.join, whole, [node.blob, piece])
    blobs.delete(piece)
    hub.drive.put(path, whole, node.size + size)
    return Answer(204)


async def copy_file(hub: Hub, call: Call) -> Answer:
    """Copy a file or folder in a job."""
    source, target = await _both(call)
    if not hub.drive.find(source) and not hub.drive.is_folder(source):
        raise ApiError(404, f"There is no /{source}.")

    async def work() -> None:
        node = hub.drive.find(source)
        nodes = [node] if node else hub.drive.walk(source)
        for each in nodes:
            copied = hub.drive.blobs.reserve()
            await asyncio.to_thread(hub.drive.blobs.join, copied, [each.blob])
            hub.drive.put(target + each.path[len(source) :], copied, each.size)

    return _accepted(hub, hub.jobs.start(work))


async def extract_archive(hub: Hub, call: Call) -> Answer:
    """Extract a zip archive into a folder in a job."""
    source, target = await _both(call)
    node = hub.drive.find(source)
    if node is None:
        raise ApiError(404, f"There is no file /{source}.")
    local = hub.drive.blobs.path(node.blob)

    async def work() -> None:
        limit = hub.settings.max_extracted_bytes
        for name, content in await asyncio.to_thread(_unzip, local, limit):
            hub.drive.put(clean_path(f"{target}/{name}"), *hub.drive.blobs.save(content))

    return _accepted(hub, hub.jobs.start(work))


@v1
async def mount_drive(hub: Hub, call: Call) -> Answer:
    """Let a drive appear as a folder."""
    wanted = await call.json()
    details = wanted.get("mount_details")
    if wanted.get("action") != "mount" or not isinstance(details, dict) or not details.get("client_type"):
        raise ApiError(400, "action must be mount, and mount_details must name a client_type.")
    path = clean_path(f"{call.values['path']}/{required_name(wanted, 'mount_point_name')}")
    if hub.drive.is_folder(path):
        raise ApiError(409, f"/{path} is mounted already.")
    hub.drive.make_folder(path)
    return json_answer({"status": "OK"})


async def _both(call: Call) -> tuple[str, str]:
    wanted = await call.json()
    paths = [wanted.get(name) for name in ("src_path", "dst_path")]
    if not all(isinstance(path, str) for path in paths):
        raise ApiError(400, "src_path and dst_path must be strings.")
    source, target = (clean_path(str(path)) for path in paths)
    if target == source or target.startswith(f"{source}/"):
        raise ApiError(400, "dst_path must be outside src_path.")
    return source, target


def _accepted(hub: Hub, job_id: str) -> Answer:
    return Answer(202, headers={"Location": f"{hub.api_root}/v2/jobs/{job_id}"})


def _unzip(local: str, limit: int) -> list[tuple[str, bytes]]:
    """Names and contents of the files of an archive, of up to `limit` bytes together."""
    try:
        with zipfile.ZipFile(local) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            # Checked before anything is unpacked, and held to by zipfile, which stops at the size it was told.
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
