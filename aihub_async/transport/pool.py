"""The connections of a client: one connector per event loop, made when needed and dropped with its loop."""

import asyncio
import contextlib
import os
import weakref
from collections.abc import AsyncGenerator, Mapping
from types import SimpleNamespace

import aiohttp
from aiohttp import hdrs

from aihub_async.config import ClientConfig, default_ssl_context
from aihub_async.errors import ClosedClientError
from aihub_async.loops import running_loop
from aihub_async.transport._aiohttp import (
    HEADER_COUNT,
    HEADER_LIMIT,
    abort,
    count_attempts_truthfully,
    take_connections,
)

_KEEPALIVE = 30.0


def _reuse_trace() -> aiohttp.TraceConfig:
    """Return the tracing that marks attempts on kept connections, given as `trace_request_ctx`, as `reused`."""

    async def mark(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
        progress = context.trace_request_ctx
        if progress is not None:
            progress.reused = True

    config = aiohttp.TraceConfig()
    config.on_connection_reuseconn.append(mark)
    config.freeze()
    return config


class _Connections:
    """The connections of one event loop in one process, and how to drop them."""

    def __init__(self, connector: aiohttp.BaseConnector, loop: asyncio.AbstractEventLoop) -> None:
        self.connector = connector
        self._loop = loop
        self._pid = os.getpid()
        self._guard = _until_the_loop_ends(connector)
        # Runs up to its `yield` without waiting, and so makes itself known to the loop.
        with contextlib.suppress(StopIteration):
            self._guard.__anext__().send(None)

    def drop(self) -> None:
        """Drop connections that cannot be closed in order: their event loop is closed or that of the parent process."""
        if not self.connector.closed:
            connections = take_connections(self.connector)
            # The child of a fork shares its parent's selector: to abort there would deafen the parent.
            if self._pid == os.getpid() and not self._loop.is_closed():
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(abort, connections)
        with contextlib.suppress(StopIteration):
            self._guard.aclose().send(None)


class Pool:
    """The connections of a client and of all clients made from it."""

    def __init__(self, settings: ClientConfig, connector: aiohttp.BaseConnector | None) -> None:
        self._settings = settings
        self._given = connector
        self._connector: aiohttp.BaseConnector | None = None
        self._fresh: aiohttp.BaseConnector | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        self._drop: weakref.finalize[..., Pool] | None = None
        self._sessions: weakref.WeakSet[aiohttp.ClientSession] = weakref.WeakSet()
        self._closed = False
        self.closes_silently = False
        """Whether the server was seen to close a kept connection without saying so."""
        self.trace_config = _reuse_trace()

    def open_session(
        self, headers: Mapping[str, str], current: aiohttp.ClientSession | None, *, fresh: bool = False
    ) -> aiohttp.ClientSession:
        """Return `current` if it works in the running event loop, else a new session with these headers.

        With `fresh`, the session makes a new connection for each request, unless the user gave a connector.

        Raises:
            ClosedClientError: the client was closed, or is in use by another event loop that still runs.
        """
        loop = running_loop()
        if loop is self._loop and self._pid == os.getpid() and not self._closed:
            if current is not None and not current.closed:
                return current
        else:
            self._move_to(loop)
        session = aiohttp.ClientSession(
            connector=self._fresh_connector() if fresh else self._connector,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            skip_auto_headers=(hdrs.USER_AGENT,),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_timeout),
            proxy=None if self._settings.proxy is None else self._settings.proxy.reveal(),
            trace_configs=[self.trace_config],
            max_line_size=HEADER_LIMIT,
            max_field_size=HEADER_LIMIT,
            max_headers=HEADER_COUNT,
        )
        count_attempts_truthfully(session)
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

    def _new_connector(self, *, keep: bool = True) -> aiohttp.TCPConnector:
        context = self._settings.ssl_context
        if context is None and self._settings.api_root.startswith("https"):
            context = default_ssl_context()
        # The governor limits requests; a second limit here would let polls queue behind uploads.
        return aiohttp.TCPConnector(
            limit=0,
            ssl=context if context is not None else True,
            keepalive_timeout=_KEEPALIVE if keep else None,
            force_close=not keep,
            ttl_dns_cache=300,
        )

    def _fresh_connector(self) -> aiohttp.BaseConnector | None:
        if self._given is not None:
            return self._given
        if self._fresh is None:
            self._fresh = self._new_connector(keep=False)
        return self._fresh

    def _abandon(self) -> None:
        for session in self._sessions:
            session.detach()
        self._sessions.clear()
        self._connector = self._fresh = None
        if self._drop is not None:
            self._drop()
            self._drop = None

    async def aclose(self) -> None:
        """Close all connections; a second call does nothing."""
        self._closed = True
        here = self._loop is running_loop() and self._pid == os.getpid()
        for connector in (self._connector, self._fresh):
            if here and connector is not None and connector is not self._given:
                await connector.close()
        self._abandon()


async def _until_the_loop_ends(connector: aiohttp.BaseConnector) -> AsyncGenerator[None, None]:
    """Drop the connections when `asyncio.run()` shuts its loop down, as it does with every open async generator.

    Without it a client that was not closed would leave open sockets to the garbage collector.
    """
    try:
        yield
    finally:
        abort(take_connections(connector))
