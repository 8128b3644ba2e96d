"""What is sent again, when, and how often; deadlines over all of it."""

import asyncio
import datetime as dt
import errno
import logging
import socket
import time

import attrs
import pytest

from aihub_async import errors
from aihub_async import operations as ops
from aihub_async.policies.retry import RetryQuota
from aihub_async.resources._base import build_request
from aihub_async.uploads.contents import to_body

OK = b"HTTP/1.1 200 Whatever\r\nContent-Length: 20\r\n\r\n" + b'{"id":1, "name":"a"}'


@pytest.fixture
def busy(wire):
    def make(status=503, **headers):
        return wire.answer(status, {"message": "busy"}, **headers)

    return make


async def test_no_hidden_second_sending_by_the_library(server, client, wire):
    """A dropped keep-alive connection is one lost attempt, and each attempt is counted."""
    server.says(OK, wire.reset, OK)
    await client.batches.get(1)
    events = []
    client._transport.hooks = (events.append,)
    await client.batches.get(1)
    assert len(server.seen) == 3
    assert [event.outcome for event in events] == ["lost", "200"]


@pytest.mark.parametrize("fault", ["reset", "hang_up"])
async def test_safe_requests_are_sent_again(server, client, wire, fault):
    server.says(getattr(wire, fault), getattr(wire, fault), OK)
    assert (await client.batches.get(1)).id == 1
    server.says(*[getattr(wire, fault)] * 4, wire.answer(204))
    await client.batches.add_file(1, "a.txt", b"12345")
    assert [seen.body for seen in server.seen[3:]] == [b"12345"] * 2


@pytest.mark.parametrize("fault", ["reset", "hang_up", 500, 502, 504, 503, 408])
async def test_once_only_requests_with_unclear_outcome_are_never_sent_again(server, client, wire, fault):
    server.says(wire.answer(fault, {"message": "hm"}) if isinstance(fault, int) else getattr(wire, fault))
    with pytest.raises(errors.OutcomeUnknownError, match="may or may not") as caught:
        await wire.once(client)
    assert caught.value.cause == (str(fault) if isinstance(fault, int) else "lost")
    assert len(server.seen) == 1


async def test_once_only_requests_are_sent_again_after_a_refusal(server, client, wire, busy, fake_clock):
    server.says(busy(429), busy(429, Retry_After="2"), wire.answer(200, {"id": "r"}))
    assert (await wire.once(client)).json() == {"id": "r"}
    assert len(server.seen) == 3
    assert fake_clock.slept[1] >= 2


async def test_503_with_retry_after_leaves_a_once_only_request_unclear(server, client, wire, busy):
    """A gateway says so after the backend has started the run, too."""
    server.says(busy(503, Retry_After="2"))
    with pytest.raises(errors.OutcomeUnknownError) as caught:
        await wire.once(client)
    assert caught.value.cause == "503"
    assert len(server.seen) == 1


async def test_429_after_an_unclear_attempt_is_not_sent_again(server, client, busy):
    """What creates the run may be the attempt before it, so it must be looked up first."""
    request = attrs.evolve(build_request(ops.CREATE_BATCH, json={"a": 1}), unclear=True)
    server.says(busy(429))
    with pytest.raises(errors.OutcomeUnknownError) as caught:
        await client._transport.send(request)
    assert caught.value.cause == "429"
    assert len(server.seen) == 1


async def test_once_only_request_is_sent_again_when_nothing_was_sent(server, make_client, wire, fake_clock):
    port = server.port
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]
    client = make_client(api_root=f"http://127.0.0.1:{closed}/api", max_retries=2)
    with pytest.raises(errors.ConnectError) as caught:
        await wire.once(client)
    assert [attempt.outcome for attempt in caught.value.attempts] == ["connect"] * 3
    assert not isinstance(caught.value, errors.OutcomeUnknownError)
    assert port != closed
    assert server.seen == []


