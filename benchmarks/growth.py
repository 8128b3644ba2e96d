"""Cost as work grows: wall time, CPU time and memory for each unit, and where they bend.

Files go through plan, journal and upload with the network stubbed; waits hang on one client whose server never
finishes; results pages are decoded and kept; threads share one sync client against a sink. Each size has a fresh
process. A bend is a size whose CPU time a unit is more than a quarter above that of the size before.
"""

import argparse
import asyncio
import gc
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.contestants.run import peak, resident
from benchmarks.measure import Table, cpu_seconds
from benchmarks.plot import lines
from benchmarks.record import Record, Round, add_option
from benchmarks.serving import sink

FILES, WAITS, PAGES, THREADS = "files", "waits", "results pages", "sync threads"
SIZES = {
    FILES: [10**power for power in range(2, 7)],
    WAITS: [10**power for power in range(2, 6)],
    PAGES: [10**power for power in range(4)],
    THREADS: [2**power for power in range(7)],
}
_BEND = 1.25
_CALLS = 2_048


def files(count: int) -> dict[str, Round]:
    """Plan, run and scan again a job of so many files."""
    from benchmarks.ingest import synthetic

    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(synthetic(count, Path(folder)))
    steps = {"plan": "plan", "run": "upload, runs and results, network stubbed", "again": "open, verify, scan again"}
    rounds = {}
    for name, label in steps.items():
        memory = (found[f"{name} rss"] - found["idle"]) * 2**20
        rounds[f"files: {label}"] = {
            "wall": found[f"{name} wall"],
            "cpu": found[f"{name} cpu"],
            "memory": memory,
            "journal": found[f"{name} journal"],
        }
    return rounds


def waits(count: int) -> dict[str, Round]:
    """Start so many waits on one client and poll them for two rounds."""
    from benchmarks.waiting import ours, server

    with server(count) as root:
        began = time.perf_counter()
        cost = asyncio.run(ours(root, count, 2))
    memory = (cost.memory or 0.0) * count
    return {"waits: one round of polling": {"wall": time.perf_counter() - began, "cpu": cost.cpu, "memory": memory}}


def pages(count: int) -> dict[str, Round]:
    """Decode so many results pages of 20 documents with 20 fields, and keep all of them."""
    from aihub_async.models import RunResults
    from aihub_async.models.decode import decode
    from benchmarks.results import Clock

    made = list(Clock(20 * 50, 20).pages())
    decode(RunResults, made[0])
    gc.collect()
    idle, wall, cpu = resident(), time.perf_counter(), cpu_seconds()
    kept = [decode(RunResults, made[number % len(made)]) for number in range(count)]
    taken = {"wall": time.perf_counter() - wall, "cpu": cpu_seconds() - cpu, "memory": float(resident() - idle)}
    assert len(kept) == count
    return {"results pages: decoded and kept": taken}


def threads(count: int) -> dict[str, Round]:
    """Make 2,048 calls of `status` from so many threads that share one client."""
    from aihub_sync import AIHub

    def calls(client: AIHub, times: int) -> None:
        for _ in range(times):
            client.apps.runs.status("run-1")

    with sink() as root, AIHub("benchmark", api_root=root) as client, ThreadPoolExecutor(count) as pool:
        calls(client, 50)
        idle, wall, cpu = resident(), time.perf_counter(), cpu_seconds()
        for done in [pool.submit(calls, client, _CALLS // count) for _ in range(count)]:
            done.result()
        taken = {"wall": time.perf_counter() - wall, "cpu": cpu_seconds() - cpu, "memory": float(peak() - idle)}
    return {"sync threads: 2,048 calls of status()": taken}


WORK: dict[str, Callable[[int], dict[str, Round]]] = {FILES: files, WAITS: waits, PAGES: pages, THREADS: threads}


def units(work: str, size: int) -> int:
    """Return by what the cost of a size is divided: more threads make the same number of calls."""
    return _CALLS if work == THREADS else size


def measure(work: str, size: int) -> dict[str, Round]:
    """Do one size of one kind of work in its own process."""
    command = [sys.executable, "-m", "benchmarks", "growth", "--one", work, str(size)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, Round] = json.loads(output.splitlines()[-1])
    return found


def bends(costs: dict[int, float]) -> str:
    """Return at which sizes the cost of a unit rises by more than a quarter."""
    sizes = list(costs)
    found = [
        f"{size:,} costs {costs[size] / costs[before]:.2f} times as much a unit as {before:,}"
        for before, size in itertools.pairwise(sizes)
        if costs[size] > costs[before] * _BEND
    ]
    return "; ".join(found) or "no bend: CPU a unit never rises by more than a quarter from one size to the next"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks growth", description=__doc__)
    parser.add_argument("--work", nargs="+", choices=WORK, default=list(WORK))
    for name, title in ((FILES, "files"), (WAITS, "waits"), (PAGES, "pages"), (THREADS, "threads")):
        parser.add_argument(f"--max-{title}", type=int, default=SIZES[name][-1], help="leave larger sizes out")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--plot", type=Path, help="write CPU time a unit as an SVG file")
    parser.add_argument("--one", nargs=2, metavar=("WORK", "SIZE"), help=argparse.SUPPRESS)
    add_option(parser)
    options = parser.parse_args(argv)
    if options.one:
        work, size = options.one
        print(json.dumps(WORK[work](int(size))))
        return 0
    most = {FILES: options.max_files, WAITS: options.max_waits, PAGES: options.max_pages, THREADS: options.max_threads}
    record = Record.begin("growth", argv)
    charts: dict[str, dict[int, float]] = {}
    for work in options.work:
        found: dict[str, dict[int, Round]] = {}
        left_out = [size for size in SIZES[work] if size > most[work]]
        if left_out:
            record.notes.append(f"{work}: sizes not run: {', '.join(f'{size:,}' for size in left_out)}.")
        for size in (size for size in SIZES[work] if size <= most[work]):
            for label, taken in measure(work, size).items():
                found.setdefault(label, {})[size] = taken
                record.add(label, {f"{size:,}": [taken]}, units=units(work, size), unit="unit")
        for label, rounds in found.items():
            charts[label] = {size: taken["cpu"] / units(work, size) * 1e6 for size, taken in rounds.items()}
            record.notes.append(f"{label}: {bends(charts[label])}.")
            table = _table(label, work, rounds)
            print(f"{table.markdown() if options.markdown else table.text()}\n{record.notes[-1]}\n", flush=True)
    if options.plot:
        options.plot.write_text(lines("CPU a unit, µs, by size; both axes logarithmic", charts))
    record.save(options.json)
    return 0


def _table(label: str, work: str, rounds: dict[int, Round]) -> Table:
    table = Table(label, "wall a unit, µs", "CPU a unit, µs", "memory above idle, MB", "bytes a unit")
    for size, taken in rounds.items():
        share = units(work, size)
        wall, cpu = (f"{taken[metric] / share * 1e6:.1f}" for metric in ("wall", "cpu"))
        table.add(f"{size:,}", wall, cpu, f"{taken['memory'] / 1e6:.1f}", f"{taken['memory'] / share:,.0f}")
    return table
