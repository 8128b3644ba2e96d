"""The report of a job: one page that shows what happened and what to do next, from its journal alone."""

import contextlib
import datetime as dt
import html
import itertools
import os
import shlex
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from aihub_async._version import __version__
from aihub_async.errors import IngestError
from aihub_async.ingest.charts import bars, timeline
from aihub_async.ingest.journal import counts, queries, schema
from aihub_async.ingest.journal.rows import BatchRow, BatchState, FailedFile
from aihub_async.ingest.progress import IngestStatus, read_status
from aihub_async.ingest.report_style import STYLE
from aihub_async.paths import local_path

_FAILURES_SHOWN = 200
_BATCHES_SHOWN = 200
_FIELDS_SHOWN = 60
_POINTS = 300
_IDLE = 60.0
"""Seconds between two samples that mean an interruption, which the time axis leaves out."""
_SIZES = (
    (1_000, "under 1 KB"),
    (10_000, "1 to 10 KB"),
    (100_000, "10 to 100 KB"),
    (1_000_000, "100 KB to 1 MB"),
    (10_000_000, "1 to 10 MB"),
    (1 << 62, "over 10 MB"),
)


def write_report(journal: Path, target: str | os.PathLike[str]) -> Path:
    """Write a self-contained HTML page about a job, also while the job runs, and return its path.

    Args:
        journal: the job's journal.
        target: the page; it appears when it is whole.

    Raises:
        InvalidRequestError: `target` is a URL.
        JournalError: there is no journal, or it cannot be read.
        IngestError: the page cannot be written.

    Example:
        >>> def report(out):
        ...     write_report(out / ".aihub" / "job.db", out / "report.html")
    """
    target = local_path(target, "target")
    with contextlib.closing(schema.connect_readonly(journal)) as connection:
        page = _Report(connection, journal).page()
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise IngestError(f"cannot write {target}: {error.strerror or error}") from error
    return target


