"""Audit logs."""

import enum

import attrs

from aihub_async.models.base import Model


class AuditLogType(enum.StrEnum):
    """The published types of audit log entries; a server may send others, which stay plain strings."""

    ACCOUNT = "account_v2"
    API = "api_v2"
    APP_DEPLOYMENT_RUN = "app_deployment_run_v2"
    APP_DEPLOYMENT = "app_deployment_v2"
    APP = "app_v2"
    DATASOURCE = "datasource_v2"
    LOGIN = "login_v2"
    OAUTH2 = "oauth2_v2"
    ORG = "org_v2"
    ORG_SECRETS = "org_secrets_v2"
    PERMS = "perms_v2"
    PROJECTS = "projects_v2"
    REVIEW = "review_v2"
    WORKSPACE = "workspace_v2"


@attrs.frozen
class AuditLogEntry(Model):
    """One entry; `timestamp_millis` is Unix milliseconds as a text. What else it has is in `extra`."""

    timestamp_millis: str | None = None
    email: str | None = None
    user_ip: str | None = None
    log_type: str | None = None


@attrs.frozen
class AuditLogData(Model):
    """The inner part of the answer."""

    results: list[AuditLogEntry] = attrs.field(factory=list)


@attrs.frozen
class AuditLogs(Model):
    """One page of audit logs, in the envelope of the v1 API."""

    status: str | None = None
    data: AuditLogData | None = None

    @property
    def results(self) -> list[AuditLogEntry]:
        """The entries of this page."""
        return [] if self.data is None else self.data.results
