"""A server that reads every body, counts requests and bytes, and does nothing else.

It runs in its own process (``python -m benchmarks.sink``) on uvloop where that is installed, answers the upload
operations of the API, and prints its port when it listens. It implements just enough HTTP/1.1 for the clients measured
here: Content-Length bodies and keep-alive.
"""

import argparse
import asyncio
import contextlib
import json
import ssl
import sys
from pathlib import Path

from benchmarks.serving import pin

PART_SIZE = 10 * 1024 * 1024
_BUFFER = 512 * 1024


class Counters:
    """What arrived since the last reset."""

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0
        self.connections = 0

    def as_json(self) -> bytes:
        return json.dumps(vars(self)).encode()


class SinkProtocol(asyncio.BufferedProtocol):
    """One connection: headers, then a body that is counted and dropped, then an answer."""

    def __init__(self, counters: Counters, delay: float) -> None:
        self._counters = counters
        self._delay = delay
        self._buffer = bytearray(_BUFFER)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self._missing = 0
        self._head = b""
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream transport
        self._counters.connections += 1

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        if self._missing:
            self._take_body(nbytes)
            return
        self._filled += nbytes
        end = self._buffer.find(b"\r\n\r\n", 0, self._filled)
        if end < 0:
            return
        head = bytes(self._view[:end])
        rest = self._filled - end - 4
        self._filled = 0
        self._begin(head, rest)

    def _begin(self, head: bytes, rest: int) -> None:
        lowered = head.lower()
        start = lowered.find(b"\r\ncontent-length:")
        length = 0
        if start >= 0:
            stop = lowered.find(b"\r\n", start + 2)
            length = int(lowered[start + 17 : stop if stop >= 0 else None])
        self._head = head
        self._missing = length - rest
        self._counters.bytes += rest
        if lowered.find(b"expect: 100-continue") >= 0:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._missing == 0:
            self._finish()

    def _take_body(self, nbytes: int) -> None:
        self._missing -= nbytes
        self._counters.bytes += nbytes
        if self._missing == 0:
            self._finish()

    def _finish(self) -> None:
        method, path, _ = self._head.split(b"\r\n", 1)[0].split(b" ", 2)
        if path.endswith(b"/stats"):
            self._write(_answer(b"200 OK", self._counters.as_json()))
            if method == b"DELETE":
                self._counters.__init__()
            return
        self._counters.requests += 1
        answer = _respond(method, path)
        if self._delay:
            self._loop.call_later(self._delay, self._write, answer)
        else:
            self._write(answer)

    def _write(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)


_RUN = b'{"id": "run-1", "status": "RUNNING", "start_timestamp": 1719842400000000000, "finish_timestamp": null}'
_NO_CONTENT = b"HTTP/1.1 204 No Content\r\nServer: sink\r\n\r\n"


def _answer(status: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def _respond(method: bytes, path: bytes) -> bytes:
    if method == b"PUT" and b"/parts/" in path:
        number = int(path.rpartition(b"/")[2])
        return _answer(b"201 Created", b'{"part_id": "p%d", "part_num": %d}' % (number, number))
    if method == b"PUT":
        return _NO_CONTENT
    if path.endswith(b"/multipart-upload"):
        return _answer(b"201 Created", b'{"session_id": "s1", "part_size": %d}' % PART_SIZE)
    if b"/apps/runs/" in path:
        return _answer(b"200 OK", _RUN)
    if b"/sessions/" in path:
        return _answer(b"201 Created", b"")
    return _answer(b"200 OK", b'{"id": 1}')


async def serve(delay: float, certificate: Path | None) -> None:
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    counters = Counters()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SinkProtocol(counters, delay), "127.0.0.1", 0, ssl=context, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Whoever started this process ends it by closing its standard input, or by being killed.
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.sink", description=__doc__)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--certificate", type=Path, help="PEM file with key and certificate: serve TLS")
    parser.add_argument("--core", type=int, help="stay on this core")
    options = parser.parse_args()
    pin(options.core)
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    asyncio.run(serve(options.delay, options.certificate))


if __name__ == "__main__":
    main()
