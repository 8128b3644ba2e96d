"""Records of benchmarks: written, read, compared."""

from pathlib import Path

import pytest

from benchmarks import compare, table
from benchmarks.record import Record


def record(rounds: dict[str, list[float]], *, baseline: str | None = None) -> Record:
    made = Record.begin("uploads", ["--quick"])
    series = {name: [{"wall": value, "cpu": value / 2} for value in values] for name, values in rounds.items()}
    made.add("2,000 files", series, units=2000, unit="file", baseline=baseline)
    return made


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = record({"ours": [1.0, 2.0]}, baseline="ours")
    made.save(tmp_path / "new" / "a.json")

    assert Record.read(tmp_path / "new" / "a.json") == made
    assert len(made.load) == 2
    assert made.versions["aiohttp"]


def test_what_is_no_record_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"rows": []}')

    with pytest.raises(SystemExit, match=r"other\.json is not a record"):
        Record.read(path)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ([1.0, 1.01, 0.99, 1.0, 1.02], [0.5, 0.51, 0.5, 0.49, 0.5], "B costs less"),
        ([1.0, 1.01, 0.99, 1.0, 1.02], [1.2, 1.21, 1.2, 1.19, 1.22], "B costs more"),
        ([1.0, 1.3, 0.8, 1.1, 0.9], [1.05, 0.85, 1.2, 0.95, 1.0], "no difference"),
        ([1.0, 2.0], [0.9, 1.9], "no difference"),
    ],
)
def test_a_difference_counts_only_outside_the_spread(before: list[float], after: list[float], verdict: str) -> None:
    found = compare.ratio(before, after)

    assert found is not None
    assert found.verdict == verdict
    assert found.low <= found.middle <= found.high


def test_the_ratio_is_that_of_the_second_to_the_first() -> None:
    found = compare.ratio([2.0, 2.0, 2.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0, 9.0])

    assert found is not None
    assert (found.middle, found.high) == (0.5, 4.5)


def test_a_zero_has_no_ratio() -> None:
    assert compare.ratio([0.0, 1.0], [1.0]) is None


def test_compare_prints_every_metric_of_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record({"ours": [1.0, 1.0], "gone": [1.0]}).save(tmp_path / "a.json")
    record({"ours": [2.0, 2.0], "new": [1.0]}).save(tmp_path / "b.json")
    capsys.readouterr()

    assert compare.main([str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 0

    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "ours" in line]
    assert [line[3] for line in lines] == ["wall", "cpu"]
    assert all(line[-3:] == ["B", "costs", "more"] for line in lines)


def test_the_table_pairs_rounds_with_the_baseline() -> None:
    made = record({"aiohttp": [1.0, 10.0, 1.0], "ours": [0.5, 5.0, 0.5]}, baseline="aiohttp")

    ((title, found),) = table.tables(made)

    assert title == "2,000 files"
    assert found.header == ("", "wall, s", "cpu, s", "CPU a file", "wall / aiohttp", "cpu / aiohttp")
    assert found.rows[1] == ("ours", "0.5", "0.25", "125.0 µs", "0.50", "0.50")
