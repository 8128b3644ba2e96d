from collections.abc import Callable

import pytest

from aihub_async import Processed
from aihub_async.models import ResultFile, Run
from aihub_async.models.reprs import html_card, html_rows

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
