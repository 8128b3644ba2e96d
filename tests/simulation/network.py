"""A network of one client host and one server: latency, resets, refusals and silence, all decided by a seed."""

import asyncio
import hashlib
import random
from collections import deque
from collections.abc import Callable
from typing import Any

import aiohttp
import attrs
from aiohttp.client_proto import ResponseHandler


@attrs.frozen
class Weather:
    """What the network does. Probabilities are per connection or per direction of a connection; times are seconds."""

    latency: float = 0.01
    spread: float = 0.02
    refused: float = 0.0
    reset: float = 0.0
    """Probability that a connection breaks at some piece of data, in either direction."""
    silent_close: float = 0.0
    """Probability that the server's side is closed after an answer, without a word."""


class Network:
    """Connects client protocols with server protocols.

    Args:
        serve: makes the server's side of a connection; raises ConnectionRefusedError while it is down.
        chance: the source of all decisions.
        weather: what goes wrong.
    """

    def __init__(self, serve: Callable[[], asyncio.Protocol], chance: random.Random, weather: Weather) -> None:
        self.weather = weather
        self._serve = serve
        self._chance = chance
        self.pieces = 0
        self._digest = hashlib.blake2b(digest_size=8)
        self._outages: list[tuple[float, float]] = []
        # A dict, whose order is always the same.
        self._pipes: dict[_Pipe, None] = {}
        self._down_for: set[str] = set()

    def outage(self, start: float, seconds: float) -> None:
        """Take the server off the network for a while: refused connections, broken ones."""
        loop = asyncio.get_running_loop()
        self._outages.append((start, start + seconds))
        loop.call_at(start, self.break_all)

    @property
    def is_down(self) -> bool:
        """Whether the server cannot be reached now."""
        now = asyncio.get_running_loop().time()
        return any(start <= now < end for start, end in self._outages)

    def cut_off(self, host: str) -> None:
        """Cut a client host off for good, as when its process is killed."""
        self._down_for.add(host)
        for pipe in list(self._pipes):
            if pipe.host == host:
                pipe.vanish()

    def break_all(self) -> None:
        """Break all connections."""
        for pipe in list(self._pipes):
            pipe.reset()

    async def connect(self, host: str, factory: Callable[[], ResponseHandler]) -> ResponseHandler:
        """Open a connection.

        Raises:
            ConnectionRefusedError: the server cannot be reached, or the seed says so.
        """
        await asyncio.sleep(self.delay())
        if host in self._down_for:
            # A killed process never learns how its requests ended.
            await asyncio.get_running_loop().create_future()
        if self.is_down or self._chance.random() < self.weather.refused:
            raise ConnectionRefusedError("the simulated network refuses")
        client, server = factory(), self._serve()
        pipe = _Pipe(self, host, client, server, self._chance)
        self._pipes[pipe] = None
        pipe.open()
        return client

    def delay(self) -> float:
        """Return how long one piece of data travels."""
        return self.weather.latency + self._chance.random() * self.weather.spread

    def record(self, length: int) -> None:
        """Take a piece of data into the fingerprint of the simulation."""
        self.pieces += 1
        self._digest.update(f"{asyncio.get_running_loop().time():.6f} {length}\n".encode())

    @property
    def fingerprint(self) -> str:
        """What was sent when, in short: the same seed always has the same."""
        return self._digest.hexdigest()

    def forget(self, pipe: "_Pipe") -> None:
        """Drop a connection that has ended."""
        self._pipes.pop(pipe, None)


