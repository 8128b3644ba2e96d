"""A server that says exactly the bytes it is told to, and counts what reaches it; a clock that never waits."""

import asyncio
import datetime as dt
import json
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_asyncio

from aihub_async import AsyncAIHub
from aihub_async.clock import Clock
from aihub_async.transport import direct
from aihub_async.transport.messages import Response

KEY = "k3y-abcdefghijklmnop+/qrstuvwxyz=0"


@attrs.define
class Seen:
    """A request as it came over the wire."""

    connection: int
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    names: list[str]


@attrs.define
class Exchange:
    """One request at the server, for handlers that answer by hand."""

    seen: Seen
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = bytes | Callable[[Exchange], Awaitable[None]]


def answer(
    status: int = 200, body: bytes | str | dict[str, Any] = b"", *, length: bool = True, **headers: str
) -> bytes:
    """The bytes of an answer; underscores in header names stand for hyphens."""
    if isinstance(body, dict):
        body = json.dumps(body)
        headers = {"Content_Type": "application/json", **headers}
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Whatever"]
    if length and "Content_Length" not in headers and status >= 200 and status != 204:
        headers["Content_Length"] = str(len(data))
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


async def reset(exchange: Exchange) -> None:
    exchange.reset()


async def hang_up(exchange: Exchange) -> None:
    exchange.writer.close()


async def silence(exchange: Exchange) -> None:
    await asyncio.Event().wait()


def broken_off(data: bytes) -> Script:
    """Send these bytes, then reset the connection."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(data)
        # Bytes still in the buffers would be dropped by the reset.
        exchange.writer.write_eof()

    return script


class RawServer:
    """Answers the n-th request with the n-th script, and all further ones with the last."""

    def __init__(self) -> None:
        self.scripts: list[Script] = [answer(200, {})]
        self.seen: list[Seen] = []
        self.connections = 0
        self.read_body = True
        self.writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.scheme = "http"

    def says(self, *scripts: Script) -> None:
        self.scripts = list(scripts)

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        self.scheme = "https" if tls else "http"
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def root(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/api"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        for writer in self.writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.writers.add(writer)
        self.connections += 1
        number = self.connections
        try:
            while not writer.is_closing():
                seen = await self._read(reader, number)
                self.seen.append(seen)
                script = self.scripts[min(len(self.seen), len(self.scripts)) - 1]
                if isinstance(script, bytes):
                    writer.write(script)
                    await writer.drain()
                else:
                    await script(Exchange(seen, writer))
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
            self.writers.discard(writer)

    async def _read(self, reader: asyncio.StreamReader, number: int) -> Seen:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")[:-2]
        method, target, _ = first.split(" ")
        pairs = [line.split(": ", 1) for line in lines]
        headers = {name.lower(): value for name, value in pairs}
        seen = Seen(number, method, target, headers, b"", [name.lower() for name, _ in pairs])
        length = int(headers.get("content-length", 0))
        if self.read_body and length:
            seen.body = await reader.readexactly(length)
        return seen


@pytest_asyncio.fixture
async def server() -> AsyncIterator[RawServer]:
    raw = RawServer()
    await raw.start()
    yield raw
    await raw.stop()


@attrs.define
class FakeClock:
    """Time that passes only in `sleep`, which never waits; `slept` has what was asked for."""

    time: float = 1000.0
    slept: list[float] = attrs.field(factory=list)
    jitter: Sequence[float] = (0.5,)
    today: dt.datetime = dt.datetime(2026, 8, 1, 12, tzinfo=dt.UTC)
    draws: int = 0

    def monotonic(self) -> float:
        return self.time

    def now(self) -> dt.datetime:
        return self.today

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += max(seconds, 0.0)
        await asyncio.sleep(0)

    def random(self) -> float:
        self.draws += 1
        return self.jitter[self.draws % len(self.jitter)]

    @property
    def clock(self) -> Clock:
        return Clock(self.monotonic, self.now, self.sleep, self.random)


@pytest.fixture
def fake_clock() -> FakeClock:
    return FakeClock()


MakeClient = Callable[..., AsyncAIHub]


@pytest.fixture(params=["direct", "session"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How small bodies are sent: every test of the wire runs with aiohttp's non-public parts and without them."""
    if request.param == "session":
        monkeypatch.setattr(direct, "direct_is_possible", lambda: False)
    return request.param


@pytest_asyncio.fixture
async def make_client(server: RawServer, fake_clock: FakeClock, way: str) -> AsyncIterator[MakeClient]:
    """Clients of the raw server, closed after the test; arguments as for `AsyncAIHub`."""
    clients: list[AsyncAIHub] = []

    def make(**options: Any) -> AsyncAIHub:
        cap = options.pop("max_response_bytes", None)
        options = {"api_key": KEY, "api_root": server.root, "clock": fake_clock.clock, **options}
        client = AsyncAIHub(**options)
        clients.append(client)
        if cap is not None:
            client._transport.wire._settings = client.settings.evolve(max_response_bytes=cap)
        return client

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
def client(make_client: MakeClient) -> AsyncAIHub:
    return make_client()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    both = folder / "both.pem"
    both.write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return both


@pytest_asyncio.fixture
async def tls_server(certificate: Path) -> AsyncIterator[RawServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    raw = RawServer()
    await raw.start(context)
    yield raw
    await raw.stop()


@pytest.fixture
def wire() -> Any:
    """What tests write answers with."""
    return _Wire


async def once(client: AsyncAIHub) -> Response:
    """A once-only request as the transport sees it, without a resource that looks for what became of it."""
    return await client.request("POST", "/v2/once", json={"a": 1})


class _Wire:
    key = KEY
    once = staticmethod(once)
    answer = staticmethod(answer)
    reset = staticmethod(reset)
    hang_up = staticmethod(hang_up)
    silence = staticmethod(silence)
    broken_off = staticmethod(broken_off)
