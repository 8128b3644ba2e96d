"""Bulk jobs: a million files through plan and journal, the journal's own cost, and a job against the bare upload."""

import argparse
import asyncio
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import anyio
import attrs
import msgspec

from aihub_async import AsyncAIHub, AttemptEvent
from aihub_async.ingest import IngestJob, JobOptions
from aihub_async.ingest.journal.file import Journal, no_crash_hook
from aihub_async.ingest.journal.queries import put_sample
from aihub_async.transport.messages import AttemptFailure, Request, Response, Wire
from benchmarks.measure import Table
from benchmarks.record import Record, add_option

_BARE = "upload engine, batch after batch"
_PAGE = 100


class StubWire:
    """Answers every request of a job immediately, in place of the network."""

    def __init__(self) -> None:
        self._batches = itertools.count(1)
        self._files: dict[str, list[str]] = {}

    async def attempt(self, request: Request, seconds: float) -> Response | AttemptFailure:  # noqa: ARG002 - as in `Wire`
        name = request.operation.name
        if name == "addFileToBatch":
            self.note(request)
            return _answer(204, None)
        return _answer(200, self._json(name, request))

    def note(self, request: Request) -> None:
        """Keep a file's name for the results."""
        batch, _, name = request.path.partition("/batches/")[2].partition("/files/")
        self._files.setdefault(batch, []).append(name)

    def _json(self, name: str, request: Request) -> Any:
        match name:
            case "createBatch":
                return {"id": next(self._batches)}
            case "runApp":
                assert request.body is not None
                return {"id": f"run-{json.loads(_content(request))['batch_id']}", "status": "RUNNING"}
            case "getRunStatus":
                return {"id": request.path.split("/")[4], "status": "COMPLETE"}
            case "getRunResults":
                return self._results(request)
            case "listBatches":
                return {"batches": []}
            case _:
                return {"runs": []}

    def _results(self, request: Request) -> Any:
        batch = request.path.split("/")[4].removeprefix("run-")
        offset = int(dict(part.split("=") for part in request.query.split("&") if part).get("file_offset", 0))
        files = self._files[batch]
        more = offset + _PAGE < len(files)
        page = files[offset : offset + _PAGE]
        if not more:
            del self._files[batch]
        fields = [{"field_name": "total", "value": "12.50"}]
        return {
            "files": [{"original_file_name": name, "documents": [{"fields": fields}]} for name in page],
            "has_more": more,
        }

    def derive(self, _settings: object) -> Self:
        return self

    async def aclose(self) -> None:
        return None


def _content(request: Request) -> bytes:
    data: bytes = request.body.data  # type: ignore[union-attr]  # JSON bodies are held as bytes
    return data


def _answer(status: int, value: Any) -> Response:
    return Response(status, "", {}, b"" if value is None else msgspec.json.encode(value))


@attrs.frozen
class Synthetic:
    """Names without end, all of one small file."""

    count: int
    path: Path

    def __iter__(self) -> Iterator[tuple[str, Path]]:
        return ((f"2024/scan-{number:07d}.pdf".replace("/", "__"), self.path) for number in range(self.count))


class Watched(Journal):
    """A journal that reports the CPU time of its thread."""

    last: "Watched | None" = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        Watched.last = self
        self.cpu = 0.0

    async def aclose(self) -> None:
        if self._thread.is_alive():
            assert self._thread.ident is not None
            self.cpu = time.clock_gettime(time.pthread_getcpuclockid(self._thread.ident))
        await super().aclose()


def rss() -> float:
    """Peak resident memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def synthetic(count: int, folder: Path) -> dict[str, float]:
    import aihub_async.ingest.job as module

    module.Journal = Watched  # type: ignore[misc]  # to read its thread's clock
    path = folder / "scan.pdf"
    path.write_bytes(b"%PDF-1.4 small")
    idle = rss()
    found: dict[str, float] = {"idle": idle}
    async with AsyncAIHub("key", api_root="http://127.0.0.1:9") as client:
        client._transport.wire = StubWire()
        options = JobOptions(out=folder / "out", journal=folder / "job.db", app_name="stub", max_runs=32)
        job = IngestJob(client, Synthetic(count, path), options)
        for name in ("plan", "run", "again"):
            wall, cpu = time.perf_counter(), time.process_time()
            if name == "plan":
                await job.plan(contents=False, pages=False)
            else:
                status = await job.run()
                assert status.complete, status
                assert status.done == count, status
            found[f"{name} wall"] = time.perf_counter() - wall
            found[f"{name} cpu"] = time.process_time() - cpu
            assert Watched.last is not None
            found[f"{name} journal"] = Watched.last.cpu
            found[f"{name} rss"] = rss()
        found["bytes"] = (folder / "job.db").stat().st_size
    return found


async def commits(count: int, folder: Path) -> tuple[float, int]:
    """Durable writes per second from 64 concurrent tasks, and the commits that they shared."""
    seen = itertools.count()
    commits_made = 0

    def crash_hook(name: str) -> None:
        nonlocal commits_made
        commits_made += name == "after commit"

    async with await Journal.open(folder / "ops.db", {}, crash_hook=crash_hook or no_crash_hook) as journal:

        async def write() -> None:
            while (number := next(seen)) < count:
                await journal.call(lambda db: put_sample(db, float(number), number, number, number))

        began = time.perf_counter()
        async with anyio.create_task_group() as group:
            for _ in range(64):
                group.start_soon(write)
        return count / (time.perf_counter() - began), commits_made


class UploadsOnly(StubWire):
    """Sends the files to a real server, and answers everything else immediately."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire

    async def attempt(self, request: Request, seconds: float) -> Response | AttemptFailure:
        if request.operation.name != "addFileToBatch":
            return await super().attempt(request, seconds)
        self.note(request)
        return await self._wire.attempt(request, seconds)