async def test_a_connection_that_died_in_the_pool_counts_as_nothing_sent(server, client, wire):
    server.says(OK, wire.answer(200, {"id": "r"}))
    await client.batches.get(1)
    session = client._transport.wire._sessions[False]
    ((protocol, _),) = next(iter(session.connector._conns.values()))
    protocol.transport.close()
    assert (await wire.once(client)).json() == {"id": "r"}
    assert (len(server.seen), server.connections) == (2, 2)


async def test_deletions_take_a_404_after_an_unclear_attempt_for_success(server, client, wire):
    server.says(wire.reset, wire.answer(404))
    assert (await client.batches.delete(1)).job_id == ""
    server.says(*[wire.answer(404)] * 3)
    with pytest.raises(errors.NotFoundError):
        await client.batches.delete(1)
    assert len(server.seen) == 3


async def test_deletion_refused_by_429_is_not_unclear(server, client, wire, busy):
    server.says(busy(429), wire.answer(404))
    with pytest.raises(errors.NotFoundError):
        await client.batches.delete(1)
    assert len(server.seen) == 2


# 35
@pytest.mark.parametrize(
    ("value", "waits"),
    [
        ("3", 3.5),
        ("0", 0.25),
        ("1e9", 60.5),
        ("-5", 0.25),
        ("nan", 0.25),
        ("inf", 60.5),
        ("soon", 0.25),
        ("Sat, 01 Aug 2026 12:00:07 GMT", 7.5),
        ("Sat, 01 Aug 2020 12:00:07 GMT", 0.25),
        ("Sat, 99 Aug 9999999 12:00:07 GMT", 0.25),
        ("9" * 400, 60.5),
    ],
)
async def test_retry_after_is_honoured_and_clamped(server, make_client, busy, fake_clock, value, waits):
    fake_clock.jitter = (0.5,)
    client = make_client()
    server.says(busy(429, Retry_After=value), OK)
    await client.batches.get(1)
    assert fake_clock.time - 1000 == pytest.approx(waits, abs=0.3)
    assert len(server.seen) == 2


async def test_retry_after_pauses_everybody(server, client, busy, fake_clock):
    server.says(busy(503, Retry_After="5"), OK)
    await client.batches.get(1)
    before = fake_clock.time
    client._transport.governor.pause(5)
    await client.jobs.status("j")
    assert fake_clock.time - before >= 5
    assert len(server.seen) == 3


async def test_retry_that_would_miss_the_deadline_is_not_waited_for(server, make_client, busy, fake_clock):
    client = make_client(deadline=4)
    server.says(busy(503, Retry_After="30"))
    with pytest.raises(errors.ServerError) as caught:
        await client.batches.get(1)
    assert fake_clock.slept == []
    assert len(caught.value.attempts) == len(server.seen) == 1


async def test_total_deadline_covers_all_attempts(server, make_client, busy, fake_clock):
    client = make_client(deadline=3, max_retries=50)
    server.says(busy(500))
    with pytest.raises(errors.ServerError):
        await client.batches.get(1)
    assert fake_clock.time - 1000 <= 3
    assert len(server.seen) == len(fake_clock.slept) + 1


async def test_infinite_deadline(server, make_client, busy):
    client = make_client(deadline=float("inf"))
    server.says(busy(500), OK)
    assert (await client.batches.get(1)).id == 1


async def test_deadline_that_passes_in_the_queue_is_a_timeout(server, make_client, wire):
    client = make_client(deadline=0.05, max_concurrent_requests=1)
    server.says(wire.silence)
    async with asyncio.timeout(2):
        first = asyncio.create_task(client.with_options(deadline=5).apps.runs.results("r"))
        while not server.seen:
            await asyncio.sleep(0)
        with pytest.raises(errors.RequestTimeoutError, match="turn") as caught:
            await client.apps.runs.results("r")
        assert [attempt.outcome for attempt in caught.value.attempts] == ["queued"]
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    assert client._transport.governor.in_flight == 0
    assert len(server.seen) == 1


