"""The clock, the slots and the windows of faults, by themselves."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub_async.emulator import EmulatorClock, Fault
from aihub_async.emulator.faults import KINDS, Faults
from aihub_async.emulator.slots import PrioritySlots


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


async def test_waits_end_in_order_and_exactly_when_due():
    clock, ended = EmulatorClock(lambda: 0), []

    async def wait(seconds):
        await clock.sleep(seconds)
        ended.append((seconds, round(clock.time_ns() / 1e9)))

    tasks = [asyncio.create_task(wait(seconds)) for seconds in (30, 10, 20, 40)]
    await settle()
    clock.advance(15)
    await settle()
    assert [seconds for seconds, _ in ended] == [10]
    clock.advance(20)
    await settle()
    assert sorted(seconds for seconds, _ in ended) == [10, 20, 30]
    clock.advance(5)
    await asyncio.gather(*tasks)
    # Each saw the time at which it was due.
    assert all(seconds == seen for seconds, seen in ended)


async def test_a_chain_of_waits_continues_from_each_due_time():
    clock, seen = EmulatorClock(lambda: 0), []

    async def chain():
        for _ in range(5):
            await clock.sleep(60)
            seen.append(round(clock.time_ns() / 1e9))

    task = asyncio.create_task(chain())
    await settle()
    clock.advance(200)
    await settle()
    assert seen == [60, 120, 180]
    clock.advance(100)
    await task
    assert seen == [60, 120, 180, 240, 300]


async def test_a_cancelled_wait_leaves_nothing():
    clock = EmulatorClock()
    task = asyncio.create_task(clock.sleep(1000))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert clock._waiters == set()


def test_time_goes_forward_only():
    with pytest.raises(ValueError, match="forward"):
        EmulatorClock().advance(-1)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.integers(1, 3))
def test_slots_serve_the_highest_priority_then_the_longest_wait(priorities, slots):
    async def play():
        pool, order = PrioritySlots(slots), []
        go = asyncio.Event()

        async def hold():
            async with pool.take(9):
                await go.wait()

        async def work(number, priority):
            async with pool.take(priority):
                order.append((priority, number))
                await asyncio.sleep(0)

        holders = [asyncio.create_task(hold()) for _ in range(slots)]
        await settle()
        tasks = [asyncio.create_task(work(number, priority)) for number, priority in enumerate(priorities)]
        await settle()
        go.set()
        await asyncio.gather(*holders, *tasks)
        assert order == sorted(order, key=lambda item: (-item[0], item[1]))
        assert pool._free == slots

    asyncio.run(play())


@given(st.lists(st.sampled_from(["take", "renew", "cancel"]), min_size=1, max_size=30), st.randoms())
def test_slots_are_never_lost_nor_doubled(actions, chance):
    async def play():
        pool, held, most = PrioritySlots(2), 0, 0

        async def work():
            nonlocal held, most
            async with pool.take(chance.randint(0, 9)) as slot:
                for _ in range(3):
                    held += 1
                    most = max(most, held)
                    try:
                        await asyncio.sleep(0)
                    finally:
                        held -= 1
                    await slot.renew()

        tasks = []
        for action in actions:
            if action == "cancel" and tasks:
                chance.choice(tasks).cancel()
            else:
                tasks.append(asyncio.create_task(work()))
            if chance.random() < 0.5:
                await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert most <= 2
        assert (held, pool._free) == (0, 2)

    asyncio.run(play())


@given(
    st.sampled_from(KINDS),
    st.floats(0, 100),
    st.floats(0, 100) | st.none(),
    st.lists(st.floats(0, 50), max_size=8),
)
def test_a_fault_strikes_in_its_window_only(kind, after, lasting, steps):
    clock = EmulatorClock(lambda: 0)
    faults = Faults(clock=clock)
    faults.add(Fault(kind=kind, after=after, lasting=lasting))
    now = 0.0
    for step in [0.0, *steps]:
        clock.advance(step)
        now = clock.now_ns() / 1e9
        inside = after <= now and (lasting is None or now < after + lasting)
        if abs(now - after) < 1e-6 or (lasting is not None and abs(now - after - lasting) < 1e-6):
            continue  # on the edge, where rounding to nanoseconds decides
        struck = faults.refusing if kind == "refuse" else bool(faults.take("listRuns", "GET", "/x"))
        assert struck == inside