@attrs.frozen
class Spent:
    """Seconds since a moment: wall time, and CPU time of this process with all of its threads."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Self:
        return cls(time.perf_counter(), time.process_time())

    def since(self, began: "Spent") -> "Spent":
        return Spent(self.wall - began.wall, self.cpu - began.cpu)


Turn = tuple[Spent, Spent, Spent]


async def against_upload(root: str, scans: Path, folder: Path, batch_files: int) -> Turn:
    """What the bare uploads take, a job until its last file is up, and the whole job; the server is not in it."""
    paths = sorted(scans.iterdir())
    began = Spent.now()
    uploaded = began

    def watch(event: AttemptEvent) -> None:
        nonlocal uploaded
        if event.operation == "addFileToBatch":
            uploaded = Spent.now()

    async with AsyncAIHub("key", api_root=root, hooks=[watch]) as client:
        client._transport.wire = UploadsOnly(client._transport.wire)
        await client.batches.upload(1, paths[:100])
        began = Spent.now()
        for start in range(0, len(paths), batch_files):
            batch = await client.batches.create("bare")
            await client.batches.upload(batch.id, paths[start : start + batch_files])
        bare = Spent.now().since(began)
        began = Spent.now()
        status = await client.ingest(scans, app_name="stub", out=folder, batch_files=batch_files).run()
        assert status.done == len(paths), status
        return bare, uploaded.since(began), Spent.now().since(began)


def compare(count: int, size: int, delay: float, rounds: int) -> list[Turn]:
    with tempfile.TemporaryDirectory() as name:
        scans = Path(name) / "scans"
        scans.mkdir()
        for number in range(count):
            (scans / f"scan-{number:05d}.pdf").write_bytes(os.urandom(size))
        command = [sys.executable, "-m", "benchmarks.sink", "--delay", str(delay)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            root = f"http://127.0.0.1:{server.stdout.readline().strip()}/api"
            turns = [asyncio.run(against_upload(root, scans, Path(name) / f"{turn}", 1000)) for turn in range(rounds)]
            assert server.stdin is not None
            server.stdin.close()
        return turns


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks ingest", description=__doc__)
    parser.add_argument("--files", type=int, default=1_000_000, help="synthetic sources")
    parser.add_argument("--uploads", type=int, default=6000, help="real files of the comparison")
    parser.add_argument("--size", type=int, default=20_000, help="their size in bytes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--only-synthetic", metavar="FOLDER", help=argparse.SUPPRESS)
    add_option(parser)
    options = parser.parse_args(argv)
    if options.only_synthetic:
        print(json.dumps(asyncio.run(synthetic(options.files, Path(options.only_synthetic)))))
        return 0
    record = Record.begin("ingest", argv)
    for title, table in tables(options, record):
        print(f"{title}\n\n{table.markdown() if options.markdown else table.text()}\n")
    record.save(options.json)
    return 0


def tables(options: argparse.Namespace, record: Record) -> Iterator[tuple[str, Table]]:
    count = options.files
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks", "ingest", "--files", str(count), "--only-synthetic", folder]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        rate, made = asyncio.run(commits(20_000, Path(folder)))
    table = Table("step", "files/s", "CPU per file", "of it journal", "peak RSS")
    for name, label in (("plan", "plan"), ("run", "run, network stubbed"), ("again", "open, verify, scan again")):
        metrics = {"wall": found[f"{name} wall"], "cpu": found[f"{name} cpu"], "peak": found[f"{name} rss"] * 2**20}
        metrics |= {"journal cpu, s": found[f"{name} journal"], "journal bytes a file": found["bytes"] / count}
        record.add(f"{count:,} synthetic files", {label: [metrics]}, units=count, unit="file")
        table.add(
            label,
            f"{count / found[f'{name} wall']:,.0f}",
            f"{found[f'{name} cpu'] / count * 1e6:.1f} µs",
            f"{found[f'{name} journal'] / count * 1e6:.1f} µs",
            f"{found[f'{name} rss']:.0f} MB",
        )
    yield (
        f"{count:,} synthetic files; {found['bytes'] / count:.0f} bytes of journal each; idle {found['idle']:.0f} MB",
        table,
    )
    durable = Table("durable writes/s, 64 tasks", "commits for 20,000")
    durable.add(f"{rate:,.0f}", made)
    rounds = [{"wall": 20_000 / rate, "commits": made}]
    record.add("20,000 durable writes, 64 tasks", {"journal": rounds}, units=20_000, unit="write")
    yield "The journal alone", durable
    for delay in (0.0, 0.025):
        rounds_taken = compare(options.uploads, options.size, delay, options.rounds)
        table = Table("step", "wall, s", "of the bare upload", "CPU, s", "of the bare upload")
        for index, label in enumerate((_BARE, "job, last file up", "job, all results")):
            cells = []
            for kind in ("wall", "cpu"):
                seconds = statistics.median(getattr(turn[index], kind) for turn in rounds_taken)
                # Paired by round: the machine may be busier in one than in another.
                ratio = statistics.median(getattr(turn[index], kind) / getattr(turn[0], kind) for turn in rounds_taken)
                cells += [f"{seconds:.2f}", f"{ratio:.2f}"]
            table.add(label, *cells)
            work = f"{options.uploads:,} files of {options.size:,} bytes, {delay * 1e3:.0f} ms per request"
            rounds = [attrs.asdict(turn[index]) for turn in rounds_taken]
            record.add(work, {label: rounds}, units=options.uploads, unit="file", baseline=_BARE)
        what = f"{options.uploads:,} files of {options.size:,} bytes to a sink, {delay * 1e3:.0f} ms per request"
        yield f"{what}, {options.rounds} rounds; runs end immediately", table
