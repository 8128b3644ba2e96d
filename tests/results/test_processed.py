import asyncio
import csv
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from aihub_async import AsyncAIHub, FieldRow, Gate, Processed, Table
from aihub_async.emulator import Emulator
from aihub_async.emulator.packets import PacketField
from aihub_async.models import CaseField, CaseInfo, Document, Field, ResultFile, Run
from aihub_async.models.uploads import UploadRecord, UploadReport
from aihub_sync import AIHub

MakeFile = Callable[..., ResultFile]
RUN = Run(id="run-1", status="COMPLETE")


@pytest.fixture
def processed(invoice: MakeFile) -> Processed:
    report = UploadReport([UploadRecord("a.pdf", "scans/a.pdf", 10, 1, 0.1)], 0.2)
    case = CaseInfo(fields=[CaseField(name="payer", value="Ana")])
    return Processed(RUN, 7, [invoice(), invoice("b.pdf")], report, case)


def test_it_iterates_over_its_rows(processed: Processed) -> None:
    rows = list(processed)
    assert rows == list(processed.rows())
    assert all(isinstance(row, FieldRow) for row in rows)
    assert {row.file for row in rows} == {"a.pdf", "b.pdf"}


def test_pandas_and_polars_make_columns_of_rows(processed: Processed) -> None:
    pd = pytest.importorskip("pandas")
    pl = pytest.importorskip("polars")
    for frame in (pd.DataFrame(processed), pd.DataFrame(processed.rows())):
        assert list(frame.columns) == list(FieldRow._fields)
        assert frame["field"].tolist()[:2] == ["total", "lines"]
    assert pl.DataFrame([row for row in processed if row.field == "total"])["value"].to_list()[0] == "12.50"


def test_fields_by_file_and_name(processed: Processed) -> None:
    document = processed.by_file["a.pdf"].documents[0]
    assert document["total"].value == "12.50"
    assert document.get("nothing") is None
    assert ("total" in document, "nothing" in document, 7 in document) == (True, False, False)
    with pytest.raises(KeyError, match="no field 'totl'; the document has date, lines, total"):
        document["totl"]


def test_files_of_one_name_are_found_by_their_path() -> None:
    files = [
        ResultFile(original_file_name="a.pdf", input_file_path="/in/x/a.pdf"),
        ResultFile(original_file_name="a.pdf", input_file_path="/in/y/a.pdf"),
        ResultFile(original_file_name="b.pdf", input_file_path="/in/b.pdf"),
    ]
    assert list(Processed(RUN, 7, files).by_file) == ["/in/x/a.pdf", "/in/y/a.pdf", "b.pdf"]


def test_tables_know_where_rows_come_from(processed: Processed) -> None:
    first, second = processed.table()
    assert (first["source"], first["batch_id"], first["run_id"]) == ("scans/a.pdf", 7, "run-1")
    assert second["source"] is None
    assert len(processed.table("field")) == 8
    (case,) = processed.case_table()
    assert (case["field"], case["value"], case["run_id"]) == ("payer", "Ana", "run-1")
    assert len(Processed(RUN, 7, []).case_table()) == 0


def test_it_can_be_pickled(processed: Processed) -> None:
    assert pickle.loads(pickle.dumps(processed)) == processed


async def test_process_table_bind_gate_and_view(hub: Emulator, tmp_path: Path) -> None:
    """The whole path over a real socket."""

    @attrs.frozen
    class Note:
        total: float
        due: str | None = None

    (tmp_path / "scans").mkdir()
    for number in range(3):
        (tmp_path / "scans" / f"{number}.txt").write_text(f"Total: {number}.50\nDue: 2026-01-0{number + 1}\n")
    async with AsyncAIHub(hub.api_key, api_root=hub.api_root) as client:
        processed = await client.process(tmp_path / "scans", app_name="key-values", include_source_info=True)
        again = await client.apps.runs.processed(processed.run.id)
        table = await client.apps.runs.table(processed.run.id, include=["confidence", "page"])
    assert all(row.confidence is not None for row in processed if row.field == "Total")
    assert [row["Total"] for row in processed.table()] == ["0.50", "1.50", "2.50"]
    assert [record.value for record in processed.bind(Note)][1] == Note(1.5, "2026-01-02")
    assert [file.original_file_name for file in again.files] == ["0.txt", "1.txt", "2.txt"]
    assert (again.batch_id, again.upload) == (processed.batch_id, None)
    first = next(iter(table))
    assert (first["Total"], first["Total__page"]) == ("0.50", 1)
    accepted, review = Gate(confidence=0.5, required=["Total"]).split(processed)
    assert (len(accepted), len(review)) == (3, 0)
    page = processed.view(tmp_path / "page.html").read_text()
    assert "Total: 1.50" in page


async def test_all_pages_and_the_packet_are_gathered(hub: Emulator) -> None:
    sent: list[dict[str, Any]] = []

    async with AsyncAIHub(hub.api_key, api_root=hub.api_root) as client:
        runs = client.apps.runs
        pages = [
            {"files": [{"original_file_name": "a"}], "has_more": True},
            {"files": [{"original_file_name": "b"}], "has_more": False, "case_info": {"fields": [{"name": "n"}]}},
        ]

        async def results(run_id: str, file_offset: int | None = None, *flags: bool) -> Any:
            sent.append({"run_id": run_id, "offset": file_offset, "flags": flags})
            return _page(pages[len(sent) - 1])

        runs.results = results  # type: ignore[method-assign]  # two pages without a thousand files
        found = await runs.collect_results("r", include_review_results=True)
    assert [file.original_file_name for file in found.files] == ["a", "b"]
    assert found.case_info is not None
    assert [each["offset"] for each in sent] == [0, 1]
    assert sent[0]["flags"] == (False, False, True, False)


