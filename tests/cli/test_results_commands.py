"""view, schema, compare, score, and the shapes of output files; in this process, which starts once for all of them."""

import csv
import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from aihub_async.emulator import Emulator


@attrs.frozen
class InProcess:
    """Runs `aihub` here, and returns what a process of its own would have."""

    folder: Path
    call: Callable[..., tuple[int, str, str]]

    def __call__(self, *arguments: str | Path, env: Mapping[str, str] = {}) -> subprocess.CompletedProcess[str]:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in env.items():
                patch.setenv(name, value)
            return subprocess.CompletedProcess(arguments, *self.call(*arguments))


@pytest.fixture
def aihub(tmp_path: Path, call: Callable[..., tuple[int, str, str]]) -> InProcess:
    return InProcess(tmp_path, call)


@pytest.fixture
def run_id(aihub: Any, emulator: Emulator) -> str:
    (aihub.folder / "scans").mkdir()
    for number in (1, 2):
        (aihub.folder / "scans" / f"{number}.txt").write_text(f"Total: {number}.00\nNote: =1+{number}\n")
    done = aihub("process", "scans", "--app", "key-values")
    assert done.returncode == 0, done.stderr
    return str(emulator.runs()[-1]["id"])


def test_view_writes_one_page_and_says_its_size_first(aihub: Any, run_id: str) -> None:
    done = aihub("view", run_id, "--source", "scans", "--out", "page.html")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "page.html\n"
    assert "2 documents, 2 pages" in done.stderr
    page = (aihub.folder / "page.html").read_text()
    assert "Total: 2.00" in page
    assert run_id in page


def test_view_names_the_page_after_the_run(aihub: Any, run_id: str) -> None:
    done = aihub("view", run_id, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["out"] == f"aihub-{run_id}.html"
    assert (aihub.folder / found["out"]).stat().st_size == found["bytes"]


def test_schema_prints_a_class(aihub: Any, run_id: str) -> None:
    done = aihub("schema", run_id, "--style", "pydantic")
    assert done.returncode == 0, done.stderr
    assert "class Document(pydantic.BaseModel):" in done.stdout
    assert "    total: str" in done.stdout


def test_compare_lists_what_differs(aihub: Any, run_id: str, emulator: Emulator) -> None:
    (aihub.folder / "scans" / "2.txt").write_text("Total: 9.00\nNote: =1+2\n")
    assert aihub("process", "scans", "--app", "key-values").returncode == 0
    other = emulator.runs()[-1]["id"]
    done = aihub("compare", run_id, other)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split("\t") == ["file", "document", "field", "kind", "left", "right"]
    assert lines[1].split("\t") == ["2.txt", "0", "Total", "value", "2.00", "9.00"]
    found = json.loads(aihub("compare", run_id, other, "--json").stdout)
    assert (found["documents"], [each["field"] for each in found["differences"]]) == (2, ["Total", "amounts"])


def test_score_against_the_truth(aihub: Any, run_id: str) -> None:
    (aihub.folder / "truth.csv").write_text("file,Total\n1.txt,1.00\n2.txt,3.00\ngone.txt,4\n")
    done = aihub("score", run_id, "truth.csv")
    assert done.returncode == 0, done.stderr
    assert "Total\t3\t2\t50.0%\t33.3%" in done.stdout
    assert "gone.txt" in done.stderr
    found = json.loads(aihub("score", run_id, "truth.csv", "--json").stdout)
    assert (found["total"]["exact"], found["missing_files"]) == (1, ["gone.txt"])


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "xlsx"])
def test_wide_files_have_a_column_per_field(aihub: Any, run_id: str, suffix: str) -> None:
    target = aihub.folder / f"out.{suffix}"
    done = aihub("results", run_id, "--wide", "--add", "confidence", "--out", target)
    assert done.returncode == 0, done.stderr
    assert f"2 documents written to {target}" in done.stderr
    rows = read(target)
    assert [str(row["Total"]) for row in rows] == ["1.00", "2.00"]
    assert [float(row["Total__confidence"]) > 0.5 for row in rows] == [True, True]
    # A formula is neutralized in CSV only: the other formats have texts.
    assert rows[0]["Note"] == ("'=1+1" if suffix == "csv" else "=1+1")


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()
        return rows
    sheet = pytest.importorskip("openpyxl").load_workbook(path).active
    header, *lines = ([cell.value for cell in line] for line in sheet.iter_rows())
    return [dict(zip(header, line, strict=True)) for line in lines]


def test_formulas_stay_on_request(aihub: Any, run_id: str) -> None:
    for options, expected in (([], "'=1+1"), (["--keep-formulas"], "=1+1")):
        assert aihub("results", run_id, "--out", "out.csv", *options).returncode == 0
        rows = read(aihub.folder / "out.csv")
        assert next(row["value"] for row in rows if row["field"] == "Note") == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["view", "RUN", "--source", "nothing"], "no such file or folder"),
        (["view", "RUN", "--source", "s3://b/x"], "URL"),
        (["view", "RUN", "--out", "scans"], "folder"),
        (["score", "RUN", "nothing.csv"], "nothing.csv"),
        (["results", "RUN", "--wide"], "--wide needs --out"),
        (["results", "RUN", "--add", "page", "--out", "a.csv"], "--add needs --wide"),
        (["results", "RUN", "--wide", "--add", "pages", "--out", "a.csv"], "alerts, boxes, confidence"),
        (["schema", "RUN", "--style", "zod"], "zod"),
    ],
)
def test_wrong_arguments_are_refused_before_any_request(aihub: Any, arguments: list[str], said: str) -> None:
    (aihub.folder / "scans").mkdir()
    # Nothing listens there: a request would fail in another way.
    done = aihub(*arguments, env={"AIHUB_API_ROOT": "http://127.0.0.1:9/api"})
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
