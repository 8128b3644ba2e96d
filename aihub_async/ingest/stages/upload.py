"""Sending the files of one batch, and recording what became of each."""

import functools
import os
import sqlite3
from collections.abc import Callable, Iterator

import attrs

from aihub_async import errors
from aihub_async.ingest.journal import queries
from aihub_async.ingest.journal.file import Journal
from aihub_async.ingest.journal.rows import BatchRow, FileRow, FileState
from aihub_async.ingest.patience import STOPPING, is_outage
from aihub_async.ingest.progress import Progress
from aihub_async.ingest.remote import Remote
from aihub_async.models.uploads import UploadRecord
from aihub_async.paths import is_url
from aihub_async.uploads.remote import RemoteFile

Failed = tuple[FileRow, Exception]


def may_pass(error: Exception) -> bool:
    """Return whether an error of a single file may not recur at the next attempt."""
    if isinstance(error, errors.SourceChangedError):
        # The new identity of an object behind a URL is found by the next scan.
        return not is_url(error.name or "")
    return isinstance(error, errors.OutcomeUnknownError) or is_outage(error)


class BatchGoneError(Exception):
    """The batch was deleted on the server."""


@attrs.define
class Sender:
    """Sends the rest of one batch once; `again` collects the files whose errors may not recur at the next try."""

    journal: Journal
    remote: Remote
    progress: Progress
    stopping: Callable[[], bool]
    batch: BatchRow
    again: list[Failed] = attrs.field(factory=list)
    arrived: int = 0
    """Files that arrived."""
    _rows: dict[str, FileRow] = attrs.field(factory=dict)
    _changed: dict[int, FileRow] = attrs.field(factory=dict)
    _emptied: list[Failed] = attrs.field(factory=list)

    async def send(self) -> None:
        """Send all planned files.

        Raises:
            BatchGoneError: the batch does not exist any more.
            AIHubError: an error that every file would meet; see `STOPPING`.
        """
        batch = self.batch

        def pending(db: sqlite3.Connection) -> tuple[list[FileRow], dict[int, str]]:
            rows = queries.files_of(db, batch, FileState.PLANNED)
            return rows, queries.folders(db, (row.folder for row in rows))

        rows, folders = await self.journal.call(pending)
        if not rows:
            return
        self._rows = {row.upload_name: row for row in rows}
        pages = self.remote.upload(batch.batch_id, self._sources(rows, folders))
        try:
            while (page := await pages.next_page()) is not None:
                await self._record(page)
        finally:
            await pages.aclose()
        await self.fail(self._emptied)

    async def fail(self, failed: list[Failed]) -> None:
        """Put files on the dead-letter list."""
        if not failed:
            return
        recorded = [(row.id, type(error).__name__, str(error)) for row, error in failed]
        await self.journal.call(lambda db: queries.fail_files(db, recorded))
        self.progress.failed(len(recorded))

    def _sources(self, rows: list[FileRow], folders: dict[int, str]) -> Iterator[tuple[str, str | RemoteFile]]:
        for row in rows:
            if self.stopping():
                return
            folder = folders[row.folder]
            if is_url(folder):
                # With what the scan found, so that another content is noticed without another request.
                yield row.upload_name, RemoteFile(f"{folder}/{row.base}", row.size, row.mtime_ns)
                continue
            path = os.path.join(folder, row.base)  # noqa: PTH118 - a Path object costs 10 µs
            if not self._is_emptied(row, path):
                yield row.upload_name, path

    def _is_emptied(self, row: FileRow, path: str) -> bool:
        """Compare a file with its plan; a changed one is sent as it is now, a missing one fails when it is opened."""
        try:
            found = os.stat(path)  # noqa: PTH116 - as above
        except OSError:
            return False
        if (found.st_size, found.st_mtime_ns) == (row.size, row.mtime_ns):
            return False
        if found.st_size == 0:
            self._emptied.append((row, errors.SourceChangedError("the file is empty now", name=row.upload_name)))
            return True
        self._changed[row.id] = row._replace(size=found.st_size, mtime_ns=found.st_mtime_ns)
        return False

    async def _record(self, page: list[UploadRecord]) -> None:
        done = [record for record in page if record.error is None]
        failed = [(self._rows[record.name], record.error) for record in page if record.error is not None]
        if done:
            rows = [self._rows[record.name] for record in done]
            if self._changed:
                rows = [self._changed.get(row.id, row) for row in rows]
            await self.journal.call(functools.partial(queries.put_uploaded, rows=rows))
            self.arrived += len(done)
            size = sum(record.size or 0 for record in done)
            self.progress.uploaded(len(done), size, sum(max(record.attempts - 1, 0) for record in done))
        for _, error in failed:
            if isinstance(error, STOPPING):
                raise error
            if isinstance(error, errors.NotFoundError):
                raise BatchGoneError
        passing = [(row, error) for row, error in failed if may_pass(error)]
        self.again += passing
        await self.fail([pair for pair in failed if pair not in passing])

    def is_outage(self) -> bool:
        """Return whether what failed looks like an outage: several files, and nothing else arrived."""
        return not self.arrived and sum(is_outage(error) for _, error in self.again) > 1
