"""Faults as servers, load balancers and gateways really have them."""

import asyncio
import io
import time

import aiohttp
import pytest

from aihub_async import operations
from aihub_async.emulator import Emulator, Fault

RUN = {"app_name": "key-values"}


async def start_run(api, batch_id):
    return await api("POST", "/v2/apps/runs", json={**RUN, "batch_id": batch_id})


async def run_ids(api):
    return [run["id"] for run in (await api("GET", "/v2/apps/runs")).json["runs"]]


async def test_lists_lag_until_the_items_are_old_enough(api, hub):
    hub.faults.add(Fault(kind="lag", seconds=5))
    batch_id = await api.batch({"a.txt": b"Total: 5"})
    run_id = (await start_run(api, batch_id)).json["id"]
    secret = {"alias": "key", "value": "v", "allowed_workspaces_type": "ALL"}
    assert (await api("POST", "/v2/aihub/secrets", json=secret)).status == 200
    await hub.idle()
    assert (await api("GET", "/v2/batches")).json["batches"] == []
    assert (await api("GET", f"/v2/batches/{batch_id}/files")).json["nodes"] == []
    assert (await api("GET", "/v2/aihub/secrets")).json["secrets"] == []
    assert await run_ids(api) == []
    # Only lists lag: the items themselves are there.
    assert (await api("GET", f"/v2/apps/runs/{run_id}")).json["status"] == "COMPLETE"
    hub.time.advance(seconds=6)
    assert [batch["id"] for batch in (await api("GET", "/v2/batches")).json["batches"]] == [batch_id]
    assert len((await api("GET", f"/v2/batches/{batch_id}/files")).json["nodes"]) == 1
    assert len((await api("GET", "/v2/aihub/secrets")).json["secrets"]) == 1
    assert await run_ids(api) == [run_id]


async def test_a_lagging_list_shows_the_state_of_then(api, hub):
    hub.hold_runs()
    run_id = (await start_run(api, await api.batch({"a.txt": b"Total: 5"}))).json["id"]
    hub.time.advance(seconds=10)
    hub.release_runs()
    await hub.idle()
    hub.faults.add(Fault(kind="lag", seconds=5))
    (listed,) = (await api("GET", "/v2/apps/runs")).json["runs"]
    assert (listed["id"], listed["status"], listed["finish_timestamp"]) == (run_id, "RUNNING", None)
    assert (await api("GET", f"/v2/apps/runs/{run_id}")).json["status"] == "COMPLETE"


async def test_a_balancer_closes_without_saying_so(hub):
    hub.faults.add(Fault(kind="close"))
    host, port = hub.api_root.removeprefix("http://").removesuffix("/api").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"GET /api/v2/batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {hub.api_key}\r\n\r\n"
    writer.write(head.encode())
    received = await reader.read(-1)  # to the end of the connection
    writer.close()
    assert received.startswith(b"HTTP/1.1 200")
    assert received.endswith(b'{"batches":[]}')
    assert b"connection" not in received.lower()


async def test_a_balancer_closes_an_idle_connection(hub):
    hub.faults.add(Fault(kind="close", seconds=30))
    host, port = hub.api_root.removeprefix("http://").removesuffix("/api").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"GET /api/v2/batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {hub.api_key}\r\n\r\n".encode()
    for _ in range(2):  # the connection is kept for half a minute
        writer.write(head)
        assert b"200" in await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(14) == b'{"batches":[]}'
    hub.time.advance(seconds=31)
    assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("handled", [False, True])
