"""Multipart uploads of large files into a batch."""

from collections.abc import Mapping
from typing import Any

from aihub_async import operations as ops
from aihub_async.emulator.database import Row
from aihub_async.emulator.routes.batches import checked_file_name, put_into_batch, required_name
from aihub_async.emulator.state import EmulatorState
from aihub_async.emulator.wire import ApiError, Handler, Request, Response, json_integer, json_response, parse_integer
from aihub_async.emulator.world import Account

_SESSION = "SELECT u.*, b.context, b.workspace FROM uploads u JOIN batches b ON b.id = u.batch_id WHERE u.id = ?"


async def create_upload(state: EmulatorState, request: Request) -> Response:
    """Open a session."""
    payload = await request.json()
    batch_id = json_integer(payload, "batch_id")
    name = checked_file_name(required_name(payload, "filename"))
    size = _file_size(payload)
    if state.settings.max_file_size is not None and size > state.settings.max_file_size:
        raise ApiError(413, f"A file has {state.settings.max_file_size} bytes at most.")
    state.batch(batch_id, request.account)
    session_id = state.settings.new_id().replace("-", "")
    state.db.write("INSERT INTO uploads VALUES (?, ?, ?, ?, 'open')", session_id, batch_id, name, size)
    location = f"{state.api_root}/v2/batches/multipart-upload/sessions/{session_id}"
    return json_response({"session_id": session_id, "part_size": state.settings.part_size}, 201, {"Location": location})


async def upload_part(state: EmulatorState, request: Request) -> Response:
    """Take one part; a part number sent again replaces what was sent before."""
    session = _open_session(state, request.values["session_id"], request.account)
    number = parse_integer("part_num", request.values["part_num"], least=1)
    expected = _expected_size(state, session["file_size"], number)
    blob, size = await state.drive.blobs.receive(request.body(), state.settings.part_size)
    with state.drive.blobs.kept_on_success(blob):
        if size != expected:
            raise ApiError(400, f"Part {number} has {size} bytes; {expected} were expected.")
        # It may have been closed while the body was coming.
        _open_session(state, session["id"], request.account)
    part_id = state.settings.new_id().replace("-", "")
    replaced = state.db.value("SELECT blob FROM parts WHERE upload_id = ? AND number = ?", session["id"], number)
    state.db.write("INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?)", session["id"], number, part_id, blob, size)
    if replaced is not None:
        state.drive.blobs.delete(replaced)
    return json_response({"part_id": part_id, "part_num": number}, 201)


async def commit_upload(state: EmulatorState, request: Request) -> Response:
    """Join the parts into the file, or discard them."""
    payload = await request.json()
    session = _open_session(state, request.values["session_id"], request.account)
    action = payload.get("action")
    if action == "abort":
        _close(state, session["id"], "aborted")
        return Response(201)
    if action != "commit":
        raise ApiError(400, "action must be commit or abort.")
    parts = _committed_parts(state, session, payload.get("parts"))
    # Set before the threads are waited for, so that a second commit meets a closed session.
    state.db.write("UPDATE uploads SET state = 'committed' WHERE id = ?", session["id"])
    whole = state.drive.blobs.reserve()
    await state.threads.run(state.drive.blobs.join, whole, [part["blob"] for part in parts])
    _close(state, session["id"], "committed")
    put_into_batch(state, session["batch_id"], session["filename"], whole, session["file_size"], request.account)
    return Response(201)


def _file_size(payload: Mapping[str, Any]) -> int:
    value = payload.get("file_size")
    return parse_integer("file_size", value) if isinstance(value, str) else json_integer(payload, "file_size")


def _open_session(state: EmulatorState, session_id: str, account: Account) -> Row:
    row = state.db.one(_SESSION, session_id)
    if row is None or row["context"] != account.context.id or not account.may_use(row["workspace"]):
        raise ApiError(404, f"There is no multipart upload session {session_id}.")
    if row["state"] != "open":
        raise ApiError(409, f"The multipart upload session {session_id} is {row['state']}.")
    return row


def _expected_size(state: EmulatorState, file_size: int, number: int) -> int:
    size = state.settings.part_size
    last = max(1, -(-file_size // size))
    if number > last:
        raise ApiError(400, f"A file of {file_size} bytes has {last} parts of {size} bytes.")
    return size if number < last else file_size - (last - 1) * size


def _committed_parts(state: EmulatorState, session: Row, given: Any) -> list[Row]:
    if not isinstance(given, list) or not all(isinstance(part, dict) for part in given):
        raise ApiError(400, "parts is required to commit: a list of part_num and part_id.")
    stored = {row["number"]: row for row in state.db.all("SELECT * FROM parts WHERE upload_id = ?", session["id"])}
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


def _close(state: EmulatorState, session_id: str, end: str) -> None:
    for row in state.db.all("SELECT blob FROM parts WHERE upload_id = ?", session_id):
        state.drive.blobs.delete(row["blob"])
    state.db.write("DELETE FROM parts WHERE upload_id = ?", session_id)
    state.db.write("UPDATE uploads SET state = ? WHERE id = ?", end, session_id)


HANDLERS: Mapping[ops.Operation, Handler] = {
    ops.CREATE_UPLOAD: create_upload,
    ops.UPLOAD_PART: upload_part,
    ops.COMMIT_UPLOAD: commit_upload,
}
