"""Time and randomness of the emulator are in the hands of the test."""

import asyncio
import random
import time

from aihub_async.emulator import Emulator, Fault


async def start_run(api, **wanted):
    body = {"app_name": "key-values", "batch_id": await api.batch({"a.txt": b"Total: 5"}), **wanted}
    return (await api("POST", "/v2/apps/runs", json=body)).json["id"]


async def test_a_run_of_an_hour_takes_milliseconds(connect):
    async with Emulator(run_seconds=3600) as hub:
        api = await connect(hub)
        run_id = await start_run(api)
        hub.time.advance(minutes=59)
        await asyncio.sleep(0.05)
        assert (await api("GET", f"/v2/apps/runs/{run_id}")).json["status"] == "RUNNING"
        before = time.monotonic()
        hub.time.advance(minutes=2)
        await hub.idle()
        assert time.monotonic() - before < 2
        run = (await api("GET", f"/v2/apps/runs/{run_id}")).json
        assert run["status"] == "COMPLETE"
        # It ended when it was due, not when the clock was moved.
        assert round((run["finish_timestamp"] - run["start_timestamp"]) / 1e9) == 3600


async def test_the_window_of_24_hours_follows(api, hub):
    run_id = await start_run(api)
    await hub.idle()
    assert [run["id"] for run in (await api("GET", "/v2/apps/runs")).json["runs"]] == [run_id]
    hub.time.advance(hours=25)
    assert (await api("GET", "/v2/apps/runs")).json["runs"] == []
    since = int(hub.time.now().timestamp()) - 26 * 3600
    assert len((await api("GET", f"/v2/apps/runs?from_timestamp={since}")).json["runs"]) == 1


async def test_webhook_retries_follow_each_from_when_the_last_was_due(connect):
    async with Emulator(webhook_delays=(0.0, 60.0, 600.0, 3600.0)) as hub:
        api = await connect(hub)
        # Nothing listens on port 9 of loopback.
        run_id = await start_run(api, settings={"webhook_config": {"url": "http://127.0.0.1:9/"}})
        while not hub.webhook_deliveries:
            await asyncio.sleep(0.01)
        hub.time.advance(seconds=60 + 600)
        while len(hub.webhook_deliveries) < 3:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert [(each.run_id, each.attempt) for each in hub.webhook_deliveries] == [(run_id, n) for n in (1, 2, 3)]
        hub.time.advance(hours=1)
        await hub.idle()
        assert len(hub.webhook_deliveries) == 4


def test_the_clock_is_moved_from_any_thread():
    with Emulator(run_seconds=3600) as hub:
        before = hub.time.now()
        hub.time.advance(days=1)
        assert (hub.time.now() - before).total_seconds() >= 86_400


async def test_a_seeded_generator_makes_ids_and_faults_repeat(connect):
    async def play():
        faults = [Fault(kind="status", status=500, probability=0.5, method="GET")]
        async with Emulator(generator=random.Random(3), faults=faults) as hub:
            api = await connect(hub)
            statuses = [(await api("GET", "/v2/batches")).status for _ in range(20)]
            return statuses, await start_run(api)

    assert await play() == await play()


async def test_the_network_can_be_simulated():
    """A client's bytes reach the emulator without a socket."""

    class Pipe(asyncio.Transport):
        def __init__(self):
            super().__init__()
            self.sent = b""
            self.closed = asyncio.Event()

        def write(self, data):
            self.sent += data

        def writelines(self, list_of_data):
            self.sent += b"".join(list_of_data)

        def is_closing(self):
            return self.closed.is_set()

        def close(self):
            self.closed.set()

        abort = close

    async with Emulator(host=None, threads=False) as hub:
        pipe, protocol = Pipe(), hub.protocol()
        protocol.connection_made(pipe)
        head = "GET /api/v2/batches HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        head += f"Authorization: Bearer {hub.api_key}\r\n\r\n"
        protocol.data_received(head.encode())
        await asyncio.wait_for(pipe.closed.wait(), 5)
        protocol.connection_lost(None)
        assert pipe.sent.startswith(b"HTTP/1.1 200")
        assert pipe.sent.endswith(b'{"batches":[]}')
        hub.faults.add(Fault(kind="refuse"))
        try:
            hub.protocol()
        except ConnectionRefusedError:
            return
        raise AssertionError("a connection was accepted")