async def test_a_pause_beyond_the_deadline_is_not_waited_for(server, make_client, fake_clock):
    client = make_client(deadline=5)
    client._transport.governor.pause(30)
    with pytest.raises(errors.RequestTimeoutError, match="turn"):
        await client.batches.get(1)
    assert fake_clock.slept == []
    fake_clock.time += 30
    server.says(OK)
    assert (await client.batches.get(1)).id == 1
    assert len(server.seen) == 1


async def test_attempt_timeout_of_a_get_is_retried(server, make_client, wire):
    client = make_client(timeout=0.05)
    server.says(wire.silence, OK)
    assert (await client.batches.get(1)).id == 1
    assert (len(server.seen), server.connections) == (2, 2)


async def test_attempt_timeout_of_a_once_only_post_is_ambiguous(server, make_client, wire):
    client = make_client(timeout=0.05)
    server.says(wire.silence)
    with pytest.raises(errors.OutcomeUnknownError) as caught:
        await wire.once(client)
    assert caught.value.cause == "timeout"
    assert len(server.seen) == 1


# 29
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_drip_feeding_ends_with_the_timeout(server, make_client, wire, method):
    async def drip(exchange):
        await exchange.send(wire.answer(200, length=False, Content_Length="1000000"))
        while True:
            await exchange.send(b" ")
            await asyncio.sleep(0.005)

    client = make_client(timeout=0.1, max_retries=0)
    server.says(drip)
    started = time.monotonic()
    with pytest.raises(errors.RequestTimeoutError) as caught:
        await client.request(method, "/v2/x") if method == "GET" else await client.audit.logs()
    assert time.monotonic() - started < 1
    assert caught.value.attempts[0].outcome == "timeout"
    assert len(server.seen) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_long_answer_gets_the_time_of_its_bytes(server, make_client, wire, method):
    """At 32 KiB/s each piece of 8 KiB earns a quarter of a second."""
    pieces = 12

    async def steady(exchange):
        await exchange.send(wire.answer(200, length=False, Content_Length=str(pieces * 8192)))
        for _ in range(pieces):
            await exchange.send(b" " * 8192)
            await asyncio.sleep(0.02)

    client = make_client(timeout=0.1, max_retries=0)
    server.says(steady)
    response = await client.request(method, "/v2/x", json={"a": 1} if method == "POST" else None)
    assert len(response.body) == response.received == pieces * 8192