def _page(plain: dict[str, Any]) -> Any:
    from aihub_async.models import RunResults

    return RunResults.from_dict(plain)


def test_documents_without_fields_have_no_rows() -> None:
    processed = Processed(RUN, None, [ResultFile(documents=[Document(fields=[])]), ResultFile()])
    assert list(processed) == []
    assert len(processed.table()) == 2
    assert Processed(RUN, None, [ResultFile(documents=[Document(fields=[Field()])])]).failed == {}


async def test_a_run_per_case_a_wide_csv_of_values_and_one_of_validations(tmp_path: Path) -> None:
    """The commonest job, in ten lines."""
    cases = tmp_path / "cases"
    for number in (1, 2):
        (cases / f"case-{number}").mkdir(parents=True)
        for name in ("a", "b"):
            (cases / f"case-{number}" / f"{name}.txt").write_text(f"Total: {number}.00\nNote: {name}\n")
    values, validations = tmp_path / "values.csv", tmp_path / "validations.csv"

    async with Emulator() as hub, AsyncAIHub(hub.api_key, api_root=hub.api_root) as client:

        async def one(folder: Path) -> Processed:
            return await client.process(
                folder, deployment_id="key-values", batch_name=folder.name, include_validation_results=True
            )

        results = await asyncio.gather(*map(one, folders := sorted(cases.iterdir())))
        tables = [each.table(extra={"case": folder.name}) for each, folder in zip(results, folders, strict=True)]
        Table.concat(tables).write(values)
        Table.concat(each.table(values="valid") for each in results).write(validations)

    with values.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["file"], row["Total"], row["Note"]) for row in rows] == [
        ("case-1", "a.txt", "1.00", "a"),
        ("case-1", "b.txt", "1.00", "b"),
        ("case-2", "a.txt", "2.00", "a"),
        ("case-2", "b.txt", "2.00", "b"),
    ]
    with validations.open(newline="") as file:
        assert [(row["file"], row["Total"], row["Note"]) for row in csv.DictReader(file)] == [
            (name, "true", "true") for name in ("a.txt", "b.txt", "a.txt", "b.txt")
        ]


async def test_packet_fields_arrive_by_every_way(hub: Emulator) -> None:
    @hub.app("claims", packet=lambda documents: [PacketField("count", str(len(documents)))])
    def lines(document: Any) -> dict[str, str]:
        return {"text": document.text}

    async with AsyncAIHub(hub.api_key, api_root=hub.api_root) as client:
        files = [(f"{number}.txt", b"x") for number in range(25)]
        processed = await client.process(files, app_name="claims")
        pages = client.apps.runs.iter_results(processed.run.id)
        assert (repr(pages), pages.answer) == ("<Pages of getRunResults: none read yet>", None)
        names = [file.original_file_name async for file in pages]
        handle_pages = client.apps.runs.handle(processed.run.id).iter_results()
        await handle_pages.next_page()
    assert len(names) == len(processed.files) == 25
    assert repr(pages) == "<Pages of getRunResults: all read>"
    for case_info in (processed.case_info, pages.answer.case_info, handle_pages.answer.case_info):
        assert [(field.name, field.value) for field in case_info.fields] == [("count", "25")]


def test_packet_fields_arrive_in_the_sync_client(hub_in_thread: Emulator) -> None:
    @hub_in_thread.app("claims", packet=lambda documents: [PacketField("count", str(len(documents)))])
    def lines(document: Any) -> dict[str, str]:
        return {"text": document.text}

    with AIHub(hub_in_thread.api_key, api_root=hub_in_thread.api_root) as client:
        processed = client.process([("a.txt", b"x")], app_name="claims")
        pages = client.apps.runs.iter_results(processed.run.id)
        assert len(list(pages)) == 1
        assert pages.answer.case_info == processed.case_info
        assert repr(pages) == "<Pages of getRunResults: all read>"
        assert client.apps.runs.table(processed.run.id).columns == processed.table().columns
    assert processed.case_table().columns[:4] == ["batch_id", "run_id", "field", "value"]


@pytest.fixture
def hub_in_thread() -> Iterator[Emulator]:
    with Emulator().in_thread() as running:
        yield running


@pytest.mark.parametrize("package", ["aihub_async", "aihub_sync"])
def test_results_are_imported_with_the_first_use(package: str) -> None:
    client = {"aihub_async": "AsyncAIHub", "aihub_sync": "AIHub"}[package]
    code = (
        f"import sys; from {package} import {client};"
        " assert not [name for name in sys.modules if name.startswith('aihub_async.results')];"
        f" from {package} import Gate, Processed, Table, FieldRow;"
        " assert Gate.__module__ == 'aihub_async.results.gates'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_unknown_names_are_attribute_errors() -> None:
    import aihub_async

    with pytest.raises(AttributeError, match="no attribute 'Gates'"):
        aihub_async.Gates  # noqa: B018


def test_a_file_by_its_name(processed: Processed) -> None:
    assert processed["a.pdf"] is processed.by_file["a.pdf"]
    with pytest.raises(KeyError, match=r"no file 'none\.pdf'; the run has a\.pdf"):
        processed["none.pdf"]
