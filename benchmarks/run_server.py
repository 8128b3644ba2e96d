"""A server of many unfinished runs: lists them in pages, returns single ones, and counts requests and bytes.

It runs in its own process (``python -m benchmarks.run_server --runs N``) and prints its port when it listens.
``POST /v2/end`` ends all runs, ``GET /v2/stats`` returns the counters and resets them.
"""

import argparse
import asyncio
import contextlib
import email.utils
import json
import re
import sys
import uuid

_START = 1_790_000_000
_MOST = 1000


def run_id(number: int) -> str:
    """The id of a run; the same in every process."""
    return str(uuid.UUID(int=(0x5EED << 112) + number))


def run_json(number: int, status: str) -> bytes:
    """A run as the API returns it, of ordinary size."""
    ended = status != "RUNNING"
    run = {
        "id": run_id(number),
        "status": status,
        "start_timestamp": (_START + number // 10) * 10**9,
        "finish_timestamp": (_START + 100_000) * 10**9 if ended else None,
        "msg": "Run completed." if ended else "Run initiated successfully.",
        "batch_id": number,
        "input_dir": f"/acme/jane.doe_acme.com/fs/Instabase Drive/aihub/batches/{number}/",
        "app_id": "588087e0-a399-53cc-ba29-ddcc580b6858",
        "deployment_id": None,
        "tags": ["march", f"aihub-sdk:{uuid.UUID(int=number).hex}"],
    }
    return json.dumps(run).encode()


class Runs:
    """The runs, already written."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.requests = 0
        self.bytes = 0
        self.become("RUNNING")

    def become(self, status: str) -> None:
        """Set the status of all runs."""
        self._written = [run_json(number, status) for number in range(self.count)]
        self._by_id = {run_id(number).encode(): text for number, text in enumerate(self._written)}
        self._pages: dict[tuple[int, int], bytes] = {}

    def answer(self, target: bytes) -> bytes:
        """The body for a request target."""
        if target.endswith(b"/end"):
            self.become("COMPLETE")
            return b"{}"
        if target.endswith(b"/stats"):
            requests, self.requests = self.requests, 0
            sent, self.bytes = self.bytes, 0
            return json.dumps({"requests": requests, "bytes": sent}).encode()
        self.requests += 1
        path, _, query = target.partition(b"?")
        name = path.rpartition(b"/")[2]
        body = self._page(query) if name == b"runs" else self._by_id[name]
        self.bytes += len(body)
        return body

    def _page(self, query: bytes) -> bytes:
        wanted = dict(re.findall(rb"(limit|offset)=(\d+)", query))
        limit, offset = min(int(wanted.get(b"limit", 100)), _MOST), int(wanted.get(b"offset", 0))
        if (limit, offset) not in self._pages:
            runs = b",".join(self._written[offset : offset + limit])
            self._pages[limit, offset] = b'{"runs": [' + runs + b"]}"
        return self._pages[limit, offset]


class Protocol(asyncio.Protocol):
    """Answers requests without bodies, one after the other."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._head += data
        while b"\r\n\r\n" in self._head:
            head, _, self._head = self._head.partition(b"\r\n\r\n")
            body = self._runs.answer(head.split(b" ", 2)[1])
            date = email.utils.formatdate(usegmt=True).encode()
            self._transport.write(  # type: ignore[attr-defined]  # a stream transport
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: %b\r\nContent-Length: %d\r\n\r\n%b"
                % (date, len(body), body)
            )


async def serve(count: int) -> None:
    runs = Runs(count)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Protocol(runs), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Whoever started this process ends it by closing its standard input, or by being killed.
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks.run_server", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    options = parser.parse_args()
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    asyncio.run(serve(options.runs))
