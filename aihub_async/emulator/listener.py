"""The listening sockets, which `refuse` faults close and reopen."""

import asyncio
import socket
from typing import Any

from aiohttp import web

from aihub_async.emulator.clock import EmulatorClock
from aihub_async.emulator.fault_actions import reset_transport
from aihub_async.emulator.faults import Faults

_BACKLOG = 1024


class Listener:
    """Accepts connections for a server, unless a `refuse` fault is in force."""

    def __init__(self, http: web.Server, faults: Faults, clock: EmulatorClock) -> None:
        self._http = http
        self._faults = faults
        self._clock = clock
        self._servers: list[asyncio.Server] = []
        self._reserved: list[socket.socket] = []
        self._follower: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    async def start(self, host: str | None, port: int) -> int:
        """Start to listen; return the port. Without a host, nothing listens.

        Raises:
            OSError: the port is taken.
        """
        loop = asyncio.get_running_loop()
        if host is None:
            self._faults.begin(self._reset_if_refusing)
            return port
        server = await loop.create_server(self._http, host, port, backlog=_BACKLOG)
        self._servers.append(server)
        self._faults.begin(lambda: self._on_change(loop))
        self._follower = loop.create_task(self._follow())
        return int(server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening."""
        self._faults.end()
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.wait({self._follower})
        for server in self._servers:
            server.close()
        for reserved in self._reserved:
            reserved.close()
        self._servers, self._reserved = [], []

    def _on_change(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if not here:
            loop.call_soon_threadsafe(self._on_change, loop)
            return
        if self._faults.refusing:
            self._refuse()
        self._changed.set()

    async def _follow(self) -> None:
        while True:
            self._changed.clear()
            if self._faults.refusing:
                self._refuse()
            else:
                await self._accept()
            left = self._faults.until_refusal_changes()
            waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._changed.wait())]
            if left is not None:
                waits.append(asyncio.ensure_future(self._clock.sleep(left)))
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    def _refuse(self) -> None:
        if not self._servers:
            return
        listening = [each for server in self._servers for each in server.sockets]
        addresses = [(each.family, each.getsockname()) for each in listening]
        for server in self._servers:
            server.close()
        self._servers = []
        # Bound but not listening: the kernel refuses connections, and no other process can take the port.
        self._reserved = [_bound(family, address) for family, address in addresses]
        self._reset_if_refusing()

    def _reset_if_refusing(self) -> None:
        if not self._faults.refusing:
            return
        for connection in self._http.connections:
            if connection.transport is not None:
                reset_transport(connection.transport)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while self._reserved:
            server = await loop.create_server(self._http, sock=self._reserved[0], backlog=_BACKLOG)
            self._reserved.pop(0)
            self._servers.append(server)


def _bound(family: int, address: Any) -> socket.socket:
    reserved = socket.socket(family, socket.SOCK_STREAM)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        reserved.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    reserved.bind(address)
    return reserved
