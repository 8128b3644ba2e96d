"""How faults are carried out on a connection."""

import asyncio
import gzip
import socket
import struct
from collections.abc import Callable
from typing import Any, Protocol

import attrs
import msgspec
from aiohttp import web

from aihub_async.emulator.background import Background
from aihub_async.emulator.clock import EmulatorClock
from aihub_async.emulator.faults import Fault
from aihub_async.emulator.http_io import body_chunks, send
from aihub_async.emulator.storage import read_slices
from aihub_async.emulator.wire import Response, json_response

_LOGIN_PAGE = b"<!doctype html><html><head><title>Sign in</title></head><body><form>Sign in</form></body></html>"
_ENUM_KEYS = frozenset({"status", "state", "type", "allowed_workspaces_type", "node_type"})


class Handle(Protocol):
    """Carries the request out. `lag` is the age in seconds of what lists show; `body` replaces the request's own."""

    async def __call__(self, *, lag: float = 0.0, body: bytes | None = None) -> Response:
        """Return the ordinary response."""
        ...


@attrs.define
class Exchange:
    """A request and the way to handle it. `status` is what was answered, if anything was."""

    request: web.BaseRequest
    handle: Handle
    background: Background
    clock: EmulatorClock
    status: int | None = None


async def apply_faults(exchange: Exchange, faults: list[Fault]) -> web.StreamResponse:
    """Serve a request that faults have struck. Delays add up; of the others, the first that ends the exchange wins."""
    for fault in faults:
        if fault.kind == "latency":
            await exchange.clock.sleep(fault.seconds)
    for fault in faults:
        if fault.kind == "reset-before" or fault.kind in _REPLACEMENTS:
            return await _replace(exchange, fault, faults)
    response = await exchange.handle(lag=max((fault.seconds for fault in faults if fault.kind == "lag"), default=0.0))
    for fault in faults:
        if fault.kind in _CHANGES:
            response = _change_json(response, _CHANGES[fault.kind])
    return await _finish(exchange, response, faults)


async def _replace(exchange: Exchange, fault: Fault, faults: list[Fault]) -> web.StreamResponse:
    if fault.handled:
        await exchange.handle()
    elif fault.handled_after is not None:
        # Read now: the connection may be gone when it is needed.
        body = b"".join([chunk async for chunk in body_chunks(exchange.request)])
        exchange.background.spawn(_handle_later(exchange, body, fault.handled_after))
    if fault.kind == "reset-before":
        return _reset(exchange.request)
    return await _finish(exchange, _REPLACEMENTS[fault.kind](exchange.request, fault), faults)


async def _handle_later(exchange: Exchange, body: bytes, seconds: float) -> None:
    await exchange.clock.sleep(seconds)
    await exchange.handle(body=body)


async def _finish(exchange: Exchange, response: Response, faults: list[Fault]) -> web.StreamResponse:
    for fault in faults:
        if fault.kind in _HEADERS:
            response = attrs.evolve(response, headers={**response.headers, **_HEADERS[fault.kind](fault)})
    for fault in faults:
        if fault.kind == "reset-after":
            return _reset(exchange.request)
        if fault.kind == "garble":
            return _garble(exchange.request)
    exchange.status = response.status
    for fault in faults:
        if fault.kind in {"reset-body", "truncate"}:
            return await _break_off(exchange.request, response, reset=fault.kind == "reset-body")
        if fault.kind == "drip":
            return await _drip(exchange, response, fault)
        if fault.kind == "close":
            return await _close_silently(exchange, response, fault)
    return await send(exchange.request, response)


_HEADERS: dict[str, Callable[[Fault], dict[str, str]]] = {
    "headers": lambda fault: dict(fault.extra_headers),
    "header-flood": lambda fault: {"Set-Cookie": f"flood={'x' * fault.bytes}"},
}


def _status(_request: web.BaseRequest, fault: Fault) -> Response:
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return json_response({"message": fault.message}, fault.status, headers)


def _html(_request: web.BaseRequest, _fault: Fault) -> Response:
    return Response(200, _LOGIN_PAGE, {"Content-Type": "text/html; charset=utf-8"})


def _gzip_bomb(_request: web.BaseRequest, fault: Fault) -> Response:
    body = gzip.compress(b'{"message": "' + b"0" * fault.bytes + b'"}', mtime=0)
    return Response(200, body, {"Content-Type": "application/json", "Content-Encoding": "gzip"})


