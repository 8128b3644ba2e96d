"""The audit log, in the envelope of v1."""

from collections.abc import Mapping
from typing import Any

from aihub_async import operations as ops
from aihub_async.emulator.audit_log import LOG_TYPES
from aihub_async.emulator.routes.starting import optional_text
from aihub_async.emulator.routes.v1 import v1
from aihub_async.emulator.state import EmulatorState
from aihub_async.emulator.wire import ApiError, Handler, Request, Response, json_response

_LATEST_MS = 2**62


@v1
async def get_audit_logs(state: EmulatorState, request: Request) -> Response:
    """Return a page of the log of the caller's context, newest first."""
    payload = await request.json()
    log_type = optional_text(payload, "log_type")
    if log_type not in {None, *LOG_TYPES}:
        raise ApiError(400, f"log_type is one of {', '.join(LOG_TYPES)}.")
    if not request.account.auditor:
        raise ApiError(401, "You have no access to the audit logs of this context.")
    size = _number(payload, "size", state.settings.list_page_size)
    rows = state.audit.select(
        request.account.context.id,
        log_type=log_type,
        email=optional_text(payload, "email"),
        times_ms=(_number(payload, "start_time", 0), _number(payload, "end_time", _LATEST_MS)),
        limit=min(size, state.settings.max_page_size),
        offset=_number(payload, "start", 0),
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


def _number(payload: Mapping[str, Any], name: str, default: int) -> int:
    value = payload.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not str(value).isdecimal() or len(str(value)) > 18:
        raise ApiError(400, f"{name} must be a whole number.")
    return int(value)


HANDLERS: Mapping[ops.Operation, Handler] = {ops.GET_AUDIT_LOGS: get_audit_logs}
