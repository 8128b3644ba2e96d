"""Every use of aiohttp's non-public parts, behind one check of what is really there.

Two things need them: the direct way for small bodies (see `direct`), and dropping connections of a closed event loop.
`missing_parts` looks for each name and parameter that they use. If one is missing, `ClientSession` sends everything,
and one log line reports it.
"""

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from types import FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import aiohttp.client
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection

logger = logging.getLogger("aihub_async")

HEADER_LIMIT = 64 * 1024
"""Bytes of one header line of an answer. Single sign-on and security policies send more than aiohttp's 8 KB."""
HEADER_COUNT = 1000
_READ_SIZE = 64 * 1024
_PARSER = "_aihub_async_parser"
"""Attribute of a connection: the parser that was set up here."""

try:
    from aiohttp.helpers import TimerNoop
    from aiohttp.http_exceptions import HttpProcessingError
    from aiohttp.tracing import Trace
except ImportError:  # pragma: no cover - an aiohttp that does not exist yet
    HttpProcessingError = aiohttp.ClientError  # type: ignore[assignment, misc]
ParserError: type[Exception] = HttpProcessingError
"""What the parser of answers raises."""

_CONNECT = {"req", "traces", "timeout"}
_GET = {"key", "traces"}
_REQUEST = {"method", "url", "loop", "session"}
_RESPONSE = {"timer", "read_until_eof", "max_line_size", "max_field_size", "max_headers"}


def missing_parts() -> list[str]:
    """Return the non-public parts that the direct way uses and this aiohttp does not have."""
    return list(_missing())


def _missing() -> Iterator[str]:
    connector = getattr(aiohttp, "connector", None)
    protocol = getattr(getattr(aiohttp, "client_proto", None), "ResponseHandler", None)
    connection = getattr(connector, "Connection", None)
    yield from _without(protocol, "ResponseHandler", "read", "force_close", "transport", "_parser")
    if not getattr(protocol, "__dictoffset__", 0):
        yield "ResponseHandler.__dict__"
    yield from _without(connection, "Connection", "protocol", "transport", "release", "close")
    yield from _without(aiohttp.ClientSession, "ClientSession", "_request", "request", "trace_configs", "connector")
    yield from _parameters(getattr(protocol, "set_response_params", None), "set_response_params", _RESPONSE)
    yield from _parameters(getattr(aiohttp.BaseConnector, "connect", None), "BaseConnector.connect", _CONNECT)
    yield from _parameters(getattr(aiohttp.BaseConnector, "_get", None), "BaseConnector._get", _GET)
    yield from _parameters(aiohttp.ClientRequest.__init__, "ClientRequest", _REQUEST)
    yield from _without(aiohttp.ClientRequest, "ClientRequest", "connection_key")
    for name in ("TimerNoop", "Trace"):
        if name not in globals():
            yield name


def _without(owner: Any, label: str, *names: str) -> Iterator[str]:
    yield from (f"{label}.{name}" for name in names if not hasattr(owner, name))


def _parameters(function: Callable[..., Any] | None, label: str, names: set[str]) -> Iterator[str]:
    if function is None:
        yield label
        return
    yield from (f"{label}({name}=)" for name in sorted(names - inspect.signature(function).parameters.keys()))


@functools.cache
def direct_is_possible() -> bool:
    """Whether this aiohttp has all parts that the direct way uses; logged once if not."""
    missing = missing_parts()
    if missing:
        logger.warning(
            "aiohttp %s lacks %s: small uploads are sent through ClientSession, which is slower",
            aiohttp.__version__,
            ", ".join(missing),
        )
    return not missing


def is_untouched(session: aiohttp.ClientSession) -> bool:
    """Whether nothing replaced the methods by which libraries see or fake the requests of a session.

    Recognized by the module of their code: a mock may have replaced them before this module was imported.
    """
    cls = type(session)
    return _are_aiohttps_own(getattr(cls, "_request", None), getattr(cls, "request", None))


@functools.lru_cache(maxsize=8)
def _are_aiohttps_own(inner: object, outer: object) -> bool:
    return _is_aiohttps_own(inner, "_request") and _is_aiohttps_own(outer, "request")


_SOURCE = aiohttp.client.__file__


def _is_aiohttps_own(function: object, name: str) -> bool:
    if type(function) is not FunctionType:
        return False
    code = function.__code__
    return code.co_filename == _SOURCE and code.co_qualname == f"ClientSession.{name}"


def count_attempts_truthfully(session: aiohttp.ClientSession) -> None:
    """Keep aiohttp from silently sending idempotent requests twice: the transport decides on and counts attempts."""
    if hasattr(session, "_retry_connection"):
        session._retry_connection = False


