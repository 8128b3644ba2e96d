"""Bulk jobs of many small groups: one batch and one run each, with the network stubbed and runs of 20 ms.

The files of a group follow each other in the source ("sorted"), or are scattered over all of it.
"""

import argparse
import asyncio
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import anyio
import attrs

from aihub_async import AsyncAIHub
from aihub_async.transport.messages import AttemptFailure, Request, Response
from benchmarks.ingest import Spent, StubWire, rss
from benchmarks.measure import Table
from benchmarks.record import Record, add_option

_FILES = 3
_RUN_SECONDS = 0.02


class SlowRuns(StubWire):
    """Answers everything immediately but the status of a run; counts the runs that are in flight."""

    def __init__(self) -> None:
        super().__init__()
        self._running: set[str] = set()
        self.most = 0

    async def attempt(self, request: Request, seconds: float) -> Response | AttemptFailure:
        if request.operation.name != "getRunStatus":
            return await super().attempt(request, seconds)
        self._running.add(request.path)
        self.most = max(self.most, len(self._running))
        await anyio.sleep(_RUN_SECONDS)
        self._running.discard(request.path)
        return await super().attempt(request, seconds)


@attrs.frozen
class Cases:
    """Names of files in groups, all of one small file."""

    groups: int
    path: Path
    is_sorted: bool

    def __iter__(self) -> Iterator[tuple[str, Path]]:
        return ((f"{number:07d}.pdf", self.path) for number in range(self.groups * _FILES))

    def numbers(self) -> Iterator[int]:
        """The group of each file in turn: the path alone does not name it here."""
        files = range(self.groups * _FILES)
        return (number // _FILES if self.is_sorted else number % self.groups for number in files)


async def measure(groups: int, is_sorted: bool, folder: Path) -> dict[str, float]:
    path = folder / "scan.pdf"
    path.write_bytes(b"%PDF-1.4 small")
    cases = Cases(groups, path, is_sorted)
    numbers = itertools.cycle(cases.numbers())
    async with AsyncAIHub("key", api_root="http://127.0.0.1:9") as client:
        wire = SlowRuns()
        client._transport.wire = wire
        idle, began = rss(), Spent.now()
        job = client.ingest(
            cases,
            app_name="stub",
            out=folder / "out",
            group=lambda _: f"case {next(numbers)}",
            group_sorted=is_sorted,
        )
        status = await job.run()
        assert status.complete, status
        assert status.done == groups * _FILES, status
        spent = Spent.now().since(began)
        return {**attrs.asdict(spent), "idle": idle, "peak": rss(), "runs in flight": wire.most}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks groups", description=__doc__)
    parser.add_argument("--groups", type=int, default=10_000)
    parser.add_argument("--only", nargs=2, metavar=("ORDER", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--markdown", action="store_true")
    add_option(parser)
    options = parser.parse_args(argv)
    if options.only:
        order, folder = options.only
        print(json.dumps(asyncio.run(measure(options.groups, order == "sorted", Path(folder)))))
        return 0
    record = Record.begin("groups", argv)
    table = Table("source", "groups/s", "CPU per group", "runs in flight", "RSS, idle and peak")
    for order in ("sorted", "scattered"):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "benchmarks", "groups", "--groups", str(options.groups)]
            command += ["--only", order, folder]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        metrics = found | {"idle": found["idle"] * 2**20, "peak": found["peak"] * 2**20}
        work = f"{options.groups:,} groups of {_FILES} files"
        record.add(work, {order: [metrics]}, units=options.groups, unit="group")
        table.add(
            order,
            f"{options.groups / found['wall']:,.0f}",
            f"{found['cpu'] / options.groups * 1e3:.1f} ms",
            found["runs in flight"],
            f"{found['idle']:.0f}, {found['peak']:.0f} MB",
        )
    print(table.markdown() if options.markdown else table.text())
    record.save(options.json)
    return 0
