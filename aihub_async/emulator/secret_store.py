"""Secrets: their names and who may use them. A value is never kept, only its digest, since it is never given back."""

import hashlib
from typing import Any

import msgspec

from aihub_async.emulator.database import Database, Row
from aihub_async.emulator.settings import Account, EmulatorSettings
from aihub_async.emulator.wire import ApiError

_TYPES = ("ALL", "SOME", "NONE")


class SecretStore:
    """The secrets of the organization."""

    def __init__(self, database: Database, settings: EmulatorSettings) -> None:
        self._db = database
        self._settings = settings

    def select(self, alias: str | None, workspace: str | None, *, as_of_ms: int) -> list[dict[str, Any]]:
        """Return the secrets of an alias and a workspace (None: of all), without those created later."""
        rows = self._db.all("SELECT * FROM secrets WHERE created_ms <= ? ORDER BY alias", as_of_ms)
        views = [self._view(row) for row in rows]
        return [
            view
            for view in views
            if alias in {None, view["alias"]} and (workspace is None or _usable_in(view, workspace))
        ]

    def create(self, account: Account, payload: dict[str, Any]) -> None:
        """Add a secret.

        Raises:
            ApiError: 400 malformed, 409 the alias is taken.
        """
        alias, value = _text(payload, "alias"), _text(payload, "value")
        allowed_type, workspaces = _allowed(payload, None)
        if self._find(alias) is not None:
            raise ApiError(409, f"A secret with the alias {alias!r} exists.")
        now = self._settings.now_ms()
        self._db.write(
            "INSERT INTO secrets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(alias, _text(payload, "description", ""), _digest(value), allowed_type, _dump(workspaces)),
            *(now, account.user, now, account.user),
        )

    def update(self, account: Account, payload: dict[str, Any]) -> None:
        """Change what is given of a secret.

        Raises:
            ApiError: 400 malformed, 404 no such secret.
        """
        row = self._required(_text(payload, "alias"))
        value = _text(payload, "value", "")
        current = {"allowed_workspaces": msgspec.json.decode(row["allowed_workspaces"])}
        allowed_type, workspaces = _allowed(current | payload, row["allowed_type"])
        self._db.write(
            "UPDATE secrets SET description = ?, value_sha256 = ?, allowed_type = ?, allowed_workspaces = ?,"
            " updated_ms = ?, updated_by = ? WHERE alias = ?",
            *(_text(payload, "description", row["description"]), _digest(value) if value else row["value_sha256"]),
            *(allowed_type, _dump(workspaces), self._settings.now_ms(), account.user, row["alias"]),
        )

    def delete(self, payload: dict[str, Any]) -> None:
        """Remove a secret.

        Raises:
            ApiError: 400 malformed, 404 no such secret.
        """
        self._db.write("DELETE FROM secrets WHERE alias = ?", self._required(_text(payload, "alias"))["alias"])

    def _find(self, alias: str) -> Row | None:
        return self._db.one("SELECT * FROM secrets WHERE alias = ?", alias)

    def _required(self, alias: str) -> Row:
        row = self._find(alias)
        if row is None:
            raise ApiError(404, f"There is no secret with the alias {alias!r}.")
        return row

    def _view(self, row: Row) -> dict[str, Any]:
        return {
            "alias": row["alias"],
            "description": row["description"],
            "allowed_workspaces_type": row["allowed_type"],
            "allowed_workspaces": msgspec.json.decode(row["allowed_workspaces"]),
            "org": self._settings.org,
            "created_at": row["created_ms"],
            "created_by": row["created_by"],
            "updated_at": row["updated_ms"],
            "last_updated_by": row["updated_by"],
        }


def _usable_in(view: dict[str, Any], workspace: str) -> bool:
    kind = view["allowed_workspaces_type"]
    return kind == "ALL" or (kind == "SOME" and workspace in view["allowed_workspaces"])


def _allowed(payload: dict[str, Any], default: str | None) -> tuple[str, list[str]]:
    kind = payload.get("allowed_workspaces_type", default)
    if kind not in _TYPES:
        raise ApiError(400, "allowed_workspaces_type must be ALL, SOME or NONE.")
    if kind != "SOME":
        return kind, []
    workspaces = payload.get("allowed_workspaces")
    if not isinstance(workspaces, list) or not workspaces or not all(isinstance(name, str) for name in workspaces):
        raise ApiError(400, "allowed_workspaces must name the workspaces when allowed_workspaces_type is SOME.")
    return kind, workspaces


def _text(payload: dict[str, Any], name: str, default: str | None = None) -> str:
    value = payload.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or (not value and default is None):
        raise ApiError(400, f"{name} must be a non-empty string.")
    return value


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def _dump(value: list[str]) -> str:
    return msgspec.json.encode(value).decode()