class _Report:
    def __init__(self, connection: sqlite3.Connection, journal: Path) -> None:
        self._db = connection
        self._status: IngestStatus = read_status(journal)
        self._facts = schema.read_meta(journal, connection)
        self._spec: dict[str, Any] = self._facts["spec"]
        self._context: dict[str, Any] = self._facts.get("context", {})
        self._samples = _running_time(counts.samples(connection))
        self._batches = list(queries.batches(connection))

    def page(self) -> str:
        """Return the page."""
        spec = self._spec
        app = spec.get("app_name") or spec.get("app_id") or spec.get("deployment_id")
        title = f"Ingestion with {html.escape(str(app))}"
        sections = [
            ("Needs attention", self._needs()),
            ("Over time", timeline([(at, float(up), float(done)) for at, up, _, done in self._samples],
                                   float(self._status.files))),
            ("Plan and outcome", self._outcome()),
            ("Time in each stage", bars(self._durations(), "s")),
            ("Fields found", self._fields()),
            ("Failures by reason", bars({name: float(n) for name, n in counts.reasons(self._db, 20).items()}, "files")),
            ("Failures", self._failures()),
            ("Sizes of files", bars(self._sizes(), "files")),
            ("Batches and runs", self._runs()),
            ("About this job", self._about()),
        ]  # fmt: skip
        body = "".join(f"<h2>{html.escape(name)}</h2>{content}" for name, content in sections if content)
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>{STYLE}</style></head><body>"
            f"<h1>{title}</h1>{self._banner()}{self._numbers()}{body}</body></html>"
        )

    def _banner(self) -> str:
        status = self._status
        if not status.complete:
            kind, state = "warn", f"Not complete: {status.stage}"
        elif status.failed or status.refused:
            kind, state = "bad" if status.failed else "warn", "Complete, but not every file has a result"
        else:
            kind, state = "good", "Complete"
        done = f"{status.done:,} of {status.files:,} files have their results."
        return f'<div class="banner {kind}"><b>{state}</b><br>{done}</div>'

    def _numbers(self) -> str:
        status = self._status
        seconds = self._samples[-1][0] if self._samples else 0.0
        numbers = {
            f"{status.done:,}": f"files done of {status.files:,}",
            f"{status.failed + status.refused:,}": "files without a result",
            f"{status.rows:,}": "rows of results",
            _duration(seconds): "of work",
        }
        cells = "".join(
            f"<div><strong>{number}</strong><span>{label}</span></div>" for number, label in numbers.items()
        )
        return f'<div class="numbers">{cells}</div>'

    def _needs(self) -> str:
        status = self._status
        needs = [html.escape(line) for line in status.attention]
        if status.failed:
            needs.append(f"{status.failed:,} files failed; {self._command('retry-failed')} sends them again.")
        if status.refused:
            needs.append(f"{status.refused:,} files were not sent; see the reasons below.")
        if status.gated:
            needs.append(f"{status.gated:,} documents were refused by the gate; review.jsonl lists them.")
        if not status.complete:
            needs.append(f"The job is not complete; {self._command('run')} continues it.")
        if not needs:
            return "<p>Nothing.</p>"
        return "<ul>" + "".join(f"<li>{need}</li>" for need in needs) + "</ul>"

    def _command(self, name: str) -> str:
        spec = self._spec
        options = {"app_name": "--app", "app_id": "--app-id", "deployment_id": "--deployment-id"}
        words = ["aihub", "ingest", name, spec.get("source") or "SOURCE"]
        words += [word for key, option in options.items() if spec.get(key) for word in (option, str(spec[key]))]
        words += ["--out", str(self._context.get("out") or "RESULTS")]
        return f"<code>{html.escape(shlex.join(words))}</code>"

    def _outcome(self) -> str:
        status = self._status
        seconds = self._samples[-1][0] if self._samples else 0.0
        rows = {
            "planned": f"{status.files:,} files, {status.bytes / 1e6:,.1f} MB",
            "uploaded": f"{status.uploaded:,} files, {status.uploaded_bytes / 1e6:,.1f} MB",
            "done": f"{status.done:,}",
            "failed": f"{status.failed:,}",
            "refused": f"{status.refused:,}",
            "in review": f"{status.review:,}",
            "refused by the gate": f"{status.gated:,} documents",
            "skipped": f"{status.skipped:,} files of operating systems",
            "batches": ", ".join(f"{count:,} {name}" for name, count in status.batches.items()) or "none",
        }
        if seconds >= 1:
            files, megabytes = status.uploaded / seconds, status.uploaded_bytes / seconds / 1e6
            rows["throughput"] = f"{files:,.1f} files/s, {megabytes:,.2f} MB/s"
        return _table((), rows.items())

    def _durations(self) -> dict[str, float]:
        steps = {
            "upload": [(batch.created_at, batch.uploaded_at) for batch in self._batches],
            "run": [(batch.submitted_at, batch.complete_at) for batch in self._batches],
            "results": [(batch.complete_at, batch.exported_at) for batch in self._batches],
        }
        found: dict[str, float] = {}
        for name, moments in steps.items():
            seconds = sorted(max(end - begin, 0.0) for begin, end in moments if begin and end)
            if seconds:
                found[f"{name} of a batch, median"] = seconds[len(seconds) // 2]
                found[f"{name} of a batch, longest"] = seconds[-1]
        return found

    def _fields(self) -> str:
        rows = counts.fields(self._db, _FIELDS_SHOWN)
        cells = [
            (name, f"{found / documents:.0%}", f"{found:,} of {documents:,}", f"{failed:,}")
            for name, documents, found, failed in rows
        ]
        return _table(("field", "found", "documents", "failed"), cells) if cells else ""

    def _failures(self) -> str:
        found = list(itertools.islice(queries.failures(self._db), _FAILURES_SHOWN))
        if not found:
            return "<p>None.</p>"
        by_reason: dict[str, list[FailedFile]] = {}
        for failure in found:
            by_reason.setdefault(failure.reason, []).append(failure)
        groups = "".join(
            f"<details{' open' if len(by_reason) == 1 else ''}><summary>{html.escape(reason)} ({len(rows):,})</summary>"
            + _table(("source", "run", "message"), ((row.source, row.run_id, row.message) for row in rows))
            + "</details>"
            for reason, rows in by_reason.items()
        )
        more = self._status.failed + self._status.refused - len(found)
        return groups + (f"<p>and {more:,} more in failures.jsonl</p>" if more > 0 else "")

    def _sizes(self) -> dict[str, float]:
        found = counts.sizes(self._db, [limit for limit, _ in _SIZES])
        return {label: float(count) for (_, label), count in zip(_SIZES, found, strict=True) if count}

    def _runs(self) -> str:
        shown = self._batches[:_BATCHES_SHOWN]
        rows = ((str(batch.no), batch.group, batch.run_id, batch.state.name.lower(), f"{batch.files:,}",
                 self._part(batch)) for batch in shown)  # fmt: skip
        more = len(self._batches) - len(shown)
        note = f"<p>and {more:,} more</p>" if more > 0 else ""
        table = _table(("batch", "group", "run", "state", "files", "results"), rows, raw=5)
        return f"<details><summary>{len(self._batches):,} batches</summary>{table}{note}</details>"

    def _part(self, batch: BatchRow) -> str:
        if batch.state is not BatchState.EXPORTED or not self._context.get("out"):
            return ""
        name = f"part-{batch.no:06d}.{self._spec.get('format', 'jsonl')}"
        out = str(self._context["out"])
        target = f"{out}/{name}" if "://" in out else (Path(out) / name).as_uri()
        return f'<a href="{html.escape(target)}">{name}</a>'

    def _about(self) -> str:
        spec, context = self._spec, self._context
        litter = self._facts.get("skipped_names") or []
        rows = {
            "job": self._facts["job"],
            "source": spec.get("source") or "a list of files",
            "patterns": ", ".join([*spec.get("include", ()), *(f"not {name}" for name in spec.get("exclude", ()))]),
            "results": str(context.get("out", "")),
            "server": str(context.get("server", "")),
            "command": str(context.get("command", "")),
            "started": _moment(self._facts["created_at"]),
            "last active": _moment(context.get("ended_at")),
            "written by": f"aihub-async {context.get('version', __version__)}, Python {context.get('python', '')}",
            "skipped files": ", ".join(map(str, litter[:20])) + (" …" if len(litter) > 20 else ""),
        }
        return _table((), [(name, value) for name, value in rows.items() if value])


_Sample = tuple[float, int, int, int]


def _running_time(samples: list[_Sample]) -> list[_Sample]:
    """Return times as seconds of work, without interruptions, and no more samples than can be drawn."""
    found: list[_Sample] = []
    elapsed, last = 0.0, None
    for at, uploaded, size, done in samples:
        if last is not None and 0 < at - last < _IDLE:
            elapsed += at - last
        last = at
        found.append((elapsed, uploaded, size, done))
    step = max(len(found) // _POINTS, 1)
    return found[::step] if step == 1 or not found else [*found[:-1:step], found[-1]]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def _moment(seconds: float | None) -> str:
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%d %H:%M:%S} UTC" if seconds else ""


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]], raw: int = -1) -> str:
    """Return a table; the column number `raw` is HTML already."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(_row(row, raw) for row in rows)
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if header else ''}<tbody>{body}</tbody></table>"


def _row(row: tuple[str, ...], raw: int) -> str:
    cells: Iterator[str] = (cell if number == raw else html.escape(cell) for number, cell in enumerate(row))
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
