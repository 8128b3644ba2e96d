"""Event loops, threads, forks, closing, cancelling: nothing is left behind and nothing hangs."""

import asyncio
import gc
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import aiohttp
import pytest

import aihub_async
from aihub_async import AsyncAIHub, errors

ROOT = Path(aihub_async.__file__).parents[1]

SERVE = """
import asyncio, os, signal, sys, threading
from aihub_async import AsyncAIHub
BODY = b'HTTP/1.1 200 OK\\r\\nContent-Length: 20\\r\\n\\r\\n{"id":1, "name":"a"}'

async def serve(reader, writer):
    try:
        while True:
            await reader.readuntil(b"\\r\\n\\r\\n")
            writer.write(BODY)
    except asyncio.IncompleteReadError:
        writer.close()

started = threading.Event()
def server_thread():
    async def main():
        global PORT
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        PORT = server.sockets[0].getsockname()[1]
        started.set()
        await asyncio.Event().wait()
    asyncio.run(main())
threading.Thread(target=server_thread, daemon=True).start()
started.wait(20)
client = AsyncAIHub(api_key="key", api_root=f"http://127.0.0.1:{PORT}/api")
"""


def run_script(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", SERVE + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Unclosed" not in done.stderr
    assert "unclosed" not in done.stderr
    assert "never" not in done.stderr
    return done.stdout


def test_without_async_with_over_several_loops_nothing_is_left_open():
    out = run_script(
        """
        async def main():
            first = await client.batches.get(1)
            derived = client.with_options(timeout=3, headers={"X-A": "1"})
            return first.id + (await derived.batches.get(1)).id

        print(asyncio.run(main()), asyncio.run(main()))
        """
    )
    assert out == "2 2\n"


def test_fork_gets_a_pool_of_its_own():
    out = run_script(
        """
        async def get():
            return (await client.batches.get(1)).id

        async def main():
            print(await get(), flush=True)
            governor = client._transport.governor
            await governor.acquire(__import__("aihub_async.operations").operations.Lane.BULK, 5)
            child = os.fork()
            if child == 0:
                # The parent waits without a limit.
                signal.alarm(20)
                ok = 1
                try:
                    ok = 0 if asyncio.run(get()) == 1 and governor.in_flight == 0 else 2
                finally:
                    os._exit(ok)
            _, status = os.waitpid(child, 0)
            # The connection of the parent still works.
            print(os.waitstatus_to_exitcode(status), await get(), governor.in_flight)
            await client.aclose()

        asyncio.run(main())
        """
    )
    assert out == "1\n0 1 1\n"


# 57
async def test_use_after_close_and_double_close(server, client):
    await client.batches.list()
    await client.aclose()
    await client.aclose()
    with pytest.raises(errors.ClosedClientError, match="closed"):
        await client.batches.list()
    with pytest.raises(errors.ClosedClientError, match="closed"):
        await client.batches.add_file(1, "a", b"1")
    with pytest.raises(errors.ClosedClientError):
        await client.with_options(timeout=1).batches.list()
    assert len(server.seen) == 1
    assert client._transport.governor.in_flight == 0


async def test_closing_before_use_and_closing_a_derived_client(server, make_client):
    unused = make_client()
    await unused.aclose()
    owner = make_client()
    async with owner.with_options(timeout=1) as derived:
        await derived.batches.list()
    await owner.batches.list()
    await derived.batches.list()
    assert (len(server.seen), server.connections) == (3, 1)


async def test_use_from_another_loop_while_the_first_runs_is_refused(server, client):
    await client.batches.list()
    caught: list[BaseException] = []

    def other() -> None:
        try:
            asyncio.run(client.batches.list())
        except errors.ClosedClientError as error:
            caught.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    await asyncio.to_thread(thread.join, 20)
    assert "another event loop" in str(caught[0])
    await client.batches.list()
    assert len(server.seen) == 2


async def test_requests_in_flight_end_when_the_client_is_closed(server, make_client, wire):
    client = make_client()
    server.says(wire.silence)
    pending = asyncio.create_task(client.batches.list())
    while not server.seen:
        await asyncio.sleep(0)
    await client.aclose()
    with pytest.raises(errors.ClosedClientError):
        await asyncio.wait_for(pending, 2)
    assert client._transport.governor.in_flight == 0


async def test_clients_share_no_configuration(server, make_client):
    one = make_client(api_key="key-one", ib_context="ctx-one", headers={"X-One": "1"})
    two = make_client(api_key="key-two")
    await asyncio.gather(one.batches.list(), two.batches.list())
    by_key = {seen.headers["authorization"]: seen for seen in server.seen}
    assert by_key["Bearer key-one"].headers["ib-context"] == "ctx-one"
    assert "ib-context" not in by_key["Bearer key-two"].headers
    assert "x-one" not in by_key["Bearer key-two"].headers


async def test_with_options_changes_headers_and_context_on_the_same_pool(server, make_client):
    client = make_client(headers={"X-A": "1", "X-B": "1"}, ib_context="one")
    other = client.with_options(headers={"X-B": "2"}, ib_context="two", timeout=1, max_retries=0, deadline=2)
    await client.batches.list()
    await other.batches.list()
    first, second = (seen.headers for seen in server.seen)
    assert (first["x-a"], first["x-b"], first["ib-context"]) == ("1", "1", "one")
    assert (second["x-a"], second["x-b"], second["ib-context"]) == ("1", "2", "two")
    assert server.connections == 1
    assert (client.settings.timeout, other.settings.timeout) == (60.0, 1)
    assert other.settings.api_key is client.settings.api_key


async def test_many_derived_clients_leave_no_sessions(server, client):
    for _ in range(20):
        derived = client.with_options(timeout=3)
        derived.itself = derived
        await derived.batches.list()
    del derived
    gc.collect()
    assert len(client._transport.wire._pool._sessions) == 0
    assert server.connections == 1


async def test_own_headers_replace_those_of_the_client(server, make_client, wire):
    server.says(wire.answer(200, {"batches": []}), wire.answer(204))
    own = {"accept-encoding": "identity", "HOST": "hub.example", "User-Agent": "mine/1", "Content-Type": "text/own"}
    client = make_client(headers=own)
    await client.batches.list()
    await client.batches.add_file(1, "a", b"1")
    await client.batches.add_file(1, "a", b"1" * 300_000)
    for seen in server.seen:
        assert all(seen.headers[name.lower()] == value for name, value in own.items())
        assert len(seen.names) == len(set(seen.names))
    assert len(server.seen) == 3


async def test_a_client_that_nobody_holds_lets_its_connections_go(server, make_client, fake_clock):
    client = AsyncAIHub(api_key="key", api_root=server.root, clock=fake_clock.clock)
    await client.batches.list()
    assert len(server.writers) == 1
    # Part of a cycle, as anything that users build may be.
    cycle = [client]
    cycle.append(cycle)
    client.cycle = cycle
    del client, cycle
    gc.collect()
    async with asyncio.timeout(2):
        while server.writers:
            await asyncio.sleep(0)


def test_over_tls_nothing_is_left_open(certificate):
    out = run_script(
        f"""
        import ssl
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain({str(certificate)!r})
        trusted = ssl.create_default_context(cafile={str(certificate.parent / "cert.pem")!r})

        async def main():
            server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
            root = f"https://127.0.0.1:{{server.sockets[0].getsockname()[1]}}/api"
            global secure
            secure = AsyncAIHub(api_key="key", api_root=root, ssl_context=trusted)
            print((await secure.batches.get(1)).id)
            server.close()

        asyncio.run(main())
        """
    )
    assert out == "1\n"


async def test_a_given_connector_stays_open(server, make_client):
    async with aiohttp.TCPConnector(limit=2) as connector:
        client = make_client(connector=connector)
        await client.batches.list()
        await client.aclose()
        assert not connector.closed
    assert len(server.seen) == 1


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def three_at_once(client: AsyncAIHub) -> None:
    await asyncio.gather(*(client.apps.runs.results("r") for _ in range(3)))


# 58
@pytest.mark.parametrize("kind", ["get", "put", "large put", "once", "queued", "backing off"])
async def test_cancelling_anywhere_leaves_nothing(server, make_client, wire, kind, tmp_path):
    """The call is cancelled after 0, 1, 2 … turns of the event loop, until it gets through."""
    file = tmp_path / "large.bin"
    file.write_bytes(b"x" * 600_000)
    client = make_client(max_concurrent_requests=1)
    governor = client._transport.governor
    good = wire.answer(200, {"id": 1, "name": "a"})
    server.says(good)
    calls = {
        "get": lambda: client.batches.get(1),
        "put": lambda: client.batches.add_file(1, "a", b"1"),
        "large put": lambda: client.batches.add_file(1, "a", file),
        "once": lambda: client.batches.create("x"),
        "queued": lambda: three_at_once(client),
        "backing off": lambda: client.batches.get(1),
    }
    if kind == "queued":
        server.says(wire.answer(200, {"files": []}))
    if kind.endswith("put"):
        server.says(wire.answer(204))
    await calls[kind]()
    tasks = len(asyncio.all_tasks())
    descriptors = open_descriptors()
    for turns in range(200):
        server.seen.clear()
        if kind == "backing off":
            server.says(wire.answer(503), wire.answer(503), good)
        call = asyncio.ensure_future(calls[kind]())
        for _ in range(turns):
            await asyncio.sleep(0)
        if call.done():
            break
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        for _ in range(3):
            await asyncio.sleep(0)
        assert governor.in_flight == 0
    else:
        raise AssertionError("never got through")
    await call
    async with asyncio.timeout(2):
        while len(asyncio.all_tasks()) > tasks + 1 or open_descriptors() > descriptors + 2:
            await asyncio.sleep(0.01)
    assert turns > 3
    assert (governor.in_flight, governor._bytes) == (0, 0)


def test_importing_and_constructing_need_no_loop(monkeypatch):
    monkeypatch.setenv("AIHUB_API_KEY", "from-the-environment")
    client = AsyncAIHub(api_root="https://my-org.example/api/")
    assert client.settings.api_root == "https://my-org.example/api"
    assert repr(client) == "AsyncAIHub(api_root='https://my-org.example/api', ib_context=None)"
