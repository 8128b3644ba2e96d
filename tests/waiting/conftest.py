import asyncio
import contextlib
import heapq
import itertools
import random
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import attrs
import msgspec
import pytest
import pytest_asyncio

from aihub_async import AsyncAIHub
from aihub_async.clock import Clock
from aihub_async.emulator import Emulator
from aihub_async.models import Run
from aihub_async.transport.messages import Response
from aihub_async.waiting.pollables import RunPollable

EPOCH = datetime(2026, 8, 1, tzinfo=UTC)


class VirtualClock:
    """A clock that a test advances. Its calendar time may be moved separately."""

    def __init__(self, seed: int = 7) -> None:
        self.time = 1000.0
        self.calendar_error = timedelta()
        self.slept: list[float] = []
        self.frozen = False
        self.followers: list[Callable[[float], None]] = []
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self.clock = Clock(lambda: self.time, self._now, self._sleep, random.Random(seed).random)

    def _now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.time) + self.calendar_error

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.time + seconds, next(self._numbers), turn))
        await turn

    async def settle(self) -> None:
        """Let everything happen that needs no time."""
        for _ in range(40):
            await asyncio.sleep(0)

    def step(self, until: float = float("inf")) -> bool:
        """Go to the end of the next sleep, unless that is later than `until`."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        if not self._sleepers or self._sleepers[0][0] > until:
            return False
        when, _, turn = heapq.heappop(self._sleepers)
        passed = max(0.0, when - self.time)
        self.time += passed
        for follow in self.followers:
            follow(passed)
        turn.set_result(None)
        return True

    def moves(self, hub: Emulator) -> None:
        """Let the emulator's clock pass with this one."""
        self.followers.append(lambda seconds: hub.time.advance(seconds=seconds))

    async def advance(self, seconds: float) -> None:
        """Let time pass, with everything that happens in it."""
        until = self.time + seconds
        await self.settle()
        while self.step(until):
            await self.settle()
        self.time = until
        await self.settle()

    @contextlib.asynccontextmanager
    async def running(self, client: AsyncAIHub) -> AsyncIterator[None]:
        """Let time pass whenever no request is on the wire: sleeps take no real time."""
        wire = type(client._transport.wire)
        attempt = wire.attempt
        on_wire = 0

        async def counted(*arguments: Any) -> Any:
            nonlocal on_wire
            on_wire += 1
            try:
                return await attempt(*arguments)
            finally:
                on_wire -= 1

        async def pump() -> None:
            while True:
                await asyncio.sleep(0.001)
                # A request that is about to be sent must be on the wire before time may pass.
                await self.settle()
                if on_wire == 0 and not self.frozen and self.step():
                    # Those who would wake within a moment wake together, as they would under load.
                    while self.step(self.time + 0.05):
                        continue

        task = asyncio.create_task(pump())
        try:
            with mock.patch.object(wire, "attempt", counted):
                yield
        finally:
            task.cancel()
            await asyncio.wait({task})


@attrs.define(eq=False)
class FakeRuns:
    """Runs in memory, with the calls of a client, and a record of its requests."""

    time: Callable[[], float]
    runs: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    most: int = 1000
    hidden: set[str] = attrs.field(factory=set)
    singles: list[str] = attrs.field(factory=list)
    pages: list[tuple[int | None, int, int]] = attrs.field(factory=list)
    moments: list[float] = attrs.field(factory=list)
    failure: Callable[[], Exception] | None = None
    page_failure: Callable[[], Exception] | None = None
    garbage: bytes | None = None
    gate: asyncio.Event | None = None

    @property
    def requests(self) -> int:
        return len(self.singles) + len(self.pages)

    def add(self, count: int, status: str = "RUNNING", *, start: int = 1_700_000_000) -> list[Run]:
        first = len(self.runs)
        for number in range(first, first + count):
            self.runs[f"run-{number}"] = {
                "id": f"run-{number}",
                "status": status,
                "start_timestamp": (start + number) * 10**9,
                "app_id": "app",
            }
        return [self.run(f"run-{number}") for number in range(first, first + count)]

    def run(self, run_id: str) -> Run:
        return Run.from_dict(dict(self.runs[run_id]))

    def end(self, *ids: str, status: str = "COMPLETE") -> None:
        for run_id in ids:
            self.runs[run_id]["status"] = status

    async def fetch(self, run_id: str) -> Run:
        self.singles.append(run_id)
        self.moments.append(self.time())
        run = self.run(run_id)
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure()
        return run

    async def page(self, since: int | None, limit: int, offset: int, newest_first: bool) -> Response:
        self.pages.append((since, limit, offset))
        self.moments.append(self.time())
        if self.page_failure is not None:
            raise self.page_failure()
        listed = [
            run
            for run in self.runs.values()
            if run["id"] not in self.hidden and (since is None or run["start_timestamp"] >= since * 10**9)
        ]
        if newest_first:
            listed.reverse()
        if self.garbage is not None:
            return Response(200, "OK", {}, self.garbage)
        body = msgspec.json.encode({"runs": listed[offset : offset + min(limit, self.most)]})
        return Response(200, "OK", {}, body)

    def pollable(self) -> RunPollable:
        return RunPollable(self, self.fetch, self.page)


@pytest.fixture
def time() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def runs(time: VirtualClock) -> FakeRuns:
    return FakeRuns(lambda: time.time)


@pytest_asyncio.fixture
async def client(hub: Emulator, time: VirtualClock) -> AsyncIterator[AsyncAIHub]:
    """A client of the emulator for which no wait takes real time."""
    async with AsyncAIHub(api_root=hub.api_root, api_key=hub.api_key, clock=time.clock) as client, time.running(client):
        yield client


@pytest_asyncio.fixture
async def batch_id(hub: Emulator) -> int:
    """A batch with one small file."""
    async with AsyncAIHub(api_root=hub.api_root, api_key=hub.api_key) as client:
        batch = await client.batches.create("input")
        await client.batches.add_file(batch.id, "a.txt", b"Total: 5")
        hub.requests.clear()
        return batch.id


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("redis")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        for line in server.stdout:
            if "Ready to accept connections" in line:
                break
        yield f"redis://127.0.0.1:{port}/0"
        server.terminate()
