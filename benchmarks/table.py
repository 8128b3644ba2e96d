"""Print the tables of the README and of docs/benchmarks.md from records, as Markdown.

One table for each piece of work: medians of all metrics, CPU time for each unit, and the ratio of wall and CPU time to
the baseline, paired by round, because a slow spell of the machine meets both.
"""

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Table
from benchmarks.record import Record, Series

_BYTES = frozenset({"peak", "idle", "memory", "received"})
_SECONDS = frozenset({"wall", "cpu", "user", "sys"})


def tables(record: Record) -> Iterator[tuple[str, Table]]:
    """Yield the title and the table of each piece of work."""
    for work in dict.fromkeys(series.work for series in record.series):
        yield work, _table([series for series in record.series if series.work == work])


def _table(group: list[Series]) -> Table:
    metrics = list(dict.fromkeys(metric for series in group for metric in series.metrics))
    baseline = next((series for series in group if series.contestant == series.baseline), None)
    compared = [metric for metric in ("wall", "cpu") if baseline is not None and metric in metrics]
    unit = group[0].unit
    header = ["", *(_title(metric) for metric in metrics)]
    header += [f"CPU a {unit}"] if group[0].units > 1 and "cpu" in metrics else []
    header += [f"{metric} / {baseline.contestant}" for metric in compared if baseline is not None]
    table = Table(*header)
    for series in group:
        cells = [_cell(series, metric) for metric in metrics]
        if group[0].units > 1 and "cpu" in metrics:
            cells.append(f"{series.median('cpu') / series.units * 1e6:.1f} µs")
        cells += [paired(series, baseline, metric) for metric in compared if baseline is not None]
        table.add(series.contestant, *cells)
    return table


def _title(metric: str) -> str:
    if metric in _SECONDS:
        return f"{metric}, s"
    return f"{metric}, MB" if metric in _BYTES else metric


def _cell(series: Series, metric: str) -> str:
    if not series.values(metric):
        return "-"
    value = series.median(metric)
    if metric in _SECONDS:
        return f"{value:.3g}"
    return f"{value / 1e6:.1f}" if metric in _BYTES else f"{value:,.6g}"


def paired(series: Series, baseline: Series, metric: str) -> str:
    """Return the median ratio to the baseline of the same round."""
    mine, theirs = series.values(metric), baseline.values(metric)
    if len(mine) != len(theirs):
        return f"{statistics.median(mine) / statistics.median(theirs):.2f}" if mine and theirs else "-"
    return f"{statistics.median(one / other for one, other in zip(mine, theirs, strict=True)):.2f}"


def describe(record: Record) -> str:
    """Describe where and how the rounds were taken."""
    machine = record.machine
    rounds = sorted({len(series.rounds) for series in record.series})
    where = f"{machine['cpus']} CPUs ({machine['cpu']}), {machine['python']}"
    load = " to ".join(f"{value:g}" for value in record.load)
    commit = record.versions.get("commit", "unknown")
    taken = f"`{' '.join(record.command)}`, {record.began}, commit {commit}; {where}; load average {load}"
    return "\n".join([f"{taken}; rounds: {', '.join(map(str, rounds))}.", *record.notes])


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks table", description=__doc__)
    parser.add_argument("records", type=Path, nargs="+", metavar="FILE.json")
    parser.add_argument("--text", action="store_true", help="aligned columns instead of Markdown")
    options = parser.parse_args(argv)
    for path in options.records:
        record = Record.read(path)
        print(f"### {record.benchmark}\n\n{describe(record)}\n")
        for work, table in tables(record):
            print(f"**{work}**\n\n{table.text() if options.text else table.markdown()}\n")
    return 0
