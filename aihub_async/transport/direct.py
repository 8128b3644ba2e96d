"""The direct way for small bodies: one write and one answer on a connection of the pool.

A file of 20 KB takes aiohttp's request machinery (URL, cookies, header maps, a writer task) longer than the kernel
needs to send it. Its connector and its parser are used here, without what lies between them. Everything else,
and every attempt that something wants to see on its way (a proxy, tracing, a mock of the session), goes through
`ClientSession.request`.
"""

import asyncio
from collections.abc import Mapping

import aiohttp
from aiohttp import hdrs
from aiohttp.connector import Connection
from aiohttp.helpers import TimerNoop
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from multidict import CIMultiDict
from yarl import URL

from aihub_async.config import ClientConfig
from aihub_async.errors import ClosedClientError, SourceError
from aihub_async.policies.retry import FailureKind
from aihub_async.transport.body import CHUNK, Body
from aihub_async.transport.deadlines import Deadlines, Limit
from aihub_async.transport.messages import AttemptFailure, Request, Response

ERROR_BODY = 64 * 1024
"""Bytes of an error answer that are read; the rest says nothing new, and may be endless."""
_ORIGINAL_REQUEST = aiohttp.ClientSession._request
# What is used here is not aiohttp's public interface: of a version that nobody tried, only that is used.
_KNOWN = aiohttp.__version__.startswith("3.14.")
_NO_TIMER = TimerNoop()


def fits(request: Request, session: aiohttp.ClientSession) -> bool:
    """Whether this request may go the direct way."""
    body = request.body
    return (
        _KNOWN
        and body is not None
        and body.length <= CHUNK
        and request.sink is None
        and not request.headers
        and not session.trace_configs
        # Libraries that replace this method to see or fake requests must see these too.
        and aiohttp.ClientSession._request is _ORIGINAL_REQUEST
    )


class Progress:
    """How far an attempt came: what an error means depends on it."""

    size = 1
    """The head alone is something to send, so an empty body has begun with it too."""

    def __init__(self) -> None:
        self.begun = False
        self.error: SourceError | None = None


class Direct:
    """Sends small bodies over the connector of one session."""

    def __init__(
        self, session: aiohttp.ClientSession, root: URL, headers: Mapping[str, str], settings: ClientConfig
    ) -> None:
        connector = session.connector
        if connector is None:
            raise ClosedClientError("the session is closed")
        loop = asyncio.get_running_loop()
        self.session = session
        self._connector = connector
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout)
        self._max_response_bytes = settings.max_response_bytes
        self._min_throughput = settings.min_throughput
        # The connector reads nothing but the origin and the TLS settings: one request stands for all.
        self._origin = aiohttp.ClientRequest("GET", root, loop=loop, session=session)
        self._deadlines = Deadlines(loop)
        self._prefix = root.raw_path.rstrip("/")
        fixed = CIMultiDict({hdrs.HOST: self._origin.headers[hdrs.HOST], hdrs.ACCEPT_ENCODING: "gzip, deflate"})
        fixed.update(headers)
        if connector.force_close:
            fixed[hdrs.CONNECTION] = "close"
        self._content_type = fixed.pop(hdrs.CONTENT_TYPE, None)
        self._fixed = "".join(f"{name}: {value}\r\n" for name, value in fixed.items())

    async def attempt(
        self, request: Request, body: Body, seconds: float, progress: Progress
    ) -> Response | AttemptFailure | None:
        """Send a request once; None when `seconds` ran out.

        Raises:
            aiohttp.ClientError, OSError: the network's doing; `progress` tells whether anything was sent.
        """
        limit = self._deadlines.start(seconds)
        cancelling = limit.task.cancelling()
        try:
            return await self._exchange(await self._connect(), request, body, progress, limit)
        except SourceError as error:
            progress.error = error
            raise
        except HttpProcessingError as error:
            return AttemptFailure(FailureKind.LOST, f"the server's answer is not HTTP ({type(error).__name__})")
        except asyncio.CancelledError:
            if limit.expired and limit.task.uncancel() <= cancelling:
                return None
            raise
        finally:
            self._deadlines.stop(limit)

    async def _connect(self) -> Connection:
        try:
            return await self._connector.connect(self._origin, traces=[], timeout=self._timeout)
        except TimeoutError:
            raise aiohttp.ConnectionTimeoutError from None

    def _head(self, request: Request, body: Body) -> bytes:
        query = f"?{request.query}" if request.query else ""
        return (
            f"{request.operation.method} {self._prefix}{request.path}{query} HTTP/1.1\r\n{self._fixed}"
            f"Content-Type: {self._content_type or body.content_type}\r\nContent-Length: {body.length}\r\n\r\n"
        ).encode()

    async def _exchange(
        self, connection: Connection, request: Request, body: Body, progress: Progress, limit: Limit
    ) -> Response | AttemptFailure:
        try:
            # Read as late as can be and let go at once: the bytes of the next file find the same memory warm.
            message = self._head(request, body) + await body.read_all()
            protocol, transport = connection.protocol, connection.transport
            if protocol is None or transport is None or transport.is_closing():
                connection.close()
                return AttemptFailure(FailureKind.NOT_SENT, "the connection was closed while it waited in the pool")
            protocol.set_response_params(timer=_NO_TIMER, read_until_eof=True)
            progress.begun = True
            transport.write(message)
            del message
            while True:
                head, content = await protocol.read()
                if not 100 <= head.code < 200 or head.code == 101:
                    break
            answer: bytes | AttemptFailure = (
                await self._read(content, head.code, limit) if not content.at_eof() else b""
            )
            if isinstance(answer, AttemptFailure) or transport.get_write_buffer_size():
                # An answer that came before the whole request was out leaves the rest of it in the way.
                protocol.force_close()
            connection.release()
        except BaseException:
            connection.close()
            raise
        if isinstance(answer, AttemptFailure):
            return answer
        return Response(head.code, head.reason or "", head.headers, answer, len(answer))

    async def _read(self, content: StreamReader, status: int, limit: Limit) -> bytes | AttemptFailure:
        success = status < 300
        most = self._max_response_bytes if success else ERROR_BODY
        chunks: list[bytes] = []
        received = 0
        try:
            async for chunk in content.iter_any():
                if received:
                    # A long answer gets the time of its bytes.
                    limit.when += len(chunk) / self._min_throughput
                received += len(chunk)
                chunks.append(chunk)
                if received > most:
                    if success:
                        return AttemptFailure(
                            FailureKind.TOO_LARGE,
                            f"the answer is larger than max_response_bytes ({most})",
                            received=received,
                        )
                    break
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            # Of an error answer the status says enough, whatever became of its body.
            if success:
                return AttemptFailure(
                    FailureKind.TRUNCATED, f"the answer broke off ({type(error).__name__})", received=received
                )
        return b"".join(chunks)

    def close(self) -> None:
        """Let the timer go."""
        self._deadlines.close()
