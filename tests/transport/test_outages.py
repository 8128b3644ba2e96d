"""Outages of the server: requests wait and a probe is sent; nothing fails that has time left, and no storm follows."""

import asyncio
import itertools
import random

import pytest

from aihub_async import AsyncAIHub, errors
from aihub_async.operations import Lane
from aihub_async.policies.outage import CircuitBreaker
from aihub_async.policies.retry import FailureKind
from aihub_async.transport.messages import AttemptFailure
from tests.transport.virtual import FakeWire, loop_clock, response, run

FILES = 3000
FAULTS = {
    "503": lambda: response(503),
    "500": lambda: response(500),
    "429": lambda: response(429),
    "503 with Retry-After": lambda: response(503, Retry_After="1"),
    "refused": lambda: AttemptFailure(FailureKind.NOT_SENT, "no connection (Connection refused)"),
    "reset": lambda: AttemptFailure(FailureKind.LOST, "the connection broke"),
}


def make_client(wire, seed=1, **options):
    client = AsyncAIHub(
        "key", api_root="http://127.0.0.1:9/api", clock=loop_clock(random.Random(seed).random), **options
    )
    client._transport.wire = wire
    return client


def upload(outage, *, begin=1.0, fault=FAULTS["503"], files=FILES, seed=1, **options):
    """Upload files in virtual time, with an outage of so many seconds in the middle."""

    def answer(request, now):
        return fault() if begin <= now < begin + outage else response(204)

    async def main():
        wire = FakeWire(answer)
        client = make_client(wire, seed, **options)
        sources = ((f"{number}.txt", b"x") for number in range(files))
        report = await client.batches.upload(1, sources, on_error="collect")
        governor = client._transport.governor
        assert (governor.in_flight, len(governor.gates[Lane.BULK]._waiting)) == (0, 0)
        return report, wire, asyncio.get_running_loop().time()

    return run(main)


@pytest.mark.parametrize("seconds", [0.5, 2, 10, 60])
@pytest.mark.parametrize("fault", FAULTS)
def test_an_outage_in_an_upload_fails_nothing(seconds, fault):
    report, wire, _ = upload(seconds, fault=FAULTS[fault])
    assert report.failed == []
    assert len(report.files) == FILES
    probes = 3 + seconds / 2.5
    assert len(wire.sent) <= 1.1 * FILES + probes
    # Well below the allowance: what was in flight, and the probes.
    assert len(wire.sent) <= FILES + 64 + probes


@pytest.mark.parametrize("seed", range(10))
def test_outages_of_every_seed_and_small_concurrency(seed):
    report, wire, _ = upload(10, begin=0.1, files=200, seed=seed, max_concurrent_requests=4)
    assert report.failed == []
    assert len(wire.sent) <= 200 + 4 * 5 + 10


@pytest.mark.parametrize("files", [1, 2, 7])
@pytest.mark.parametrize("seconds", [0.5, 2, 10, 60])
@pytest.mark.parametrize("fault", FAULTS)
def test_an_outage_when_few_files_are_left_fails_nothing(files, seconds, fault):
    """Fewer calls than the breaker needs to open by itself."""
    for seed in range(5):
        report, wire, ended = upload(seconds, begin=0.0, fault=FAULTS[fault], files=files, seed=seed)
        assert report.failed == []
        assert len(wire.sent) <= files * 6 + 3 + seconds / 2.5
        # The longest backoff, or the longest pause between two probes.
        assert ended <= seconds + 20


def test_a_single_file_that_cannot_arrive_is_given_up_at_the_deadline():
    report, wire, ended = upload(1e9, begin=0.0, fault=FAULTS["refused"], files=1)
    assert isinstance(report.failed[0].error, errors.ConnectError)
    assert 290 <= ended <= 310
    assert len(wire.sent) <= 5 + 300 / 2.5


def test_without_retries_an_upload_does_not_wait():
    report, wire, _ = upload(1e9, begin=0.0, fault=FAULTS["refused"], files=3, max_retries=0)
    assert len(report.failed) == len(wire.sent) == 3


def test_during_an_outage_one_probe_at_a_time_is_sent_with_growing_delays():
    _, wire, _ = upload(60)
    probes = [moment for moment, _ in wire.sent if 2 < moment < 61]
    gaps = [after - before for before, after in itertools.pairwise(probes)]
    assert len(probes) >= 10
    assert min(gaps[3:]) >= 2.5
    assert max(gaps) <= 5.1


def test_the_upload_continues_soon_after_the_outage():
    _, wire, _ = upload(60)
    first = next(moment for moment, _ in wire.sent if moment > 61)
    assert first - 61 <= 5.1


def test_what_has_no_time_left_fails_with_the_last_outcome_and_nothing_hangs():
    report, wire, ended = upload(10_000, begin=0.1, files=300, deadline=20)
    failures = {type(record.error) for record in report.failed}
    assert failures <= {errors.ServerError, errors.RequestTimeoutError}
    assert errors.ServerError in failures
    assert len(wire.sent) < 300 + 64
    assert ended < 20 * 300


@pytest.mark.parametrize("status", [500, 503])
def test_a_file_that_always_fails_does_not_open_the_breaker(status):
    """The others are answered, so its failures are its own."""

    def answer(request, now):
        return response(status) if "17.txt" in request.path else response(204)

    async def main():
        wire = FakeWire(answer)
        client = make_client(wire)
        report = await client.batches.upload(1, ((f"{n}.txt", b"x") for n in range(30)), on_error="collect")
        return report, wire

    report, wire = run(main)
    assert [record.name for record in report.failed] == ["17.txt"]
    assert len(report.failed[0].error.attempts) == 5
    assert wire.counts()["addFileToBatch"] == 29 + 5
    # Whether it is an outage is tested once.
    assert wire.counts()["listBatches"] == 1


