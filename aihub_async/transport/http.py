"""The wire: with `direct.py` the only client module that imports aiohttp. Makes one attempt at one request.

An attempt never raises for what the network or the server did; it returns a `Response` or a `AttemptFailure`. aiohttp's
exceptions hold request headers in their repr and args, so they end here.
"""

import asyncio
import contextlib
import os
import platform
import socket
import ssl
import weakref
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import aiohttp
import anyio
from aiohttp import hdrs
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict

from aihub_async._version import __version__
from aihub_async.config import ClientConfig, default_ssl_context
from aihub_async.errors import ClosedClientError, SourceChangedError, SourceError
from aihub_async.policies.retry import FailureKind
from aihub_async.transport.body import JSON_TYPE, Body
from aihub_async.transport.descriptors import is_out_of_descriptors
from aihub_async.transport.direct import ERROR_BODY, Direct, Progress, fits
from aihub_async.transport.messages import AttemptFailure, Request, Response, Sink
from aihub_async.transport.target import Target, default_headers

USER_AGENT = f"aihub-async/{__version__} python/{platform.python_version()} aiohttp/{aiohttp.__version__}"
_KEEPALIVE = 30.0


class _Payload(aiohttp.Payload):
    """Gives a `Body` to aiohttp, counts its bytes and remembers why it broke off."""

    _autoclose = True

    def __init__(self, body: Body) -> None:
        # Payload.__init__ builds a header map that a request body never uses; this costs a tenth of a small upload.
        self._body = body
        self._size = body.length
        self._headers = _CONTENT_HEADERS.get(body.content_type) or CIMultiDict({hdrs.CONTENT_TYPE: body.content_type})
        self.begun = False
        self.sent = 0
        self.error: SourceError | None = None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Never used: a body may be larger than memory."""
        raise NotImplementedError

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the body."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:  # noqa: ARG002  # aiohttp's signature
        """Write the body; its length is already known to the server."""

        async def write(chunk: bytes | memoryview) -> None:
            # aiohttp sends the headers together with the first chunk: until then nothing has left.
            transport = writer.transport
            self.begun = self.begun or (transport is not None and not transport.is_closing())
            self.sent += len(chunk)
            await writer.write(chunk)

        try:
            await self._body.write_to(write)
        except SourceError as error:
            self.error = error
            raise
        if self.sent != self._body.length:
            self.error = SourceChangedError(f"{self.sent} of {self._body.length} bytes could be read")
            raise self.error


_CONTENT_HEADERS = {
    content_type: CIMultiDict({hdrs.CONTENT_TYPE: content_type})
    for content_type in (JSON_TYPE, "application/octet-stream")
}


class _Connections:
    """The connections of one event loop in one process, and how to let go of them."""

    def __init__(self, connector: aiohttp.BaseConnector, loop: asyncio.AbstractEventLoop) -> None:
        self.connector = connector
        self._loop = loop
        self._pid = os.getpid()
        self._guard = _until_the_loop_ends(connector)
        # Runs up to its `yield` without waiting, and so makes itself known to the loop.
        with contextlib.suppress(StopIteration):
            self._guard.__anext__().send(None)

    def drop(self) -> None:
        """Let go of connections that cannot be closed in order: their event loop is gone, or belongs to the parent."""
        if not self.connector.closed:
            connections = _take_connections(self.connector)
            # The child of a fork shares its parent's selector: to abort there would deafen the parent.
            if self._pid == os.getpid() and not self._loop.is_closed():
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(_abort, connections)
        with contextlib.suppress(StopIteration):
            self._guard.aclose().send(None)


class Pool:
    """The connections of a client and of all clients made from it: one connector per event loop, made when needed."""

    def __init__(self, settings: ClientConfig, connector: aiohttp.BaseConnector | None) -> None:
        self._settings = settings
        self._given = connector
        self._connector: aiohttp.BaseConnector | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        self._drop: weakref.finalize[..., Pool] | None = None
        self._sessions: weakref.WeakSet[aiohttp.ClientSession] = weakref.WeakSet()
        self._closed = False

    def open_session(self, headers: Mapping[str, str], current: aiohttp.ClientSession | None) -> aiohttp.ClientSession:
        """Give `current` back if it works in the running event loop, else a new session with these headers.

        Raises:
            ClosedClientError: the client was closed, or is in use by another event loop that still runs.
        """
        loop = asyncio.get_running_loop()
        if loop is self._loop and self._pid == os.getpid() and not self._closed:
            if current is not None and not current.closed:
                return current
        else:
            self._move_to(loop)
        session = aiohttp.ClientSession(
            connector=self._connector,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            skip_auto_headers=(hdrs.USER_AGENT,),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_timeout),
            proxy=self._settings.proxy.reveal() if self._settings.proxy is not None else None,
        )
        # aiohttp would silently send idempotent requests twice; attempts are counted and decided by the transport.
        session._retry_connection = False
        self._sessions.add(session)
        return session

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._closed:
            raise ClosedClientError("the client is closed; make a new one")
        forked = self._pid != os.getpid()
        if not forked and self._loop is not None and self._loop is not loop and self._loop.is_running():
            raise ClosedClientError(
                "the client is in use by another event loop; make one client per loop (in threads, use aihub_sync)"
            )
        self._abandon()
        self._loop, self._pid = loop, os.getpid()
        self._connector = self._given or self._new_connector()
        if self._connector is not self._given:
            # Not `__del__`: of garbage in a cycle, aiohttp's objects could be finalized first, and would complain.
            self._drop = weakref.finalize(self, _Connections(self._connector, loop).drop)

    def _new_connector(self) -> aiohttp.TCPConnector:
        context = self._settings.ssl_context
        if context is None and self._settings.api_root.startswith("https"):
            context = default_ssl_context()
        # The governor limits requests; a second limit here would let polls queue behind uploads.
        return aiohttp.TCPConnector(
            limit=0,
            ssl=context if context is not None else True,
            keepalive_timeout=_KEEPALIVE,
            ttl_dns_cache=300,
        )

    def _abandon(self) -> None:
        for session in self._sessions:
            session.detach()
        self._sessions.clear()
        self._connector = None
        if self._drop is not None:
            self._drop()
            self._drop = None

    async def aclose(self) -> None:
        """Close all connections; a second call does nothing."""
        self._closed = True
        connector = self._connector
        here = self._loop is asyncio.get_running_loop() and self._pid == os.getpid()
        if here and connector is not None and connector is not self._given:
            await connector.close()
        self._abandon()


async def _until_the_loop_ends(connector: aiohttp.BaseConnector) -> AsyncGenerator[None, None]:
    """Drop the connections when `asyncio.run()` shuts its loop down, as it does with every open async generator.

    Without it a client that nobody closed would leave open sockets to the garbage collector.
    """
    try:
        yield
    finally:
        _abort(_take_connections(connector))


def _take_connections(connector: aiohttp.BaseConnector) -> list[ResponseHandler]:
    connections = [protocol for queue in connector._conns.values() for protocol, _ in queue]
    connector._conns.clear()
    connector._closed = True
    return connections


def _abort(connections: list[ResponseHandler]) -> None:
    for protocol in connections:
        if protocol.transport is not None:
            protocol.transport.abort()


class HTTPWire:
    """Makes attempts for one client over a pool that it may share."""

    def __init__(self, settings: ClientConfig, pool: Pool) -> None:
        self._settings = settings
        self._pool = pool
        self._target = Target.of(settings.api_root)
        self._session: aiohttp.ClientSession | None = None
        self._detach: weakref.finalize[..., HTTPWire] | None = None
        self._direct: Direct | None = None
        self._headers = default_headers(settings, USER_AGENT)
        self._own_headers: Mapping[str, str] | None = None
        if settings.proxy is not None:
            # aiohttp repeats a session's headers in the CONNECT request, where the proxy reads them.
            self._own_headers, self._headers = self._headers, CIMultiDict({hdrs.USER_AGENT: USER_AGENT})

    def derive(self, settings: ClientConfig) -> "HTTPWire":
        """A wire with other settings on the same pool."""
        return HTTPWire(settings, self._pool)

    async def aclose(self) -> None:
        """Close the pool."""
        if self._direct is not None:
            self._direct.close()
        await self._pool.aclose()

    def _open_session(self) -> aiohttp.ClientSession:
        session = self._pool.open_session(self._headers, self._session)
        if session is not self._session:
            if self._detach is not None:
                self._detach()
            # A session that is detached does not complain that nobody closed it.
            self._detach = weakref.finalize(self, session.detach)
            self._session = session
        return session

    def _open_direct(self, session: aiohttp.ClientSession) -> Direct:
        if self._direct is None or self._direct.session is not session:
            self._direct = Direct(session, self._target.url("/", ""), self._headers, self._settings)
        return self._direct

    async def attempt(self, request: Request, seconds: float) -> Response | AttemptFailure:
        """Send a request once, within `seconds`; a long answer gets more time as its bytes arrive."""
        session = self._open_session()
        if request.body is not None and self._own_headers is None and fits(request, session):
            return await self._attempt_directly(self._open_direct(session), request, request.body, seconds)
        payload = _Payload(request.body) if request.body is not None else None
        headers = None if request.headers is None else request.headers.reveal()
        if self._own_headers is not None:
            headers = {**self._own_headers, **(headers or {})}
        if request.sink is not None:
            headers = {**(headers or {}), **request.sink.request_headers()}
        answer: aiohttp.ClientResponse | None = None
        with anyio.move_on_after(seconds) as scope:
            try:
                answer = await session.request(
                    request.operation.method,
                    self._target.url(request.path, request.query),
                    data=payload,
                    headers=headers,
                    allow_redirects=False,
                )
            except (aiohttp.ClientError, OSError, SourceError) as error:
                return _failed_before_answer(error, payload)
            except ValueError as error:
                # A garbled header can surface from the parser as a plain ValueError.
                return AttemptFailure(FailureKind.LOST, f"the server's answer is not HTTP ({type(error).__name__})")
            try:
                return await _read(answer, request, self._settings, scope)
            finally:
                # Does nothing after a complete answer; a broken one must not return to the pool.
                answer.close()
        return _timed_out(seconds, payload, answer)

    async def _attempt_directly(
        self, direct: Direct, request: Request, body: Body, seconds: float
    ) -> Response | AttemptFailure:
        progress = Progress()
        try:
            outcome = await direct.attempt(request, body, seconds, progress)
        except (aiohttp.ClientError, OSError, SourceError) as error:
            return _failed_before_answer(error, progress)
        return _timed_out(seconds, progress, None) if outcome is None else outcome


async def _read(
    answer: aiohttp.ClientResponse, request: Request, settings: ClientConfig, scope: anyio.CancelScope
) -> Response | AttemptFailure:
    success = answer.status < 300
    sink = request.sink if success else None
    limit = settings.max_response_bytes if success else ERROR_BODY
    if sink is not None and (refusal := sink.begin(answer.status, answer.headers)) is not None:
        return AttemptFailure(FailureKind.PROTOCOL, refusal)
    chunks: list[bytes] = []
    received = 0
    try:
        async for chunk in answer.content.iter_any():
            if received:
                # The first chunk, all of a small answer, is within the timeout of the attempt.
                scope.deadline += len(chunk) / settings.min_throughput
            received += len(chunk)
            if sink is not None:
                if (failed := _pass_on(sink, chunk, received)) is not None:
                    return failed
                continue
            chunks.append(chunk)
            if received > limit:
                if success:
                    return AttemptFailure(
                        FailureKind.TOO_LARGE,
                        f"the answer is larger than max_response_bytes ({limit})",
                        received=received,
                    )
                break
    except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
        # Of an error answer the status says enough, whatever became of its body.
        if success:
            return AttemptFailure(
                FailureKind.TRUNCATED, f"the answer broke off ({type(error).__name__})", received=received
            )
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return Response(answer.status, answer.reason or "", answer.headers, body, received)


def _pass_on(sink: Sink, chunk: bytes, received: int) -> AttemptFailure | None:
    try:
        refusal = sink.write(chunk)
    except OSError as error:
        return AttemptFailure(
            FailureKind.SOURCE, f"cannot store the answer: {error.strerror}", error, received=received
        )
    return None if refusal is None else AttemptFailure(FailureKind.PROTOCOL, refusal, received=received)


def _failed_before_answer(error: Exception, payload: _Payload | Progress | None) -> AttemptFailure:
    if payload is not None and payload.error is not None:
        return _failed_source(payload.error, begun=payload.begun)
    name = type(error).__name__
    cause = getattr(error, "os_error", error)
    # A resolver that says "try again later" is a shortage like that of descriptors: everybody slows down and waits.
    later = isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN
    overloaded = later or is_out_of_descriptors(cause)
    if isinstance(error, aiohttp.ClientConnectorCertificateError) or isinstance(cause, ssl.SSLCertVerificationError):
        return AttemptFailure(
            FailureKind.CERTIFICATE, "the server's TLS certificate was refused: " + _certificate_reason(error)
        )
    if isinstance(error, _NO_CONNECTION):
        return AttemptFailure(
            FailureKind.NOT_SENT, f"no connection ({_connect_reason(error, cause)})", overloaded=overloaded
        )
    if payload is not None and not payload.begun and payload.size:
        return AttemptFailure(FailureKind.NOT_SENT, f"nothing was sent ({name})", overloaded=overloaded)
    if isinstance(error, aiohttp.ClientResponseError):
        return AttemptFailure(FailureKind.LOST, f"the server's answer is not HTTP ({name})")
    return AttemptFailure(FailureKind.LOST, f"the connection broke ({name})")


def _failed_source(error: SourceError, *, begun: bool) -> AttemptFailure:
    if is_out_of_descriptors(error.__cause__) and not begun:
        # The connection is closed with this attempt, which leaves its descriptor to the file of another.
        return AttemptFailure(FailureKind.NOT_SENT, str(error), overloaded=True)
    return AttemptFailure(FailureKind.SOURCE, str(error), error)


_NO_CONNECTION = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)


def _connect_reason(error: Exception, cause: object) -> str:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answered {error.status}"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "timeout while connecting"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return type(error).__name__


def _certificate_reason(error: Exception) -> str:
    certificate_error: Any = getattr(error, "certificate_error", error)
    return str(getattr(certificate_error, "verify_message", "") or type(certificate_error).__name__)


def _timed_out(
    seconds: float, payload: _Payload | Progress | None, answer: aiohttp.ClientResponse | None
) -> AttemptFailure:
    if payload is not None and payload.error is not None:
        return AttemptFailure(FailureKind.SOURCE, str(payload.error), payload.error)
    if payload is not None and not payload.begun and payload.size:
        return AttemptFailure(FailureKind.NOT_SENT, f"nothing was sent within {seconds:g} s")
    received = 0 if answer is None else answer.content.total_bytes
    return AttemptFailure(FailureKind.TIMEOUT, f"no complete answer within {seconds:g} s", received=received)
