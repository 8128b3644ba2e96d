"""Print the table of the README from the records of `python -m benchmarks all`."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.measure import Table
from benchmarks.record import FOLDER, Record, Series
from benchmarks.table import paired

_OURS, _UVLOOP, _OFFICIAL, _BARE = "aihub_async", "aihub_async, uvloop", "official SDK, in sequence", "bare aiohttp"
_SDK = "official SDK"


class Found:
    """The series of one record by piece of work and contestant."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self._series = {(series.work, series.contestant): series for series in record.series}

    def of(self, work: str, contestant: str) -> Series:
        """Return a series.

        Raises:
            KeyError: nobody measured it.
        """
        return self._series[work, contestant]

    def median(self, work: str, metric: str, *contestants: str) -> str:
        """Return the medians of one metric of several contestants."""
        return ", ".join(f"{self.of(work, name).median(metric):.3g}" for name in contestants)

    def ratio(self, work: str, metric: str, contestant: str, other: str) -> str:
        """Return the ratio of two contestants, paired by round."""
        return paired(self.of(work, contestant), self.of(work, other), metric)


def _upload(title: str) -> Callable[[Found], str]:
    def cells(found: Found) -> str:
        seconds = found.median(title, "wall", _OURS, _UVLOOP, _OFFICIAL, _BARE)
        ratios = ", ".join(found.ratio(title, "cpu", name, _BARE) for name in (_OURS, _UVLOOP))
        return f"{seconds}; CPU / aiohttp {ratios}"

    return cells


def _decoding(found: Found) -> str:
    times = found.ratio("every detail", "wall", _SDK, _OURS)
    return f"{times}; msgspec alone / here, CPU: {found.ratio('every detail', 'cpu', 'msgspec alone, typed', _OURS)}"


def _facade(work: str) -> Callable[[Found], str]:
    return lambda found: ", ".join(found.ratio(work, "wall", name, _SDK) for name in ("sync", "sync uvloop"))


def _waiting(found: Found) -> str:
    series = next(series for series in found.record.series if series.contestant == _OURS)
    return f"{series.median('requests'):.0f}, {series.median('cpu') / 5:.1%}"


def _imports(found: Found) -> str:
    work = found.record.series[0].work
    return found.ratio(work, "cpu", "aihub_async", _SDK)


def _peak(found: Found) -> str:
    peaks = [series.median("peak") for series in found.record.series if series.work.endswith("synthetic files")]
    return f"{max(peaks) / 2**20:.0f} MB"


_SECONDS = "seconds here, with uvloop, official SDK, bare aiohttp"
ROWS: list[tuple[str, str, Callable[[Found], str]]] = [
    (f"2,000 x 20 KB: {_SECONDS}", "uploads-small", _upload("W1 plain, concurrency 32")),
    (
        "the same with 25 ms a request",
        "uploads-small-25ms",
        _upload("W1 plain, 25 ms per request, default concurrency"),
    ),
    (f"200 x 1 MB over TLS: {_SECONDS}", "uploads-1mb-tls", _upload("W2 TLS")),
    (f"1 GB: {_SECONDS}", "uploads-1gb", _upload("W3 plain")),
    ("1 GB with 25 ms a request", "uploads-1gb-25ms", _upload("W3 plain, 25 ms per request")),
    ("1 GB over TLS", "uploads-1gb-tls", _upload("W3 TLS")),
    ("results page of 2.2 MB: times as fast as the official decoder", "decode", _decoding),
    ("10,000 waiting runs: requests a round, share of a core", "waiting", _waiting),
    ("importing `AsyncAIHub` / the official SDK's `AIHub`, CPU", "imports", _imports),
    ("sync `status()` in a loop / official SDK, wall, asyncio and uvloop", "facade", _facade("runs.status")),
    ("sync `add_file()` in a loop / official SDK", "facade", _facade("batches.add_file, 20 KB")),
    ("the same two, client pinned to one core", "facade-pinned", _facade("runs.status")),
    ("", "facade-pinned", _facade("batches.add_file, 20 KB")),
    ("files through plan and journal: peak memory", "ingest", _peak),
]


def rows(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield what, measured and command for each row whose record is in the folder."""
    for what, name, measured in ROWS:
        path = folder / f"{name}.json"
        if not path.exists():
            continue
        record = Record.read(path)
        try:
            cell = measured(Found(record))
        except (KeyError, StopIteration, IndexError):
            cell = "not measured"
        yield what, cell, f"`{' '.join(record.command)}`"


def readme_table(folder: Path) -> str:
    """Return the table as Markdown, below the commits and machines that its records name."""
    table = Table("what", "measured", "command")
    for row in rows(folder):
        table.add(*row)
    found = [Record.read(path) for path in sorted(folder.glob("*.json"))]
    commits = sorted({record.versions.get("commit", "unknown") for record in found})
    machines = sorted({f"{record.machine['cpus']} x {record.machine['cpu']}" for record in found})
    load = max((value for record in found for value in record.load), default=0.0)
    where = f"Commit {', '.join(commits)}; {'; '.join(machines)}; load average up to {load:g}."
    return f"{where}\n\n{table.markdown()}\n"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks readme", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    print(readme_table(parser.parse_args(argv).folder))
    return 0