def test_a_bad_request_as_the_probe_does_not_keep_the_others_waiting():
    """The role of the prober passes on after each failure."""

    def answer(request, now):
        return response(500) if now < 5 or "0.txt" in request.path else response(204)

    async def main():
        client = make_client(FakeWire(answer))
        return await client.batches.upload(1, ((f"{n}.txt", b"x") for n in range(100)), on_error="collect")

    report = run(main)
    assert {record.name for record in report.failed} <= {f"{n}0.txt" for n in range(10)} | {"0.txt"}
    assert len(report.files) == 90


def test_single_calls_keep_to_max_retries():
    async def main():
        wire = FakeWire(lambda request, now: response(500))
        client = make_client(wire, max_retries=2)
        for _ in range(20):
            with pytest.raises(errors.ServerError):
                await client.batches.get(1)
        return wire, asyncio.get_running_loop().time()

    wire, ended = run(main)
    assert len(wire.sent) == 60
    assert ended < 60


def test_lanes_have_outages_of_their_own():
    """Uploads that fail do not hold polls back."""

    def answer(request, now):
        return response(503) if request.operation.name == "addFileToBatch" else response(200, b'{"state":"RUNNING"}')

    async def main():
        wire = FakeWire(answer)
        client = make_client(wire, deadline=30)
        uploads = asyncio.ensure_future(
            client.batches.upload(1, ((f"{n}.txt", b"x") for n in range(50)), on_error="collect")
        )
        await asyncio.sleep(5)
        assert client._transport.governor.gates[Lane.BULK].breaker.is_open
        before = asyncio.get_running_loop().time()
        assert (await client.jobs.status("j")).state == "RUNNING"
        assert asyncio.get_running_loop().time() - before < 0.1
        return await uploads

    assert len(run(main).failed) == 50


@pytest.mark.parametrize("seed", range(20))
def test_cancellation_in_an_outage_passes_the_role_of_the_prober_on(seed):
    rng = random.Random(seed)

    async def main():
        wire = FakeWire(lambda request, now: response(503) if now < 8 else response(204))
        client = make_client(wire, seed)
        tasks = [asyncio.ensure_future(client.batches.add_file(1, f"{n}.txt", b"x")) for n in range(60)]
        for _ in range(40):
            await asyncio.sleep(rng.random() / 2)
            rng.choice(tasks).cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {type(None), bool, asyncio.CancelledError} | {
            type(outcome) for outcome in outcomes if not isinstance(outcome, BaseException)
        }
        governor = client._transport.governor
        assert (governor.in_flight, governor._bytes) == (0, 0)
        assert not governor.gates[Lane.BULK]._has_prober
        assert asyncio.get_running_loop().time() < 40

    run(main)


def test_once_only_requests_wait_out_an_outage_instead_of_becoming_unclear():
    async def main():
        def answer(request, now):
            if now < 10:
                return response(503)
            return response(204, b"") if request.operation.name == "addFileToBatch" else response(200, b'{"id":"r"}')

        wire = FakeWire(answer)
        client = make_client(wire)
        uploads = [asyncio.ensure_future(client.batches.add_file(1, f"{n}.txt", b"x")) for n in range(20)]
        await asyncio.sleep(1)
        assert (await client.apps.runs.create(app_name="a", batch_id=1)).id == "r"
        await asyncio.gather(*uploads)
        return wire

    assert run(main).counts()["runApp"] == 1


class TestCircuitBreaker:
    def make(self, threshold=3):
        self.now = 0.0
        return CircuitBreaker(lambda: self.now, lambda: 0.5, threshold)

    def test_opens_when_enough_calls_fail_concurrently(self):
        breaker = self.make()
        for call in (1, 2, 1, 2, 1):
            breaker.failed(call)
        assert not breaker.is_open
        breaker.failed(3)
        assert breaker.is_open

    def test_an_answer_or_the_end_of_a_call_starts_the_count_again(self):
        breaker = self.make()
        breaker.failed(1)
        breaker.failed(2)
        assert not breaker.succeeded()
        breaker.failed(3)
        breaker.ended(3)
        breaker.failed(4)
        breaker.failed(5)
        assert not breaker.is_open

    def test_probe_delays_grow_and_keep_to_retry_after(self):
        breaker = self.make()
        breaker.open()
        delays = []
        for _ in range(8):
            delays.append(breaker.probe_delay())
            self.now += breaker.probe_delay()
            breaker.probe_failed()
        assert delays == [0.375, 0.75, 1.5, 3.0, 3.75, 3.75, 3.75, 3.75]
        breaker.failed(9, 30.0)
        assert breaker.probe_delay() == 30
        assert breaker.succeeded()
        assert not breaker.is_open


# Time limits that belong to an operation


def test_a_run_in_memory_gets_the_time_that_the_server_may_take():
    """The server takes 60 seconds for it by its documentation: an attempt must not end before, for it is billed."""

    async def main():
        wire = FakeWire(lambda request, now: response(200, b'{"id":1,"records":[],"binary_path":"b"}'), latency=70)
        client = make_client(wire)
        await client.flows.run_sync("b", {"a": b"x"})
        await client.batches.get(1)
        return wire.timeouts

    run_sync, get = run(main)
    assert run_sync >= 120
    assert get == 60
