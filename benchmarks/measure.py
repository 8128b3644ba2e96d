"""What every benchmark needs: interleaved rounds, medians, and a table."""

import gc
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import attrs


@attrs.frozen
class Sample:
    """One timed call; seconds. `cpu` includes child processes that have ended."""

    wall: float
    cpu: float


@attrs.frozen
class Timing:
    """All samples of one contestant, in the order they were taken."""

    samples: Sequence[Sample]

    @property
    def rounds(self) -> list[dict[str, float]]:
        """The samples as `Record.add` takes them."""
        return [{"wall": sample.wall, "cpu": sample.cpu} for sample in self.samples]

    @property
    def wall(self) -> float:
        """Median wall time in seconds."""
        return statistics.median(sample.wall for sample in self.samples)

    @property
    def cpu(self) -> float:
        """Median CPU time in seconds, user and system."""
        return statistics.median(sample.cpu for sample in self.samples)

    @property
    def spread(self) -> float:
        """Interquartile range of the wall time as a share of its median."""
        walls = [sample.wall for sample in self.samples]
        if len(walls) < 2:
            return 0.0
        low, _, high = statistics.quantiles(walls, n=4)
        return (high - low) / self.wall


def interleave(rounds: int, contestants: Mapping[str, Callable[[], object]]) -> dict[str, Timing]:
    """Call every contestant once a round, in turn, so that a slow spell of the machine meets all of them.

    Each is called once beforehand, untimed. What a call returns is dropped outside its timing.
    """
    for contestant in contestants.values():
        contestant()
    samples: dict[str, list[Sample]] = {name: [] for name in contestants}
    for number in range(rounds):
        order = list(contestants) if number % 2 == 0 else list(contestants)[::-1]
        for name in order:
            samples[name].append(timed(contestants[name]))
    return {name: Timing(taken) for name, taken in samples.items()}


def timed(call: Callable[[], object]) -> Sample:
    """Time one call; rubbish of the calls before is collected first."""
    gc.collect()
    wall, cpu = time.perf_counter(), cpu_seconds()
    kept = call()
    sample = Sample(time.perf_counter() - wall, cpu_seconds() - cpu)
    del kept
    return sample


def cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended, user and system."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class Table:
    """Rows of text under a header: printed aligned, or as Markdown."""

    def __init__(self, *header: str) -> None:
        self.header = header
        self.rows: list[tuple[str, ...]] = []

    def add(self, *cells: object) -> None:
        """Add a row; a float is written with three significant digits."""
        if len(cells) != len(self.header):
            raise ValueError(f"expected {len(self.header)} cells, got {len(cells)}")
        self.rows.append(tuple(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells))

    def text(self) -> str:
        """Columns aligned with spaces."""
        widths = self._widths()
        return "\n".join(_line(row, widths, "  ").rstrip() for row in (self.header, *self.rows))

    def markdown(self) -> str:
        """A Markdown table."""
        widths = self._widths()
        rule = tuple("-" * width for width in widths)
        return "\n".join(f"| {_line(row, widths, ' | ')} |" for row in (self.header, rule, *self.rows))

    def _widths(self) -> list[int]:
        return [max(map(len, column)) for column in zip(self.header, *self.rows, strict=True)]


def _line(cells: Sequence[str], widths: Sequence[int], between: str) -> str:
    return between.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds with a unit."""
    return f"{seconds * 1e3:.1f} ms"
