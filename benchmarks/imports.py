"""Time and CPU time of imports, of a first client and of the command line, each in a fresh interpreter.

Every interpreter reads cached bytecode, also where the environment sets PYTHONDONTWRITEBYTECODE: a clone would
otherwise be compiled at each start, and an installed wheel not.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.measure import Table, Timing, interleave, milliseconds
from benchmarks.record import Record, add_option

GOAL = 0.7
OFFICIAL = "official SDK"
IMPORTS = {
    "aihub_async": "from aihub_async import AsyncAIHub",
    "aihub_sync": "from aihub_sync import AIHub",
    OFFICIAL: "from aihub import AIHub",
    "interpreter alone": "pass",
}
CLIENTS = {
    "aihub_async": "from aihub_async import AsyncAIHub; AsyncAIHub('key', api_root='http://127.0.0.1:1/api')",
    "aihub_sync": "from aihub_sync import AIHub; AIHub('key', api_root='http://127.0.0.1:1/api')",
    OFFICIAL: "from aihub import AIHub; AIHub(api_key='key', api_root='http://127.0.0.1:1/api')",
}
COMMANDS = {"aihub --version": "from aihub_async.cli.app import main; main(['--version'])"}
_WHERE = """
import importlib.util, json
specs = {name: importlib.util.find_spec(name) for name in ("aihub_async", "aihub")}
print(json.dumps({name: spec.origin for name, spec in specs.items() if spec is not None}))
"""


class Interpreter:
    """An interpreter to start, in an empty folder: the current one would shadow what is installed."""

    def __init__(self, path: str, folder: Path) -> None:
        self._path = path
        self._folder = folder
        plain = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self._environment = {**plain, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}

    def run(self, code: str) -> str:
        """Run code in a fresh interpreter and return what it printed."""
        command = [self._path, "-c", code]
        done = subprocess.run(
            command, cwd=self._folder, env=self._environment, stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout

    def copies(self) -> str:
        """Return which copy of each package is imported: of an installed wheel, or of a clone."""
        found = json.loads(self.run(_WHERE))
        return "\n".join(
            f"{name}: {'installed' if 'site-packages' in path else 'a clone'}, {path}" for name, path in found.items()
        )

    def race(self, rounds: int, statements: Mapping[str, str]) -> dict[str, Timing]:
        """Run each statement in a fresh interpreter once a round; bytecode is written by the untimed round before."""
        return interleave(rounds, {name: functools.partial(self.run, code) for name, code in statements.items()})


def table_of(timings: Mapping[str, Timing]) -> Table:
    """Return wall and CPU time, and their shares of the official SDK's where it takes part."""
    table = Table("fresh interpreter", "wall, median", "CPU, median", "spread", "share of wall", "share of CPU")
    official = timings.get(OFFICIAL)
    for name, timing in timings.items():
        shares = ("", "")
        if official is not None:
            shares = (f"{timing.wall / official.wall:.2f}", f"{timing.cpu / official.cpu:.2f}")
        table.add(name, milliseconds(timing.wall), milliseconds(timing.cpu), f"{timing.spread:.0%}", *shares)
    return table


def verdict(name: str, timings: Mapping[str, Timing]) -> str:
    """Compare an import with the goal."""
    share = timings[name].cpu / timings[OFFICIAL].cpu
    met = "met   " if share <= GOAL else "missed"
    return f"{met}  {name}: {share:.2f} of the official SDK's CPU time (goal {GOAL})"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks imports", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--python", default=sys.executable, metavar="PATH", help="another interpreter")
    parser.add_argument("--markdown", action="store_true")
    add_option(parser)
    options = parser.parse_args(argv)
    record = Record.begin("imports", argv)
    with tempfile.TemporaryDirectory() as folder:
        interpreter = Interpreter(options.python, Path(folder))
        print(f"Start-up included, {options.rounds} interleaved rounds\n{interpreter.copies()}\n", flush=True)
        record.notes.append(interpreter.copies())
        works = {"import": IMPORTS, "import and first client": CLIENTS, "command line": COMMANDS}
        for work, statements in works.items():
            timings = interpreter.race(options.rounds, statements)
            table = table_of(timings)
            print(f"{work}\n{table.markdown() if options.markdown else table.text()}\n", flush=True)
            rounds = {name: timing.rounds for name, timing in timings.items()}
            record.add(work, rounds, unit="start", baseline=OFFICIAL if OFFICIAL in timings else None)
            if work == "import":
                print("\n".join(verdict(name, timings) for name in ("aihub_async", "aihub_sync")), end="\n\n")
    record.save(options.json)
    return 0
