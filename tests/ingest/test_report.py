"""The report: its content, and how it looks in headless Chromium."""

import importlib.util
import io
import sys
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aihub_async import AsyncAIHub, Gate
from aihub_async.emulator import Emulator
from aihub_async.ingest.charts import bars, round_ticks, timeline
from aihub_async.ingest.journal import queries, schema
from aihub_async.ingest.journal.file import Journal
from aihub_async.ingest.journal.rows import BatchRow, BatchState, FileRow, FileState
from aihub_async.ingest.report import write_report

MakeFiles = Callable[..., Path]
_spec = importlib.util.spec_from_file_location(
    "browser_of_reports", Path(__file__).parents[1] / "results" / "browser.py"
)
assert _spec is not None
assert _spec.loader is not None
_browser = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _browser
_spec.loader.exec_module(_browser)
CHROMIUM = _browser.find_chromium()


async def report_of(client: AsyncAIHub, folder: Path, make_files: MakeFiles, **options: Any) -> str:
    scans = make_files("scans", 12)
    (scans / "broken.pdf").write_bytes(b"%PDF-1.7 broken")
    (scans / "<b>.exe").write_bytes(b"x")
    (scans / ".DS_Store").write_bytes(b"x")
    job = client.ingest(scans, app_name="key-values", out=folder / "out", batch_files=5, **options)
    await job.run()
    return (await job.report(folder / "report.html")).read_text()


async def test_the_report_says_what_happened_and_what_to_do(
    hub: Emulator, client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    page = await report_of(client, tmp_path, make_files, gate=Gate(required=["Nothing"]))
    for part in (
        "Complete, but not every file has a result",
        "12 of 13 files have their results",
        "1 files failed",
        "aihub ingest retry-failed",
        f"--out {tmp_path / 'out'}",
        "documents were refused by the gate",
        "extraction failed",
        "&lt;b&gt;.exe",
        "Invoice_number",
        "100%",
        "part-000001.jsonl",
        hub.runs()[0]["id"],
        hub.api_root,
        ".DS_Store",
        'name="viewport"',
        "prefers-color-scheme: dark",
    ):
        assert part in page, part
    assert "<b>.exe" not in page
    assert "Too short to draw" in page


def test_ticks_are_round() -> None:
    assert round_ticks(1234) == [0.0, 500.0, 1000.0]
    assert round_ticks(7) == [0.0, 2.0, 4.0, 6.0]
    assert round_ticks(0) == [0.0]
    assert round_ticks(0.9)[1] == pytest.approx(0.25)


def test_a_curve_needs_enough_samples_and_labels_are_whole() -> None:
    points = [(float(number), float(number), number / 2) for number in range(9)]
    assert "Too short" in timeline(points, 100)
    assert "<polyline" in timeline([*points, (9.0, 9.0, 5.0)], 100)
    label = "an error message that is much longer than forty characters"
    assert label in bars({label: 3.0})


async def large_journal(path: Path, files: int) -> None:
    async with await Journal.open(path, {"source": "archive", "app_name": "Invoices"}) as journal:

        def fill(db: Any) -> None:
            folder = queries.folder(db, "archive")
            rows = (
                FileRow(number, folder, f"{number:07d}.pdf", "", "", 1000 + number, 1, (number - 1) // 1000 + 1,
                        FileState.NO_RESULT if number % 10 == 0 else FileState.UPLOADED)
                for number in range(1, files + 1)
            )  # fmt: skip
            queries.put_files(db, rows)
            for number in range(10, files + 1, 10):
                queries.put_failure(db, number, "extraction failed", "the file is damaged" * 3)
            for number in range(1, files // 1000 + 1):
                state = BatchState.EXPORTED
                queries.put_batch(
                    db, BatchRow(number, number * 1000 - 999, number * 1000, 1000, 10**6, state, batch_id=number,
                                 run_id=f"run-{number}", rows=900)
                )  # fmt: skip
            for number in range(2_000):
                queries.put_sample(db, 1e9 + 2 * number, number * 50, number * 50_000, number * 45)
            schema.set_meta(db, "files", files)
            schema.set_meta(db, "batches", files // 1000)
            schema.set_meta(db, "scanned", True)

        await journal.call(fill)


@pytest.mark.parametrize("files", [50_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
async def test_a_report_of_many_files_is_small(tmp_path: Path, files: int) -> None:
    await large_journal(tmp_path / "job.db", files)
    write_report(tmp_path / "job.db", tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 2_000_000


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")
async def test_people_can_read_it_on_a_phone_and_in_the_dark(
    client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    await report_of(client, tmp_path, make_files)
    await large_journal(tmp_path / "large.db", 20_000)
    write_report(tmp_path / "large.db", tmp_path / "large.html")
    async with _browser.Browser(CHROMIUM) as tab:
        for name in ("report.html", "large.html"):
            for width, scheme in ((1200, "light"), (400, "dark")):
                began = time.monotonic()
                await tab.open(tmp_path / name, width, 900, dark=scheme == "dark")
                assert time.monotonic() - began < 5
                # Nothing is wider than the screen.
                assert await tab.evaluate("document.documentElement.scrollWidth") <= width
                background = await tab.evaluate("getComputedStyle(document.body).backgroundColor")
                assert (background == "rgb(255, 255, 255)") == (scheme == "light")
                clipped = (
                    "[...document.querySelectorAll('svg text')].filter(each => {"
                    "const box = each.getBoundingClientRect(), svg = each.ownerSVGElement.getBoundingClientRect();"
                    "return box.left < svg.left - 1 || box.right > svg.right + 1; }).length"
                )
                assert await tab.evaluate(clipped) == 0
        assert await tab.evaluate("document.querySelectorAll('polyline').length") == 2
    assert tab.errors == []


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")
async def test_on_paper_it_is_dark_on_white_and_whole(
    client: AsyncAIHub, make_files: MakeFiles, tmp_path: Path
) -> None:
    pypdf = pytest.importorskip("pypdf")
    await report_of(client, tmp_path, make_files)
    async with _browser.Browser(CHROMIUM) as tab:
        for width in (400, 1200):
            # Somebody who uses the dark scheme prints it too.
            await tab.open(tmp_path / "report.html", width, 900, dark=True)
            features = [{"name": "prefers-color-scheme", "value": "dark"}]
            await tab.call("Emulation.setEmulatedMedia", media="print", features=features)
            style = "getComputedStyle(document.body)"
            assert await tab.evaluate(f"{style}.backgroundColor") == "rgb(255, 255, 255)"
            assert await tab.evaluate(f"{style}.color") == "rgb(0, 0, 0)"
            assert await tab.evaluate("document.documentElement.scrollWidth") <= width
            pages = pypdf.PdfReader(io.BytesIO(await tab.pdf())).pages
            # The font joins letters such as "fi".
            text = unicodedata.normalize("NFKC", "\n".join(page.extract_text() for page in pages))
            assert "Complete, but not every file has a result" in text
            # What is folded on the screen is printed too, each section on paper that is not cut off.
            assert not await tab.evaluate("document.querySelector('details:not([open])') === null")
            assert "part-000001.jsonl" in text
            assert len(pages) <= 6
    assert tab.errors == []
