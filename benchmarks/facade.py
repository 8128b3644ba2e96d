"""What the sync client costs over the async one, and how it compares with the official SDK in plain loops.

Every contestant runs in a fresh process against a sink in its own process, one after the other.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import attrs
from anyio.from_thread import start_blocking_portal

from benchmarks.measure import Table, cpu_seconds
from benchmarks.record import Record, add_option
from benchmarks.serving import cores, pin, sink, stats

CALLS = 2_048
CONTENT = b"x" * 20_000
WARM_UP = 50
GOAL_PER_CALL = 120e-6
GOAL_UPLOAD = 1.05
GOAL_PORTAL = 1.1

EMPTY, STATUS, ADD_FILE = "empty call", "runs.status", "batches.add_file, 20 KB"
THREADS, UPLOAD = "runs.status from 32 threads or tasks", "batches.upload, 20 KB each"
WORKERS = 32
CONTESTANTS = {
    EMPTY: ("async", "async uvloop", "sync", "sync uvloop", "portal", "portal uvloop"),
    STATUS: ("async", "async uvloop", "sync", "sync uvloop", "official SDK"),
    ADD_FILE: ("async", "async uvloop", "sync", "sync uvloop", "official SDK"),
    THREADS: ("async", "async uvloop", "sync", "sync uvloop", "official SDK"),
    UPLOAD: ("async", "async uvloop", "sync", "sync uvloop"),
}


@attrs.frozen
class Loop:
    """Seconds of one loop of calls."""

    wall: float
    cpu: float


def sources() -> Iterator[tuple[str, bytes]]:
    return ((f"{number}.txt", CONTENT) for number in range(CALLS))


async def nothing() -> None:
    """What remains is the hand-off."""


async def async_loop(work: str, root: str) -> Loop:
    from aihub_async import AsyncAIHub

    async with AsyncAIHub("benchmark", api_root=root) as client:

        async def upload() -> None:
            await client.batches.upload(1, sources())

        async def concurrent() -> None:
            async def calls() -> None:
                for _ in range(CALLS // WORKERS):
                    await client.apps.runs.status("run-1")

            async with anyio.create_task_group() as tasks:
                for _ in range(WORKERS):
                    tasks.start_soon(calls)

        one: Mapping[str, Callable[[], Awaitable[object]]] = {
            EMPTY: nothing,
            STATUS: lambda: client.apps.runs.status("run-1"),
            ADD_FILE: lambda: client.batches.add_file(1, "a.txt", CONTENT),
            THREADS: concurrent,
            UPLOAD: upload,
        }
        call, (warm_up, times) = one[work], repetitions(work)
        for _ in range(warm_up):
            await call()
        wall, cpu = time.perf_counter(), cpu_seconds()
        for _ in range(times):
            await call()
        return Loop(time.perf_counter() - wall, cpu_seconds() - cpu)


def repetitions(work: str) -> tuple[int, int]:
    """How often to call before and during the measurement; some work is many calls in one."""
    return (1, 1) if work in {THREADS, UPLOAD} else (WARM_UP, CALLS)


def sync_loop(work: str, call: Callable[[], object]) -> Loop:
    warm_up, times = repetitions(work)
    for _ in range(warm_up):
        call()
    wall, cpu = time.perf_counter(), cpu_seconds()
    for _ in range(times):
        call()
    return Loop(time.perf_counter() - wall, cpu_seconds() - cpu)


def sync_call(work: str, client: Any) -> Callable[[], object]:
    """One call of a client with the methods of the official SDK."""

    def concurrent() -> None:
        def calls(_: int) -> None:
            for _ in range(CALLS // WORKERS):
                client.apps.runs.status("run-1")

        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(calls, range(WORKERS)))

    one: Mapping[str, Callable[[], object]] = {
        EMPTY: lambda: client._lease.run(nothing()),
        STATUS: lambda: client.apps.runs.status("run-1"),
        ADD_FILE: lambda: client.batches.add_file(1, "a.txt", CONTENT),
        THREADS: concurrent,
        UPLOAD: lambda: client.batches.upload(1, sources()),
    }
    return one[work]


def contestant(name: str, work: str, root: str) -> Loop:
    """Run one contestant in this process."""
    kind, _, loop = name.partition(" ")
    if kind == "official":
        from aihub import AIHub as OfficialAIHub

        return sync_loop(work, sync_call(work, OfficialAIHub(api_key="benchmark", api_root=root)))
    if kind == "async":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop else None) as runner:
            return runner.run(async_loop(work, root))
    if kind == "portal":
        with start_blocking_portal(backend_options={"use_uvloop": bool(loop)}) as portal:
            return sync_loop(work, lambda: portal.call(nothing))
    if not loop:
        # As where the extra is not installed.
        sys.modules["uvloop"] = None  # type: ignore[assignment]
    from aihub_sync import AIHub

    with AIHub("benchmark", api_root=root) as client:
        return sync_loop(work, sync_call(work, client))


def run(name: str, work: str, root: str, core: int | None) -> Loop:
    command = [sys.executable, "-m", "benchmarks.facade", name, work, root]
    command += [] if core is None else [str(core)]
    stats(root, Path(), "DELETE")
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    arrived = stats(root, Path(), "GET")["requests"]
    if arrived != expected(work):
        raise SystemExit(f"{name}, {work}: {arrived} requests arrived, not {expected(work)}")
    return Loop(**json.loads(answer))


def expected(work: str) -> int:
    """Return the requests that the sink must have seen, warm-up included."""
    if work == EMPTY:
        return 0
    return sum(repetitions(work)) * (CALLS if work in {THREADS, UPLOAD} else 1)


def race(work: str, rounds: int, root: str, core: int | None) -> dict[str, list[Loop]]:
    loops: dict[str, list[Loop]] = {name: [] for name in CONTESTANTS[work]}
    for number in range(rounds):
        order = CONTESTANTS[work] if number % 2 == 0 else CONTESTANTS[work][::-1]
        for name in order:
            loops[name].append(run(name, work, root, core))
    return loops


def best(loops: list[Loop]) -> float:
    """The quietest round: what else the machine did can only add to a difference of two loops."""
    return min(loop.wall for loop in loops)


def median(loops: list[Loop], what: str) -> float:
    return statistics.median(getattr(loop, what) for loop in loops)


def table_of(loops: Mapping[str, list[Loop]]) -> Table:
    table = Table(
        "client", "wall", "wall per file or call", "CPU per file or call", "over the async client, best rounds"
    )
    for name, found in loops.items():
        wall, cpu = median(found, "wall"), median(found, "cpu")
        pair = loops.get(name.replace("sync", "async", 1)) if name.startswith("sync") else None
        over = "" if pair is None else micro((best(found) - best(pair)) / CALLS)
        table.add(name, f"{wall:.2f} s", micro(wall / CALLS), micro(cpu / CALLS), over)
    return table


def micro(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs"


def goals(work: str, loops: Mapping[str, list[Loop]]) -> Iterator[str]:
    """Compare with the goals: cost per call over the async client, and time of the official SDK."""
    for loop in ("", " uvloop"):
        ours, alone = median(loops[f"sync{loop}"], "wall"), median(loops[f"async{loop}"], "wall")
        name = f"sync{loop}"
        if work == UPLOAD:
            yield verdict(f"{name}: {ours / alone:.3f} of the async client's time", ours / alone, GOAL_UPLOAD)
            continue
        if work == EMPTY:
            ratio = best(loops[name]) / best(loops[f"portal{loop}"])
            yield verdict(f"{name}: {ratio:.2f} of the time of anyio's BlockingPortal.call", ratio, GOAL_PORTAL)
            continue
        cost = (best(loops[name]) - best(loops[f"async{loop}"])) / CALLS
        yield verdict(f"{name}: {micro(cost)} a call over the async client", cost, GOAL_PER_CALL)
        ratio = ours / median(loops["official SDK"], "wall")
        yield verdict(f"{name}: {ratio:.2f} of the official SDK's wall time", ratio, 1.0)


def verdict(text: str, value: float, goal: float) -> str:
    return f"{'met   ' if value <= goal else 'missed'}  {text}"


def main(argv: list[str]) -> int:
    if argv and argv[0] in {name for names in CONTESTANTS.values() for name in names}:
        pin(int(argv[3]) if len(argv) > 3 else None)
        print(json.dumps(attrs.asdict(contestant(*argv[:3]))))
        return 0
    parser = argparse.ArgumentParser(prog="benchmarks facade", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--pin", action="store_true", help="each client with all its threads on one core")
    add_option(parser)
    options = parser.parse_args(argv)
    client, server = cores() if options.pin else (None, None)
    record = Record.begin("facade", argv)

    verdicts: list[str] = []
    with sink(core=server) as root:
        for work in CONTESTANTS:
            loops = race(work, options.rounds, root, client)
            table = table_of(loops)
            print(f"{CALLS:,} x {work}, medians of {options.rounds} interleaved rounds\n")
            print(table.markdown() if options.markdown else table.text(), end="\n\n", flush=True)
            rounds = {name: [attrs.asdict(loop) for loop in found] for name, found in loops.items()}
            baseline = "official SDK" if "official SDK" in rounds else "async"
            record.add(work, rounds, units=CALLS, unit="call", baseline=baseline)
            verdicts += [f"{line} ({work})" for line in goals(work, loops)]
    print("\n".join(verdicts))
    record.save(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