def take_connections(connector: aiohttp.BaseConnector) -> "list[ResponseHandler]":
    """Remove the idle connections from a connector that cannot be closed in order, and mark it as closed."""
    kept = getattr(connector, "_conns", None)
    if kept is None:
        return []
    connections = [protocol for queue in kept.values() for protocol, *_ in queue]
    kept.clear()
    connector._closed = True
    return connections


def abort(connections: "list[ResponseHandler]") -> None:
    """Close connections without waiting for anything."""
    for protocol in connections:
        if protocol.transport is not None:
            protocol.transport.abort()


def is_open(writer: AbstractStreamWriter) -> bool:
    """Whether what is written can still leave."""
    transport = writer.transport
    return transport is not None and not transport.is_closing()


class Origin:
    """Opens connections to one origin over the connector of a session."""

    def __init__(self, session: aiohttp.ClientSession, root: URL, trace_config: aiohttp.TraceConfig) -> None:
        connector = session.connector
        if connector is None:
            raise RuntimeError("Session is closed")
        self._connector = connector
        self._session = session
        self._trace_config = trace_config
        # The connector reads only the origin and the TLS settings: one request serves for all.
        self._request = aiohttp.ClientRequest("GET", root, loop=connector._loop, session=session)
        self._key = self._request.connection_key
        # A connector with a `connect` of its own wants to see every request.
        self._keeps = type(connector).connect is aiohttp.BaseConnector.connect
        self.host = self._request.headers[aiohttp.hdrs.HOST]
        self.force_close = connector.force_close

    async def take_kept(self) -> "DirectConnection | None":
        """Return a kept connection that is still open; None when there is none.

        `connect` would find it, too, but takes four times as long for it: 10 of the 150 us of a small file.
        """
        connection = await self._connector._get(self._key, []) if self._keeps else None
        return None if connection is None else DirectConnection(connection)

    async def connect(self, timeout: aiohttp.ClientTimeout, progress: object) -> "DirectConnection":
        """Make a connection, or take one that another request returned; the trace of `progress` records which."""
        context = self._trace_config.trace_config_ctx(trace_request_ctx=progress)
        # Only reached where `missing_parts` found both imports.
        trace = Trace(  # pyright: ignore[reportPossiblyUnboundVariable]
            self._session, self._trace_config, trace_config_ctx=_namespace(context)
        )
        return DirectConnection(await self._connector.connect(self._request, traces=[trace], timeout=timeout))


def _namespace(context: Any) -> SimpleNamespace:
    return context if isinstance(context, SimpleNamespace) else SimpleNamespace(trace_request_ctx=None)


class DirectConnection:
    """One connection, used for one request."""

    __slots__ = ("_connection", "_protocol", "_transport")

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    def begin(self) -> bool:
        """Prepare for the answer; False if the connection was closed meanwhile."""
        protocol, transport = self._connection.protocol, self._connection.transport
        if protocol is None or transport is None or transport.is_closing():
            return False
        self._protocol, self._transport = protocol, transport
        _read_less(transport)
        # The parser of the last exchange reads the next answer as well; a new one takes 2 % of a small file.
        # `ClientSession` sets up another whenever it uses the connection.
        if protocol._parser is None or protocol._parser is not getattr(protocol, _PARSER, None):
            protocol.set_response_params(
                timer=_NO_TIMER,
                read_until_eof=True,
                max_line_size=HEADER_LIMIT,
                max_field_size=HEADER_LIMIT,
                max_headers=HEADER_COUNT,
            )
            setattr(protocol, _PARSER, protocol._parser)
        return True

    def write(self, head: bytes, body: bytes | memoryview) -> None:
        """Send the whole request; uvloop does so without a copy of the body."""
        # An empty write is an error in some versions of OpenSSL.
        self._transport.writelines((head, body) if body else (head,))

    async def read_head(self) -> tuple[Any, aiohttp.StreamReader]:
        """Return the head and the body of the answer, past interim answers."""
        while True:
            head, content = await self._protocol.read()
            if not 100 <= head.code < 200 or head.code == 101:
                return head, content

    def release(self, *, complete: bool) -> None:
        """Return the connection to the pool, or close it if the exchange is not complete."""
        # An answer that came before the whole request was out leaves the rest of it on the connection.
        if not complete or self._transport.get_write_buffer_size():
            self._protocol.force_close()
        self._connection.release()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _read_less(transport: asyncio.Transport) -> None:
    """Let asyncio's plain transport allocate 64 KB for each read instead of 256 KB.

    An answer to an upload has 100 bytes. Memory for 256 KB comes from the kernel and returns to it at every read: two
    page faults, and a tenth of the CPU time of a small file (measured; uvloop and TLS have buffers that they keep).
    """
    if getattr(transport, "max_size", 0) > _READ_SIZE:
        transport.max_size = _READ_SIZE  # type: ignore[attr-defined]


_NO_TIMER = TimerNoop() if "TimerNoop" in globals() else None  # pyright: ignore[reportPossiblyUnboundVariable]
