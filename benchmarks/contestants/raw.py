"""The practical limit: a protocol that writes prepared requests over kept connections and looks at one status.

No retries, no deadlines, no checks: what no client that does its work can undercut by much.
"""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.contestants.job import BATCH, PARTS_IN_FLIGHT, WINDOW, Job

_CHUNK = int(os.environ.get("RAW_CHUNK_KB", "64")) * 1024
"""Bytes of one write of a large file: 64 KB stay under the allocator's mmap threshold, also when they are encrypted."""
_HEADERS = b"Host: %b\r\nAuthorization: Bearer benchmark\r\nIB-Context: benchmark\r\nContent-Length: %d\r\n\r\n"


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[bytes] | None = None
        self._room: asyncio.Future[None] | None = None
        self._data = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream transport

    def pause_writing(self) -> None:
        self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._room is not None:
            self._room.set_result(None)
            self._room = None

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, separator, body = self._data.partition(b"\r\n\r\n")
        if not separator:
            return
        start = head.find(b"Content-Length: ")
        length = int(head[start + 16 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
        if len(body) >= length and self._answer is not None:
            self._data = b""
            self._answer.set_result(head)
            self._answer = None

    async def drain(self) -> None:
        if self._room is not None:
            await self._room

    async def answered(self) -> None:
        self._answer = self._loop.create_future()
        head = await self._answer
        if not head.startswith(b"HTTP/1.1 20"):
            raise RuntimeError(f"unexpected answer {head!r}")


async def asyncio_protocol(  # noqa: C901  # one program, in the order in which it runs
    job: Job,
) -> Callable[[], Awaitable[None]]:
    """Whole files in one write each; a large one in chunks."""
    parts = urlsplit(job.root)
    host = parts.netloc.encode()
    context: ssl.SSLContext | None = job.ssl_context()
    loop = asyncio.get_running_loop()

    async def connect() -> _Connection:
        _, connection = await loop.create_connection(_Connection, parts.hostname, parts.port, ssl=context)
        return connection

    async def put_some(paths: list[Path]) -> None:
        connection = await connect()
        prefix = f"PUT {parts.path}/v2/batches/{BATCH}/files/"
        while paths:
            path = paths.pop()
            data = path.read_bytes()
            line = f"{prefix}{path.name} HTTP/1.1\r\n".encode()
            connection.transport.writelines((line + _HEADERS % (host, len(data)), data))
            await connection.answered()
        connection.transport.close()

    async def put_all() -> None:
        paths = job.files
        async with asyncio.TaskGroup() as group:
            for _ in range(job.concurrency or WINDOW):
                group.create_task(put_some(paths))

    async def put_parts(descriptor: int, offsets: list[int], size: int, step: int) -> None:
        connection = await connect()
        while offsets:
            offset = offsets.pop()
            length = min(step, size - offset)
            line = f"PUT {parts.path}/v2/batches/multipart-upload/sessions/s1/parts/{offset // step + 1} HTTP/1.1\r\n"
            connection.transport.write(line.encode() + _HEADERS % (host, length))
            for position in range(offset, offset + length, _CHUNK):
                connection.transport.write(os.pread(descriptor, min(_CHUNK, offset + length - position), position))
                await connection.drain()
            await connection.answered()
        connection.transport.close()

    async def put_large() -> None:
        (path,) = job.files
        size, step = path.stat().st_size, 10 * 1024 * 1024
        descriptor = os.open(path, os.O_RDONLY)
        offsets = list(range(0, size, step))
        async with asyncio.TaskGroup() as group:
            for _ in range(PARTS_IN_FLIGHT):
                group.create_task(put_parts(descriptor, offsets, size, step))
        os.close(descriptor)

    return put_large if job.large else put_all
