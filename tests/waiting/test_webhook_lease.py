"""The claim of an event is kept while its handlers run: in virtual time against a fake of Redis, and against Redis."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import fakeredis
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from aihub_async.clock import Clock
from aihub_async.models import Run
from aihub_async.webhooks.bus import Claim, LocalBus
from aihub_async.webhooks.handling import Handlers
from aihub_async.webhooks.redis import RedisBus
from tests.simulation.loop import VirtualLoop, run

LEASE = 30.0
EVENT = "run-1:COMPLETE"
RUN = Run(id="run-1", status="COMPLETE")


class FakeBus(RedisBus):
    """A bus over a fake of Redis that runs the same Lua scripts, and that can be made unavailable."""

    def __init__(self, server: Any, **options: Any) -> None:
        loop = asyncio.get_running_loop()
        super().__init__("redis://fake", lease=LEASE, clock=Clock(monotonic=loop.time, sleep=asyncio.sleep), **options)
        self.fake = fakeredis.FakeAsyncRedis(server=server)
        self.down = False

    def _connection(self) -> Any:
        if self.down:
            raise RedisConnectionError("down")
        return self.fake


@asynccontextmanager
async def workers(**options: Any) -> AsyncIterator[tuple[FakeBus, FakeBus]]:
    """Two processes with one Redis."""
    server = fakeredis.FakeServer()
    pair = FakeBus(server, **options), FakeBus(server, **options)
    try:
        yield pair
    finally:
        for bus in pair:
            await bus.fake.aclose()


def virtually(monkeypatch: pytest.MonkeyPatch, story: Callable[[], Awaitable[None]]) -> None:
    """Run a story in virtual time; the fake takes its calendar from the loop."""

    async def live() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        monkeypatch.setattr(time, "time", loop.wall)
        await story()

    run(live(), limit=1e6)


def handlers(bus: RedisBus, handler: Callable[[Run], Awaitable[None]]) -> Handlers:
    made = Handlers(bus)
    made.add(handler)
    return made


def test_a_slow_handler_is_not_run_by_a_repeated_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    async def slow(run: Run) -> None:
        seen.append(run.id)
        await asyncio.sleep(10 * LEASE)

    async def story() -> None:
        async with workers() as (here, there), anyio.create_task_group() as tasks:
            first, other = handlers(here, slow), handlers(there, slow)
            answers: list[int] = []

            async def deliver() -> None:
                answers.append(await first.handle(RUN))

            tasks.start_soon(deliver)
            for _ in range(9):
                await asyncio.sleep(LEASE)
                assert [await first.handle(RUN), await other.handle(RUN)] == [503, 503]
            await asyncio.sleep(2 * LEASE)
            assert answers == [200]
            assert [await first.handle(RUN), await other.handle(RUN)] == [200, 200]

    virtually(monkeypatch, story)
    assert seen == ["run-1"]


def test_the_event_of_a_vanished_process_is_free_after_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with workers() as (here, there):
            assert await here.claim(EVENT) is Claim.NEW
            with anyio.move_on_after(5 * LEASE):
                await here.hold(EVENT)
            assert await there.claim(EVENT) is Claim.BUSY
            await asyncio.sleep(LEASE + 1)
            assert await there.claim(EVENT) is Claim.NEW

    virtually(monkeypatch, story)


def test_a_handler_that_hangs_does_not_hold_its_event_forever(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with workers(max_hold=4 * LEASE) as (here, there):
            assert await here.claim(EVENT) is Claim.NEW
            await here.hold(EVENT)
            assert asyncio.get_running_loop().time() == pytest.approx(4 * LEASE)
            await asyncio.sleep(LEASE + 1)
            assert await there.claim(EVENT) is Claim.NEW
            # The other process has it now: the end of the first leaves it alone.
            await here.settle(EVENT, done=False)
            assert await here.claim(EVENT) is Claim.BUSY

    virtually(monkeypatch, story)
    assert "has run for 120 s" in caplog.text


def test_a_claim_that_another_process_took_is_not_taken_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with workers() as (here, there):
            assert await here.claim(EVENT) is Claim.NEW
            # As long as a handler that blocks the event loop.
            await asyncio.sleep(LEASE + 1)
            assert await there.claim(EVENT) is Claim.NEW
            await here.hold(EVENT)
            await there.settle(EVENT, done=True)
            assert await here.claim(EVENT) is Claim.DONE

    virtually(monkeypatch, story)
    assert "the claim of run-1:COMPLETE was lost" in caplog.text


def test_a_claim_that_redis_lost_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with workers() as (here, there), anyio.create_task_group() as tasks:
            assert await here.claim(EVENT) is Claim.NEW
            tasks.start_soon(here.hold, EVENT)
            await here.fake.flushall()
            await asyncio.sleep(LEASE / 2)
            assert await there.claim(EVENT) is Claim.BUSY
            tasks.cancel_scope.cancel()

    virtually(monkeypatch, story)


def test_renewals_survive_an_outage_of_redis(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    async def story() -> None:
        async with workers() as (here, there), anyio.create_task_group() as tasks:

            async def slow(run: Run) -> None:
                seen.append(run.id)
                here.down = True
                await asyncio.sleep(0.8 * LEASE)
                here.down = False
                await asyncio.sleep(3 * LEASE)

            tasks.start_soon(handlers(here, slow).handle, RUN)
            for _ in range(3):
                await asyncio.sleep(LEASE)
                assert await there.claim(EVENT) is Claim.BUSY
            await asyncio.sleep(LEASE)
            assert await there.claim(EVENT) is Claim.DONE

    virtually(monkeypatch, story)
    assert seen == ["run-1"]
    assert "cannot be renewed (ConnectionError)" in caplog.text


def test_a_cancelled_handler_gives_its_event_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(_run: Run) -> None:
        await asyncio.sleep(100 * LEASE)

    async def story() -> None:
        async with workers() as (here, there):
            with anyio.move_on_after(2 * LEASE):
                await handlers(here, slow).handle(RUN)
            assert await there.claim(EVENT) is Claim.NEW

    virtually(monkeypatch, story)


class BrokenBus(LocalBus):
    async def hold(self, event: str) -> None:
        raise ConnectionError(event)


async def test_handlers_continue_when_the_claim_cannot_be_kept(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    async def slow(run: Run) -> None:
        await anyio.sleep(0)
        seen.append(run.id)

    made = Handlers(BrokenBus())
    made.add(slow)
    assert await made.handle(RUN) == 200
    assert seen == ["run-1"]
    assert "the claim of run run-1 cannot be kept on the bus (ConnectionError)" in caplog.text


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
async def test_redis_keeps_the_claim_of_a_running_handler(redis_url: str) -> None:
    """What the fake shows in virtual time, in a few seconds of real time: the rest of the lease grows."""
    prefix, entered, leave = os.urandom(4).hex(), anyio.Event(), anyio.Event()

    async def slow(_run: Run) -> None:
        entered.set()
        await leave.wait()

    here, there = (RedisBus(redis_url, prefix=prefix, lease=3) for _ in range(2))
    answers: list[int] = []

    async def deliver() -> None:
        answers.append(await handlers(here, slow).handle(RUN))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(deliver)
            await entered.wait()
            key, renewals, before = here._event_key(EVENT), 0, 3000
            while renewals < 2:
                left = await there._connection().pttl(key)
                renewals, before = renewals + (left > before), left
                await anyio.sleep(0.05)
            assert await there.claim(EVENT) is Claim.BUSY
            leave.set()
    assert answers == [200]
    assert await there.claim(EVENT) is Claim.DONE
    await here.aclose()
    await there.aclose()
