"""The report of a job: one page that shows what happened, from its journal alone."""

import contextlib
import html
import itertools
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from aihub_async.errors import IngestError
from aihub_async.ingest.charts import bar_chart, line_chart
from aihub_async.ingest.journal import counts, queries, schema
from aihub_async.ingest.journal.rows import BatchRow, FailedFile
from aihub_async.ingest.progress import IngestStatus, status_of

_FAILURES_SHOWN = 200
_POINTS = 300
_IDLE = 60.0
"""Seconds between two samples that mean an interruption, which the time axis leaves out."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 780px; margin: 2em auto; padding: 0 1em; color: #1c2733; }
h1 { font-size: 1.5em; } h2 { font-size: 1.1em; margin-top: 2em; }
table { border-collapse: collapse; width: 100%; font-size: 13px; } td, th { text-align: left; padding: 3px 8px 3px 0; }
tr { border-bottom: 1px solid #e3e8ee; } td { overflow-wrap: anywhere; }
svg { width: 100%; font-size: 12px; } svg text { fill: #51606f; } svg rect { fill: #2f7ed8; }
svg line { stroke: #e3e8ee; } .line { fill: none; stroke: #2f7ed8; stroke-width: 1.6; }
"""

_Sample = tuple[float, int, int, int]


def write_report(journal: Path, target: Path) -> None:
    """Write a self-contained HTML page about a job; it can be done while the job goes on.

    Args:
        journal: the job's journal.
        target: the page; it appears when it is whole.

    Raises:
        JournalError: there is no journal, or it cannot be read.
        IngestError: the page cannot be written.

    Example:
        >>> def report(out):
        ...     write_report(out / "job.db", out / "report.html")
    """
    with contextlib.closing(schema.connect_readonly(journal)) as connection:
        page = _page(connection, journal)
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise IngestError(f"cannot write {target}: {error.strerror or error}") from error


def _page(connection: sqlite3.Connection, journal: Path) -> str:
    status = status_of(connection, journal)
    facts = schema.read_meta(journal, connection)
    samples = _running_time(counts.samples(connection))
    batches = list(queries.batches(connection))
    app = facts["spec"]["app_name"] or facts["spec"]["app_id"]
    sections = [
        ("Summary", _summary(status, samples)),
        ("Files per second, uploaded", line_chart(_rates(samples, 1, 1.0), "files/s")),
        ("Megabytes per second, uploaded", line_chart(_rates(samples, 2, 1e6), "MB/s")),
        ("Files done over time", line_chart([(sample[0], float(sample[3])) for sample in samples], "files")),
        ("Sizes of files", bar_chart(_sizes(connection), "files")),
        ("Durations per batch, median and longest", bar_chart(_durations(batches), "s")),
        ("Batches by state", bar_chart({name: float(count) for name, count in status.batches.items()})),
        ("Failures by reason", bar_chart(_reasons(connection), "files")),
        ("Failures", _failure_table(itertools.islice(queries.failures(connection), _FAILURES_SHOWN), status)),
    ]
    body = "".join(f"<h2>{html.escape(title)}</h2>{content}" for title, content in sections)
    title = f"Ingestion with {html.escape(str(app))}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>Job {html.escape(facts['job'])}</p>{body}</html>"
    )


def _summary(status: IngestStatus, samples: list[_Sample]) -> str:
    seconds = samples[-1][0] if samples else 0.0
    rows = {
        "state": "complete" if status.complete else "not complete",
        "files done": f"{status.done:,} of {status.files:,}",
        "bytes": f"{status.bytes:,}",
        "failed": f"{status.failed:,}",
        "refused": f"{status.refused:,}",
        "rows of results": f"{status.rows:,}",
        "batches": f"{sum(status.batches.values()):,}",
        "working time": f"{seconds:,.1f} s",
    }
    return _table(("", ""), rows.items())


def _running_time(samples: list[_Sample]) -> list[_Sample]:
    """Times as seconds of work: interruptions do not count."""
    found: list[_Sample] = []
    elapsed, last = 0.0, None
    for at, uploaded, size, done in samples:
        if last is not None and 0 < at - last < _IDLE:
            elapsed += at - last
        last = at
        found.append((elapsed, uploaded, size, done))
    step = max(len(found) // _POINTS, 1)
    return found[::step] if step == 1 or not found else [*found[:-1:step], found[-1]]


def _rates(samples: list[_Sample], column: int, scale: float) -> list[tuple[float, float]]:
    rates = [
        (after[0], max(after[column] - before[column], 0) / (after[0] - before[0]) / scale)
        for before, after in itertools.pairwise(samples)
        if after[0] > before[0]
    ]
    return [(0.0, 0.0), *rates] if rates else []


def _sizes(connection: sqlite3.Connection) -> dict[str, float]:
    limits = [(1_000, "under 1 KB"), (10_000, "1 to 10 KB"), (100_000, "10 to 100 KB"), (1_000_000, "100 KB to 1 MB")]
    limits += [(10_000_000, "1 to 10 MB"), (1 << 62, "over 10 MB")]
    found = counts.sizes(connection, [limit for limit, _ in limits])
    return {label: float(count) for (_, label), count in zip(limits, found, strict=True) if count}


def _durations(batches: list[BatchRow]) -> dict[str, float]:
    steps = {
        "upload": [batch.uploaded_at - batch.created_at for batch in batches if batch.uploaded_at and batch.created_at],
        "run": [
            batch.complete_at - batch.submitted_at for batch in batches if batch.complete_at and batch.submitted_at
        ],
        "results": [
            batch.exported_at - batch.complete_at for batch in batches if batch.exported_at and batch.complete_at
        ],
    }
    found: dict[str, float] = {}
    for name, seconds in steps.items():
        if seconds:
            seconds.sort()
            found[f"{name}, median"] = max(seconds[len(seconds) // 2], 0.0)
            found[f"{name}, longest"] = max(seconds[-1], 0.0)
    return found


def _reasons(connection: sqlite3.Connection) -> dict[str, float]:
    return {reason: float(count) for reason, count in counts.reasons(connection, 20).items()}


def _failure_table(failures: Iterator[FailedFile], status: IngestStatus) -> str:
    rows = [(failure.source, failure.reason, failure.message) for failure in failures]
    if not rows:
        return "<p>None.</p>"
    more = status.failed + status.refused - len(rows)
    note = f"<p>and {more:,} more in failures.jsonl</p>" if more > 0 else ""
    return _table(("source", "reason", "message"), rows) + note


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
