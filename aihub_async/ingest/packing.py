"""Putting files into batches, in the journal; runs in the journal's writer thread."""

import os
import sqlite3
from collections.abc import Iterable

import attrs

from aihub_async.ingest.journal import queries
from aihub_async.ingest.journal.rows import RETRYABLE, BatchRow, BatchState, FileRow, FileState
from aihub_async.ingest.journal.schema import set_meta
from aihub_async.ingest.progress import Tally
from aihub_async.ingest.scan import LITTER, Candidate
from aihub_async.uploads.names import fold

_FOLDERS_KEPT = 4096
_LITTER_NAMED = 100
"""Names of skipped files that the journal keeps for the report."""
_STRETCH = 4000
"""Known files that one look-up reads at most."""


@attrs.define
class Changes:
    """What a scan found against the journal."""

    new: int = 0
    known: int = 0
    changed: int = 0
    """Not sent yet, and of another size or time than before: the new content will be sent."""
    changed_after: int = 0
    """Changed after they were sent; they are not sent again."""


@attrs.define
class _Filling:
    """The batch that is being filled; mutable, because it changes with every file."""

    no: int
    first: int
    last: int = 0
    files: int = 0
    bytes: int = 0

    def row(self, state: BatchState) -> BatchRow:
        """It as a row of the journal."""
        return BatchRow(self.no, self.first, self.last, self.files, self.bytes, state)


