import csv
import errno
import io
import json
import math
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aihub_async.errors import ConfigurationError
from aihub_async.models import Document, Field, ResultFile
from aihub_async.results import cells, parquet
from aihub_async.results.columns import ColumnSet
from aihub_async.results.datasets import unify
from aihub_async.results.files import RowFile
from aihub_async.results.rows import Origin, Shape
from aihub_async.results.tables import Table

MakeFile = Callable[..., ResultFile]


def document(**values: Any) -> ResultFile:
    return ResultFile(
        documents=[Document(fields=[Field(field_name=name, value=value) for name, value in values.items()])]
    )


def rows_of(shape: Shape, *files: ResultFile) -> list[dict[str, Any]]:
    return [
        row for number, file in enumerate(files) for row in shape.rows_of(file, Origin(None, f"{number}.txt", 1, "r"))
    ]


def write(path: Path, shape: Shape, *files: ResultFile, chunks: bool = False, formulas: bool = False) -> Path:
    rows = rows_of(shape, *files)
    with RowFile(path, path.suffix[1:], ColumnSet.of(shape), formulas=formulas) as output:
        for part in [[row] for row in rows] if chunks else [rows]:
            output.write(part)
        output.commit()
    assert [entry.name for entry in path.parent.iterdir() if entry.name.startswith(".")] == []
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))


def test_csv_is_rfc_4180_with_json_for_lists_and_objects(tmp_path: Path, invoice: MakeFile) -> None:
    path = write(tmp_path / "a.csv", Shape.of("field"), invoice())
    assert path.read_bytes().count(b"\r\n") == 5
    rows = read_csv(path)
    assert [row["value"] for row in rows] == ["12.50", '[{"sku": 1}]', "second", ""]
    assert [row["error"] for row in rows] == ["", "", "", "no date on the page"]
    assert rows[0]["pages"] == "[1, 2]"


