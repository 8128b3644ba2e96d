# Written by `python -m aihub_sync._generate` from aihub_async/resources/audit.py. DO NOT EDIT.
"""Sync twins of the classes of `aihub_async.resources.audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aihub_sync._facade import Facade
from aihub_sync._pages import Pages

if TYPE_CHECKING:
    from aihub_async.models import AuditLogEntry, AuditLogs
    from aihub_async.resources import audit


class Audit(Facade):
    """The audit log: who did what and when. The official SDK has no method for it."""

    _async: audit.Audit

    def logs(
        self,
        start: int | None = None,
        size: int | None = None,
        log_type: str | None = None,
        email: str | None = None,
        start_time: int | str | None = None,
        end_time: int | str | None = None,
    ) -> AuditLogs:
        """Return one page of the audit log; `iter_logs()` returns all entries.

        Args:
            start: how many entries to skip.
            size: how many at most.
            log_type: see `AuditLogType`; other names are sent as they are.
            email: only entries of this user.
            start_time: Unix milliseconds (the wire carries them as text).
            end_time: Unix milliseconds.

        Raises:
            LegacyAPIError: the server answered with ``{"status": "ERROR"}``, which it does with HTTP 200.
        """
        return self._lease.run(self._async.logs(start, size, log_type, email, start_time, end_time))

    def iter_logs(
        self,
        log_type: str | None = None,
        email: str | None = None,
        start_time: int | str | None = None,
        end_time: int | str | None = None,
        *,
        page_size: int = 100,
    ) -> Pages[AuditLogEntry]:
        """Return all entries, page by page; arguments as for `logs()`."""
        return Pages(self._async.iter_logs(log_type, email, start_time, end_time, page_size=page_size), self._lease)
