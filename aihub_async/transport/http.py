"""The wire: makes one attempt at one request, over aiohttp.

An attempt never raises for what the network or the server did; it returns a `Response` or an `AttemptFailure`.
"""

import asyncio
import platform
import weakref
from collections.abc import Mapping

import aiohttp
import anyio
from aiohttp import hdrs
from multidict import CIMultiDict

from aihub_async._version import __version__
from aihub_async.config import ClientConfig
from aihub_async.errors import SourceError
from aihub_async.operations import Repeat
from aihub_async.transport.answers import read_answer
from aihub_async.transport.direct import Direct, fits
from aihub_async.transport.failures import failed_before_answer, not_http, timed_out
from aihub_async.transport.messages import AttemptFailure, Request, Response
from aihub_async.transport.payload import BodyPayload, Progress
from aihub_async.transport.pool import Pool
from aihub_async.transport.target import Target, default_headers

USER_AGENT = f"aihub-async/{__version__} python/{platform.python_version()} aiohttp/{aiohttp.__version__}"


def open_wire(settings: ClientConfig, connector: aiohttp.BaseConnector | None) -> "HTTPWire":
    """Return a wire with its own pool, over the user's connector if there is one."""
    return HTTPWire(settings, Pool(settings, connector))


class HTTPWire:
    """Makes attempts for one client over a pool that it may share."""

    def __init__(self, settings: ClientConfig, pool: Pool) -> None:
        self._settings = settings
        self._pool = pool
        self._target = Target.of(settings.api_root)
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._detach: dict[bool, weakref.finalize[..., HTTPWire]] = {}
        self._direct: Direct | None = None
        self._headers = default_headers(settings, USER_AGENT)
        self._own_headers: Mapping[str, str] | None = None
        if settings.proxy is not None:
            # aiohttp repeats a session's headers in the CONNECT request, where the proxy reads them.
            self._own_headers, self._headers = self._headers, CIMultiDict({hdrs.USER_AGENT: USER_AGENT})

    def derive(self, settings: ClientConfig) -> "HTTPWire":
        """Return a wire with other settings on the same pool."""
        return HTTPWire(settings, self._pool)

    async def aclose(self) -> None:
        """Close the pool."""
        if self._direct is not None:
            self._direct.close()
        await self._pool.aclose()

    def _open_session(self, *, fresh: bool) -> aiohttp.ClientSession:
        current = self._sessions.get(fresh)
        session = self._pool.open_session(self._headers, current, fresh=fresh)
        if session is not current:
            if current is not None:
                self._detach[fresh]()
            # A detached session does not warn that it was not closed.
            self._detach[fresh] = weakref.finalize(self, session.detach)
            self._sessions[fresh] = session
        return session

    def _open_direct(self, session: aiohttp.ClientSession) -> Direct:
        if self._direct is None or self._direct.session is not session:
            root = self._target.url("/", "")
            trace_config = self._pool.trace_config
            self._direct = Direct(session, root, self._headers, self._settings, trace_config, self._target.server)
        return self._direct

    async def attempt(self, request: Request, seconds: float) -> Response | AttemptFailure:
        """Send a request once, within `seconds`; a long answer gets more time as its bytes arrive."""
        # What may be sent only once is not entrusted to a kept connection where the server was seen to close them.
        once = request.operation.repeat is Repeat.ONCE
        session = self._open_session(fresh=request.fresh or (once and self._pool.closes_silently))
        progress = Progress()
        try:
            if self._own_headers is None and fits(request, session, self._pool.trace_config):
                outcome = await self._open_direct(session).attempt(request, seconds, progress)
            else:
                outcome = await self._attempt_by_session(session, request, seconds, progress)
        except asyncio.CancelledError as error:
            # Below this frame are aiohttp's, whose locals hold the Authorization header.
            raise error.with_traceback(None)  # noqa: B904  # the same exception, without the frames
        if isinstance(outcome, AttemptFailure) and outcome.stale:
            self._pool.closes_silently = True
        return outcome

    async def _attempt_by_session(
        self, session: aiohttp.ClientSession, request: Request, seconds: float, progress: Progress
    ) -> Response | AttemptFailure:
        payload = BodyPayload(request.body, progress) if request.body is not None else None
        if payload is None:
            # Of a request without a body it cannot be known whether its head has left.
            progress.begun = True
        answer: aiohttp.ClientResponse | None = None
        with anyio.move_on_after(seconds) as scope:
            try:
                answer = await session.request(
                    request.operation.method,
                    self._target.url(request.path, request.query),
                    data=payload,
                    headers=self._headers_of(request),
                    allow_redirects=False,
                    trace_request_ctx=progress,
                )
            except (aiohttp.ClientError, OSError, SourceError) as error:
                return failed_before_answer(error, progress, self._target.server)
            except ValueError as error:
                # A garbled header can surface from the parser as a plain ValueError.
                return not_http("", type(error).__name__)
            try:

                def extend(more: float) -> None:
                    scope.deadline += more

                head = (answer.status, answer.reason or "", answer.headers)
                return await read_answer(head, answer.content, request, self._settings, extend)
            finally:
                # Does nothing after a complete answer; a broken one must not return to the pool.
                answer.close()
        return timed_out(seconds, progress, 0 if answer is None else answer.content.total_bytes)

    def _headers_of(self, request: Request) -> Mapping[str, str] | None:
        more = None if request.headers is None else request.headers.reveal()
        if self._own_headers is not None:
            more = {**self._own_headers, **(more or {})}
        if request.sink is not None:
            more = {**(more or {}), **request.sink.request_headers()}
        return more
