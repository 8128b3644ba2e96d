"""Parts with one column per field, which readers take for one table."""

import json
from pathlib import Path

import pytest

from aihub_async import AsyncAIHub
from aihub_async.emulator import Emulator
from aihub_async.errors import ConfigurationError


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Three batches of two files; each batch has a field that the others lack."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.txt").write_text(f"Total: {number}.00\nField {'abc'[number // 2]}: x{number}\n")
    return folder


async def ingest(hub: Emulator, scans: Path, out: Path, **options: object) -> None:
    async with AsyncAIHub(hub.api_key, api_root=hub.api_root) as client:
        job = client.ingest(scans, app_name="key-values", out=out, batch_files=2, **options)  # type: ignore[arg-type]
        status = await job.run()
        assert (status.done, status.failed) == (6, 0)
        # Running it again changes nothing.
        before = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
        await job.run()
        assert {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")} == before


async def test_pandas_polars_and_duckdb_read_the_folder_with_one_line(
    hub: Emulator, scans: Path, tmp_path: Path
) -> None:
    pd = pytest.importorskip("pandas")
    pl = pytest.importorskip("polars")
    duckdb = pytest.importorskip("duckdb")
    out = tmp_path / "results"
    await ingest(hub, scans, out, format="parquet", columns="wide", add=["confidence", "page"])

    frame = pd.read_parquet(out)
    assert frame["Total"].tolist() == [f"{number}.00" for number in range(6)]
    assert frame["Field_c"].tolist()[4:] == ["x4", "x5"]
    assert pl.read_parquet(out / "*.parquet")["Field_a"].to_list() == ["x0", "x1", None, None, None, None]
    found = duckdb.sql(f"SELECT file, Total__page FROM '{out}/*.parquet' WHERE Field_b = 'x3'").fetchall()
    assert found == [("3.txt", 1)]
    assert (frame["Total__confidence"] > 0.5).all()


async def test_a_struct_of_fields_is_one_table_too(hub: Emulator, scans: Path, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    pytest.importorskip("pyarrow")
    out = tmp_path / "results"
    await ingest(hub, scans, out, format="parquet")
    found = duckdb.sql(f"SELECT fields.Field_c FROM '{out}/*.parquet' ORDER BY file").fetchall()
    assert found == [(None,)] * 4 + [("x4",), ("x5",)]


async def test_parts_of_csv_have_one_header(hub: Emulator, scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    await ingest(hub, scans, out, format="csv", columns="wide")
    headers = {part.read_text().splitlines()[0] for part in out.glob("part-*.csv")}
    assert len(headers) == 1
    assert {"Total", "Field_a", "Field_b", "Field_c"} <= set(headers.pop().split(","))


async def test_json_lines_are_flat(hub: Emulator, scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    await ingest(hub, scans, out, columns="wide")
    rows = [json.loads(line) for part in sorted(out.glob("part-*.jsonl")) for line in part.read_text().splitlines()]
    assert [row["Total"] for row in rows] == [f"{number}.00" for number in range(6)]
    assert "fields" not in rows[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": "field", "columns": "wide"}, "no wide form"),
        ({"columns": "tall"}, "columns='tall'"),
        ({"add": ["pages"]}, "include='pages'"),
        ({"rows": "page"}, "rows='page'"),
    ],
)
async def test_shapes_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, str], message: str) -> None:
    async with AsyncAIHub("key", api_root="http://127.0.0.1:1/api") as client:
        with pytest.raises(ConfigurationError, match=message):
            client.ingest([], app_name="a", out=tmp_path, **options)  # type: ignore[arg-type]
