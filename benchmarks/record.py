"""What a benchmark measured, as JSON: machine, versions and every round. Tables and comparisons need no rerun."""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import attrs
import cattrs

FOLDER = Path(".benchmarks")
"""Where a benchmark writes its record unless `--json` names a file."""
_PACKAGES = (
    "aihub-async",
    "aiohttp",
    "anyio",
    "attrs",
    "httpx",
    "httpx-aiohttp",
    "httpx2",
    "instabase-aihub",
    "msgspec",
    "openai",
    "pandas",
    "pyarrow",
    "urllib3",
    "uvloop",
    "yarl",
)

Round = dict[str, float]
"""The metrics of one round by name. `wall` and `cpu` are seconds, `peak` and `idle` bytes of resident memory."""


@attrs.frozen
class Series:
    """All rounds of one contestant doing one piece of work, in the order in which they ran.

    `units` is the number of things in one round, such as files or calls; `baseline` names the contestant of the same
    work with which the others are compared.
    """

    work: str
    contestant: str
    rounds: list[Round]
    units: float = 1
    unit: str = "run"
    baseline: str | None = None

    def median(self, metric: str) -> float:
        """Return the median of one metric over the rounds."""
        return statistics.median(self.values(metric))

    def values(self, metric: str) -> list[float]:
        """Return one metric of every round that has it."""
        return [taken[metric] for taken in self.rounds if metric in taken]

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics, in the order of the first round."""
        return list(self.rounds[0]) if self.rounds else []


@attrs.frozen
class Record:
    """One run of one benchmark."""

    benchmark: str
    command: list[str]
    machine: dict[str, Any]
    versions: dict[str, str]
    began: str
    load: list[float]
    """Load averages of one minute when the benchmark began and ended; above the number of CPUs, wall time is noise."""
    series: list[Series] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)

    @classmethod
    def begin(cls, benchmark: str, argv: Sequence[str]) -> Self:
        """Return an empty record of this machine and these versions."""
        command = ["python", "-m", "benchmarks", benchmark, *argv]
        return cls(
            benchmark, command, machine(), versions(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), load()
        )

    def add(
        self,
        work: str,
        contestants: Mapping[str, Iterable[Mapping[str, float]]],
        *,
        units: float = 1,
        unit: str = "run",
        baseline: str | None = None,
    ) -> None:
        """Add the rounds of all contestants of one piece of work."""
        for name, rounds in contestants.items():
            self.series.append(Series(work, name, [dict(taken) for taken in rounds], units, unit, baseline))

    def save(self, path: Path | None) -> None:
        """Write the record, to `.benchmarks/NAME.json` without a path, and print its path."""
        path = path or FOLDER / f"{self.benchmark}.json"
        self.load.extend(load())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(cattrs.unstructure(self), indent=1) + "\n")
        print(f"\nraw rounds: {path}")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a record that `save` wrote.

        Raises:
            SystemExit: the file is no such record.
        """
        try:
            return cattrs.structure(json.loads(path.read_text()), cls)
        except (OSError, ValueError, cattrs.BaseValidationError) as error:
            raise SystemExit(f"{path} is not a record of a benchmark: {error}") from None


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the file of the record."""
    parser.add_argument("--json", type=Path, metavar="FILE", help=f"raw rounds go here, not to {FOLDER}/NAME.json")


def machine() -> dict[str, Any]:
    """Describe this machine."""
    return {
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def versions() -> dict[str, str]:
    """Return the versions of the packages that are measured, as far as they are installed, and the commit."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {**found, **_commit()}


def _commit() -> dict[str, str]:
    """Return the commit of this clone, marked where files differ from it; nothing outside a clone."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"commit": commit.stdout.strip()}


def load() -> list[float]:
    """Return the load average of the last minute, in a list."""
    return [round(os.getloadavg()[0], 2)]
