import asyncio
import gzip
import json
import time

import pytest

from aihub_async.emulator import Emulator, Fault
from aihub_async.emulator.faults import Faults


async def exchange(hub, method="GET", path="/v2/batches", body=b""):
    """One request over a bare socket: what came back, and how the connection ended."""
    host, port = hub.api_root.removeprefix("http://").removesuffix("/api").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"{method} /api{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {hub.api_key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    received = b""
    try:
        while piece := await reader.read(65536):
            received += piece
        return received, "closed"
    except ConnectionResetError:
        return received, "reset"
    finally:
        writer.transport.abort()


def split(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    return int(head.split()[1]), headers, body


CREATE = {"method": "POST", "body": b'{"name": "b"}'}


async def batches(hub):
    return json.loads(split((await exchange(hub))[0])[2])["batches"]


async def test_status_with_and_without_retry_after(api, hub):
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    for retry_after, header in ((None, None), (2, "2"), (date, date), (-1, "-1")):
        hub.faults.add(Fault(kind="status", status=429, retry_after=retry_after, message="Slow down.", times=1))
        refused = await api("GET", "/v2/batches")
        assert (refused.status, refused.message) == (429, "Slow down.")
        assert refused.headers.get("Retry-After") == header
    assert (await api("GET", "/v2/batches")).status == 200
    assert hub.requests.statuses("listBatches") == [429, 429, 429, 429, 200]


async def test_latency(api, hub):
    hub.faults.add(Fault(kind="latency", seconds=0.05))
    before = time.monotonic()
    assert (await api("GET", "/v2/batches")).status == 200
    assert time.monotonic() - before >= 0.05


async def test_reset_before_leaves_nothing_done(hub):
    hub.faults.add(Fault(kind="reset-before", operation="createBatch"))
    assert await exchange(hub, path="/v2/batches", **CREATE) == (b"", "reset")
    assert await batches(hub) == []
    assert hub.requests.statuses("createBatch") == [None]


async def test_reset_after_has_done_it(hub):
    hub.faults.add(Fault(kind="reset-after", operation="createBatch"))
    assert await exchange(hub, path="/v2/batches", **CREATE) == (b"", "reset")
    assert len(await batches(hub)) == 1


async def test_reset_in_the_body(hub):
    hub.faults.add(Fault(kind="reset-body", times=1))
    received, end = await exchange(hub, path="/v2/batches", **CREATE)
    assert end == "reset"
    status, headers, body = split(received)
    assert status == 200
    assert 0 < len(body) < int(headers["Content-Length"])


async def test_truncated_body(hub):
    hub.faults.add(Fault(kind="truncate", times=1))
    received, end = await exchange(hub)
    _, headers, body = split(received)
    assert (end, len(body) < int(headers["Content-Length"])) == ("closed", True)


async def test_a_file_and_an_empty_answer_can_be_broken_off(api, hub):
    await api("PUT", "/v2/files/acme/a", data=b"0123456789" * 50_000)
    hub.faults.add(Fault(kind="truncate", operation="readFile"), Fault(kind="truncate", method="PUT"))
    received, _ = await exchange(hub, path="/v2/files/acme/a?expect-node-type=file")
    assert split(received)[1]["Content-Length"] == "500000"
    assert len(split(received)[2]) == 250_000
    received, _ = await exchange(hub, "PUT", "/v2/files/acme/a", b"x")
    assert split(received)[0] == 204


async def test_garbled_status_line(hub):
    hub.faults.add(Fault(kind="garble"))
    received, _ = await exchange(hub)
    assert received.startswith(b"HTTQ/0.0")
    assert b"\r\nHTTP/1.1" not in received


async def test_a_login_page(api, hub):
    hub.faults.add(Fault(kind="html", handled=True, operation="createBatch"))
    page = await api("POST", "/v2/batches", json={"name": "b"})
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"Sign in" in page.body
    assert len(await batches(hub)) == 1


async def test_slow_drip(api, hub):
    batch_id = await api.batch()
    hub.faults.add(Fault(kind="drip", bytes=100, seconds=0.005))
    before = time.monotonic()
    assert (await api("GET", f"/v2/batches/{batch_id}")).json["id"] == batch_id
    assert time.monotonic() - before >= 0.01


async def test_json_that_a_strict_reader_refuses(api, hub):
    run_id = await api.run({"a.txt": b"Order: 7"})
    hub.faults.add(Fault(kind="unknown-fields", times=1))
    changed = await api.results(run_id)
    assert changed["x_new_field"]
    assert changed["files"][0]["documents"][0]["x_new_field"]
    hub.faults.clear()
    hub.faults.add(Fault(kind="unknown-enum", times=1))
    assert (await api.results(run_id))["status"] == "SOMETHING_NEW"
    hub.faults.clear()
    hub.faults.add(Fault(kind="nulls"))
    changed = await api.results(run_id)
    assert (changed["id"], changed["has_more"]) == (run_id, False)
    assert changed["message"] is changed["files"][0]["original_file_name"] is None
    assert (await api("GET", f"/v2/batches/{await api.batch()}")).json["name"] is None
    assert (await api("GET", "/v2/apps/runs/none")).message


async def test_a_gzip_bomb(hub):
    hub.faults.add(Fault(kind="gzip-bomb", bytes=5_000_000))
    _, headers, body = split((await exchange(hub))[0])
    assert headers["Content-Encoding"] == "gzip"
    assert len(body) < 20_000
    assert len(gzip.decompress(body)) > 5_000_000


async def test_the_token_comes_back_in_an_error(api, hub):
    hub.faults.add(Fault(kind="echo-authorization", status=500))
    echoed = await api("GET", "/v2/batches")
    assert (echoed.status, hub.api_key in echoed.message) == (500, True)


async def test_redirects_and_cookies(api, hub):
    hub.faults.add(Fault(kind="redirect", location="https://elsewhere.example/x", times=1))
    moved = await api("GET", "/v2/batches")
    assert (moved.status, moved.headers["Location"]) == (307, "https://elsewhere.example/x")
    hub.faults.add(Fault(kind="redirect", status=302, times=1))
    assert (await api("GET", "/v2/batches")).status == 302
    hub.faults.add(Fault(kind="headers", extra_headers=(("Set-Cookie", "session=1"), ("X-Request-Id", "r1"))))
    marked = await api("GET", "/v2/batches")
    assert (marked.status, marked.headers["Set-Cookie"], marked.headers["X-Request-Id"]) == (200, "session=1", "r1")


async def test_faults_given_at_the_start(connect):
    async with Emulator(faults=[Fault(kind="status", status=500, path="/batches$", skip=1, times=1)]) as hub:
        api = await connect(hub)
        assert [(await api("GET", "/v2/batches")).status for _ in range(3)] == [200, 500, 200]
        assert (hub.faults.fired(), hub.faults.fired("latency")) == (1, 0)


def strikes(faults, count=200):
    return [bool(faults.take("getBatch", "GET", "/api/v2/batches/1")) for _ in range(count)]


def test_chance_is_the_same_each_time():
    first, second, other = Faults(seed=1), Faults(seed=1), Faults(seed=2)
    for faults in (first, second, other):
        faults.add(Fault(kind="latency", probability=0.3))
    struck = strikes(first)
    assert struck == strikes(second)
    assert struck != strikes(other)
    assert 30 < sum(struck) < 90


def test_what_a_fault_matches():
    faults = Faults()
    faults.add(Fault(kind="latency", operation="addFileToBatch"), Fault(kind="latency", method="PUT"))
    assert strikes(faults, 1) == [False]
    assert len(faults.take("addFileToBatch", "PUT", "/x")) == 2
    with pytest.raises(ValueError, match="kind"):
        Fault(kind="nonsense")
