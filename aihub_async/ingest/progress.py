"""The progress of a job: counters that are cheap to keep, and what a journal shows."""

import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from aihub_async.errors import JournalError
from aihub_async.ingest.folder import shards_of
from aihub_async.ingest.journal import queries, schema
from aihub_async.ingest.journal.rows import LIVE, BatchRow, BatchState, FileState
from aihub_async.models.reprs import duration_text, html_bar, html_card, size_text

_STAGES = {
    "uploading": ("creating", "uploading"),
    "writing results": ("complete",),
    "waiting for runs": ("submitting", "running"),
}
_SHOWN = 10
"""Lines of `attention` at most."""


@attrs.frozen
class IngestStatus:
    """The progress of a job. Sizes are bytes, times seconds. Each file counts once, however often the job is resumed.

    `files` and `bytes` are what is planned so far (all of it once `scanned`), `uploaded` the files that the server got,
    `done` those whose results are written, `failed` and `refused` the rows of the dead-letter list, `review` the files
    whose runs wait for a person, `gated` the documents that the gate refused, `batches` the number of batches by
    state. `skipped` counts the litter of operating systems that was left out. `attention` has one
    sentence for each thing that needs a person, with how to continue. `outage` is how long the server has not answered,
    None while it answers. `elapsed`, `retries`, the rates and `remaining` are measured by the process that works; from
    a journal alone they are unknown.
    """

    files: int
    bytes: int
    uploaded: int
    uploaded_bytes: int
    done: int
    failed: int
    refused: int
    rows: int
    retries: int
    batches: Mapping[str, int]
    scanned: bool
    review: int = 0
    skipped: int = 0
    gated: int = 0
    attention: tuple[str, ...] = ()
    outage: float | None = None
    elapsed: float | None = None
    files_per_second: float | None = None
    bytes_per_second: float | None = None
    remaining: float | None = None

    @property
    def complete(self) -> bool:
        """True when nothing is left to do: every file has its results or is on the dead-letter list."""
        return self.scanned and self.done + self.failed == self.files

    @property
    def stage(self) -> str:
        """What the job is doing now, in a word or two."""
        if self.complete:
            return "complete"
        if self.outage is not None:
            return "waiting for the server"
        for stage, states in _STAGES.items():
            if any(self.batches.get(state) for state in states):
                return stage
        return "planning" if not self.scanned else "waiting for review" if self.review else "starting"

    def _repr_html_(self) -> str:
        facts = {
            "stage": self.stage,
            "uploaded": f"{self.uploaded:,} files, {size_text(self.uploaded_bytes)}",
            "failed": self.failed or None,
            "refused": self.refused or None,
            "in review": self.review or None,
            "rows": self.rows,
            "remaining": None if self.remaining is None or self.complete else duration_text(self.remaining),
            "attention": "; ".join(self.attention),
        }
        done = html_bar(self.done + self.failed, self.files, f"{self.done:,} of {self.files:,} files done")
        return done + html_card("Bulk job", facts)

    def __str__(self) -> str:
        text = (
            f"{self.done:,} of {self.files:,} files{'' if self.scanned else ' so far'} done, {self.uploaded:,} uploaded"
        )
        text += f" ({self.uploaded_bytes / 1e6:,.1f} MB), {self.failed:,} failed, {self.refused:,} refused"
        if self.review:
            text += f", {self.review:,} in review"
        if self.gated:
            text += f", {self.gated:,} documents refused by the gate"
        if self.batches:
            text += "; batches: " + ", ".join(f"{count} {name}" for name, count in self.batches.items())
        if self.files_per_second:
            text += f"; {self.files_per_second:,.1f} files/s"
        if self.retries:
            text += f", {self.retries:,} retries"
        if self.remaining is not None and not self.complete:
            text += f"; about {duration_text(round(self.remaining))} left"
        return text


def status_of(connection: sqlite3.Connection, path: Path) -> IngestStatus:
    """Return the status that the journal shows."""
    facts = schema.read_meta(path, connection)
    by_state = queries.count_by_state(connection)
    planned = [by_state.get(state, (0, 0)) for state in LIVE]
    arrived = [by_state.get(state, (0, 0)) for state in (FileState.UPLOADED, FileState.NO_RESULT)]
    failed = [by_state.get(state, (0, 0))[0] for state in (FileState.FAILED, FileState.NO_RESULT)]
    batches, rows = queries.count_batches(connection)
    return IngestStatus(
        files=sum(count for count, _ in planned),
        bytes=sum(size for _, size in planned),
        uploaded=sum(count for count, _ in arrived),
        uploaded_bytes=sum(size for _, size in arrived),
        done=queries.count_uploaded(connection, BatchState.EXPORTED),
        failed=sum(failed),
        refused=by_state.get(FileState.REFUSED, (0, 0))[0],
        rows=rows,
        retries=0,
        batches={state.name.lower(): count for state, count in batches.items()},
        scanned=bool(facts["scanned"]),
        review=queries.count_uploaded(connection, BatchState.REVIEW),
        skipped=int(facts.get("skipped", 0)),
        gated=queries.count_gated(connection),
        attention=tuple(_attention(batch) for batch in queries.waiting_batches(connection, _SHOWN)),
    )


def _attention(batch: BatchRow) -> str:
    if batch.state is BatchState.REVIEW:
        return (
            f"batch {batch.no}, run {batch.run_id}: {batch.files:,} files wait for a review in AI Hub; when it is "
            "done, run the same job again to collect the results"
        )
    return f"batch {batch.no}, batch id {batch.batch_id or 'unknown'}: {batch.note}; run the same job again to check"


