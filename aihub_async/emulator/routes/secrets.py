"""The secrets of an organization."""

from collections.abc import Mapping

from aihub_async import operations as ops
from aihub_async.emulator.access import chosen_workspace
from aihub_async.emulator.state import EmulatorState
from aihub_async.emulator.wire import ApiError, Handler, Request, Response, json_response


async def list_secrets(state: EmulatorState, request: Request) -> Response:
    """List secrets, without their values."""
    account, workspace = request.account, request.text("workspace")
    if workspace is None and not account.admin:
        raise ApiError(401, "Only admins list all secrets: name a workspace.")
    if workspace is not None:
        chosen_workspace(workspace, account, remedy="workspace")
    as_of_ms = state.as_of_ns(request) // 10**6
    secrets = state.secrets.select(account.context.id, request.text("alias"), workspace, as_of_ms=as_of_ms)
    return json_response({"secrets": secrets})


async def create_secret(state: EmulatorState, request: Request) -> Response:
    """Add a secret."""
    _require_admin(request)
    state.secrets.create(request.account, await request.json())
    return json_response({})


async def update_secret(state: EmulatorState, request: Request) -> Response:
    """Change the attributes that the request names."""
    _require_admin(request)
    state.secrets.update(request.account, await request.json())
    return json_response({})


async def delete_secret(state: EmulatorState, request: Request) -> Response:
    """Remove a secret."""
    _require_admin(request)
    state.secrets.delete(request.account, await request.json())
    return json_response({})


def _require_admin(request: Request) -> None:
    # A missing permission is a 401 here, not a 403.
    if not request.account.admin:
        raise ApiError(401, "Only organization admins may do this.")


HANDLERS: Mapping[ops.Operation, Handler] = {
    ops.LIST_SECRETS: list_secrets,
    ops.CREATE_SECRET: create_secret,
    ops.UPDATE_SECRET: update_secret,
    ops.DELETE_SECRET: delete_secret,
}
