"""Compare two records of the same benchmark: ratios with their spread, or "no difference".

The ratio is the Hodges-Lehmann estimate: the median of all quotients of a round of B and a round of A. The spread is
its 95 % confidence interval, from the Mann-Whitney distribution; with three rounds or fewer, the smallest and the
largest quotient. Where the spread covers 1, the records show no difference.
"""

import argparse
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import attrs

from benchmarks.measure import Table
from benchmarks.record import Record

_Z = 1.96


@attrs.frozen
class Ratio:
    """How B compares with A."""

    middle: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Return what the ratio shows; all metrics are costs."""
        if self.low <= 1 <= self.high:
            return "no difference"
        return "B costs less" if self.middle < 1 else "B costs more"


def ratio(before: Sequence[float], after: Sequence[float]) -> Ratio | None:
    """Return the ratio of two sets of rounds; None where one is empty or has a zero."""
    if not before or not after or min(before) <= 0 or min(after) <= 0:
        return None
    quotients = sorted(new / old for old in before for new in after)
    cut = _cut(len(before), len(after))
    return Ratio(statistics.median(quotients), quotients[cut], quotients[-1 - cut])


def _cut(few: int, many: int) -> int:
    """Return how many quotients at either end are outside the interval."""
    if min(few, many) <= 3:
        return 0
    pairs = few * many
    return max(0, math.floor(pairs / 2 - _Z * math.sqrt(pairs * (few + many + 1) / 12)) - 1)


def table(before: Record, after: Record) -> Table:
    """Compare all series that both records have."""
    found = Table("work", "contestant", "metric", "A, median", "B, median", "B / A", "spread", "")
    known = {(series.work, series.contestant): series for series in before.series}
    for series in after.series:
        other = known.get((series.work, series.contestant))
        if other is None:
            continue
        for metric in series.metrics:
            found_ratio = ratio(other.values(metric), series.values(metric))
            if found_ratio is None:
                continue
            found.add(
                series.work,
                series.contestant,
                metric,
                other.median(metric),
                series.median(metric),
                f"{found_ratio.middle:.2f}",
                f"{found_ratio.low:.2f} to {found_ratio.high:.2f}",
                found_ratio.verdict,
            )
    return found


def _differences(before: Record, after: Record) -> list[str]:
    """Name what differs besides the rounds: machine and versions."""
    lines = []
    for title, old, new in (
        ("machine", before.machine, after.machine),
        ("version", before.versions, after.versions),
    ):
        lines += [
            f"{title} differs: {key} {old.get(key)} / {new.get(key)}"
            for key in sorted({*old, *new})
            if old.get(key) != new.get(key)
        ]
    return lines


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks compare", description=__doc__)
    parser.add_argument("before", type=Path, metavar="A.json")
    parser.add_argument("after", type=Path, metavar="B.json")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args(argv)
    before, after = Record.read(options.before), Record.read(options.after)
    if before.benchmark != after.benchmark:
        raise SystemExit(f"A is of benchmark {before.benchmark!r}, B of {after.benchmark!r}")
    for line in _differences(before, after):
        print(line)
    print(f"load average, begin and end: A {before.load}, B {after.load}\n")
    found = table(before, after)
    if not found.rows:
        raise SystemExit("the records have no work and contestant in common")
    print(found.markdown() if options.markdown else found.text())
    return 0
