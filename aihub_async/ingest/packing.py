"""Putting files into batches, in the journal; runs in the journal's writer thread."""

import os
import sqlite3
from collections.abc import Iterable

import attrs

from aihub_async.ingest.candidates import LITTER, Candidate, Grouping
from aihub_async.ingest.journal import queries, schema
from aihub_async.ingest.journal.rows import RETRYABLE, BatchRow, BatchState, FileRow, FileState
from aihub_async.ingest.naming import unique_name
from aihub_async.ingest.progress import Tally
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
    """A batch that is being filled; mutable, because it changes with every file."""

    no: int
    first: int
    group: str = ""
    last: int = 0
    files: int = 0
    bytes: int = 0
    names: set[str] = attrs.field(factory=set)

    def row(self, state: BatchState) -> BatchRow:
        """Return it as a row of the journal."""
        return BatchRow(self.no, self.first, self.last, self.files, self.bytes, state, group=self.group)


class Planner:
    """Splits a stream of candidates into batches of at most `max_files` and about `max_bytes`, in order.

    It continues where the journal stops: a batch that was being filled is filled further. A group becomes one batch
    whatever its size; one of more files than a run takes is refused as a whole. Files that appear in a group after its
    batch was closed become another batch of the group. A chunk of candidates costs what it adds, however many groups
    are being filled: up to about 1 KB of memory each.

    Args:
        connection: the journal.
        max_files: files of a batch.
        max_bytes: bytes of a batch, about; groups are not split by it.
        grouping: whether files have groups, and whether those of a group follow each other in the source: then a
            group's batch is full when the next group begins, otherwise at the end of the source.
        is_inbox: a file that changed after it was sent is another file of the same name, and is sent.
        skipped_before: litter that the last scan counted.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        max_files: int,
        max_bytes: int,
        *,
        grouping: Grouping = Grouping.NONE,
        is_inbox: bool = False,
        skipped_before: int = 0,
    ) -> None:
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._folders: dict[str, int] = {}
        self._grouping = grouping
        self._is_inbox = is_inbox
        self._open: dict[str, _Filling] = {}
        self._changed: set[str] = set()
        """Groups whose batches the journal does not have as they are."""
        self._group: str | None = None
        self._passed: set[str] = set()
        """The group that the scan is at, and those before it; kept where none may come again."""
        self._too_large: set[str] = set()
        self._known: dict[tuple[int, str, str], FileRow] = {}
        self._new: list[FileRow] = []
        self.changes = Changes()
        # A scan counts the litter again.
        self._tally = Tally(skipped=-skipped_before)
        self._skipped = 0
        self._litter: list[str] = []
        if grouping is Grouping.SCATTERED:
            schema.index_batches(connection)
        self._files, self._last_file = queries.last_file(connection)
        self._batches, self._last_batch = queries.last_batch(connection)
        for row in list(queries.batches_in(connection, BatchState.FILLING)):
            names = {fold(file.upload_name) for file in queries.files_of(connection, row)}
            self._open[row.group] = _Filling(row.no, row.first, row.group, row.last, row.files, row.bytes, names)
        self._filling = {filling.no for filling in self._open.values()}

    def add(self, connection: sqlite3.Connection, candidates: Iterable[Candidate]) -> list[int]:
        """Record candidates that are not known yet; returns the numbers of batches that became full."""
        full: list[int] = []
        chunk = [candidate for candidate in candidates if not self._is_litter(candidate)]
        self._look_up(connection, chunk)
        for candidate in chunk:
            if self._grouping is Grouping.SORTED and candidate.refused is None:
                self._pass_to(candidate.group)
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
                full += self._place(connection, found, candidate.name, candidate.group)
        self.save(connection)
        return full

    def take_tally(self) -> Tally:
        """Return what has changed since the last call."""
        tally, self._tally = self._tally, Tally()
        return tally

    def retry(self, connection: sqlite3.Connection, row: FileRow) -> list[int]:
        """Plan a failed file again, as a new row."""
        group = queries.batch(connection, row.batch).group
        self._replace(connection, row)
        return self._place(connection, row, row.upload_name, group)

    def finish(self, connection: sqlite3.Connection) -> list[int]:
        """Close the batches that are being filled; return their numbers."""
        full = [number for group in list(self._open) for number in self._close(connection, group)]
        self.save(connection)
        return full

    def _pass_to(self, group: str) -> None:
        if self._group is not None and group != self._group:
            self._passed.add(self._group)
        self._group = group

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
            if self._is_inbox:
                return True
            self.changes.changed_after += 1
            return False
        self.changes.changed += 1
        if state is FileState.PLANNED:
            # The upload checks each file of its batch itself.
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
        return batch not in self._filling and queries.batch(connection, batch).state > BatchState.PLANNED

    def _replace(self, connection: sqlite3.Connection, row: FileRow) -> None:
        self._flush(connection)
        was_run = row.state == FileState.NO_RESULT
        queries.put_file(connection, row._replace(state=FileState.RETRIED if was_run else FileState.REPLACED))
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

    def _place(self, connection: sqlite3.Connection, found: FileRow, name: str, group: str) -> list[int]:
        full: list[int] = []
        if group in self._too_large:
            self._refuse(connection, found, self._too_many(group))
            return full
        batch = self._open.get(group)
        if self._grouping is Grouping.NONE:
            if batch is not None and (batch.files >= self._max_files or batch.bytes + found.size > self._max_bytes):
                full = self._close(connection, group)
                batch = None
        elif batch is not None and batch.files >= self._max_files:
            self._refuse_group(connection, batch)
            self._refuse(connection, found, self._too_many(group))
            return full
        elif self._grouping is not Grouping.SCATTERED and batch is None:
            if group in self._passed:
                self._refuse(connection, found, _scattered(group))
                return full
            # The files of the groups before this one have all been seen.
            ended = [group for group in self._open if self._grouping is Grouping.FOLDERS or group in self._passed]
            full = [number for other in ended for number in self._close(connection, other)]
        number = self._next_file()
        if batch is None:
            self._last_batch += 1
            self._batches += 1
            batch = self._open[group] = _Filling(self._last_batch, number, group)
            self._filling.add(batch.no)
        name = unique_name(name, batch.names)
        row = found._replace(
            id=number, name="" if name == found.base else name, batch=batch.no, state=FileState.PLANNED
        )
        self._put(row)
        batch.last = number
        batch.files += 1
        batch.bytes += found.size
        self._changed.add(group)
        self._tally.files += 1
        self._tally.bytes += found.size
        return full

    def _too_many(self, group: str) -> tuple[str, str]:
        return "group too large", f"group {group!r} has more than {self._max_files:,} files, the limit of a run"

    def _refuse_group(self, connection: sqlite3.Connection, batch: _Filling) -> None:
        """Refuse the files of a group that turned out to be too large."""
        self._too_large.add(batch.group)
        self._flush(connection)
        rows = queries.files_of(connection, batch.row(BatchState.FILLING), FileState.PLANNED)
        reason = self._too_many(batch.group)
        queries.fail_files(connection, [(row.id, *reason) for row in rows], FileState.REFUSED)
        for row in rows:
            self._tally.files -= 1
            self._tally.bytes -= row.size
            self._tally.refused += 1
        note = reason[1]
        queries.put_batch(connection, attrs.evolve(batch.row(BatchState.FAILED), note=note))
        self._forget(batch)

    def _close(self, connection: sqlite3.Connection, group: str) -> list[int]:
        batch = self._open.get(group)
        if batch is None:
            return []
        self._forget(batch)
        queries.put_batch(connection, batch.row(BatchState.PLANNED))
        return [batch.no]

    def _forget(self, batch: _Filling) -> None:
        del self._open[batch.group]
        self._filling.discard(batch.no)
        self._changed.discard(batch.group)

    def save(self, connection: sqlite3.Connection) -> None:
        """Record the batches that are being filled, and the counts."""
        self._flush(connection)
        for group in self._changed:
            queries.put_batch(connection, self._open[group].row(BatchState.FILLING))
        self._changed.clear()
        schema.set_meta(connection, "files", self._files)
        schema.set_meta(connection, "batches", self._batches)
        schema.set_meta(connection, "skipped", self._skipped)
        schema.set_meta(connection, "skipped_names", self._litter)

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


def _scattered(group: str) -> tuple[str, str]:
    message = (
        f"group {group!r} had ended in the source before this file; sort the source by group, or leave out group_sorted"
    )
    return "group not sorted", message
