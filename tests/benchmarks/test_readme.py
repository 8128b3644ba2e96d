"""The README's table from records."""

from pathlib import Path

import pytest

from benchmarks import readme
from benchmarks.all import STEPS
from benchmarks.record import Record


def save(folder: Path, name: str, work: str, contestants: dict[str, dict[str, float]]) -> None:
    record = Record.begin("decode", [])
    record.add(work, {contestant: [taken] for contestant, taken in contestants.items()})
    record.save(folder / f"{name}.json")


def test_rows_are_of_the_records_that_exist(tmp_path: Path) -> None:
    costs = {"official SDK": 12.0, "aihub_async": 1.0, "msgspec alone, typed": 0.9}
    save(tmp_path, "decode", "every detail", {name: {"wall": cost, "cpu": cost} for name, cost in costs.items()})

    ((what, measured, command),) = readme.rows(tmp_path)

    assert what.startswith("results page")
    assert measured == "12.00; msgspec alone / here, CPU: 0.90"
    assert command == "`python -m benchmarks decode`"


def test_what_a_record_lacks_is_said(tmp_path: Path) -> None:
    save(tmp_path, "decode", "another page", {"aihub_async": {"wall": 1.0, "cpu": 1.0}})

    ((_, measured, _),) = readme.rows(tmp_path)

    assert measured == "not measured"


def test_the_table_names_commit_and_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path, "waiting", "10 waiting runs", {"aihub_async": {"cpu": 0.05, "requests": 10.0}})
    capsys.readouterr()

    assert readme.main([str(tmp_path)]) == 0

    printed = capsys.readouterr().out
    assert printed.startswith("Commit ")
    assert "10, 1.0%" in printed


def test_every_row_has_a_benchmark_that_records_it() -> None:
    assert {name for _, name, _ in readme.ROWS} <= {step.name for step in STEPS}
