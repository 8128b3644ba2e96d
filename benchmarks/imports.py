"""Time of ``import aihub_async`` against ``import aihub``, each in a fresh interpreter."""

import argparse
import functools
import importlib.util
import subprocess
import sys

from benchmarks.measure import Table, interleave, milliseconds
from benchmarks.record import Record, add_option

STATEMENTS = {
    "aihub_async": "import aihub_async",
    "official SDK": "import aihub",
    "interpreter alone": "pass",
}


def run(statement: str) -> None:
    """Run one statement in a fresh interpreter; bytecode caches are warm after the first time."""
    subprocess.run([sys.executable, "-c", statement], check=True)


def copies() -> str:
    """Say which copy of each package is imported: an installed wheel and a clone differ."""
    specs = {name: importlib.util.find_spec(name) for name in ("aihub_async", "aihub")}
    return "\n".join(f"{name}: {spec.origin}" for name, spec in specs.items() if spec is not None)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks imports", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--markdown", action="store_true")
    add_option(parser)
    options = parser.parse_args(argv)
    record = Record.begin("imports", argv)

    timings = interleave(options.rounds, {name: functools.partial(run, code) for name, code in STATEMENTS.items()})
    official = timings["official SDK"].wall
    table = Table("import", "wall, median", "CPU, median", "spread", "share of the official")
    for name, timing in timings.items():
        cells = (milliseconds(timing.wall), milliseconds(timing.cpu), f"{timing.spread:.0%}")
        table.add(name, *cells, f"{timing.wall / official:.2f}")
    print(f"Fresh interpreters, start-up included, {options.rounds} interleaved rounds\n{copies()}\n")
    print(table.markdown() if options.markdown else table.text())
    rounds = {name: timing.rounds for name, timing in timings.items()}
    record.add("import in a fresh interpreter", rounds, unit="import", baseline="official SDK")
    record.save(options.json)
    return 0
