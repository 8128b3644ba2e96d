"""The audit log: every request, and changes of accounts, apps, deployments and runs made outside the API."""

from collections.abc import Sequence

from aihub_async.emulator.database import Database, Row
from aihub_async.emulator.settings import EmulatorSettings

LOG_TYPES = (
    "account_v2",
    "api_v2",
    "app_deployment_run_v2",
    "app_deployment_v2",
    "app_v2",
    "datasource_v2",
    "login_v2",
    "oauth2_v2",
    "org_v2",
    "org_secrets_v2",
    "perms_v2",
    "projects_v2",
    "review_v2",
    "workspace_v2",
)
"""The types of entries (spec: getAuditLogs)."""

_TYPES = {
    "runDeployment": "app_deployment_run_v2",
    "createSecret": "org_secrets_v2",
    "updateSecret": "org_secrets_v2",
    "deleteSecret": "org_secrets_v2",
    "mountDrive": "datasource_v2",
    "compileFlowBinary": "projects_v2",
}
_INSERT = (
    "INSERT INTO audit(at_ms, context, email, ip, log_type, operation, method, path, status)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class AuditLog:
    """Records and selects entries."""

    def __init__(self, database: Database, settings: EmulatorSettings) -> None:
        self._db = database
        self._settings = settings

    def add_request(
        self, operation: str, method: str, path: str, *, context: str, email: str, ip: str, status: int
    ) -> None:
        """Record a request."""
        log_type = _TYPES.get(operation, "api_v2")
        self._db.defer(_INSERT, self._settings.now_ms(), context, email, ip, log_type, operation, method, path, status)

    def add_event(self, log_type: str, operation: str, *, context: str, email: str) -> None:
        """Record something that did not happen through the API."""
        self._db.defer(_INSERT, self._settings.now_ms(), context, email, "127.0.0.1", log_type, operation, "", "", 0)

    def select(
        self, context: str, *, log_type: str | None, email: str | None, times_ms: Sequence[int], limit: int, offset: int
    ) -> list[Row]:
        """Return entries of a context, newest first; `times_ms` are the first and last millisecond."""
        self._db.flush()
        return self._db.all(
            "SELECT * FROM audit WHERE context = ? AND log_type = COALESCE(?, log_type) AND email = COALESCE(?, email)"
            " AND at_ms BETWEEN ? AND ? ORDER BY id DESC LIMIT ? OFFSET ?",
            *(context, log_type, email, *times_ms, limit, offset),
        )
