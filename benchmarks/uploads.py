"""Uploads: this SDK, the official SDK, bare aiohttp, and a raw protocol client as the practical limit.

The sink (`sink.py`) runs in its own process; so does each contestant, freshly started for each round, and rounds are
interleaved. The clock of a contestant starts when its imports are done and its client exists; connecting, reading
files from disk and all bookkeeping are inside. After every run the sink's counters must show that all bytes arrived.

Workloads: W1 is 2,000 files of 20 KB, W2 is 200 files of 1 MB, W3 one file of 1.0e9 bytes; `steady` compares 2,000
files with 100,000 through `iter_upload`.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from benchmarks.measure import Table
from benchmarks.plot import bars
from benchmarks.record import Record, add_option
from benchmarks.serving import cores, make_certificate, sink, stats

DELAY = 0.025
OURS, OURS_UVLOOP = "aihub_async", "aihub_async, uvloop"
OFFICIAL, OFFICIAL_THREADS = "official SDK, in sequence", "official SDK, 32 threads"
BARE = "bare aiohttp"
RAW, RAW_UVLOOP = "raw protocol", "raw protocol, uvloop"
HTTPX2, OPENAI = "httpx2", "openai's aiohttp backend"
CONTESTANTS: dict[str, tuple[str, bool]] = {
    OURS: ("ours.upload", False),
    OURS_UVLOOP: ("ours.upload", True),
    OFFICIAL: ("official.sequence", False),
    OFFICIAL_THREADS: ("official.threads", False),
    BARE: ("bare.aiohttp_gather", False),
    HTTPX2: ("httpx2.own_pool", False),
    OPENAI: ("httpx2.openai_aiohttp", False),
    RAW: ("raw.asyncio_protocol", False),
    RAW_UVLOOP: ("raw.asyncio_protocol", True),
}

Goal = tuple[str, float, float, bool]
"""What, the limit, what was measured, and whether more is better."""


@attrs.frozen
class Workload:
    """What is sent, and how the sink answers. `concurrency` None leaves it to each contestant's default."""

    title: str
    files: int
    size: int
    tls: bool = False
    delay: float = 0.0
    concurrency: int | None = 32

    @property
    def large(self) -> bool:
        return self.files == 1

    @property
    def total(self) -> int:
        return self.files * self.size


WORKLOADS = {
    "W1": Workload("W1 plain, concurrency 32", 2000, 20_000),
    "W1-25ms": Workload("W1 plain, 25 ms per request, default concurrency", 2000, 20_000, False, DELAY, None),
    "W2": Workload("W2 TLS", 200, 1_000_000, True),
    "W3": Workload("W3 plain", 1, 1_000_000_000),
    "W3-25ms": Workload("W3 plain, 25 ms per request", 1, 1_000_000_000, False, DELAY),
    "W3-TLS": Workload("W3 TLS", 1, 1_000_000_000, True),
}


@attrs.frozen
class Run:
    """One run of a contestant: seconds, bytes, and page faults that needed no disk."""

    wall: float
    cpu: float
    user: float
    sys: float
    faults: int
    idle: int
    peak: int


def make_files(folder: Path, workload: Workload) -> Path:
    """The files to send, of bytes that do not compress."""
    target = folder / f"{workload.files}x{workload.size}"
    if target.exists():
        return target
    target.mkdir()
    for number in range(workload.files):
        with (target / f"file-{number:05}.pdf").open("wb") as file:
            for start in range(0, workload.size, 1_000_000):
                file.write(os.urandom(min(1_000_000, workload.size - start)))
    return target


def run(name: str, workload: Workload, root: str, folder: Path, certificate: Path, core: int | None) -> Run:
    """One run in a fresh process; what arrived is compared with what should have."""
    module, uvloop = CONTESTANTS[name]
    command = [sys.executable, "-m", "benchmarks.contestants.run", module, root, str(folder)]
    command += ["--large"] if workload.large else []
    command += ["--concurrency", str(workload.concurrency)] if workload.concurrency else []
    command += ["--certificate", str(certificate)] if workload.tls else []
    command += ["--uvloop"] if uvloop else []
    command += [] if core is None else ["--core", str(core)]
    stats(root, certificate, "DELETE")
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    arrived = stats(root, certificate, "GET")
    slack = 20_000 if workload.large else 0
    if arrived["requests"] < workload.files or not 0 <= arrived["bytes"] - workload.total <= slack:
        raise SystemExit(f"{name} sent {arrived} of {workload.files} files and {workload.total} bytes")
    return Run(**json.loads(output.splitlines()[-1]))


