"""The HTTP surface: one aiohttp server, without a framework.

A request is authenticated, routed by the operations table, handled, recorded in the audit log and answered; faults that
match it may take the place of any of these steps.
"""

import asyncio
import logging

from aiohttp import web

from aihub_async.emulator.clock import forget_lag
from aihub_async.emulator.fault_actions import Exchange, apply_faults
from aihub_async.emulator.faults import Faults
from aihub_async.emulator.http_io import body_chunks, buffered, send
from aihub_async.emulator.index import index_page
from aihub_async.emulator.listener import Listener
from aihub_async.emulator.router import PREFIX, Route, Router
from aihub_async.emulator.routes import ALL
from aihub_async.emulator.state import EmulatorState
from aihub_async.emulator.wire import ApiError, Request, RequestLog, Response

logger = logging.getLogger("aihub_async.emulator")

_STOP_SECONDS = 1.0  # requests in progress get this long to end


class Server:
    """Serves requests from `start` to `stop`."""

    def __init__(self, state: EmulatorState, log: RequestLog, faults: Faults) -> None:
        self._state = state
        self._log = log
        self._faults = faults
        self._router = Router(ALL)
        self._http = web.Server(self._handle, access_log=None, read_bufsize=1 << 18)
        self._listener = Listener(self._http, faults, state.settings.clock)

    async def start(self, host: str | None, port: int) -> int:
        """Start to listen; return the port."""
        return await self._listener.start(host, port)

    def protocol(self) -> asyncio.Protocol:
        """Return the server's side of a new connection, for a network that is simulated.

        Raises:
            ConnectionRefusedError: a `refuse` fault is in force.
        """
        if self._faults.refusing:
            raise ConnectionRefusedError("the emulator refuses connections")
        return self._http()

    async def stop(self) -> None:
        """Stop listening and close the connections."""
        await self._listener.stop()
        await asyncio.sleep(0)  # requests that have arrived are handled before idle connections are closed
        self._http.pre_shutdown()
        await self._http.shutdown(_STOP_SECONDS)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        forget_lag()
        target, _, query = request.raw_path.partition("?")
        if target == "/" and request.method in {"GET", "HEAD"}:
            return await send(request, index_page(self._state.apps, request.host))
        try:
            route, values = self._router.find(request.method, target)
        except ApiError as error:
            return await self._refuse(request, error)
        entry = self._log.add(route.operation.name, request.method, request.raw_path)
        faults = self._faults.take(route.operation.name, request.method, target)

        async def handle(*, lag: float = 0.0, body: bytes | None = None) -> Response:
            return await self._respond(request, route, values, query, lag=lag, body=body)

        if not faults:
            response = await handle()
            entry.status = response.status
            return await send(request, response)
        exchange = Exchange(request, handle, self._state.background, self._state.settings.clock)
        try:
            stream = await apply_faults(exchange, faults)
        except ConnectionError:
            # The client has disconnected: nobody receives this response.
            return web.Response(status=400)
        entry.status = exchange.status
        return stream

    async def _refuse(self, request: web.BaseRequest, error: ApiError) -> web.StreamResponse:
        entry = self._log.add("", request.method, request.raw_path)
        try:
            self._state.access.authenticate(request.headers.get("Authorization"), request.headers.get("IB-Context"))
        except ApiError as unauthorized:
            error = unauthorized
        entry.status = error.status
        return await send(request, error.response())

    async def _respond(
        self,
        http: web.BaseRequest,
        route: Route,
        values: dict[str, str],
        query: str,
        *,
        lag: float,
        body: bytes | None,
    ) -> Response:
        headers, path = http.headers, http.raw_path.partition("?")[0].removeprefix(PREFIX)
        try:
            account = self._state.access.authenticate(headers.get("Authorization"), headers.get("IB-Context"))
        except ApiError as error:
            return error.response()
        if self._state.access.is_login(account):
            self._state.audit.add_event("login_v2", "login", context=account.context.id, email=account.email)
        request = Request(
            route.operation,
            values,
            raw_query=query,
            headers=headers,
            account=account,
            chunks=lambda: body_chunks(http) if body is None else buffered(body),
            lag=lag,
        )
        try:
            response = await route.handler(self._state, request)
        except ApiError as error:
            response = error.response()
        except (ConnectionError, web.RequestPayloadError):
            # The client disconnected while it sent its body: no response is possible.
            response = Response(400)
        # A bug of the emulator must reach the client as a response and the developer as a log entry.
        except Exception:
            logger.exception("%s failed", route.operation.name)
            response = ApiError(500, "The emulator failed; see its log.").response()
        operation = route.operation
        self._state.audit.add_request(
            operation.name,
            operation.method,
            path,
            context=account.context.id,
            email=account.email,
            ip=http.remote or "",
            status=response.status,
        )
        return response
