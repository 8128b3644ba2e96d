import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from aihub_async import AsyncAIHub, NotebookProgress, Processed
from aihub_async.ingest.progress import IngestStatus
from aihub_async.models import ResultFile, Run
from aihub_async.models.reprs import duration_text, html_card, html_rows
from aihub_async.models.uploads import UploadRecord, UploadReport
from aihub_async.uploads.engine import UploadProgress

RUN = Run(
    id="run-1",
    status="COMPLETE",
    start_timestamp=1_719_842_400_000_000_000,
    finish_timestamp=1_719_842_412_300_000_000,
    batch_id=7,
)


def test_a_run_has_readable_times() -> None:
    assert repr(RUN) == (
        "Run(id='run-1', status='COMPLETE', started='2024-07-01 14:00:00 UTC', duration='12.3 s', batch_id=7)"
    )
    assert repr(Run(id="x")) == "Run(id='x')"
    assert "2024-07-01 14:00:00 UTC" in RUN._repr_html_()


def test_results_are_short_whatever_their_size(invoice: Callable[..., ResultFile]) -> None:
    processed = Processed(RUN, 7, [invoice(f"{number}.pdf") for number in range(2_000)])
    assert repr(processed) == "Processed(run 'run-1' COMPLETE, 2,000 files, 2,000 documents)"
    shown = processed._repr_html_()
    assert len(shown) < 20_000
    assert "1,990 more rows" in shown
    assert "12.50" in shown


def test_failed_files_are_in_the_repr() -> None:
    from aihub_async.models import Document, Field

    failed = Field(field_name="document", value="ERROR", error_msg="the PDF is damaged")
    processed = Processed(RUN, 7, [ResultFile(original_file_name="a.pdf", documents=[Document(fields=[failed])])])
    assert repr(processed) == "Processed(run 'run-1' COMPLETE, 1 files, 1 documents, 1 failed)"
    assert processed.failed == {"a.pdf": "the PDF is damaged"}


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\ud800", "x" * 500])
def test_nothing_in_a_cell_becomes_markup(text: str) -> None:
    for shown in (html_card(text, {text: text}), html_rows([text], [{text: text}], 1)):
        assert "<script" not in shown
        assert len(shown) < 2_000
        shown.encode()


def test_an_upload_of_many_files_is_short() -> None:
    records = [
        UploadRecord(
            f"{number}.pdf", f"scans/{number}.pdf", 1_000, 1, 0.1, error=OSError("<b>") if number < 20 else None
        )
        for number in range(10_000)
    ]
    report = UploadReport(records, 12.34)
    assert len(repr(report)) < 200
    shown = report._repr_html_()
    assert len(shown) < 5_000
    for text in ("9,980 of 10,000", "10.0 MB", "12.3 s", "0.pdf", "&lt;b&gt;", "10 more rows"):
        assert text in shown


def test_states_of_work_have_bars() -> None:
    shown = UploadProgress(10, 4, 1, 2_000_000, 500_000)._repr_html_()
    assert '<progress value="500000" max="2e+06"' in shown
    assert "4 of 10 files, 500.0 kB uploaded, 1 failed" in shown
    status = IngestStatus(10, 100, 5, 50, 4, 1, 0, 12, 0, {"running": 1}, scanned=True, remaining=90.0)
    shown = status._repr_html_()
    for text in ("4 of 10 files done", "waiting for runs", "90.0 s", "5 files, 50 bytes"):
        assert text in shown


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (99.94, "99.9 s"), (599, "599 s"), (660, "11 min"), (7200, "2.0 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


class Shown:
    def __init__(self) -> None:
        self.updates: list[str] = []

    def update(self, shown: NotebookProgress) -> None:
        self.updates.append(shown._repr_html_())


def test_progress_shows_in_one_cell_of_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown()
    displayed: list[bool] = []

    def display(_progress: NotebookProgress, *, display_id: bool) -> Shown:
        displayed.append(display_id)
        return shown

    ipython = types.SimpleNamespace(get_ipython=object)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display))
    seconds = iter([0.0, 0.05, 0.3, 0.31, 0.32])
    progress = NotebookProgress(clock=lambda: next(seconds))
    progress(UploadProgress(10, 1))
    progress(UploadProgress(10, 2))  # too soon
    progress(UploadProgress(10, 3))
    progress(Run(id="r", status="RUNNING"))
    progress(RUN)  # the end is always shown
    assert displayed == [True]
    assert ["3 of 10 files" in each for each in shown.updates] == [True, True, True]
    assert "COMPLETE" in shown.updates[-1]


def test_progress_elsewhere_is_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    seconds = iter([0.0, 1.0, 1.5])
    progress = NotebookProgress(clock=lambda: next(seconds))
    progress(UploadProgress(10, 1))
    progress(UploadProgress(10, 2))
    progress(RUN)
    assert capsys.readouterr().err.splitlines() == [repr(UploadProgress(10, 1)), repr(RUN)]


async def test_a_bulk_job_says_what_it_is(tmp_path: Path) -> None:
    async with AsyncAIHub("key", api_root="http://127.0.0.1:1/api") as client:
        job = client.ingest([], app_name="Invoices", out=tmp_path)
        assert repr(job) == f"<IngestJob: 'Invoices', results in {tmp_path}>"