async def test_a_storm_of_429_is_answered_with_probes(server, make_client, busy, fake_clock):
    """200 calls in a storm without end: the first ones fail, then one probe at a time, until their deadline."""
    fake_clock.jitter = tuple(number / 97 for number in range(97))
    client = make_client(max_retries=4)
    server.says(busy(429))
    outcomes = await asyncio.gather(*(client.batches.get(1) for _ in range(200)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} <= {errors.RateLimitedError, errors.RequestTimeoutError}
    assert len(server.seen) < 200
    assert fake_clock.time - 1000 >= 300
    assert len(set(fake_clock.slept)) > 50
    assert client._transport.governor.limit.current < 64
    assert client._transport.governor.in_flight == 0
    server.says(OK)
    assert (await client.batches.get(1)).id == 1


async def test_an_empty_quota_pauses_and_fails_nothing(server, client, busy, fake_clock):
    quota = client._transport.quota
    while quota.take():
        pass
    server.says(busy(503), busy(503), OK)
    assert (await client.batches.get(1)).id == 1
    assert len(server.seen) == 3
    assert 0.5 <= fake_clock.time - 1000 <= 5
    assert quota.tokens >= 100


async def test_quota_comes_back_with_successes(server, client):
    quota = client._transport.quota
    while quota.take():
        pass
    server.says(OK)
    for _ in range(5):
        await client.batches.get(1)
    assert quota.take()
    assert not RetryQuota(4).take()


# 59
async def test_running_out_of_descriptors_is_backpressure(server, make_client, monkeypatch, fake_clock):
    client = make_client(max_retries=0)
    server.says(OK)
    original, failures = socket.socket, 6

    class Starved(original):
        def __init__(self, *args, **kwargs):
            nonlocal failures
            if failures:
                failures -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(socket, "socket", Starved)
    assert (await client.batches.get(1)).id == 1
    assert failures == 0
    assert len(fake_clock.slept) >= 3
    assert client._transport.governor.limit.current < 64
    assert client._transport.quota.tokens == 500
    assert len(server.seen) == 1


async def test_name_resolution_that_fails_for_a_moment_is_retried(server, make_client, monkeypatch):
    client = make_client(api_root=f"http://localhost:{server.port}/api")
    server.says(OK)
    loop, failures = asyncio.get_running_loop(), 2
    original = loop.getaddrinfo

    async def flaky(*args, **kwargs):
        nonlocal failures
        if failures:
            failures -= 1
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return await original(*args, **kwargs)

    monkeypatch.setattr(loop, "getaddrinfo", flaky)
    assert (await client.batches.get(1)).id == 1
    assert len(server.seen) == 1


# 55
async def test_the_wall_clock_may_jump(server, make_client, busy, fake_clock):
    client = make_client(deadline=10)
    server.says(busy(500), busy(500), OK)
    fake_clock.today += dt.timedelta(days=1)
    await client.batches.get(1)
    fake_clock.today -= dt.timedelta(days=2)
    await client.batches.get(1)
    assert len(server.seen) == 4


async def test_a_file_that_shrank_aborts_without_retry(server, client, tmp_path):
    file = tmp_path / "a.bin"
    file.write_bytes(b"x" * 3_000_000)
    body = await to_body(file, "a.bin")
    file.write_bytes(b"x" * 1000)
    server.says(OK)
    with pytest.raises(errors.SourceChangedError):
        await client.batches._send(ops.ADD_FILE, body=body, batch_id=1, filename="a.bin")
    assert server.seen == []


async def test_early_refusal_of_a_large_upload_is_understood(server, client, wire, tmp_path):
    file = tmp_path / "a.bin"
    file.write_bytes(b"x" * 3_000_000)
    server.read_body = False
    server.says(wire.answer(413, {"message": "too much"}, Connection="close"))
    with pytest.raises(errors.PayloadTooLargeError, match="too much"):
        await client.batches.add_file(1, "a.bin", file)
    assert len(server.seen) == 1


# hooks
async def test_hooks_see_every_attempt_and_cannot_break_the_call(server, make_client, wire, busy, caplog):
    events = []

    def faulty(event):
        raise ZeroDivisionError

    client = make_client(hooks=[faulty, events.append])
    server.says(busy(503), OK)
    await client.batches.get(1)
    assert [(event.number, event.outcome, event.status, event.wait) for event in events] == [
        (1, "503", 503, 0.25),
        (2, "200", 200, None),
    ]
    assert (events[1].operation, events[1].received, events[1].sent) == ("getBatch", 20, 0)
    assert caplog.text.count("the call continues") == 2
    assert len(server.seen) == 2


async def test_retries_that_last_are_logged_as_warnings(server, make_client, wire, busy, fake_clock, caplog):
    """Of one call from five seconds on; of all calls of a client at most once in fifteen seconds."""
    caplog.set_level(logging.INFO, "aihub_async")
    client = make_client(max_retries=8)

    def levels():
        records = [record for record in caplog.records if hasattr(record, "aihub_wait")]
        caplog.clear()
        return [(record.levelname, round(record.aihub_elapsed + record.aihub_wait, 1)) for record in records]

    server.says(busy(503, Retry_After="2"), busy(503, Retry_After="2"), busy(503, Retry_After="2"), OK)
    await client.batches.get(1)
    first = levels()
    assert [level for level, _ in first] == ["INFO", "INFO", "WARNING"]
    assert first[1][1] < 5 <= first[2][1]
    server.says(*[busy(503, Retry_After="6")] * (len(server.seen) + 3), OK)
    await client.batches.get(1)
    assert [level for level, _ in levels()] == ["INFO", "INFO", "WARNING"]