async def test_a_gateway_answers_html_with_200(api, hub, handled):
    hub.faults.add(Fault(kind="html", operation=operations.RUN_APP, handled=handled, times=1))
    started = await start_run(api, await api.batch({"a.txt": b"Total: 5"}))
    assert (started.status, started.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert len(await run_ids(api)) == int(handled)


async def test_a_header_flood(api, hub):
    hub.faults.add(Fault(kind="header-flood", bytes=5000))
    answer = await api("GET", "/v2/batches")
    assert answer.status == 200
    assert len(answer.headers["Set-Cookie"]) > 5000


async def test_the_backend_starts_the_run_after_the_reset(api, hub):
    batch_id = await api.batch({"a.txt": b"Total: 5"})
    hub.faults.add(Fault(kind="reset-before", operation="runApp", handled_after=6, times=1))
    with pytest.raises(aiohttp.ClientError):
        await start_run(api, batch_id)
    assert await run_ids(api) == []
    hub.time.advance(seconds=5)
    await asyncio.sleep(0.02)
    assert await run_ids(api) == []
    hub.time.advance(seconds=2)
    await hub.idle()
    assert len(await run_ids(api)) == 1
    assert hub.requests.count("runApp") == 1


async def test_an_upload_of_any_size_is_handled_after_its_gateway_gave_up(api, hub):
    batch_id = await api.batch()
    hub.faults.add(Fault(kind="status", status=504, operation="addFileToBatch", handled_after=5))
    content = bytes(3_000_000)
    assert (await api("PUT", f"/v2/batches/{batch_id}/files/a.bin", data=io.BytesIO(content))).status == 504
    assert hub.batch_files(batch_id) == []
    hub.time.advance(seconds=6)
    await hub.idle()
    assert [file.size for file in hub.batch_files(batch_id)] == [len(content)]


@pytest.mark.parametrize("status", [408, 429, 503, 504])
@pytest.mark.parametrize("retry_after", [None, 1])
@pytest.mark.parametrize("when", ["before", "after", "later"])
async def test_an_error_status_before_and_after_processing(api, hub, status, retry_after, when):
    fault = Fault(
        kind="status",
        status=status,
        retry_after=retry_after,
        operation="createBatch",
        handled=when == "after",
        handled_after=3 if when == "later" else None,
    )
    hub.faults.add(fault)
    refused = await api("POST", "/v2/batches", json={"name": "b"})
    assert refused.status == status
    assert ("Retry-After" in refused.headers) == (retry_after is not None)
    assert len((await api("GET", "/v2/batches")).json["batches"]) == int(when == "after")
    hub.time.advance(seconds=4)
    await hub.idle()
    assert len((await api("GET", "/v2/batches")).json["batches"]) == int(when != "before")


async def test_an_outage_of_errors_has_a_beginning_and_an_end(api, hub):
    hub.faults.add(Fault(kind="status", status=503, after=10, lasting=30))
    seen = []
    for _ in range(5):
        seen.append((await api("GET", "/v2/batches")).status)
        hub.time.advance(seconds=11)
    assert seen == [200, 503, 503, 503, 200]


async def connects(hub):
    host, port = hub.api_root.removeprefix("http://").removesuffix("/api").split(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    # A connection that the kernel had accepted already is reset instead.
    except (ConnectionRefusedError, ConnectionResetError):
        return False
    writer.close()
    return True


async def test_an_outage_refuses_connections_and_resets_open_ones(api, hub):
    assert (await api("GET", "/v2/batches")).status == 200  # leaves a kept-alive connection
    hub.faults.add(Fault(kind="refuse", lasting=20))
    for _ in range(2):
        assert not await connects(hub)
    with pytest.raises(aiohttp.ClientError):
        await api("GET", "/v2/batches")
    hub.time.advance(seconds=21)
    await asyncio.sleep(0.02)
    assert (await api("GET", "/v2/batches")).status == 200
    assert hub.requests.count("listBatches") == 2


async def test_a_refusal_later_and_its_removal(api, hub):
    hub.faults.add(Fault(kind="refuse", after=5))
    assert await connects(hub)
    hub.time.advance(seconds=5)
    await asyncio.sleep(0.02)
    assert not await connects(hub)
    hub.faults.clear()
    await asyncio.sleep(0.02)
    assert await connects(hub)


async def test_an_emulator_that_begins_by_refusing():
    async with Emulator(faults=[Fault(kind="refuse", lasting=5)]) as hub:
        await asyncio.sleep(0.02)
        assert not await connects(hub)
        hub.time.advance(seconds=6)
        await asyncio.sleep(0.02)
        assert await connects(hub)


def test_an_outage_begun_from_another_thread():
    with Emulator() as hub:
        hub.faults.add(Fault(kind="refuse"))
        deadline = time.monotonic() + 5
        while asyncio.run(connects(hub)):
            assert time.monotonic() < deadline
        hub.faults.clear()
        while not asyncio.run(connects(hub)):
            assert time.monotonic() < deadline


def test_misspelt_operations_and_impossible_numbers_are_refused():
    with pytest.raises(ValueError, match="did you mean 'runApp'"):
        Fault(kind="html", operation="runapp")
    for wrong in ({"times": -1}, {"probability": 1.5}, {"seconds": -1.0}, {"status": 99}, {"after": -1.0}):
        with pytest.raises(ValueError):
            Fault(kind="status", **wrong)