class _Pipe:
    """Both directions of one connection."""

    def __init__(
        self,
        network: Network,
        host: str,
        client: asyncio.Protocol,
        server: asyncio.Protocol,
        chance: random.Random,
    ) -> None:
        self.network = network
        self.host = host
        self.gone = False
        self.client = _End(self, client)
        self.server = _End(self, server)
        self.client.peer, self.server.peer = self.server, self.client
        weather = network.weather
        # The piece of data, counted over both directions, at which the connection breaks; None: never.
        self._breaks_at = chance.randrange(1, 12) if chance.random() < weather.reset else None
        self._closes_silently = chance.random() < weather.silent_close
        self._pieces = 0

    def open(self) -> None:
        """Tell both protocols that they are connected."""
        self.client.protocol.connection_made(self.client)
        self.server.protocol.connection_made(self.server)

    def counts(self, sender: "_End") -> bool:
        """Count a piece of data; False when the connection broke at it."""
        self._pieces += 1
        if self._breaks_at is not None and self._pieces >= self._breaks_at:
            self.reset()
            return False
        if sender is self.server and self._closes_silently:
            asyncio.get_running_loop().call_later(self.network.delay() + 0.5, self.server.close)
        return True

    def reset(self) -> None:
        """Break the connection for both."""
        if self.gone:
            return
        self.gone = True
        self.network.forget(self)
        loop = asyncio.get_running_loop()
        for end in (self.client, self.server):
            loop.call_soon(end.lose, ConnectionResetError("the simulated network reset the connection"))

    def vanish(self) -> None:
        """Break the connection for the server alone: the client's process does not exist any more."""
        if self.gone:
            return
        self.gone = True
        self.network.forget(self)
        lost = ConnectionResetError("the client is gone")
        asyncio.get_running_loop().call_later(self.network.delay(), self.server.lose, lost)


class _End(asyncio.Transport):
    """One end of a connection, as its protocol sees it."""

    peer: "_End"

    def __init__(self, pipe: _Pipe, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self.protocol: Any = protocol
        self._pipe = pipe
        self._arrives = 0.0
        self._closing = False
        self._lost = False
        self._paused = False
        self._on_the_way: deque[bytes | None] = deque()
        self._waiting: deque[bytes | None] = deque()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not data or self._closing or self._pipe.gone:
            return
        self._pipe.network.record(len(data))
        if self._pipe.counts(self):
            self._send(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return False

    def _send(self, data: bytes | None) -> None:
        """Deliver data, or None for the end, in order."""
        loop = asyncio.get_running_loop()
        self._arrives = max(self._arrives, loop.time() + self._pipe.network.delay())
        self._on_the_way.append(data)
        # Timers of one moment ring in any order: what arrives is taken from the queue, not from the timer.
        loop.call_at(self._arrives, self._arrive)

    def _arrive(self) -> None:
        self.peer.receive(self._on_the_way.popleft())

    def receive(self, data: bytes | None) -> None:
        """Take what the other end sent."""
        self._waiting.append(data)
        self._drain()

    def _drain(self) -> None:
        while self._waiting and not self._paused and not self._pipe.gone and not self._lost:
            data = self._waiting.popleft()
            if data is None:
                self._end()
            elif not self._closing:
                self.protocol.data_received(data)

    def _end(self) -> None:
        if not self._closing and not self.protocol.eof_received():
            self.close()

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if not self._pipe.gone:
            self._send(None)
        asyncio.get_running_loop().call_soon(self.lose, None)

    def abort(self) -> None:
        self._pipe.reset()

    def lose(self, error: Exception | None) -> None:
        """Tell the protocol that the connection is over, once."""
        self._closing = True
        if not self._lost:
            self._lost = True
            self.protocol.connection_lost(error)
            if self.peer._lost:
                self._pipe.network.forget(self._pipe)

    def is_closing(self) -> bool:
        return self._closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in {"peername", "sockname"} else default

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        asyncio.get_running_loop().call_soon(self._drain)

    def is_reading(self) -> bool:
        return not self._paused

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing: this network takes everything."""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol


class SimulatedConnector(aiohttp.BaseConnector):
    """Connections of aiohttp over the simulated network."""

    allowed_protocol_schema_set = aiohttp.TCPConnector.allowed_protocol_schema_set

    def __init__(self, network: Network, host: str, *, keep: bool) -> None:
        super().__init__(limit=0, keepalive_timeout=30 if keep else None, force_close=not keep)
        self._network = network
        self._host = host

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> ResponseHandler:
        try:
            return await self._network.connect(self._host, self._factory)
        except ConnectionRefusedError as error:
            raise aiohttp.ClientConnectorError(req.connection_key, error) from error
