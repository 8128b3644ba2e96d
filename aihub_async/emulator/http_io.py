"""Bodies on the wire: reading requests in chunks, and sending responses."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from aihub_async.emulator.storage import read_slices
from aihub_async.emulator.wire import Response

_INLINE_FILE = 1 << 18  # bytes; a smaller file is sent as one body


async def body_chunks(http: web.BaseRequest) -> AsyncIterator[bytes]:
    """Yield the body of a request as it arrives, of any size."""
    if http.headers.get("Expect", "").lower() == "100-continue" and http.transport is not None:
        http.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    content = http.content
    while chunk := await content.readany():
        yield chunk


async def buffered(body: bytes) -> AsyncIterator[bytes]:
    """Yield a body that has been read already."""
    yield body


async def send(http: web.BaseRequest, response: Response) -> web.StreamResponse:
    """Send a response in the ordinary way."""
    if response.file is None:
        return web.Response(status=response.status, body=response.body or None, headers=response.headers)
    part = response.file
    pieces = read_slices(part.path, part.start, part.length)
    if part.length <= _INLINE_FILE:
        return web.Response(status=response.status, body=b"".join(pieces), headers=response.headers)
    stream = web.StreamResponse(status=response.status, headers=response.headers)
    stream.content_length = part.length
    await stream.prepare(http)
    for piece in pieces:
        await stream.write(piece)
        await asyncio.sleep(0)
    await stream.write_eof()
    return stream
