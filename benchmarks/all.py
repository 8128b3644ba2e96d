"""Run every benchmark of the README's table, one after the other, and print that table from what they recorded.

Takes 20 to 25 minutes on a quiet machine with two cores; nothing else should run. Each benchmark writes NAME.json and
NAME.txt into the folder. One that fails is named at the end, and the others still run. With `--quick` it takes about
seven minutes, and the numbers have too few rounds to be published. `python -m benchmarks growth` is not part of it.
"""

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

import attrs

from benchmarks.readme import readme_table
from benchmarks.record import FOLDER

_PLAIN = ["aihub_async", "aihub_async, uvloop", "official SDK, in sequence", "official SDK, 32 threads", "bare aiohttp"]
_RAW = ["raw protocol", "raw protocol, uvloop"]


@attrs.frozen
class Step:
    """One benchmark; `quick` replaces `arguments` for a quick run."""

    name: str
    benchmark: str
    arguments: list[str]
    quick: list[str]


def _uploads(name: str, workload: str, rounds: int, *more: str, quick: bool = True) -> Step:
    arguments = ["--workloads", workload, *more]
    fewer = [*arguments, "--rounds", "1"] if quick else []
    return Step(name, "uploads", [*arguments, "--rounds", str(rounds)], fewer)


STEPS = [
    _uploads("uploads-small", "W1", 7, "--pin", "--contestants", *_PLAIN, *_RAW),
    _uploads("uploads-1mb-tls", "W2", 5, "--pin", "--contestants", *_PLAIN, *_RAW),
    _uploads("uploads-1gb", "W3", 3, "--pin"),
    _uploads("uploads-1gb-25ms", "W3-25ms", 3, "--pin"),
    _uploads("uploads-1gb-tls", "W3-TLS", 5, "--pin"),
    # The official SDK takes a minute a round here.
    _uploads("uploads-small-25ms", "W1-25ms", 1, "--contestants", *_PLAIN, quick=False),
    _uploads("uploads-steady", "steady", 1, quick=False),
    Step("decode", "decode", ["--rounds", "25"], ["--rounds", "5"]),
    Step("imports", "imports", ["--rounds", "15"], ["--rounds", "3"]),
    Step("facade", "facade", ["--rounds", "5"], ["--rounds", "1"]),
    Step("facade-pinned", "facade", ["--rounds", "3", "--pin"], ["--rounds", "1", "--pin"]),
    Step("waiting", "waiting", ["--rounds", "5"], ["--rounds", "1"]),
    Step("results", "results", ["--rounds", "1"], ["--rounds", "1", "--documents", "10000"]),
    Step("ingest", "ingest", ["--rounds", "2"], ["--rounds", "1", "--files", "100000", "--uploads", "2000"]),
]


def run(step: Step, arguments: list[str], folder: Path) -> bool:
    """Run one benchmark; return whether it succeeded."""
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        step.benchmark,
        *arguments,
        "--json",
        str(folder / f"{step.name}.json"),
    ]
    began = time.monotonic()
    print(f"== {step.name}: python {' '.join(command[1:])}", flush=True)
    with (folder / f"{step.name}.txt").open("w") as output:
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
    print(f"   {'failed' if code else 'done'} after {time.monotonic() - began:.0f} s", flush=True)
    return code == 0


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks all", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of most, smaller sizes")
    parser.add_argument("--only", nargs="+", choices=[step.name for step in STEPS], help="only these")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"where records and outputs go ({FOLDER})")
    parser.add_argument("--list", action="store_true", help="print the commands instead of running them")
    options = parser.parse_args(argv)
    steps = [step for step in STEPS if not options.only or step.name in options.only]
    chosen = [(step, step.quick if options.quick else step.arguments) for step in steps]
    chosen = [(step, arguments) for step, arguments in chosen if arguments]
    if options.list:
        for step, arguments in chosen:
            print(f"{step.name}: {shlex.join(['python', '-m', 'benchmarks', step.benchmark, *arguments])}")
        return 0
    options.folder.mkdir(parents=True, exist_ok=True)
    failed = [step.name for step, arguments in chosen if not run(step, arguments, options.folder)]
    print(f"\n{readme_table(options.folder)}")
    if failed:
        print(f"failed: {', '.join(failed)}; see NAME.txt in {options.folder}")
    return 1 if failed else 0
