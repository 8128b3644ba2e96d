"""`client.audit`: audit logs, for Enterprise organizations with access to them."""

from aihub_async import operations as ops
from aihub_async.models import AuditLogEntry, AuditLogs
from aihub_async.pagination import Page, Pages, listed, offset_page
from aihub_async.resources._base import Resource, build_request, given, read_answer
from aihub_async.resources.v1._base import refuse_error

_PAGE = 100


class Audit(Resource):
    """The audit log: who did what and when. The official SDK has no method for it."""

    async def logs(
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
        request = build_request(
            ops.GET_AUDIT_LOGS,
            json=given(
                start=start,
                size=size,
                log_type=None if log_type is None else str(log_type),
                email=email,
                start_time=None if start_time is None else str(start_time),
                end_time=None if end_time is None else str(end_time),
            ),
        )
        response = await self._transport.send(request)
        refuse_error(self._transport, request, response)
        return read_answer(self._transport, AuditLogs, request, response)

    def iter_logs(
        self,
        log_type: str | None = None,
        email: str | None = None,
        start_time: int | str | None = None,
        end_time: int | str | None = None,
        *,
        page_size: int = _PAGE,
    ) -> Pages[AuditLogEntry]:
        """Return all entries, page by page; arguments as for `logs()`."""

        async def fetch(cursor: str | int | None) -> Page[AuditLogEntry]:
            start = int(cursor or 0)
            answer = await self.logs(start, page_size, log_type, email, start_time, end_time)
            return offset_page(listed(ops.GET_AUDIT_LOGS, answer, answer.results, "data"), start, page_size)

        return Pages(ops.GET_AUDIT_LOGS, fetch, key=AuditLogEntry.to_json)
