"""Waiting for many runs concurrently: requests, CPU and memory, against one GET for each run in every round."""

import argparse
import asyncio
import contextlib
import gc
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import attrs

from aihub_async import AsyncAIHub
from aihub_async.policies.polling import Pace
from benchmarks.measure import Table
from benchmarks.record import Record, add_option
from benchmarks.run_server import run_id

ROUND = 5.0  # seconds
_CONCURRENCY = 64


@attrs.frozen
class Cost:
    """What rounds of polling cost. `cpu` is seconds of one core a round, `memory` bytes for each waiting run."""

    rounds: int
    requests: float
    received: float
    cpu: float
    memory: float | None = None

    @property
    def share(self) -> float:
        """Share of one core at one round per 5 s."""
        return self.cpu / ROUND


@contextlib.contextmanager
def server(runs: int) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.run_server", "--runs", str(runs)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


def resident() -> int:
    """Bytes of memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


async def stats(client: AsyncAIHub) -> dict[str, int]:
    answer: dict[str, int] = (await client.request("GET", "/v2/stats")).json()
    return answer


async def ours(root: str, runs: int, rounds: int) -> Cost:
    """`runs` waits of one client, its pace held at one round per 5 s."""
    async with AsyncAIHub(api_root=root, api_key="benchmark") as client:
        client._scheduler.polling.pace = Pace(cap=ROUND * 0.8)
        await stats(client)
        gc.collect()
        before = resident()
        async with anyio.create_task_group() as tasks:
            for number in range(runs):
                tasks.start_soon(client.apps.runs.handle(run_id(number)).wait)
            await _rounds(client, 2, runs)
            gc.collect()
            memory = (resident() - before) / runs
            await stats(client)
            began = time.process_time()
            await _rounds(client, rounds, runs)
            cpu = time.process_time() - began
            counted = await stats(client)
            await client.request("POST", "/v2/end")
        ended = await stats(client)
    print(f"all {runs} waits ended within one round of {ended['requests']} requests", file=sys.stderr)
    return Cost(rounds, counted["requests"] / rounds, counted["bytes"] / rounds, cpu / rounds, memory)


async def _rounds(client: AsyncAIHub, rounds: int, runs: int) -> None:
    """Sleep through whole rounds: from the end of one to the end of a later one."""
    group = next(iter(client._scheduler.groups), None)
    while group is None or not group.uses_lists or len(group) < runs:
        await asyncio.sleep(0.05)
        group = next(iter(client._scheduler.groups), None)
    for _ in range(rounds):
        planned, _ = group.rounds_planned
        while group.rounds_planned[0] == planned or group.rounds_planned[1]:
            await asyncio.sleep(0.05)


async def bare(root: str, runs: int, rounds: int) -> Cost:
    """aiohttp alone, one GET for each run, 64 concurrently."""
    headers = {"Authorization": "Bearer benchmark"}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=_CONCURRENCY)) as session:

        async def get(path: str) -> Any:
            async with session.get(f"{root}{path}") as answer:
                return await answer.json()

        async def worker(numbers: Iterator[int]) -> None:
            for number in numbers:
                assert (await get(f"/v2/apps/runs/{run_id(number)}"))["status"] == "RUNNING"

        async def one_round() -> None:
            numbers = iter(range(runs))
            async with anyio.create_task_group() as tasks:
                for _ in range(_CONCURRENCY):
                    tasks.start_soon(worker, numbers)

        await one_round()
        await get("/v2/stats")
        began = time.process_time()
        for _ in range(rounds):
            await one_round()
        cpu = time.process_time() - began
        counted = await get("/v2/stats")
    return Cost(rounds, counted["requests"] / rounds, counted["bytes"] / rounds, cpu / rounds)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks waiting", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds, of 5 s each")
    parser.add_argument("--markdown", action="store_true")
    add_option(parser)
    options = parser.parse_args(argv)
    record = Record.begin("waiting", argv)

    with server(options.runs) as root:
        costs = {"aiohttp, one GET each": asyncio.run(bare(root, options.runs, 2))}
        costs = {"aihub_async": asyncio.run(ours(root, options.runs, options.rounds)), **costs}
    table = Table("waiting", "requests a round", "received", "CPU a round", "one core at 5 s", "memory a run")
    for name, cost in costs.items():
        memory = "-" if cost.memory is None else f"{cost.memory / 1024:.1f} KiB"
        cells = (f"{cost.requests:.0f}", f"{cost.received / 1e6:.1f} MB", f"{cost.cpu * 1e3:.0f} ms")
        table.add(name, *cells, f"{cost.share:.1%}", memory)
    print(f"{options.runs} waiting runs, plain asyncio\n")
    print(table.markdown() if options.markdown else table.text())
    rounds = {name: [_as_round(cost)] for name, cost in costs.items()}
    record.add(f"{options.runs:,} waiting runs, a round of 5 s", rounds, units=options.runs, unit="run")
    record.save(options.json)
    return 0


def _as_round(cost: Cost) -> dict[str, float]:
    memory = {} if cost.memory is None else {"bytes a run": cost.memory}
    return {"cpu": cost.cpu, "requests": cost.requests, "received": cost.received, **memory}