def test_wide_csv_has_a_column_for_a_field_that_appears_last(tmp_path: Path) -> None:
    files = document(a="1", c="3"), document(a="4", b="5", c="6"), document(d='x,"y"\r\nz')
    rows = read_csv(write(tmp_path / "a.csv", Shape.of(), *files, chunks=True))
    assert list(rows[0])[-4:] == ["a", "b", "c", "d"]
    assert [[row[name] for name in "abcd"] for row in rows] == [
        ["1", "", "3", ""],
        ["4", "5", "6", ""],
        ["", "", "", 'x,"y"\r\nz'],
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('=HYPERLINK("http://x","y")', '\'=HYPERLINK("http://x","y")'),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-1+1|cmd", "'-1+1|cmd"),
        ("\t=1", "'\t=1"),
        ("\n=1", "'\n=1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("\uff20SUM(A1)", "'\uff20SUM(A1)"),
        ("\uff0d\uff11\uff12", "\uff0d\uff11\uff12"),
        ("\uff0d", "\uff0d"),
        ("-12.50", "-12.50"),
        ("+49", "+49"),
        ("-5%", "-5%"),
        ("-1.234,50 €", "-1.234,50 €"),
        ("-$5.00", "-$5.00"),
        ("-1e5", "-1e5"),
        ("--", "--"),
        ("+49 30 1234567", "+49 30 1234567"),
        ("+1-555-0100", "'+1-555-0100"),
        ("-A1", "'-A1"),
        ("=", "'="),
        ("1=1", "1=1"),
        ("", ""),
    ],
)
def test_formulas_are_neutralized_in_csv_unless_asked_not_to(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "a.csv"
    shape = Shape.of()
    assert read_csv(write(path, shape, document(note=text)))[0]["note"] == expected
    assert read_csv(write(path, shape, document(note=text), formulas=True))[0]["note"] == text
    assert read_csv(write(path, Shape.of("field"), document(note=text)))[0]["value"] == expected


def test_headers_are_neutralized_too(tmp_path: Path) -> None:
    assert "'=1+1" in read_csv(write(tmp_path / "a.csv", Shape.of(), document(**{"=1+1": "x"})))[0]


def test_json_lines_have_the_values_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", Shape.of(), document(a="=1+1", b=[1], c=None, d=1.5, e="\ud800é"))
    (line,) = path.read_bytes().splitlines()
    row = json.loads(line)
    assert [row[name] for name in "abcde"] == ["=1+1", [1], None, 1.5, "\ud800é"]


def test_parquet_has_real_columns(tmp_path: Path, invoice: MakeFile) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    shape = Shape.of(include=["confidence", "valid", "page", "boxes", "edits"])
    table = pq.read_table(write(tmp_path / "a.parquet", shape, invoice(), document(n=1, f=0.5, b=True)))
    types = {field.name: str(field.type) for field in table.schema}
    assert (types["n"], types["f"], types["b"], types["total"]) == ("int64", "double", "bool", "string")
    assert types["pages"].startswith("list<")
    (first, second) = table.to_pylist()
    assert (first["total"], first["lines"], first["date"]) == ("12.50", '[{"sku": 1}]', None)
    assert dict(first["errors"]) == {"date": "no date on the page"}
    assert (first["total__confidence"], first["total__valid"], first["total__page"]) == (0.5, False, 2)
    assert first["total__boxes"] == [{"page": 2, "left": 10.0, "top": 20.0, "right": 40.0, "bottom": 32.0}]
    assert (second["n"], second["total"], second["n__confidence"]) == (1, None, None)


def test_long_parquet_has_a_struct_of_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(parquet, "CHUNK_CELLS", 1)
    files = ResultFile(), document(a="1"), document(b=2, a="x"), document(b=0.5), document(b="text")
    table = pq.read_table(write(tmp_path / "a.parquet", Shape.of("document", "long"), *files, chunks=True))
    assert [row["fields"] for row in table.to_pylist()[1:]] == [
        {"b": None, "a": "1"},
        {"b": "2", "a": "x"},
        {"b": "0.5", "a": None},
        {"b": "text", "a": None},
    ]


_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=4),
    st.lists(st.integers(0, 9), max_size=2),
)
_DOCUMENTS = st.lists(st.dictionaries(st.sampled_from("abcd"), _VALUES, max_size=4), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(_DOCUMENTS, st.booleans())
def test_no_value_changes_in_parquet_however_the_schema_grows(documents: list[dict[str, Any]], wide: bool) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    shape = Shape.of("document", "wide" if wide else "long")
    rows = rows_of(shape, *(document(**fields) for fields in documents))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "CHUNK_CELLS", 1)
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "a.parquet"
            with RowFile(path, "parquet", ColumnSet.of(shape)) as output:
                for row in rows:
                    output.write([row])
                output.commit()
            found = pq.read_table(path).to_pylist()
            once = Table(rows, ColumnSet.of(shape)).to_arrow()
            assert once.schema.equals(pq.read_schema(path).remove_metadata())
    for row, expected in zip(found, documents, strict=True):
        values = row if wide else row["fields"] or {}
        for name, value in expected.items():
            assert same(values.get(name), value), (values.get(name), value)


def same(found: Any, value: Any) -> bool:
    """Whether a value survived: as it was, as an equal number, or as its JSON in a column of texts."""
    if value in (None, ""):
        return found in (None, "")
    if isinstance(found, str) and not isinstance(value, str):
        again = json.loads(found)
        return again == value or (isinstance(value, float) and math.isnan(value))
    if isinstance(found, float) and isinstance(value, float) and math.isnan(value):
        return math.isnan(found)
    if isinstance(value, str):
        return bool(found == value.encode("utf-8", "backslashreplace").decode())
    return bool(found == value)


