"""The direct way for small bodies: one write and one answer on a connection of the pool.

A file of 20 KB takes aiohttp's request machinery (URL, cookies, header maps, a writer task) longer than the kernel
needs to send it. Its connector and its parser are used here, without the layers between them. Everything else,
and every attempt that a proxy, tracing or a mock of the session must see, goes through
`ClientSession.request`.
"""

import asyncio
from collections.abc import Mapping

import aiohttp
from aiohttp import hdrs
from multidict import CIMultiDict
from yarl import URL

from aihub_async.config import ClientConfig
from aihub_async.errors import SourceError
from aihub_async.policies.retry import FailureKind
from aihub_async.transport._aiohttp import (
    DirectConnection,
    Origin,
    ParserError,
    direct_is_possible,
    is_untouched,
)
from aihub_async.transport.answers import read_answer
from aihub_async.transport.body import WHOLE, Body
from aihub_async.transport.deadlines import Deadlines, Limit
from aihub_async.transport.failures import failed_before_answer, not_http, timed_out
from aihub_async.transport.messages import AttemptFailure, Request, Response
from aihub_async.transport.payload import Progress


def fits(request: Request, session: aiohttp.ClientSession, trace_config: aiohttp.TraceConfig) -> bool:
    """Whether this request may go the direct way."""
    body = request.body
    return (
        body is not None
        and body.length <= WHOLE
        and request.sink is None
        and not request.headers
        and not request.fresh
        and direct_is_possible()
        and is_untouched(session)
        and session.trace_configs == [trace_config]
    )


class Direct:
    """Sends small bodies over the connector of one session."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        root: URL,
        headers: Mapping[str, str],
        settings: ClientConfig,
        trace_config: aiohttp.TraceConfig,
        server: str,
    ) -> None:
        self.session = session
        self._server = server
        self._settings = settings
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout)
        self._origin = Origin(session, root, trace_config)
        self._deadlines = Deadlines(asyncio.get_running_loop())
        self._prefix = root.raw_path.rstrip("/")
        fixed = CIMultiDict({hdrs.HOST: self._origin.host, hdrs.ACCEPT_ENCODING: "gzip, deflate"})
        fixed.update(headers)
        if self._origin.force_close:
            fixed[hdrs.CONNECTION] = "close"
        self._content_type = fixed.pop(hdrs.CONTENT_TYPE, None)
        self._fixed = "".join(f"{name}: {value}\r\n" for name, value in fixed.items())

    async def attempt(self, request: Request, seconds: float, progress: Progress) -> Response | AttemptFailure:
        """Send a request that `fits` once, within `seconds`; `progress` records whether anything was sent."""
        limit = self._deadlines.start(seconds)
        cancelling = limit.task.cancelling()
        try:
            connection = await self._origin.take_kept()
            if connection is None:
                connection = await self._connect(progress)
            else:
                progress.reused = True
            return await self._exchange(connection, request, progress, limit)
        except ParserError as error:
            return not_http(str(getattr(error, "message", "")), type(error).__name__)
        except (aiohttp.ClientError, OSError, SourceError) as error:
            progress.error = error if isinstance(error, SourceError) else None
            return failed_before_answer(error, progress, self._server)
        except asyncio.CancelledError:
            if limit.expired and limit.task.uncancel() <= cancelling:
                return timed_out(seconds, progress)
            raise
        finally:
            self._deadlines.stop(limit)

    async def _connect(self, progress: Progress) -> DirectConnection:
        try:
            return await self._origin.connect(self._timeout, progress)
        except TimeoutError:
            raise aiohttp.ConnectionTimeoutError from None

    def _head(self, request: Request, body: Body) -> bytes:
        query = f"?{request.query}" if request.query else ""
        return (
            f"{request.operation.method} {self._prefix}{request.path}{query} HTTP/1.1\r\n{self._fixed}"
            f"Content-Type: {self._content_type or body.content_type}\r\nContent-Length: {body.length}\r\n\r\n"
        ).encode()

    async def _exchange(
        self, connection: DirectConnection, request: Request, progress: Progress, limit: Limit
    ) -> Response | AttemptFailure:
        body = request.body
        assert body is not None  # noqa: S101  # `fits` has looked
        try:
            # Read as late as possible and released immediately: the bytes of the next file find the same memory warm.
            content = await body.read_all()
            if not connection.begin():
                connection.close()
                content = b""
                reason = "the connection was closed while it waited in the pool"
                return AttemptFailure(FailureKind.NOT_SENT, reason, stale=True)
            progress.begun = True
            connection.write(self._head(request, body), content)
            del content
            head, answer = await connection.read_head()
            begin = (head.code, head.reason or "", head.headers)
            outcome: Response | AttemptFailure
            if answer.at_eof() and answer.exception() is None:
                # The usual answer has no body.
                outcome = Response(*begin, b"")
            else:
                outcome = await read_answer(begin, answer, request, self._settings, limit.extend)
            connection.release(complete=isinstance(outcome, Response))
        except BaseException:
            connection.close()
            raise
        return outcome

    def close(self) -> None:
        """Cancel the timer."""
        self._deadlines.close()
