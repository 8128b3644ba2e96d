"""Secrets: who may use them, and their values, which only apps get to see.

A value is kept in memory only, so that it is neither in the database nor in a file: after a restart on the same
`data_dir` a secret has no value until it is updated.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from aihub_async.emulator.database import Database, Row, to_json
from aihub_async.emulator.settings import EmulatorSettings
from aihub_async.emulator.wire import ApiError
from aihub_async.emulator.world import Account

_TYPES = ("ALL", "SOME", "NONE")


class SecretStore:
    """The secrets of all contexts."""

    def __init__(self, database: Database, settings: EmulatorSettings) -> None:
        self._db = database
        self._settings = settings
        self._values: dict[tuple[str, str], str] = {}

    def select(self, context: str, alias: str | None, workspace: str | None, *, as_of_ms: int) -> list[dict[str, Any]]:
        """Return the secrets of an alias and a workspace (None: of all), without those created later."""
        query = "SELECT * FROM secrets WHERE context = ? AND created_ms <= ? ORDER BY alias"
        views = [_view(row) for row in self._db.all(query, context, as_of_ms)]
        return [
            view
            for view in views
            if alias in {None, view["alias"]} and (workspace is None or _usable_in(view, workspace))
        ]

    def create(self, account: Account, payload: Mapping[str, Any]) -> None:
        """Add a secret.

        Raises:
            ApiError: 400 malformed, 409 the alias is taken.
        """
        alias, value = _text(payload, "alias"), _text(payload, "value")
        allowed_type, workspaces = _allowed(payload, None)
        context = account.context.id
        if self._find(context, alias) is not None:
            raise ApiError(409, f"A secret with the alias {alias!r} exists.")
        now = self._settings.now_ms()
        self._db.write(
            "INSERT INTO secrets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(context, alias, _text(payload, "description", ""), allowed_type, to_json(workspaces)),
            *(now, account.user, now, account.user),
        )
        self._values[context, alias] = value

    def update(self, account: Account, payload: Mapping[str, Any]) -> None:
        """Change the attributes that a request names.

        Raises:
            ApiError: 400 malformed, 404 no such secret.
        """
        context = account.context.id
        row = self._required(context, _text(payload, "alias"))
        value = _text(payload, "value", "")
        current = {"allowed_workspaces": msgspec.json.decode(row["allowed_workspaces"])}
        allowed_type, workspaces = _allowed({**current, **payload}, row["allowed_type"])
        self._db.write(
            "UPDATE secrets SET description = ?, allowed_type = ?, allowed_workspaces = ?, updated_ms = ?,"
            " updated_by = ? WHERE context = ? AND alias = ?",
            *(_text(payload, "description", row["description"]), allowed_type, to_json(workspaces)),
            *(self._settings.now_ms(), account.user, context, row["alias"]),
        )
        if value:
            self._values[context, row["alias"]] = value

    def delete(self, account: Account, payload: Mapping[str, Any]) -> None:
        """Remove a secret.

        Raises:
            ApiError: 400 malformed, 404 no such secret.
        """
        context = account.context.id
        alias = self._required(context, _text(payload, "alias"))["alias"]
        self._db.write("DELETE FROM secrets WHERE context = ? AND alias = ?", context, alias)
        self._values.pop((context, alias), None)

    def check(self, context: str, settings: Mapping[str, Any], workspace: str) -> None:
        """Refuse a run whose `keys.secret` name a secret that it may not use.

        Raises:
            ApiError: 404, no such secret in this workspace.
        """
        for key, alias in _aliases(settings).items():
            row = self._find(context, alias)
            if row is None or not _usable_in(_view(row), workspace):
                raise ApiError(
                    404, f"keys.secret.{key}: there is no secret {alias!r}, or this workspace may not use it."
                )

    def values(self, context: str, settings: Mapping[str, Any]) -> dict[str, str]:
        """Return the values of the secrets that `keys.secret` name, by key."""
        aliases = _aliases(settings)
        return {key: self._values[context, alias] for key, alias in aliases.items() if (context, alias) in self._values}

    def _find(self, context: str, alias: str) -> Row | None:
        return self._db.one("SELECT * FROM secrets WHERE context = ? AND alias = ?", context, alias)

    def _required(self, context: str, alias: str) -> Row:
        row = self._find(context, alias)
        if row is None:
            raise ApiError(404, f"There is no secret with the alias {alias!r}.")
        return row


def _aliases(settings: Mapping[str, Any]) -> Mapping[str, str]:
    secret: Mapping[str, str] = (settings.get("keys") or {}).get("secret") or {}
    return secret


def _view(row: Row) -> dict[str, Any]:
    return {
        "alias": row["alias"],
        "description": row["description"],
        "allowed_workspaces_type": row["allowed_type"],
        "allowed_workspaces": msgspec.json.decode(row["allowed_workspaces"]),
        "org": row["context"],
        "created_at": row["created_ms"],
        "created_by": row["created_by"],
        "updated_at": row["updated_ms"],
        "last_updated_by": row["updated_by"],
    }


def _usable_in(view: Mapping[str, Any], workspace: str) -> bool:
    kind = view["allowed_workspaces_type"]
    return kind == "ALL" or (kind == "SOME" and workspace in view["allowed_workspaces"])


def _allowed(payload: Mapping[str, Any], default: str | None) -> tuple[str, list[str]]:
    kind = payload.get("allowed_workspaces_type", default)
    if kind not in _TYPES:
        raise ApiError(400, "allowed_workspaces_type must be ALL, SOME or NONE.")
    if kind != "SOME":
        return kind, []
    workspaces = payload.get("allowed_workspaces")
    if not isinstance(workspaces, list) or not workspaces or not all(isinstance(name, str) for name in workspaces):
        raise ApiError(400, "allowed_workspaces must name the workspaces when allowed_workspaces_type is SOME.")
    return kind, workspaces


def _text(payload: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = payload.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or (not value and default is None):
        raise ApiError(400, f"{name} must be a non-empty string.")
    return value