def test_a_dataset_of_parts_is_one_table_for_pandas_polars_and_duckdb(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    pl = pytest.importorskip("polars")
    duckdb = pytest.importorskip("duckdb")
    shape = Shape.of(include="confidence")
    write(tmp_path / "part-000001.parquet", shape, document(total=None, n=1))
    write(tmp_path / "part-000002.parquet", shape, document(total="12", n=None, late="x"))
    write(tmp_path / "part-000003.parquet", shape, document(total="13", n=0.5))
    untouched = write(tmp_path / "part-000004.parquet", shape, document(n=2.5, total="14", late="y"))
    parts = sorted(tmp_path.glob("*.parquet"))
    inode = untouched.stat().st_ino
    replaced: list[str] = []

    def replace(new: Path, old: Path) -> None:
        new.replace(old)
        replaced.append(old.name)

    parquet.unify(parts, replace)
    assert parquet.unify(parts, replace) == 0
    assert set(replaced) >= {"part-000001.parquet", "part-000003.parquet"}
    assert untouched.stat().st_ino == inode or untouched.name in replaced

    frame = pd.read_parquet(tmp_path)
    assert frame["total"].tolist()[1:] == ["12", "13", "14"]
    assert frame["n"].dropna().tolist() == [1.0, 0.5, 2.5]
    assert pl.read_parquet(tmp_path)["late"].to_list() == [None, "x", None, "y"]
    found = duckdb.sql(f"SELECT total, late FROM '{tmp_path}/*.parquet' WHERE n = 2.5").fetchall()
    assert found == [("14", "y")]


def test_a_writer_that_starts_with_known_columns_needs_no_second_pass(tmp_path: Path) -> None:
    shape = Shape.of()
    first = write(tmp_path / "part-000001.parquet", shape, document(a="1", b="2"))
    columns = ColumnSet.of(shape)
    known = parquet.columns_of(first)
    assert known is not None
    columns.merge(known)
    with RowFile(tmp_path / "part-000002.parquet", "parquet", columns) as output:
        output.write(rows_of(shape, document(b="3")))
        output.commit()
    assert parquet.unify(sorted(tmp_path.glob("*.parquet")), Path.replace) == 0


def test_xlsx_has_numbers_as_numbers_and_no_formula(tmp_path: Path) -> None:
    pytest.importorskip("xlsxwriter")
    openpyxl = pytest.importorskip("openpyxl")
    path = write(
        tmp_path / "a.xlsx",
        Shape.of(),
        document(a=1, t="=1+1", big=2**60, nan=math.nan, url="http://x.test", flag=True, odd="a\ud800\x01b"),
        document(late=[1]),
    )
    sheet = openpyxl.load_workbook(path).active
    header, first, second = ([cell.value for cell in row] for row in sheet.iter_rows())
    row = dict(zip(header, first, strict=True))
    assert (row["a"], row["t"], row["big"], row["nan"]) == (1, "=1+1", str(2**60), "NaN")
    cell = sheet.cell(2, header.index("t") + 1)
    assert cell.data_type == "s"
    assert (row["url"], row["flag"], sheet.cell(2, header.index("url") + 1).hyperlink) == ("http://x.test", True, None)
    assert row["odd"].startswith("a\\ud800")
    assert dict(zip(header, second, strict=True))["late"] == "[1]"


def test_what_excel_cannot_hold_is_refused_by_name(tmp_path: Path) -> None:
    pytest.importorskip("xlsxwriter")
    with pytest.raises(ConfigurationError, match=r"row 1, 'a': a text of 40,000 characters"):
        write(tmp_path / "a.xlsx", Shape.of(), document(a="x" * 40_000))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_nothing_shows_under_the_name_before_the_commit(tmp_path: Path, format: str, invoice: MakeFile) -> None:
    path = write(tmp_path / f"a.{format}", Shape.of(), invoice())
    old = path.read_bytes()
    with RowFile(path, format, ColumnSet.of(Shape.of())) as output:
        output.write(rows_of(Shape.of(), *[invoice()] * 50))
        assert path.read_bytes() == old
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet", "xlsx"])
def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    path = write(tmp_path / f"a.{format}", Shape.of(), document(a="1"))
    old = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(path, Shape.of(), document(a="2"))
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("module", "call", "message"),
    [
        ("pyarrow", lambda table: table.to_arrow(), r"pip install 'aihub-async\[parquet\]'"),
        ("pandas", lambda table: table.to_pandas(), r"pip install 'aihub-async\[tables\]'"),
        ("polars", lambda table: table.to_polars(), r"pip install 'aihub-async\[tables\]'"),
        ("xlsxwriter", lambda table: table.write("a.xlsx"), r"pip install 'aihub-async\[xlsx\]'"),
        ("pyarrow.parquet", lambda table: table.write("a.parquet"), r"needs pyarrow: .*\[parquet\]"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, call: Callable[[Table], object], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ConfigurationError, match=message):
        call(Table([], ColumnSet.of(Shape.of())))
    assert list(tmp_path.iterdir()) == []


def test_a_table_for_every_library(invoice: MakeFile) -> None:
    pl = pytest.importorskip("polars")
    pytest.importorskip("pandas")
    table = Table(rows_of(Shape.of(), invoice(), document(n=1, file="x")), ColumnSet.of(Shape.of()))
    assert repr(table) == "Table(2 rows, 15 columns)"
    assert table.renamed == {"file~field": "file"}
    frame = table.to_pandas()
    assert list(frame.columns) == table.columns
    assert (str(frame["n"].dtype), frame["n"].tolist()[1]) == ("Int64", 1)
    assert table.to_polars()["total"].to_list() == ["12.50", None]
    assert pl.DataFrame(table).shape == (2, 15)
    assert len(table) == len(list(table)) == 2


def test_unknown_extensions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"must end in one of \.jsonl, \.csv, \.parquet, \.xlsx"):
        Table([], ColumnSet.of(Shape.of())).write(tmp_path / "a.xml")


def test_memory_does_not_grow_with_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(parquet, "CHUNK_CELLS", 5_000)
    shape = Shape.of()
    rows = rows_of(shape, document(**{f"field{n}": "x" * 20 for n in range(10)}))

    def peak(count: int) -> int:
        with RowFile(tmp_path / "a.parquet", "parquet", ColumnSet.of(shape)) as output:
            tracemalloc.reset_peak()
            for _ in range(count):
                output.write([dict(rows[0]) for _ in range(100)])
            output.commit()
            return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        peak(10)
        assert peak(100) < 1.5 * peak(20)
    finally:
        tracemalloc.stop()


def test_kinds_only_widen() -> None:
    kinds = [cells.NULL, cells.BOOL, cells.INT, cells.BIG, cells.FLOAT, cells.TEXT]
    for first in kinds:
        for second in kinds:
            joined = cells.join(first, second)
            assert joined == cells.join(second, first)
            assert cells.join(joined, first) == joined
            assert all(cells.join(joined, third) == cells.join(first, cells.join(second, third)) for third in kinds)


def test_tables_of_several_runs_become_one() -> None:
    pytest.importorskip("pyarrow")
    parts = [
        Table(rows_of(Shape.of(), file), ColumnSet.of(Shape.of())) for file in (document(a=1), document(b="x", a=2.5))
    ]
    table = Table.concat(parts)
    assert table.columns[-2:] == ["b", "a"]
    assert [(row.get("a"), row.get("b")) for row in table] == [(1, None), (2.5, "x")]
    assert str(table.to_arrow().schema.field("a").type) == "double"
    # The parts are as they were.
    assert "b" not in parts[0].columns
    assert len(Table.concat([])) == 0


def test_parts_of_csv_get_one_header(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    shape = Shape.of()
    limit = csv.field_size_limit()
    write(tmp_path / "part-1.csv", shape, document(a="1", c='x,"\r\ny' + "." * limit))
    write(tmp_path / "part-2.csv", shape, document(a="2", b="=1", c="z"), document(late="w"))
    whole = write(tmp_path / "part-3.csv", shape, document(a="3", b="4", c="5", late="v"))
    before = whole.read_bytes()
    parts = sorted(tmp_path.glob("*.csv"))
    assert unify(parts, "csv", Path.replace) == 1
    assert unify(parts, "csv", Path.replace) == 0
    assert whole.read_bytes() == before
    assert csv.field_size_limit(10 * limit) == limit
    rows = [row for part in parts for row in read_csv(part)]
    csv.field_size_limit(limit)
    assert [[row[name] for name in ("a", "b", "c", "late")] for row in rows] == [
        ["1", "", 'x,"\r\ny' + "." * limit, ""],
        ["2", "'=1", "z", ""],
        ["", "", "", "w"],
        ["3", "4", "5", "v"],
    ]
    found = duckdb.sql(f"SELECT count(late) FROM read_csv('{tmp_path}/*.csv', all_varchar = true)").fetchall()
    assert found == [(2,)]


def test_other_formats_are_one_table_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", Shape.of(), document(a="1"))
    assert unify([path], "jsonl", Path.replace) == 0
