"""Closing a client ends whatever its calls wait for, within a moment and with `ClosedClientError`."""

import asyncio
import random

import pytest

from aihub_async import AsyncAIHub, errors
from aihub_async.operations import Lane
from aihub_async.policies.retry import FailureKind
from aihub_async.transport.messages import AttemptFailure
from tests.transport.virtual import FakeWire, loop_clock, response, run

NO_CONNECTION = AttemptFailure(FailureKind.NOT_SENT, "no connection")


def make_client(answer, latency=0.02, **options):
    client = AsyncAIHub("key", api_root="http://127.0.0.1:9/api", clock=loop_clock(random.Random(1).random), **options)
    client._transport.wire = FakeWire(answer, latency)
    return client


def closed_while(calls, answer, *, after, before=None, latency=0.02, **options):
    """Close the client after so many seconds; return what the calls ended with."""

    async def main():
        client = make_client(answer, latency, **options)
        if before is not None:
            await before(client)
        tasks = [asyncio.ensure_future(call(client)) for call in calls]
        await asyncio.sleep(after)
        assert not any(task.done() for task in tasks)
        loop, moment = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        await client.aclose()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert loop.time() - moment < 0.001
        governor = client._transport.governor
        assert (governor.in_flight, governor._bytes) == (0, 0)
        assert not any(gate._waiting or gate._has_prober for gate in governor.gates.values())
        assert client._transport.closing._guarded == set()
        assert [task.cancelling() for task in tasks] == [0] * len(tasks)
        return ended

    return run(main)


def check(ended):
    assert {type(error) for error in ended} == {errors.ClosedClientError}, ended


def get(client):
    return client.batches.get(1)


def test_a_backoff():
    check(closed_while([get] * 3, lambda *_: response(429, Retry_After="50"), after=10))


def test_a_pause_that_the_server_asked_for():
    answers = iter([response(429, Retry_After="50")])

    async def first(client):
        with pytest.raises(errors.RateLimitedError):
            await client.with_options(max_retries=0).batches.get(1)

    check(closed_while([get], lambda *_: next(answers), after=10, before=first))


def test_an_outage_with_its_prober_and_those_who_wait_for_it():
    check(closed_while([get] * 20, lambda *_: NO_CONNECTION, after=30))


def test_the_queue_for_a_place_and_what_is_on_the_wire():
    check(closed_while([get] * 10, lambda *_: response(200), after=1, latency=30, max_concurrent_requests=2))


def test_the_pace_of_requests():
    check(closed_while([get] * 5, lambda *_: response(200), after=1, latency=30, max_requests_per_second=0.01))


def test_an_upload_that_waits_for_the_end_of_an_outage():
    async def upload(client):
        await client.batches.upload(1, ((f"{number}.txt", b"x") for number in range(3)), on_error="collect")

    check(closed_while([upload], lambda *_: NO_CONNECTION, after=60))


def test_the_lookups_of_a_run_that_may_have_been_started():
    def answer(request, _now):
        lost = AttemptFailure(FailureKind.LOST, "the connection broke")
        return lost if request.operation.name == "runApp" else response(200, b'{"runs": []}')

    async def create(client):
        await client.apps.runs.create(app_name="a", batch_id=1)

    for after in (0.3, 1.3, 10, 50):
        check(closed_while([create], answer, after=after))


def test_a_once_only_request_on_the_wire_may_have_been_carried_out():
    async def create(client):
        await client.apps.runs.create(app_name="a", batch_id=1)

    (error,) = closed_while([create], lambda *_: response(200), after=1, latency=30)
    assert str(error) == "the client was closed during runApp; it may or may not have been carried out"


def test_polls():
    async def wait(client):
        await client.apps.runs.handle("r").wait()

    check(closed_while([wait] * 3, lambda *_: response(200, b'{"id": "r", "status": "RUNNING"}'), after=100))


def test_clients_made_by_with_options_end_too():
    async def derived(client):
        await client.with_options(timeout=5).batches.get(1)

    check(closed_while([derived], lambda *_: NO_CONNECTION, after=0.5, max_retries=50))


def test_a_cancellation_by_somebody_else_stays_one():
    async def main():
        client = make_client(lambda *_: response(429, Retry_After="50"))
        task = asyncio.ensure_future(get(client))
        await asyncio.sleep(10)
        task.cancel()
        await client.aclose()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)


def test_a_timeout_of_the_caller_stays_one():
    async def main():
        client = make_client(lambda *_: response(429, Retry_After="50"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await get(client)
        await client.aclose()
        with pytest.raises(errors.ClosedClientError, match="closed"):
            await get(client)

    run(main)


def test_a_hook_may_close_its_own_client():
    async def main():
        client = make_client(lambda *_: NO_CONNECTION)
        closing = []

        def close(_event):
            closing.append(asyncio.ensure_future(client.aclose()))

        client._transport.hooks = (close,)
        with pytest.raises(errors.ClosedClientError):
            await get(client)
        await asyncio.gather(*closing)
        assert client._transport.governor.gates[Lane.BULK].breaker.is_open is False

    run(main)


@pytest.mark.parametrize("seed", range(30))
def test_at_any_moment(seed):
    chance = random.Random(seed)

    def answer(_request, _now):
        failures = [NO_CONNECTION, response(503), response(429, Retry_After="7"), response(500)]
        return chance.choice([*failures, response(200, b'{"id": 1, "name": "b"}')])

    async def main():
        client = make_client(answer, max_concurrent_requests=3)
        tasks = [asyncio.ensure_future(get(client)) for _ in range(40)]
        await asyncio.sleep(chance.uniform(0, 60))
        await client.aclose()
        ended = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 0.001)
        for error in ended:
            assert not isinstance(error, asyncio.CancelledError)
            assert not isinstance(error, BaseException) or isinstance(error, errors.AIHubError)
        assert client._transport.governor.in_flight == 0

    run(main)
