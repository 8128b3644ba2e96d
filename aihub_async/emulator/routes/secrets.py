"""The organization's secrets."""

from collections.abc import Mapping

from aihub_async import operations as ops
from aihub_async.emulator.hub import Hub
from aihub_async.emulator.wire import Answer, ApiError, Call, Handler, json_answer


async def list_secrets(hub: Hub, call: Call) -> Answer:
    """List secrets, without their values."""
    workspace = call.text("workspace")
    if workspace is None and not call.account.admin:
        raise ApiError(401, "Only admins list all secrets: give a workspace.")
    return json_answer({"secrets": hub.vault.select(call.text("alias"), workspace)})


async def create_secret(hub: Hub, call: Call) -> Answer:
    """Add a secret."""
    _require_admin(call)
    hub.vault.create(call.account, await call.json())
    return json_answer({})


async def update_secret(hub: Hub, call: Call) -> Answer:
    """Change what is given of a secret."""
    _require_admin(call)
    hub.vault.update(call.account, await call.json())
    return json_answer({})


async def delete_secret(hub: Hub, call: Call) -> Answer:
    """Remove a secret."""
    _require_admin(call)
    hub.vault.delete(await call.json())
    return json_answer({})


def _require_admin(call: Call) -> None:
    # A missing permission is a 401 here, not a 403.
    if not call.account.admin:
        raise ApiError(401, "Only organization admins may do this.")


HANDLERS: Mapping[ops.Operation, Handler] = {
    ops.LIST_SECRETS: list_secrets,
    ops.CREATE_SECRET: create_secret,
    ops.UPDATE_SECRET: update_secret,
    ops.DELETE_SECRET: delete_secret,
}
