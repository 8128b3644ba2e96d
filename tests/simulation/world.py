"""The world of one seed: an emulator, a network, what goes wrong in it, and the clients."""

import asyncio
import functools
import json
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import anyio
import anyio.to_thread
import attrs

from aihub_async import AsyncAIHub, WebhookReceiver
from aihub_async.clock import Clock
from aihub_async.emulator import Emulator, Fault, WebhookPlan
from aihub_async.ingest.journal import file as journal_file
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Network, SimulatedConnector, Weather

ATTEMPT_TIMEOUT = 20.0
LATEST = 9.0
"""Seconds after which a backend carries out a request at the latest: with the lag of lists (8) and the latency, what it
creates is listed within the time of the lookups, one attempt's timeout. Nothing can be proven of a later one."""
STORM = 120.0
"""Seconds during which things go wrong; afterwards everything works again, so that every wait must end."""

WRITES = (
    "runApp",
    "createBatch",
    "addFileToBatch",
    "createMultipartUploadSession",
    "uploadMultipartPart",
    "commitMultipartUploadSession",
)
READS = ("getRunStatus", "listRuns", "listBatches", "listFiles", "getRunResults")


@attrs.define
class World:
    """What a scenario works with. `chance` is the only source of randomness; `log` says what was decided."""

    seed: int
    chance: random.Random
    folder: Path
    hub: Emulator
    network: Network
    log: list[str] = attrs.field(factory=list)
    receivers: list[WebhookReceiver] = attrs.field(factory=list)
    _hosts: int = 0
    _connectors: list[SimulatedConnector] = attrs.field(factory=list)

    def note(self, text: str) -> None:
        """Record a decision, to be shown when the seed fails."""
        self.log.append(f"{asyncio.get_running_loop().time():10.3f}  {text}")

    @asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[AsyncAIHub]:
        """A client on a host of its own."""
        host = self.new_host()
        client = self.make_client(host, **options)
        try:
            yield client
        finally:
            await client.aclose()

    def new_host(self) -> str:
        """The name of another client host."""
        self._hosts += 1
        return f"host-{self._hosts}"

    def make_client(self, host: str, **options: Any) -> AsyncAIHub:
        """A client whose calendar is wrong by up to a day."""
        skew = self.chance.choice((0.0, 0.0, 3600.0, -3600.0, 86400.0, -90.0))
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        clock = Clock(
            monotonic=loop.time,
            now=lambda: datetime.fromtimestamp(loop.wall() + skew, UTC),
            sleep=anyio.sleep,
            random=self.chance.random,
        )
        self.note(f"{host}: calendar wrong by {skew:+.0f} s")
        client = AsyncAIHub(
            self.hub.api_key,
            api_root=self.hub.api_root,
            clock=clock,
            **{"timeout": ATTEMPT_TIMEOUT, **options},
        )
        # In place of the pool's own connectors, so that the pool decides as it does on a real network.
        client._transport.wire._pool._new_connector = functools.partial(self._connector, host)
        return client

    def _connector(self, host: str, *, keep: bool = True) -> SimulatedConnector:
        self._connectors.append(SimulatedConnector(self.network, host, keep=keep))
        return self._connectors[-1]

    async def aclose(self) -> None:
        """Close what the clients were given."""
        for receiver in self.receivers:
            await receiver.aclose()
        for connector in self._connectors:
            await connector.close()

    def receiver(self) -> WebhookReceiver:
        """A receiver that the emulator's webhooks reach."""
        made = WebhookReceiver(f"http://127.0.0.1:9/hooks/{len(self.receivers)}")
        self.receivers.append(made)
        return made

    async def deliver(self, url: str, payload: Any, headers: Any) -> int | None:
        """Carry a webhook over the network, which may lose it or its acknowledgement."""
        await asyncio.sleep(self.network.delay())
        if self.network.is_down or self.chance.random() < self.network.weather.reset:
            return None
        for number, receiver in enumerate(self.receivers):
            if url.endswith(f"/hooks/{number}"):
                status = await receiver.handle(headers, json.dumps(payload).encode())
                return None if self.chance.random() < self.network.weather.reset else status
        return 404


