"""How faults are carried out on a connection."""

import asyncio
import gzip
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import msgspec
from aiohttp import web

from aihub_async.emulator.faults import Fault
from aihub_async.emulator.storage import read_slices
from aihub_async.emulator.wire import Answer, json_answer

_LOGIN_PAGE = b"<!doctype html><html><head><title>Sign in</title></head><body><form>Sign in</form></body></html>"
_ENUM_KEYS = frozenset({"status", "state", "type", "allowed_workspaces_type", "node_type"})

Send = Callable[[web.BaseRequest, Answer], Awaitable[web.StreamResponse]]


@attrs.define
class Exchange:
    """A request, the way to handle it and the way to answer it. `status` is what was answered, if anything was."""

    request: web.BaseRequest
    handle: Callable[[], Awaitable[Answer]]
    send: Send
    status: int | None = None


async def misbehave(exchange: Exchange, faults: list[Fault]) -> web.StreamResponse:
    """Serve a request that faults have struck. Delays add up; of the others the first that ends the exchange wins."""
    for fault in faults:
        if fault.kind == "latency":
            await asyncio.sleep(fault.seconds)
    answer: Answer | None = None
    for fault in faults:
        if fault.kind == "reset-before":
            return _reset(exchange.request)
        if fault.kind in _REPLACEMENTS:
            if fault.handled:
                await exchange.handle()
            return await _finish(exchange, _REPLACEMENTS[fault.kind](exchange.request, fault), faults)
    answer = await exchange.handle()
    for fault in faults:
        if fault.kind in _CHANGES:
            answer = _change_json(answer, _CHANGES[fault.kind])
    return await _finish(exchange, answer, faults)


async def _finish(exchange: Exchange, answer: Answer, faults: list[Fault]) -> web.StreamResponse:
    for fault in faults:
        if fault.kind == "headers":
            answer = attrs.evolve(answer, headers={**answer.headers, **dict(fault.extra_headers)})
    for fault in faults:
        if fault.kind == "reset-after":
            return _reset(exchange.request)
        if fault.kind == "garble":
            return _garble(exchange.request)
    exchange.status = answer.status
    for fault in faults:
        if fault.kind in {"reset-body", "truncate"}:
            return await _break_off(exchange.request, answer, reset=fault.kind == "reset-body")
        if fault.kind == "drip":
            return await _drip(exchange.request, answer, fault)
    return await exchange.send(exchange.request, answer)


def _status(_request: web.BaseRequest, fault: Fault) -> Answer:
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return json_answer({"message": fault.message}, fault.status, headers)


def _html(_request: web.BaseRequest, _fault: Fault) -> Answer:
    return Answer(200, _LOGIN_PAGE, {"Content-Type": "text/html; charset=utf-8"})


def _gzip_bomb(_request: web.BaseRequest, fault: Fault) -> Answer:
    body = gzip.compress(b'{"message": "' + b"0" * fault.bytes + b'"}', mtime=0)
    return Answer(200, body, {"Content-Type": "application/json", "Content-Encoding": "gzip"})


def _echo(request: web.BaseRequest, fault: Fault) -> Answer:
    return json_answer({"message": f"Rejected: Authorization: {request.headers.get('Authorization')}"}, fault.status)


def _redirect(_request: web.BaseRequest, fault: Fault) -> Answer:
    status = fault.status if 300 <= fault.status < 400 else 307
    return Answer(status, headers={"Location": fault.location})


_REPLACEMENTS: dict[str, Callable[[web.BaseRequest, Fault], Answer]] = {
    "status": _status,
    "html": _html,
    "gzip-bomb": _gzip_bomb,
    "echo-authorization": _echo,
    "redirect": _redirect,
}


def _change_json(answer: Answer, change: Callable[[Any], Any]) -> Answer:
    if answer.headers.get("Content-Type") != "application/json" or answer.status >= 400:
        return answer
    return attrs.evolve(answer, body=msgspec.json.encode(change(msgspec.json.decode(answer.body))))


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
    # Flags that end a listing stay as well: without them no client could know where it is.
    keep = key == "id" or key.endswith("_id") or key in {"has_more", "status", "state", "part_size", "part_num"}
    return item if keep else None


_CHANGES: dict[str, Callable[[Any], Any]] = {
    "unknown-fields": _with_unknown_fields,
    "unknown-enum": _with_unknown_enums,
    "nulls": _with_nulls,
}


def _reset(request: web.BaseRequest) -> web.StreamResponse:
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        # Linger 0: the kernel sends RST instead of a regular end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=500)


def _garble(request: web.BaseRequest) -> web.StreamResponse:
    if isinstance(request.transport, asyncio.Transport):
        request.transport.write(b"HTTQ/0.0 two hundred\r\n\x00\xff: garbage\r\n\r\n")
        request.transport.close()
    return web.Response(status=500)


def _bytes_of(answer: Answer) -> bytes:
    if answer.file is None:
        return answer.body
    return b"".join(read_slices(answer.file.path, answer.file.start, answer.file.length))


async def _begin(request: web.BaseRequest, answer: Answer) -> tuple[web.StreamResponse, bytes]:
    body = _bytes_of(answer)
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    # An answer without a body is given one, so that there is a middle to break off in.
    response.content_length = max(len(body), 2)
    await response.prepare(request)
    return response, body.ljust(2)


async def _break_off(request: web.BaseRequest, answer: Answer, *, reset: bool) -> web.StreamResponse:
    response, body = await _begin(request, answer)
    await response.write(body[: len(body) // 2])
    if reset:
        _reset(request)
    elif request.transport is not None:
        request.transport.close()
    return response


async def _drip(request: web.BaseRequest, answer: Answer, fault: Fault) -> web.StreamResponse:
    response, body = await _begin(request, answer)
    for start in range(0, len(body), fault.bytes):
        await response.write(body[start : start + fault.bytes])
        await asyncio.sleep(fault.seconds)
    await response.write_eof()
    return response
