"""Multipart uploads of large files into a batch."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from aihub_async import operations as ops
from aihub_async.emulator.hub import Hub
from aihub_async.emulator.routes.batches import checked_file_name, put_into_batch, required_name
from aihub_async.emulator.state import Row
from aihub_async.emulator.wire import Answer, ApiError, Call, Handler, json_answer, json_integer, parse_integer


async def create_upload(hub: Hub, call: Call) -> Answer:
    """Open a session."""
    wanted = await call.json()
    batch_id = json_integer(wanted, "batch_id")
    name = checked_file_name(required_name(wanted, "filename"))
    size = _file_size(wanted)
    if hub.settings.max_file_size is not None and size > hub.settings.max_file_size:
        raise ApiError(413, f"A file has {hub.settings.max_file_size} bytes at most.")
    hub.batch(batch_id)
    session_id = uuid4().hex
    hub.db.write("INSERT INTO uploads VALUES (?, ?, ?, ?, 'open')", session_id, batch_id, name, size)
    location = f"{hub.api_root}/v2/batches/multipart-upload/sessions/{session_id}"
    return json_answer({"session_id": session_id, "part_size": hub.settings.part_size}, 201, {"Location": location})


async def upload_part(hub: Hub, call: Call) -> Answer:
    """Take one part; a part number sent again replaces what was sent before."""
    session = _open_session(hub, call.values["session_id"])
    number = parse_integer("part_num", call.values["part_num"], least=1)
    expected = _expected_size(hub, session["file_size"], number)
    blob, size = await hub.drive.blobs.receive(call.body(), hub.settings.part_size)
    with hub.drive.blobs.kept_on_success(blob):
        if size != expected:
            raise ApiError(400, f"Part {number} has {size} bytes; {expected} were expected.")
        # It may have been closed while the body was coming.
        _open_session(hub, session["id"])
    part_id = uuid4().hex
    replaced = hub.db.value("SELECT blob FROM parts WHERE upload_id = ? AND number = ?", session["id"], number)
    hub.db.write("INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?)", session["id"], number, part_id, blob, size)
    if replaced is not None:
        hub.drive.blobs.delete(replaced)
    return json_answer({"part_id": part_id, "part_num": number}, 201)


async def commit_upload(hub: Hub, call: Call) -> Answer:
    """Join the parts into the file, or throw them away."""
    wanted = await call.json()
    session = _open_session(hub, call.values["session_id"])
    action = wanted.get("action")
    if action == "abort":
        _close(hub, session["id"], "aborted")
        return Answer(201)
    if action != "commit":
        raise ApiError(400, "action must be commit or abort.")
    parts = _committed_parts(hub, session, wanted.get("parts"))
    # Set before the threads are waited for, so that a second commit meets a closed session.
    hub.db.write("UPDATE uploads SET state = 'committed' WHERE id = ?", session["id"])
    whole = hub.drive.blobs.reserve()
    await asyncio.to_thread(hub.drive.blobs.join, whole, [part["blob"] for part in parts])
    _close(hub, session["id"], "committed")
    put_into_batch(hub, session["batch_id"], session["filename"], whole, session["file_size"])
    return Answer(201)


def _file_size(wanted: Mapping[str, Any]) -> int:
    value = wanted.get("file_size")
    return parse_integer("file_size", value) if isinstance(value, str) else json_integer(wanted, "file_size")


def _open_session(hub: Hub, session_id: str) -> Row:
    row = hub.db.one("SELECT * FROM uploads WHERE id = ?", session_id)
    if row is None:
        raise ApiError(404, f"There is no multipart upload session {session_id}.")
    if row["state"] != "open":
        raise ApiError(409, f"The multipart upload session {session_id} is {row['state']}.")
    return row


def _expected_size(hub: Hub, file_size: int, number: int) -> int:
    size = hub.settings.part_size
    last = max(1, -(-file_size // size))
    if number > last:
        raise ApiError(400, f"A file of {file_size} bytes has {last} parts of {size} bytes.")
    return size if number < last else file_size - (last - 1) * size


def _committed_parts(hub: Hub, session: Row, given: Any) -> list[Row]:
    if not isinstance(given, list) or not all(isinstance(part, dict) for part in given):
        raise ApiError(400, "parts is required to commit: a list of part_num and part_id.")
    stored = {row["number"]: row for row in hub.db.all("SELECT * FROM parts WHERE upload_id = ?", session["id"])}
    numbers = [part.get("part_num") for part in given]
    if numbers != list(range(1, len(given) + 1)):
        raise ApiError(400, "parts must have consecutive part numbers from 1, in order.")
    for part in given:
        row = stored.get(part["part_num"])
        if row is None or row["id"] != part.get("part_id"):
            raise ApiError(400, f"Part {part['part_num']} has not been uploaded with this part_id.")
    parts = [stored[number] for number in numbers]
    total = sum(part["size"] for part in parts)
    if total != session["file_size"]:
        raise ApiError(400, f"The parts have {total} bytes together; file_size is {session['file_size']}.")
    return parts


def _close(hub: Hub, session_id: str, state: str) -> None:
    for row in hub.db.all("SELECT blob FROM parts WHERE upload_id = ?", session_id):
        hub.drive.blobs.delete(row["blob"])
    hub.db.write("DELETE FROM parts WHERE upload_id = ?", session_id)
    hub.db.write("UPDATE uploads SET state = ? WHERE id = ?", state, session_id)


HANDLERS: Mapping[ops.Operation, Handler] = {
    ops.CREATE_UPLOAD: create_upload,
    ops.UPLOAD_PART: upload_part,
    ops.COMMIT_UPLOAD: commit_upload,
}
