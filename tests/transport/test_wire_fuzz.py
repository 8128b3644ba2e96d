"""Damaged answers: whatever arrives, the caller gets a result or an error of the tree, and nothing hangs or leaks."""

import asyncio
import contextlib
import gzip
import random

import pytest

from aihub_async import errors

PLAIN = b'HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: 20\r\nX-Request-ID: 7\r\n\r\n{"id":1, "name":"a"}'
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n"
    b'8\r\n{"id":1,\r\nc\r\n "name":"a"}\r\n0\r\nX-Trailer: 1\r\n\r\n'
)
SMALL = gzip.compress(b'{"id":1, "name":"a"}', mtime=0)
ZIPPED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(SMALL), SMALL)
REFUSED = b'HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 18\r\n\r\n{"message":"busy"}'
SPICE = [
    b"\r\n",
    b"\x00",
    b"\xff",
    b":",
    b"-1",
    b"9" * 30,
    b"chunked",
    b"Content-Length: 3\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
]


def damaged(rng: random.Random) -> bytes:
    data = bytearray(rng.choice([PLAIN, CHUNKED, ZIPPED, REFUSED]))
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data[at:at] = rng.choice(SPICE)
            case 1:
                del data[at : at + rng.randint(1, 12)]
            case 2:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 3:
                data = data[:at] or data
            case 4:
                data[at:at] = data[: rng.randrange(40)]
    return bytes(data)


@pytest.mark.parametrize("seed", range(6))
async def test_damaged_answers_never_escape_the_tree(server, make_client, wire, seed):
    rng = random.Random(seed)
    client = make_client(max_retries=0, timeout=1)
    calls = [
        lambda: client.batches.get(1),
        lambda: client.batches.add_file(1, "a", b"1"),
        lambda: wire.once(client),
        lambda: client.files.get_file_metadata("/a"),
        lambda: client.files.read("/a", range="bytes=0-4"),
    ]
    for _ in range(40):
        answer, call = damaged(rng), rng.choice(calls)

        async def script(exchange, answer=answer):
            await exchange.send(answer)
            exchange.writer.close()

        server.says(script)
        before = len(server.seen)
        with contextlib.suppress(errors.RequestError):
            async with asyncio.timeout(5):
                await call()
        # A connection that the server has just closed may be taken for an open one, but never is a request sent twice.
        assert len(server.seen) <= before + 1
    assert client._transport.governor.in_flight == 0
    server.says(PLAIN)
    assert (await client.with_options(max_retries=3).batches.get(1)).name == "a"
