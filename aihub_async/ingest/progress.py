"""How far a job is: counters that cost nothing to keep, and what can be told from a journal."""

import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs

from aihub_async.ingest.journal import schema
from aihub_async.ingest.journal.rows import BatchState, FileState


@attrs.frozen
class IngestStatus:
    """How far a job is. Sizes are bytes, times seconds.

    `files` and `bytes` are what is planned so far (all of it once `scanned`), `done` the files whose results are
    written, `failed` and `refused` the rows of the dead-letter list, `batches` the number of batches by state.
    `elapsed`, the rates and `remaining` are those of the process that works; None from a journal alone.
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
    elapsed: float | None = None
    files_per_second: float | None = None
    bytes_per_second: float | None = None
    remaining: float | None = None

    @property
    def complete(self) -> bool:
        """True when nothing is left to do: every file has its results or is on the dead-letter list."""
        return self.scanned and self.done + self.failed == self.files

    def __str__(self) -> str:
        text = f"{self.done:,} of {self.files:,} files done, {self.uploaded:,} uploaded"
        text += f" ({self.uploaded_bytes / 1e6:,.1f} MB), {self.failed:,} failed, {self.refused:,} refused"
        if self.batches:
            text += "; batches: " + ", ".join(f"{count} {name}" for name, count in self.batches.items())
        if self.files_per_second:
            text += f"; {self.files_per_second:,.1f} files/s"
        if self.retries:
            text += f", {self.retries:,} retries"
        if self.remaining is not None and not self.complete:
            text += f"; about {_duration(self.remaining)} left"
        return text


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def status_of(connection: sqlite3.Connection, path: Path) -> IngestStatus:
    """What the journal says."""
    facts = schema.read_meta(path, connection)
    by_state = {
        FileState(state): (count, size)
        for state, count, size in connection.execute(
            "SELECT state, count(*), coalesce(sum(size), 0) FROM files GROUP BY state"
        )
    }
    planned = [by_state.get(state, (0, 0)) for state in (FileState.PLANNED, FileState.UPLOADED, FileState.FAILED)]
    uploaded, uploaded_bytes = by_state.get(FileState.UPLOADED, (0, 0))
    batches = Counter[str]()
    rows = 0
    for state, count, written in connection.execute(
        "SELECT state, count(*), sum(rows) FROM batches GROUP BY state ORDER BY state"
    ):
        batches[BatchState(state).name.lower()] = count
        rows += written
    (done,) = connection.execute(
        "SELECT count(*) FROM batches JOIN files ON files.id BETWEEN first AND last AND files.batch = no "
        "WHERE batches.state = ? AND files.state = ?",
        (int(BatchState.EXPORTED), int(FileState.UPLOADED)),
    ).fetchone()
    return IngestStatus(
        files=sum(count for count, _ in planned),
        bytes=sum(size for _, size in planned),
        uploaded=uploaded,
        uploaded_bytes=uploaded_bytes,
        done=done,
        failed=by_state.get(FileState.FAILED, (0, 0))[0],
        refused=by_state.get(FileState.REFUSED, (0, 0))[0],
        rows=rows,
        retries=0,
        batches=dict(batches),
        scanned=bool(facts["scanned"]),
    )


def read_status(journal: Path) -> IngestStatus:
    """Look at a journal, also while another process works with it.

    Raises:
        JournalError: there is none, or it cannot be read.

    Example:
        >>> def is_done(path):
        ...     return read_status(path).complete
    """
    with contextlib.closing(schema.connect_readonly(journal)) as connection:
        return status_of(connection, journal)


class Progress:
    """Counts what happens; `status()` adds rates over this process's own work."""

    def __init__(self, start: IngestStatus, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self.restart(start)

    def restart(self, start: IngestStatus) -> None:
        """Count from here."""
        self._start = start
        self._batches = Counter(start.batches)
        self._files, self._bytes = start.files, start.bytes
        self._uploaded, self._uploaded_bytes = start.uploaded, start.uploaded_bytes
        self._done, self._failed, self._refused = start.done, start.failed, start.refused
        self._rows, self._retries = start.rows, start.retries
        self._scanned = start.scanned

    def scanning(self, files: int, size: int, refused: int, batches: int) -> None:
        """Take over what the scan has added since it began: files, bytes, refused files; and count full batches."""
        start = self._start
        self._files, self._bytes, self._refused = start.files + files, start.bytes + size, start.refused + refused
        self._batches[BatchState.PLANNED.name.lower()] += batches
        self._scanned = False

    def scanned(self) -> None:
        """The scan has come to its end."""
        self._scanned = True

    def uploaded(self, files: int, size: int, retries: int) -> None:
        """Count files that arrived."""
        self._uploaded += files
        self._uploaded_bytes += size
        self._retries += retries

    def failed(self, files: int) -> None:
        """Count files that are on the dead-letter list now."""
        self._failed += files

    def exported(self, done: int, failed: int, rows: int) -> None:
        """Count files whose results are written."""
        self._done += done
        self._failed += failed
        self._rows += rows

    def retried(self, count: int) -> None:
        """Count steps that were done again."""
        self._retries += count

    def moved(self, before: BatchState, after: BatchState) -> None:
        """Count a batch in another state."""
        self._batches[before.name.lower()] -= 1
        self._batches[after.name.lower()] += 1

    def status(self) -> IngestStatus:
        """How far the job is now."""
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
            elapsed=elapsed,
            files_per_second=(self._uploaded - self._start.uploaded) / elapsed,
            bytes_per_second=(self._uploaded_bytes - self._start.uploaded_bytes) / elapsed,
            remaining=left / rate if rate > 0 and self._scanned else None,
        )