def contestants_of(workload: Workload) -> list[str]:
    # Both clients of httpx2 send small files only: they have no upload in parts.
    left_out = {OFFICIAL_THREADS, HTTPX2, OPENAI} if workload.large else set()
    if importlib.util.find_spec("httpx2") is None:
        left_out |= {HTTPX2, OPENAI}
    if importlib.util.find_spec("openai") is None:
        left_out |= {OPENAI}
    if importlib.util.find_spec("uvloop") is None:
        left_out |= {OURS_UVLOOP, RAW_UVLOOP}
    return [name for name in CONTESTANTS if name not in left_out]


def race(
    workload: Workload, rounds: int, folder: Path, certificate: Path, *, names: Sequence[str] = (), pin: bool = False
) -> dict[str, list[Run]]:
    """All contestants in turn, every round in the other direction; a first round is not counted."""
    names = [name for name in contestants_of(workload) if not names or name in names]
    client, server = cores() if pin else (None, None)
    files = make_files(folder, workload)
    runs: dict[str, list[Run]] = {name: [] for name in names}
    with sink(certificate=certificate if workload.tls else None, delay=workload.delay, core=server) as root:
        for number in range(rounds + 1):
            for name in names if number % 2 else reversed(names):
                taken = run(name, workload, root, files, certificate, client)
                if number:
                    runs[name].append(taken)
    return runs


_COLUMNS = (
    "wall s",
    "CPU s",
    "sys s",
    "faults",
    "peak MB",
    "above idle MB",
    "files/s",
    "wall / aiohttp",
    "CPU / aiohttp",
)


def table_of(workload: Workload, runs: dict[str, list[Run]]) -> Table:
    table = Table(workload.title, *_COLUMNS)
    for name, taken in runs.items():
        wall = _median(taken, "wall")
        table.add(
            name,
            f"{wall:.3f}",
            f"{_median(taken, 'cpu'):.3f}",
            f"{_median(taken, 'sys'):.3f}",
            f"{_median(taken, 'faults'):,.0f}",
            f"{_median(taken, 'peak') / 1e6:.0f}",
            f"{statistics.median(run.peak - run.idle for run in taken) / 1e6:.0f}",
            f"{workload.files / wall:,.0f}",
            *(f"{paired(taken, runs[BARE], metric):.2f}" if BARE in runs else "-" for metric in ("wall", "cpu")),
        )
    return table


def _median(runs: Sequence[Run], field: str) -> float:
    return statistics.median(getattr(run, field) for run in runs)


def paired(mine: Sequence[Run], theirs: Sequence[Run], metric: str) -> float:
    """Return the median ratio of the same round: a slow spell of the machine meets both."""
    pairs = zip(mine, theirs, strict=True)
    return statistics.median(getattr(one, metric) / getattr(other, metric) for one, other in pairs)


def goals(workload_name: str, runs: dict[str, list[Run]]) -> list[Goal]:
    """The goals of a workload: what, the limit, what was measured, and whether more is better."""

    if not {OURS, BARE, OFFICIAL, RAW} <= runs.keys():
        return []

    def ratio(name: str, other: str, metric: str = "wall") -> float:
        return paired(runs[name], runs[other], metric)

    best_raw = min((name for name in (RAW, RAW_UVLOOP) if name in runs), key=lambda name: _median(runs[name], "wall"))
    above_idle = statistics.median(run.peak - run.idle for run in runs[OURS]) / 1e6
    rows: dict[str, list[Goal]] = {
        "W1": [
            (f"{metric} / aiohttp{', uvloop' if name == OURS_UVLOOP else ''}", limit, ratio(name, BARE, metric), False)
            for name, limit in ((OURS, 0.8), (OURS_UVLOOP, 0.6))
            if name in runs
            for metric in ("wall", "cpu")
        ],
        "W1-25ms": [
            ("times faster than the official SDK in sequence", 45, ratio(OFFICIAL, OURS), True),
            (
                "wall / official, 32 threads",
                1.0,
                ratio(OURS, OFFICIAL_THREADS) if OFFICIAL_THREADS in runs else 0,
                False,
            ),
            (
                "CPU / official, 32 threads",
                0.5,
                ratio(OURS, OFFICIAL_THREADS, "cpu") if OFFICIAL_THREADS in runs else 0,
                False,
            ),
        ],
        "W2": [
            ("wall / aiohttp", 0.6, ratio(OURS, BARE), False),
            ("wall / official in sequence", 1.0, ratio(OURS, OFFICIAL), False),
            ("CPU / official in sequence", 0.95, ratio(OURS, OFFICIAL, "cpu"), False),
        ],
        "W3": [
            ("wall / raw limit", 1.25, ratio(OURS, best_raw), False),
            ("peak above idle, MB", 25, above_idle, False),
        ],
        "W3-25ms": [("times faster than add_large_file", 4.5, ratio(OFFICIAL, OURS), True)],
        "W3-TLS": [
            ("wall / official", 0.9, ratio(OURS, OFFICIAL), False),
            ("CPU / raw protocol", 1.1, ratio(OURS, RAW, "cpu"), False),
        ],
    }
    return rows[workload_name]