class Planner:
    """Splits a stream of candidates into batches of at most `max_files` and about `max_bytes`, in order.

    It continues where the journal stops: a batch that was being filled is filled further.
    """

    def __init__(
        self, connection: sqlite3.Connection, max_files: int, max_bytes: int, *, skipped_before: int = 0
    ) -> None:
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._folders: dict[str, int] = {}
        self._names: set[str] = set()
        self._batch: _Filling | None = None
        self._known: dict[tuple[int, str, str], FileRow] = {}
        self._new: list[FileRow] = []
        self.changes = Changes()
        # A scan counts the litter again.
        self._tally = Tally(skipped=-skipped_before)
        self._skipped = 0
        self._litter: list[str] = []
        self._files, self._last_file = queries.last_file(connection)
        self._batches, self._last_batch = queries.last_batch(connection)
        if self._last_batch:
            last = queries.batch(connection, self._last_batch)
            if last.state is BatchState.FILLING:
                self._batch = _Filling(last.no, last.first, last.last, last.files, last.bytes)
                self._names = {fold(row.upload_name) for row in queries.files_of(connection, last)}

    def add(self, connection: sqlite3.Connection, candidates: Iterable[Candidate]) -> list[int]:
        """Record candidates that are not known yet; returns the numbers of batches that became full."""
        full: list[int] = []
        chunk = [candidate for candidate in candidates if not self._is_litter(candidate)]
        self._look_up(connection, chunk)
        for candidate in chunk:
            folder = self._folder(connection, candidate.folder)
            known = self._known.get((folder, candidate.base, candidate.given))
            if known is not None and not self._again(connection, known, candidate):
                continue
            if known is None:
                self.changes.new += 1
            found = FileRow(0, folder, candidate.base, candidate.given, "", candidate.size, candidate.mtime_ns, 0, 0)
            if candidate.refused is not None:
                self._refuse(connection, found, candidate.refused)
            else:
                full += self._place(connection, found, candidate.name)
        self.save(connection)
        return full

    def take_tally(self) -> Tally:
        """Return what has changed since the last call."""
        tally, self._tally = self._tally, Tally()
        return tally

    def retry(self, connection: sqlite3.Connection, row: FileRow) -> list[int]:
        """Plan a failed file again, as a new row."""
        self._replace(connection, row)
        return self._place(connection, row, row.upload_name)

    def finish(self, connection: sqlite3.Connection) -> list[int]:
        """Close the batch that is being filled; returns its number, if there is one."""
        full = self._close(connection)
        self.save(connection)
        return full

    def _is_litter(self, candidate: Candidate) -> bool:
        if candidate.refused is None or candidate.refused[0] != LITTER:
            return False
        self._tally.skipped += 1
        self._skipped += 1
        if len(self._litter) < _LITTER_NAMED:
            self._litter.append(os.path.join(candidate.folder, candidate.base))  # noqa: PTH118 - text as stored
        return True

    def _again(self, connection: sqlite3.Connection, known: FileRow, candidate: Candidate) -> bool:
        """Whether a known file must be planned again, as one that failed before and has changed since."""
        self.changes.known += 1
        unchanged = (known.size, known.mtime_ns) == (candidate.size, candidate.mtime_ns)
        state = FileState(known.state)
        if unchanged and not (state is FileState.REFUSED and candidate.refused is None):
            return False
        if state is FileState.UPLOADED:
            self.changes.changed_after += 1
            return False
        self.changes.changed += 1
        if state is FileState.PLANNED:
            # Files of a batch that is on its way belong to the upload, which looks at each of them itself.
            if self._on_its_way(connection, known.batch):
                return False
            if candidate.refused is None:
                self._flush(connection)
                self._tally.bytes += candidate.size - known.size
                queries.put_file(connection, known._replace(size=candidate.size, mtime_ns=candidate.mtime_ns))
                return False
        self._replace(connection, known)
        return True

    def _on_its_way(self, connection: sqlite3.Connection, batch: int) -> bool:
        is_filling = self._batch is not None and self._batch.no == batch
        return not is_filling and queries.batch(connection, batch).state > BatchState.PLANNED

    def _replace(self, connection: sqlite3.Connection, row: FileRow) -> None:
        self._flush(connection)
        queries.put_file(connection, row._replace(state=FileState.REPLACED))
        queries.delete_failure(connection, row.id)
        self._uncount(row)

    def _uncount(self, row: FileRow) -> None:
        tally = self._tally
        if row.state == FileState.REFUSED:
            tally.refused -= 1
            return
        tally.files -= 1
        tally.bytes -= row.size
        if row.state in RETRYABLE:
            tally.failed -= 1
        if row.state == FileState.NO_RESULT:
            tally.uploaded -= 1
            tally.uploaded_bytes -= row.size

    def _look_up(self, connection: sqlite3.Connection, chunk: list[Candidate]) -> None:
        """Find the known ones among candidates, with one query for the stretch of each folder that they cover."""
        self._known.clear()
        stretches: dict[int, list[Candidate]] = {}
        for candidate in chunk:
            stretches.setdefault(self._folder(connection, candidate.folder), []).append(candidate)
        for folder, found in stretches.items():
            names = [(candidate.base, candidate.given) for candidate in found]
            rows = queries.between(connection, folder, min(names), max(names), _STRETCH)
            if len(rows) == _STRETCH:
                # Not in the order of names: the stretch may be the whole folder.
                each = (queries.find(connection, folder, candidate.base, candidate.given) for candidate in found)
                rows = [row for row in each if row is not None]
            self._known.update(((row.folder, row.base, row.given), row) for row in rows)

    def _put(self, row: FileRow) -> None:
        self._new.append(row)
        self._known[row.folder, row.base, row.given] = row

    def _refuse(self, connection: sqlite3.Connection, found: FileRow, refused: tuple[str, str]) -> None:
        row = found._replace(id=self._next_file(), state=FileState.REFUSED)
        self._put(row)
        queries.put_failure(connection, row.id, *refused)
        self._tally.refused += 1

    def _place(self, connection: sqlite3.Connection, found: FileRow, name: str) -> list[int]:
        full: list[int] = []
        batch = self._batch
        if batch is not None and (batch.files >= self._max_files or batch.bytes + found.size > self._max_bytes):
            full = self._close(connection)
            batch = None
        number = self._next_file()
        if batch is None:
            self._last_batch += 1
            self._batches += 1
            batch = self._batch = _Filling(self._last_batch, number)
        name = self._unique(name)
        row = found._replace(
            id=number, name="" if name == found.base else name, batch=batch.no, state=FileState.PLANNED
        )
        self._put(row)
        batch.last = number
        batch.files += 1
        batch.bytes += found.size
        self._tally.files += 1
        self._tally.bytes += found.size
        return full

    def _unique(self, name: str) -> str:
        """Names that differ only in case or in Unicode form would overwrite each other on some drives."""
        stem, dot, extension = name.rpartition(".")
        if not dot:
            stem, extension = name, ""
        candidate, number = name, 1
        while (folded := fold(candidate)) in self._names:
            number += 1
            ending = f"~{number}{dot}{extension}"
            candidate = stem[: 255 - len(ending)] + ending
        self._names.add(folded)
        return candidate

    def _close(self, connection: sqlite3.Connection) -> list[int]:
        if self._batch is None:
            return []
        queries.put_batch(connection, self._batch.row(BatchState.PLANNED))
        number = self._batch.no
        self._batch = None
        self._names = set()
        return [number]

    def save(self, connection: sqlite3.Connection) -> None:
        """Record the batch that is being filled, and the counts."""
        self._flush(connection)
        if self._batch is not None:
            queries.put_batch(connection, self._batch.row(BatchState.FILLING))
        set_meta(connection, "files", self._files)
        set_meta(connection, "batches", self._batches)
        set_meta(connection, "skipped", self._skipped)
        set_meta(connection, "skipped_names", self._litter)

    def _flush(self, connection: sqlite3.Connection) -> None:
        queries.put_files(connection, self._new)
        self._new.clear()

    def _next_file(self) -> int:
        self._files += 1
        self._last_file += 1
        return self._last_file

    def _folder(self, connection: sqlite3.Connection, path: str) -> int:
        known = self._folders.get(path)
        if known is not None:
            return known
        if len(self._folders) >= _FOLDERS_KEPT:
            self._folders.clear()
        number = self._folders[path] = queries.folder(connection, path)
        return number
