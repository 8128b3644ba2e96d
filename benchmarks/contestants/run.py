"""Run one contestant in this process and print what it took, as JSON.

The clock starts when everything is imported and the client exists, and stops when the last file is uploaded.
Connections are made inside the measured time. Peak memory is that of the whole process; `idle` is what
it was when the clock started.
"""

import argparse
import asyncio
import gc
import importlib
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.contestants.job import Job
from benchmarks.serving import pin


def resident() -> int:
    """Resident memory now, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak() -> int:
    """Highest resident memory so far, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Clock:
    """Starts when it is made, and prints what was used since."""

    def __init__(self) -> None:
        gc.collect()
        self._idle = resident()
        self._usage = resource.getrusage(resource.RUSAGE_SELF)
        self._began = time.perf_counter()

    def report(self) -> None:
        wall, usage = time.perf_counter() - self._began, resource.getrusage(resource.RUSAGE_SELF)
        user, system = usage.ru_utime - self._usage.ru_utime, usage.ru_stime - self._usage.ru_stime
        found = {"wall": wall, "cpu": user + system, "user": user, "sys": system}
        found |= {"faults": usage.ru_minflt - self._usage.ru_minflt, "idle": self._idle, "peak": peak()}
        print(json.dumps(found))


async def timed(setup: Callable[[Job], Awaitable[Callable[[], Awaitable[None]]]], job: Job) -> None:
    work = await setup(job)
    clock = Clock()
    await work()
    clock.report()


def timed_sync(setup: Callable[[Job], Callable[[], None]], job: Job) -> None:
    work = setup(job)
    clock = Clock()
    work()
    clock.report()


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.contestants.run", description=__doc__)
    parser.add_argument("contestant", help="module.function")
    parser.add_argument("root")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--concurrency", type=int)
    parser.add_argument("--certificate")
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--core", type=int)
    options = parser.parse_args(argv)
    pin(options.core)
    job = Job(options.root, options.folder, options.large, options.concurrency, options.certificate)
    module, _, function = options.contestant.partition(".")
    setup = getattr(importlib.import_module(f"benchmarks.contestants.{module}"), function)
    if not asyncio.iscoroutinefunction(setup):
        timed_sync(setup, job)
        return
    if options.uvloop:
        import uvloop

        uvloop.run(timed(setup, job))
    else:
        asyncio.run(timed(setup, job))


if __name__ == "__main__":
    main(sys.argv[1:])
