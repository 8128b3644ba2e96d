"""Secrets of an organization; their values are never sent back."""

import enum

import attrs

from aihub_async.models.base import Model


class AllowedWorkspacesType(enum.StrEnum):
    """Which workspaces may use a secret."""

    ALL = "ALL"
    SOME = "SOME"
    NONE = "NONE"


@attrs.frozen
class Secret(Model):
    """A secret without its value; `alias` is what it is known by.

    `created_at` and `updated_at` are Unix milliseconds. `allowed_workspaces` counts when
    `allowed_workspaces_type` is SOME.
    """

    alias: str | None = None
    description: str | None = None
    allowed_workspaces_type: str | None = None
    allowed_workspaces: list[str] = attrs.field(factory=list)
    org: str | None = None
    created_at: float | None = None
    created_by: str | None = None
    updated_at: float | None = None
    last_updated_by: str | None = None


@attrs.frozen
class ListSecrets(Model):
    """All secrets that match; this list has no pages."""

    secrets: list[Secret] = attrs.field(factory=list)
