# Written by `python -m aihub_sync._generate` from aihub_async/resources/secrets.py. DO NOT EDIT.
"""Sync twins of the classes of `aihub_async.resources.secrets`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aihub_sync._facade import Facade

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aihub_async.models import ListSecrets
    from aihub_async.resources import secrets


class Secrets(Facade):
    """Secrets that apps and deployments refer to by alias. Only organization admins may change them."""

    _async: secrets.Secrets

    def create(
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
        try:
            self._lease.run(self._async.create(alias, value, allowed_workspaces_type, description, allowed_workspaces))
        finally:
            del value

    def list(self, alias: str | None = None, workspace: str | None = None) -> ListSecrets:
        """List secrets, without their values; not paged. Non-admins must name a workspace."""
        return self._lease.run(self._async.list(alias, workspace))

    def delete(self, alias: str) -> None:
        """Delete a secret, immediately.

        Raises:
            NotFoundError: there is none.
        """
        self._lease.run(self._async.delete(alias))

    def update(
        self,
        alias: str,
        description: str | None = None,
        value: str | None = None,
        allowed_workspaces_type: str | None = None,
        allowed_workspaces: Sequence[str] | None = None,
    ) -> None:
        """Change a secret; None leaves a value as it is."""
        try:
            self._lease.run(self._async.update(alias, description, value, allowed_workspaces_type, allowed_workspaces))
        finally:
            del value
