"""The audit log: every request to the API, newest first, in the envelope of v1."""

from collections.abc import Mapping
from typing import Any

from aihub_async import operations as ops
from aihub_async.emulator.settings import Account
from aihub_async.emulator.state import EmulatorState
from aihub_async.emulator.wire import ApiError, Handler, Request, Response, json_response

_SECRET_CHANGES = (ops.CREATE_SECRET, ops.UPDATE_SECRET, ops.DELETE_SECRET)
_LOG_TYPES = {
    ops.RUN_DEPLOYMENT.name: "app_deployment_run_v2",
    **{operation.name: "org_secrets_v2" for operation in _SECRET_CHANGES},
}
_INSERT = (
    "INSERT INTO audit(at_ms, email, ip, log_type, operation, method, path, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


def record(state: EmulatorState, operation: ops.Operation, account: Account, path: str, ip: str, status: int) -> None:
    """Write a request into the log."""
    log_type = _LOG_TYPES.get(operation.name, "api_v2")
    values = (state.settings.now_ms(), account.email, ip, log_type, operation.name, operation.method, path, status)
    state.db.defer(_INSERT, *values)


async def get_audit_logs(state: EmulatorState, request: Request) -> Response:
    """Give a page of the log."""
    try:
        payload = await request.json()
        start, size = _number(payload, "start", 0), _number(payload, "size", state.settings.list_page_size)
        log_type, email = _text(payload, "log_type"), _text(payload, "email")
        since, until = _number(payload, "start_time", 0), _number(payload, "end_time", 2**62)
    except ApiError as error:
        # v1: an error is a 200 that says so.
        return json_response({"status": "ERROR", "msg": error.message})
    state.db.flush()
    rows = state.db.all(
        "SELECT * FROM audit WHERE log_type = COALESCE(?, log_type) AND email = COALESCE(?, email)"
        " AND at_ms BETWEEN ? AND ? ORDER BY id DESC LIMIT ? OFFSET ?",
        *(log_type, email, since, until),
        *(min(size, state.settings.max_page_size), start),
    )
    results = [
        {
            "timestamp_millis": str(row["at_ms"]),
            "email": row["email"],
            "user_ip": row["ip"],
            "log_type": row["log_type"],
            "api_method": row["method"],
            "api_path": row["path"],
            "operation": row["operation"],
            "status_code": row["status"],
        }
        for row in rows
    ]
    return json_response({"status": "OK", "data": {"results": results}})


def _text(payload: Mapping[str, Any], name: str) -> str | None:
    value = payload.get(name)
    if value is not None and not isinstance(value, str):
        raise ApiError(400, f"{name} must be a string.")
    return value


def _number(payload: Mapping[str, Any], name: str, default: int) -> int:
    value = payload.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not str(value).isdecimal() or len(str(value)) > 18:
        raise ApiError(400, f"{name} must be a whole number.")
    return int(value)


HANDLERS: Mapping[ops.Operation, Handler] = {ops.GET_AUDIT_LOGS: get_audit_logs}