@asynccontextmanager
async def make_world(seed: int, folder: Path) -> AsyncIterator[World]:
    """Build the world of a seed, and check at its end that it is empty again."""
    chance = random.Random(seed)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    world: World

    async def post(url: str, payload: Any, headers: Any) -> int | None:
        return await world.deliver(url, payload, headers)

    hub = Emulator(
        host=None,
        data_dir=folder / "server",
        port=80,
        generator=random.Random(seed + 1),
        clock=lambda: int(loop.wall() * 1e9),
        threads=False,
        part_size=1 << 16,
        results_page_size=chance.choice((2, 20)),
        run_seconds=chance.choice((0.0, 1.0, 30.0)),
        post_webhook=post,
        webhook_delays=(0.0, 5.0, 30.0, 60.0, 300.0, 600.0, 600.0),
    )
    with inline_threads():
        async with hub:
            network = Network(hub.protocol, chance, some_weather(chance))
            world = World(seed, chance, folder, hub, network)
            world.note(f"weather: {network.weather}")
            arm(world)
            try:
                yield world
                await hub.idle()
                # A request whose client is gone is still handled, as a real server does.
                await asyncio.sleep(STORM)
            finally:
                await world.aclose()


def some_weather(chance: random.Random) -> Weather:
    """A network from perfect to bad."""
    bad = chance.choice((0.0, 0.02, 0.1))
    return Weather(
        latency=chance.choice((0.001, 0.02, 0.2)),
        spread=chance.choice((0.0, 0.02, 1.0)),
        refused=bad,
        reset=bad,
        silent_close=chance.choice((0.0, 0.3, 1.0)),
    )


def arm(world: World) -> None:
    """Decide what the server does wrong during the storm."""
    chance = world.chance
    for fault in (*_some_faults(chance), *_list_lag(chance)):
        world.hub.faults.add(fault)
        world.note(f"fault: {fault}")
    for _ in range(chance.choice((0, 0, 1, 2))):
        start, seconds = chance.uniform(0, STORM), chance.choice((0.5, 2.0, 10.0, 60.0))
        world.network.outage(start, seconds)
        world.note(f"outage at {start:.3f} for {seconds} s")
    plan = WebhookPlan(
        lost=chance.random() < 0.2,
        late=chance.choice((0.0, 0.0, 5.0)),
        duplicates=chance.choice((0, 0, 3)),
        early=chance.random() < 0.2,
        reorder=chance.choice((0, 0, 3)),
    )
    world.hub.misdeliver(plan)
    world.note(f"webhooks: {plan}")


def _some_faults(chance: random.Random) -> Iterator[Fault]:
    probability = chance.choice((0.02, 0.1, 0.3))
    kinds: list[dict[str, Any]] = [
        {"kind": "status", "status": 429, "retry_after": chance.choice((None, 1, 30))},
        {"kind": "status", "status": 503},
        {"kind": "status", "status": 503, "retry_after": 2, "handled": True},
        {"kind": "status", "status": 500, "handled": True},
        {"kind": "status", "status": 502, "handled": chance.random() < 0.5},
        {"kind": "status", "status": 504, "handled_after": chance.uniform(0.1, LATEST)},
        {"kind": "status", "status": 408},
        {"kind": "reset-before", "handled_after": chance.uniform(0.1, LATEST)},
        {"kind": "reset-before"},
        {"kind": "reset-after"},
        {"kind": "html"},
        {"kind": "html", "handled": True},
        {"kind": "truncate"},
        {"kind": "garble"},
        {"kind": "latency", "seconds": chance.choice((1.0, ATTEMPT_TIMEOUT + 5))},
        {"kind": "unknown-fields"},
        {"kind": "nulls"},
    ]
    for options in chance.sample(kinds, chance.randrange(5)):
        operation = chance.choice(WRITES if "handled_after" in options else (None, *WRITES, *READS))
        if options["kind"] == "nulls":
            operation = "listRuns"
        yield Fault(operation=operation, probability=probability, lasting=STORM, **options)


def _list_lag(chance: random.Random) -> Iterator[Fault]:
    seconds = chance.choice((0.0, 0.0, 2.0, 8.0))
    if seconds:
        for operation in ("listRuns", "listBatches"):
            yield Fault(kind="lag", operation=operation, seconds=seconds, lasting=STORM)


@contextmanager
def inline_threads() -> Iterator[None]:
    """Run on the loop what would run in threads, so that a seed is always the same story."""

    killed: dict[journal_file.Journal, BaseException] = {}

    async def run_sync(function: Any, *args: Any, **_: Any) -> Any:
        await asyncio.sleep(0)
        return function(*args)

    async def call(self: Any, work: Any) -> Any:
        if self in killed:
            # The other tasks of a killed process write nothing either.
            raise killed[self]
        if self._failure is not None:
            raise self._failure
        loop = asyncio.get_running_loop()
        task = journal_file._Task(work, loop, loop.create_future())
        try:
            self._write_group(task)
        except BaseException as error:
            # Errors go to the task: this is the end of the process.
            killed[self] = error
            raise
        return await task.done

    def calendar() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        return loop.wall()

    with (
        mock.patch.object(anyio.to_thread, "run_sync", run_sync),
        mock.patch.object(journal_file.Journal, "call", call),
        mock.patch.object(time, "time", calendar),
    ):
        yield
