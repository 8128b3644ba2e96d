"""The HTTP surface: one aiohttp server, no framework above it.

A request is authenticated, routed by the operations table, handled, recorded in the audit log and answered; faults that
match it may take the place of any of these steps.
"""

import asyncio
import logging
from collections.abc import AsyncIterator

from aiohttp import web

from aihub_async.emulator.faults import Faults
from aihub_async.emulator.hub import Hub
from aihub_async.emulator.misbehaviour import Exchange, misbehave
from aihub_async.emulator.router import PREFIX, Route, Router
from aihub_async.emulator.routes import ALL
from aihub_async.emulator.routes.audit import record
from aihub_async.emulator.storage import read_slices
from aihub_async.emulator.wire import Answer, ApiError, Call, RequestLog

logger = logging.getLogger("aihub_async.emulator")

_INLINE_FILE = 1 << 18  # bytes; a smaller file is sent as one body
_STOP_SECONDS = 1.0  # requests under way get this long to end


class Server:
    """Listens, from `start` to `stop`."""

    def __init__(self, hub: Hub, log: RequestLog, faults: Faults) -> None:
        self._hub = hub
        self._log = log
        self._faults = faults
        self._router = Router(ALL)
        self._runner: web.ServerRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Begin to listen; give the port."""
        server = web.Server(self._handle, access_log=None, read_bufsize=1 << 18)
        self._runner = runner = web.ServerRunner(server, shutdown_timeout=_STOP_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, backlog=1024).start()
        except OSError:
            await runner.cleanup()
            raise
        return int(runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening and close the connections."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        target, _, query = request.raw_path.partition("?")
        try:
            route, values = self._router.find(request.method, target)
        except ApiError as error:
            return await self._refuse(request, error)
        entry = self._log.add(route.operation.name, request.method, request.raw_path)
        faults = self._faults.take(route.operation.name, request.method, target)

        async def handle() -> Answer:
            return await self._answer(request, route, values, target, query)

        if not faults:
            answer = await handle()
            entry.status = answer.status
            return await send(request, answer)
        exchange = Exchange(request, handle, send)
        response = await misbehave(exchange, faults)
        entry.status = exchange.status
        return response

    async def _refuse(self, request: web.BaseRequest, error: ApiError) -> web.StreamResponse:
        entry = self._log.add("", request.method, request.raw_path)
        try:
            self._hub.accounts.authenticate(request.headers.get("Authorization"), request.headers.get("IB-Context"))
        except ApiError as unauthorized:
            error = unauthorized
        entry.status = error.status
        return await send(request, error.answer())

    async def _answer(
        self, request: web.BaseRequest, route: Route, values: dict[str, str], target: str, query: str
    ) -> Answer:
        headers = request.headers
        try:
            account = self._hub.accounts.authenticate(headers.get("Authorization"), headers.get("IB-Context"))
        except ApiError as error:
            return error.answer()
        call = Call(
            route.operation,
            values,
            raw_query=query,
            headers=headers,
            account=account,
            chunks=lambda: _chunks(request),
        )
        try:
            answer = await route.handler(self._hub, call)
        except ApiError as error:
            answer = error.answer()
        except (ConnectionError, web.RequestPayloadError):
            # The client went away in the middle of its body: there is nobody to answer.
            answer = Answer(400)
        # A mistake of the emulator must reach the client as an answer and the developer as a log entry.
        except Exception:
            logger.exception("%s failed", route.operation.name)
            answer = ApiError(500, "The emulator failed; see its log.").answer()
        record(self._hub, route.operation, account, target.removeprefix(PREFIX), request.remote or "", answer.status)
        return answer


async def _chunks(request: web.BaseRequest) -> AsyncIterator[bytes]:
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    content = request.content
    while chunk := await content.readany():
        yield chunk


async def send(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """Write an answer in the ordinary way."""
    if answer.file is None:
        return web.Response(status=answer.status, body=answer.body or None, headers=answer.headers)
    part = answer.file
    pieces = read_slices(part.path, part.start, part.length)
    if part.length <= _INLINE_FILE:
        return web.Response(status=answer.status, body=b"".join(pieces), headers=answer.headers)
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = part.length
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
        await asyncio.sleep(0)
    await response.write_eof()
    return response