def _echo(request: web.BaseRequest, fault: Fault) -> Response:
    return json_response({"message": f"Rejected: Authorization: {request.headers.get('Authorization')}"}, fault.status)


def _redirect(_request: web.BaseRequest, fault: Fault) -> Response:
    status = fault.status if 300 <= fault.status < 400 else 307
    return Response(status, headers={"Location": fault.location})


_REPLACEMENTS: dict[str, Callable[[web.BaseRequest, Fault], Response]] = {
    "status": _status,
    "html": _html,
    "gzip-bomb": _gzip_bomb,
    "echo-authorization": _echo,
    "redirect": _redirect,
}


def _change_json(response: Response, change: Callable[[Any], Any]) -> Response:
    if response.headers.get("Content-Type") != "application/json" or response.status >= 400:
        return response
    return attrs.evolve(response, body=msgspec.json.encode(change(msgspec.json.decode(response.body))))


def _with_unknown_fields(value: Any) -> Any:
    if isinstance(value, dict):
        changed = {key: _with_unknown_fields(item) for key, item in value.items()}
        return {**changed, "x_new_field": {"since": "tomorrow", "values": [1, None]}}
    return [_with_unknown_fields(item) for item in value] if isinstance(value, list) else value


def _with_unknown_enums(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: "SOMETHING_NEW" if key in _ENUM_KEYS and isinstance(item, str) else _with_unknown_enums(item)
            for key, item in value.items()
        }
    return [_with_unknown_enums(item) for item in value] if isinstance(value, list) else value


def _with_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _null_unless_id(key, item) for key, item in value.items()}
    return [_with_nulls(item) for item in value] if isinstance(value, list) else value


def _null_unless_id(key: str, item: Any) -> Any:
    if isinstance(item, dict | list):
        return _with_nulls(item)
    # Flags that end a listing stay as well: without them no client could detect the end.
    keep = key == "id" or key.endswith("_id") or key in {"has_more", "status", "state", "part_size", "part_num"}
    return item if keep else None


_CHANGES: dict[str, Callable[[Any], Any]] = {
    "unknown-fields": _with_unknown_fields,
    "unknown-enum": _with_unknown_enums,
    "nulls": _with_nulls,
}


def _reset(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        reset_transport(request.transport)
    return web.Response(status=500)


def reset_transport(transport: asyncio.Transport) -> None:
    """Reset a connection: the peer gets RST instead of an orderly close."""
    connection = transport.get_extra_info("socket")
    if connection is not None:  # a simulated network has none
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _garble(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.write(b"HTTQ/0.0 two hundred\r\n\x00\xff: garbage\r\n\r\n")
        request.transport.close()
    return web.Response(status=500)


async def _close_silently(exchange: Exchange, response: Response, fault: Fault) -> web.StreamResponse:
    request, transport = exchange.request, exchange.request.transport
    sent = await send(request, response)
    if not sent.prepared:
        await sent.prepare(request)
    await sent.write_eof()
    if transport is not None and not fault.seconds:
        transport.close()
    elif transport is not None:
        exchange.background.spawn(_close_later(exchange.clock, transport, fault.seconds))
    return sent


async def _close_later(clock: EmulatorClock, transport: asyncio.Transport, seconds: float) -> None:
    await clock.sleep(seconds)
    transport.close()


def _bytes_of(response: Response) -> bytes:
    if response.file is None:
        return response.body
    return b"".join(read_slices(response.file.path, response.file.start, response.file.length))


async def _begin(request: web.BaseRequest, response: Response) -> tuple[web.StreamResponse, bytes]:
    body = _bytes_of(response)
    stream = web.StreamResponse(status=response.status, headers=response.headers)
    # A response without a body is given one, so that there is a middle to break off in.
    stream.content_length = max(len(body), 2)
    await stream.prepare(request)
    return stream, body.ljust(2)


async def _break_off(request: web.BaseRequest, response: Response, *, reset: bool) -> web.StreamResponse:
    stream, body = await _begin(request, response)
    await stream.write(body[: len(body) // 2])
    if reset:
        _reset(request)
    elif request.transport is not None:
        request.transport.close()
    return stream


async def _drip(exchange: Exchange, response: Response, fault: Fault) -> web.StreamResponse:
    stream, body = await _begin(exchange.request, response)
    for start in range(0, len(body), fault.bytes):
        await stream.write(body[start : start + fault.bytes])
        await exchange.clock.sleep(fault.seconds)
    await stream.write_eof()
    return stream