def read_status(journal: Path) -> IngestStatus:
    """Read the status of a job from its journal, also while another process works on the job.

    Raises:
        JournalError: there is no journal, or it cannot be read.

    Example:
        >>> def is_done(path):
        ...     return read_status(path).complete
    """
    with contextlib.closing(schema.connect_readonly(journal)) as connection:
        return with_shards(status_of(connection, journal), journal)


_COUNTED = ("uploaded", "uploaded_bytes", "done", "failed", "rows", "review", "gated")


def counted(status: IngestStatus) -> dict[str, Any]:
    """Return the counts of a status that change while a shard is worked on."""
    return {name: getattr(status, name) for name in _COUNTED} | {"batches": dict(status.batches)}


def with_shards(status: IngestStatus, journal: Path) -> IngestStatus:
    """Add what other processes have done in shards that are not merged yet."""
    totals = {name: getattr(status, name) for name in _COUNTED}
    batches = Counter(status.batches)
    for path in sorted(shards_of(journal.resolve()).glob("*.db")):
        try:
            with contextlib.closing(schema.connect_readonly(path)) as connection:
                now = counted(status_of(connection, path))
                base = schema.read_meta(path, connection).get("base", now)
        except JournalError:
            # It was merged and removed at this moment.
            continue
        for name in _COUNTED:
            totals[name] += now[name] - base[name]
        batches.update(now["batches"])
        batches.subtract(base.get("batches", now["batches"]))
    left = {state.name.lower(): n for state in BatchState if (n := batches[state.name.lower()]) > 0}
    return attrs.evolve(status, **totals, batches=left)


@attrs.define
class Tally:
    """What planning changed: differences of the counts of `IngestStatus`."""

    files: int = 0
    bytes: int = 0
    refused: int = 0
    failed: int = 0
    uploaded: int = 0
    uploaded_bytes: int = 0
    skipped: int = 0


class Progress:
    """Counts what happens; `status()` adds rates over this process's own work."""

    outage_since: float | None = None
    """When the server stopped answering, in seconds of the monotonic clock."""

    def __init__(self, start: IngestStatus, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self.notes: dict[int, str] = {}
        """What is unusual about the batch of that number at the moment."""
        self._retries = 0
        self.restart(start)

    def restart(self, start: IngestStatus) -> None:
        """Count from here."""
        self._start = start
        self._batches = Counter(start.batches)
        self._files, self._bytes = start.files, start.bytes
        self._uploaded, self._uploaded_bytes = start.uploaded, start.uploaded_bytes
        self._done, self._failed, self._refused = start.done, start.failed, start.refused
        self._rows = start.rows
        self._scanned = start.scanned
        self._review, self._skipped, self._gated = start.review, start.skipped, start.gated

    def planned(self, tally: Tally, batches: int) -> None:
        """Take over what planning has changed since the last call, and count batches that became full."""
        self._files += tally.files
        self._bytes += tally.bytes
        self._refused += tally.refused
        self._failed += tally.failed
        self._uploaded += tally.uploaded
        self._uploaded_bytes += tally.uploaded_bytes
        self._skipped += tally.skipped
        # What is planned again is no work that was done.
        self._start = attrs.evolve(
            self._start,
            failed=self._start.failed + tally.failed,
            uploaded=self._start.uploaded + tally.uploaded,
            uploaded_bytes=self._start.uploaded_bytes + tally.uploaded_bytes,
        )
        self._batches[BatchState.PLANNED.name.lower()] += batches
        self._scanned = False

    def scanned(self) -> None:
        """Record the end of the scan."""
        self._scanned = True

    def uploaded(self, files: int, size: int, retries: int) -> None:
        """Count files that arrived."""
        self._uploaded += files
        self._uploaded_bytes += size
        self._retries += retries

    def failed(self, files: int) -> None:
        """Count files that are on the dead-letter list now."""
        self._failed += files

    def exported(self, done: int, failed: int, rows: int, gated: int) -> None:
        """Count files whose results are written, their rows, and documents that the gate refused."""
        self._gated += gated
        self._done += done
        self._failed += failed
        self._rows += rows

    def retried(self, count: int) -> None:
        """Count steps that were done again."""
        self._retries += count

    def moved(self, before: BatchRow, after: BatchRow) -> None:
        """Count a batch in another state."""
        self._batches[before.state.name.lower()] -= 1
        self._batches[after.state.name.lower()] += 1
        self._review += before.files * ((after.state is BatchState.REVIEW) - (before.state is BatchState.REVIEW))

    def status(self) -> IngestStatus:
        """Return the status now."""
        elapsed = max(self._clock() - self._began, 1e-9)
        settled = self._done + self._failed - self._start.done - self._start.failed
        rate = settled / elapsed
        left = self._files - self._done - self._failed
        return IngestStatus(
            files=self._files,
            bytes=self._bytes,
            uploaded=self._uploaded,
            uploaded_bytes=self._uploaded_bytes,
            done=self._done,
            failed=self._failed,
            refused=self._refused,
            rows=self._rows,
            retries=self._retries,
            batches={state.name.lower(): n for state in BatchState if (n := self._batches[state.name.lower()]) > 0},
            scanned=self._scanned,
            review=self._review,
            skipped=self._skipped,
            gated=self._gated,
            attention=tuple(f"batch {number}: {note}" for number, note in list(self.notes.items())[:_SHOWN]),
            outage=None if self.outage_since is None else max(self._clock() - self.outage_since, 0.0),
            elapsed=elapsed,
            files_per_second=(self._uploaded - self._start.uploaded) / elapsed,
            bytes_per_second=(self._uploaded_bytes - self._start.uploaded_bytes) / elapsed,
            remaining=left / rate if rate > 0 and self._scanned else None,
        )