def steady(quick: bool, record: Record) -> tuple[Table, list[Goal]]:
    """Memory and CPU per file of `iter_upload` over few and over many sources; few go before and after many."""
    few, many = 2_000, 20_000 if quick else 100_000
    found: dict[int, list[dict[str, Any]]] = {few: [], many: []}
    with sink() as root:
        for count in (few, few, few, many, few, few, few):
            command = [sys.executable, "-m", "benchmarks.contestants.steady", root, str(count)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found[count].append(json.loads(output))
    rounds = {f"{count:,} sources": runs for count, runs in found.items()}
    record.add("iter_upload, 20 KB each", rounds)
    table = Table(
        "iter_upload, 20 KB each", "CPU per file, µs", "RSS after 1,000, MB", "RSS at the end, MB", "growth, MB"
    )
    measured: dict[int, dict[str, float]] = {}
    for count, runs in found.items():
        middle = {field: statistics.median(run[field] for run in runs) for field in ("cpu", "early", "late")}
        measured[count] = {"cpu": middle["cpu"] / count, "growth": (middle["late"] - middle["early"]) / 1e6}
        table.add(
            f"{count:,} sources",
            f"{measured[count]['cpu'] * 1e6:.0f}",
            f"{middle['early'] / 1e6:.1f}",
            f"{middle['late'] / 1e6:.1f}",
            f"{measured[count]['growth']:.1f}",
        )
    return table, [
        (f"growth of RSS over {many:,} sources, MB", 10, measured[many]["growth"], False),
        (f"CPU per file, {many:,} / {few:,} sources", 1.1, measured[many]["cpu"] / measured[few]["cpu"], False),
    ]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks uploads", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="2 rounds, and 20,000 sources instead of 100,000")
    parser.add_argument("--workloads", nargs="+", choices=[*WORKLOADS, "steady"], default=[*WORKLOADS, "steady"])
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--plot", type=Path, help="write the walls as a bar chart to this SVG file")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=[], help="only these")
    parser.add_argument("--pin", action="store_true", help="the client on one core, the sink on another")
    add_option(parser)
    options = parser.parse_args(argv)
    record = Record.begin("uploads", argv)
    rounds = 2 if options.quick else options.rounds
    server = "asyncio on uvloop" if importlib.util.find_spec("uvloop") else "asyncio"
    print(
        f"sink: benchmarks/sink.py ({server}); {os.cpu_count()} CPUs; {rounds} interleaved rounds, medians\n",
        flush=True,
    )
    reached = Table("goal", "limit", "measured", "")
    charts: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        certificate = make_certificate(folder)
        for name in options.workloads:
            if name == "steady":
                table, aims = steady(options.quick, record)
            else:
                runs = race(WORKLOADS[name], rounds, folder, certificate, names=options.contestants, pin=options.pin)
                taken = {who: [attrs.asdict(run) for run in found] for who, found in runs.items()}
                record.add(WORKLOADS[name].title, taken, units=WORKLOADS[name].files, unit="file", baseline=BARE)
                table = table_of(WORKLOADS[name], runs)
                charts[WORKLOADS[name].title] = {who: _median(taken, "wall") for who, taken in runs.items()}
                aims = goals(name, runs)
            for what, limit, measured, more in aims:
                met = measured >= limit if more else measured <= limit
                sign = ">=" if more else "<="
                reached.add(f"{name}: {what}", f"{sign} {limit:g}", f"{measured:.2f}", "met" if met else "missed")
            print((table.markdown() if options.markdown else table.text()) + "\n", flush=True)
    if reached.rows:
        print(reached.markdown() if options.markdown else reached.text())
    if options.plot:
        options.plot.write_text(bars("Seconds of wall time, shorter is better", charts))
    record.save(options.json)
    return 0
