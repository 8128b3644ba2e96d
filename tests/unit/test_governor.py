"""Places and bytes: handed out in order, never lost."""

import asyncio
import random

import pytest

from aihub_async.operations import Lane
from aihub_async.transport.governor import CONTROL_RESERVE, Governor

BULK, CONTROL = Lane.BULK, Lane.CONTROL


class Time:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def govern(time):
    def make(requests: int, size: int = 1000) -> Governor:
        return Governor(requests, size, time, time.sleep, lambda: 0.5)

    return make


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def free(governor: Governor) -> bool:
    return (governor.in_flight, governor._bytes) == (0, 0)


async def test_places_are_given_in_order_of_arrival(govern):
    governor, order = govern(2), []

    async def request(name: int) -> None:
        await governor.acquire(BULK, 1)
        order.append(name)
        await turns()
        governor.release(BULK, 1)

    async with asyncio.TaskGroup() as group:
        for name in range(20):
            group.create_task(request(name))
    assert order == list(range(20))
    assert free(governor)


async def test_small_bodies_do_not_overtake_a_large_one(govern):
    governor, order = govern(10, 100), []

    async def request(name: str, size: int) -> None:
        await governor.acquire(BULK, size)
        order.append(name)

    await governor.acquire(BULK, 60)
    large = asyncio.create_task(request("large", 60))
    await turns()
    small = asyncio.create_task(request("small", 1))
    await turns()
    assert order == []
    governor.release(BULK, 60)
    await asyncio.gather(large, small)
    assert order == ["large", "small"]


async def test_the_byte_budget_is_kept_and_a_giant_goes_alone(govern):
    governor, peak = govern(50, 100), 0

    async def request(size: int) -> None:
        nonlocal peak
        await governor.acquire(BULK, size)
        if size <= 100:
            peak = max(peak, governor._bytes)
        else:
            assert governor.in_flight == 1
        await turns(2)
        governor.release(BULK, size)

    async with asyncio.TaskGroup() as group:
        for size in (30, 40, 50, 500, 20, 100, 1, 99):
            group.create_task(request(size))
    assert peak <= 100
    assert free(governor)


async def test_control_requests_never_wait_behind_bulk(govern):
    governor = govern(2, 10)
    await governor.acquire(BULK, 5)
    await governor.acquire(BULK, 5)
    waiting = asyncio.create_task(governor.acquire(BULK, 5))
    await turns()
    async with asyncio.timeout(1):
        for _ in range(CONTROL_RESERVE):
            await governor.acquire(CONTROL, 0)
    assert governor.in_flight == 2 + CONTROL_RESERVE
    fifth = asyncio.create_task(governor.acquire(CONTROL, 0))
    await turns()
    assert not fifth.done()
    governor.release(BULK, 5)
    await turns()
    # The place that became free goes to the poll before the upload.
    assert (fifth.done(), waiting.done()) == (True, True)


async def test_a_pause_holds_everybody_and_spreads_their_start(govern, time):
    governor = govern(10)
    governor.pause(5)
    governor.pause(1)
    await asyncio.gather(governor.acquire(BULK, 1), governor.acquire(CONTROL, 1))
    assert time.now >= 5
    assert time.slept[0] == 5.5


async def test_cancellation_in_a_pause_gives_the_place_back(govern):
    governor = govern(1)
    started = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        started.set()
        await asyncio.Event().wait()

    governor._sleep = sleep
    governor.pause(5)
    task = asyncio.create_task(governor.acquire(BULK, 1))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert free(governor)


@pytest.mark.parametrize("seed", range(20))
async def test_cancellation_at_any_moment_loses_nothing(govern, seed):
    rng = random.Random(seed)
    governor = govern(3, 50)

    async def request(lane: Lane, size: int) -> None:
        await governor.acquire(lane, size)
        try:
            await turns(rng.randrange(4))
        finally:
            governor.release(lane, size)

    tasks = [
        asyncio.create_task(request(rng.choice([BULK, BULK, CONTROL]), rng.choice([0, 10, 40, 80]))) for _ in range(40)
    ]
    while not all(task.done() for task in tasks):
        rng.choice(tasks).cancel()
        await turns(rng.randrange(3))
    await asyncio.gather(*tasks, return_exceptions=True)
    assert free(governor)
    assert not any(queue and any(not waiter.left for waiter in queue) for queue in governor._queues.values())


async def test_cancelled_and_released_in_the_same_moment(govern):
    governor = govern(1)
    await governor.acquire(BULK, 1)
    first = asyncio.create_task(governor.acquire(BULK, 1))
    second = asyncio.create_task(governor.acquire(BULK, 1))
    await turns()
    governor.release(BULK, 1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await asyncio.wait_for(second, 1)
    assert governor.in_flight == 1


def test_a_waiter_of_a_dead_loop_takes_no_place(govern):
    governor = govern(1)

    async def leave_behind() -> None:
        await governor.acquire(BULK, 1)
        await governor.acquire(BULK, 1)

    loop = asyncio.new_event_loop()
    coroutine = leave_behind()
    task = loop.create_task(coroutine)
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    loop.close()
    task._log_destroy_pending = False
    coroutine.close()
    governor.release(BULK, 1)
    assert free(governor)
    asyncio.run(governor.acquire(BULK, 1))


async def test_the_limit_follows_the_server(govern):
    governor = govern(4)
    for _ in range(4):
        await governor.acquire(BULK, 0)
    governor.limit.pushed_back()
    waiting = asyncio.create_task(governor.acquire(BULK, 0))
    for _ in range(2):
        governor.release(BULK, 0)
        await turns()
        assert not waiting.done()
    governor.release(BULK, 0)
    await asyncio.wait_for(waiting, 1)
    assert governor.in_flight == 2
