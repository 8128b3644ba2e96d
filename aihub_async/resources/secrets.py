"""`client.secrets`: the organization's vault. Values can be written and never read."""

import functools
from collections.abc import Sequence

from aihub_async import operations as ops
from aihub_async.errors import InvalidRequestError
from aihub_async.models import AllowedWorkspacesType, ListSecrets
from aihub_async.pagination import listed
from aihub_async.reconcile.named import SecretFinder
from aihub_async.reconcile.once import OncePolicy, send_once
from aihub_async.resources._base import Resource, build_request, given
from aihub_async.secrecy import SecretValue
from aihub_async.transport.messages import Request


class Secrets(Resource):
    """Secrets that apps and deployments refer to by alias. Only organization admins may change them."""

    async def create(
        self,
        alias: str,
        value: str,
        allowed_workspaces_type: str,
        description: str | None = None,
        allowed_workspaces: Sequence[str] | None = None,
    ) -> None:
        """Create a secret.

        Args:
            alias: its name.
            value: its content; it never appears in logs or errors.
            allowed_workspaces_type: ``"ALL"``, ``"SOME"`` or ``"NONE"``.
            description: a text for people.
            allowed_workspaces: required with ``"SOME"``.

        Raises:
            InvalidRequestError: the combination makes no sense.
            OutcomeUnknownError: the connection broke, and it could not be found out whether the secret was created;
                `update()` makes sure of the value.
            ConflictError: there is one with this alias.
        """
        # This frame is part of a traceback, which shows no secret.
        concealed: SecretValue[str | None] = SecretValue(value)
        del value
        _check_workspaces(allowed_workspaces_type, allowed_workspaces, required=True)
        request = _with_value(
            ops.CREATE_SECRET,
            concealed,
            alias=alias,
            description=description,
            allowed_workspaces_type=str(allowed_workspaces_type),
            allowed_workspaces=allowed_workspaces,
        )
        clock = self._transport.clock
        list_by_alias = functools.partial(self._send, ops.LIST_SECRETS, query={"alias": alias})
        await send_once(
            functools.partial(self._create, request),
            SecretFinder(list_by_alias, alias, clock.monotonic(), clock),
            OncePolicy.of(self._transport.settings, clock),
        )

    async def _create(self, request: Request) -> None:
        await self._transport.send(request)

    async def list(self, alias: str | None = None, workspace: str | None = None) -> ListSecrets:
        """List secrets, without their values; not paged. Non-admins must name a workspace."""
        answer = await self._fetch(ListSecrets, ops.LIST_SECRETS, query=given(workspace=workspace, alias=alias))
        listed(ops.LIST_SECRETS, answer, answer.secrets, "secrets")
        return answer

    async def delete(self, alias: str) -> None:
        """Delete a secret, immediately.

        Raises:
            NotFoundError: there is none.
        """
        await self._send(ops.DELETE_SECRET, json={"alias": alias})

    async def update(
        self,
        alias: str,
        description: str | None = None,
        value: str | None = None,
        allowed_workspaces_type: str | None = None,
        allowed_workspaces: Sequence[str] | None = None,
    ) -> None:
        """Change a secret; None leaves a value as it is."""
        # This frame is part of a traceback, which shows no secret.
        concealed = SecretValue(value)
        del value
        if allowed_workspaces_type is not None:
            _check_workspaces(allowed_workspaces_type, allowed_workspaces, required=False)
        request = _with_value(
            ops.UPDATE_SECRET,
            concealed,
            alias=alias,
            description=description,
            allowed_workspaces_type=None if allowed_workspaces_type is None else str(allowed_workspaces_type),
            allowed_workspaces=allowed_workspaces,
        )
        await self._transport.send(request)


def _with_value(operation: ops.Operation, value: SecretValue[str | None], **fields: object) -> Request:
    plain = value.reveal()
    body = SecretValue(given(**fields, value=plain))
    secrets = SecretValue((plain,) if isinstance(plain, str) else ())
    del plain
    return build_request(operation, json=body, secrets=secrets)


def _check_workspaces(kind: str, workspaces: Sequence[str] | None, *, required: bool) -> None:
    if kind not in set(AllowedWorkspacesType):
        raise InvalidRequestError(f"allowed_workspaces_type must be 'ALL', 'SOME' or 'NONE', not {kind!r}")
    if isinstance(workspaces, str):
        raise InvalidRequestError("allowed_workspaces must be a list of workspace names")
    if required and kind == AllowedWorkspacesType.SOME and not workspaces:
        raise InvalidRequestError("allowed_workspaces_type 'SOME' needs allowed_workspaces")
