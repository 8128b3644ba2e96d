"""Watching a folder: files are sent once they have stopped changing, and may be moved when they are done."""

import functools
import importlib
import logging
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import anyio
import anyio.to_thread

from aihub_async.ingest.candidates import Candidate
from aihub_async.ingest.folder import explained
from aihub_async.ingest.journal import queries
from aihub_async.ingest.journal.file import Journal
from aihub_async.ingest.journal.rows import BatchRow, BatchState, FileRow, FileState
from aihub_async.ingest.stopping import StopRequest
from aihub_async.paths import local_path

logger = logging.getLogger("aihub_async")

_LONGEST_PAUSE = 5.0
"""Seconds between two scans at most: notifications of the file system get lost."""
_SHORTEST_PAUSE = 0.05

_Key = tuple[str, str]
_Version = tuple[int, int]


class Arrivals:
    """The files of a source that is scanned again and again.

    A file counts when its size and time have not changed for `settle` seconds. An empty file waits until it has
    content. Yields the files that count, and None when `batch_after` seconds have passed since the first file of an
    open batch: then a batch that is not full is sent, too.

    Args:
        scan: finds all files of the source.
        settle: seconds.
        batch_after: seconds.
        stop: ends the waits.
        monotonic: a clock in seconds.
    """

    def __init__(
        self,
        scan: Callable[[], Iterator[Candidate]],
        *,
        settle: float,
        batch_after: float,
        stop: StopRequest,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scan = scan
        self._settle = settle
        self._batch_after = batch_after
        self._stop = stop
        self._monotonic = monotonic
        self._wake = anyio.Event()
        self._waiting: dict[_Key, tuple[_Version, float]] = {}
        self._taken: dict[_Key, _Version] = {}
        self._open_since: float | None = None

    def wake(self) -> None:
        """Scan now: something has changed."""
        self._wake.set()

    async def __aiter__(self) -> AsyncIterator[list[Candidate] | None]:
        while not self._stop.requested:
            # Before the scan, so that a change during it is not missed.
            self._wake = anyio.Event()
            found = await anyio.to_thread.run_sync(lambda: list(self._scan()))
            now = self._monotonic()
            ready = self._ready(found, now)
            if ready:
                self._open_since = now if self._open_since is None else self._open_since
                yield ready
            if self._open_since is not None and now - self._open_since >= self._batch_after:
                self._open_since = None
                yield None
            await self._pause(now)

    def _ready(self, found: list[Candidate], now: float) -> list[Candidate]:
        waiting: dict[_Key, tuple[_Version, float]] = {}
        taken: dict[_Key, _Version] = {}
        ready: list[Candidate] = []
        for candidate in found:
            key, version = (candidate.folder, candidate.base), (candidate.size, candidate.mtime_ns)
            if self._taken.get(key) == version:
                taken[key] = version
                continue
            before, since = self._waiting.get(key, (None, now))
            since = since if before == version else now
            is_empty = candidate.refused is not None and candidate.refused[0] == "empty"
            if is_empty or now - since < self._settle:
                waiting[key] = version, since
                continue
            taken[key] = version
            ready.append(candidate)
        self._waiting, self._taken = waiting, taken
        return ready

    async def _pause(self, now: float) -> None:
        """Wait until the next file settles, the open batch is due, or something changes."""
        moments = [since + self._settle for _, since in self._waiting.values() if since + self._settle > now]
        if self._open_since is not None:
            moments.append(self._open_since + self._batch_after)
        seconds = min([moment - now for moment in moments], default=_LONGEST_PAUSE)
        with self._stop.ending(), anyio.move_on_after(min(max(seconds, _SHORTEST_PAUSE), _LONGEST_PAUSE)):
            await self._wake.wait()


async def notify_changes(folders: list[str], wake: Callable[[], None]) -> None:
    """Call `wake` whenever the file system reports a change below the folders; runs until it is cancelled.

    Without the package watchfiles (extra `watch`) there are only the regular scans.
    """
    try:
        watchfiles = importlib.import_module("watchfiles")
    except ImportError:
        return
    if folders:
        async for _ in watchfiles.awatch(*folders, debounce=50, step=20):
            wake()


class Mover:
    """Moves files whose results are written out of the watched folder.

    A file that has changed since it was sent stays: it is a new one.
    """

    def __init__(self, journal: Journal, source: Path, target: str | os.PathLike[str]) -> None:
        self._journal = journal
        self._source = source
        self._target = local_path(target, "move")

    async def move_all(self) -> None:
        """Move the files of all batches that are done: a killed process may have left some."""
        done = await self._journal.call(lambda db: list(queries.batches_in(db, BatchState.EXPORTED)))
        for batch in done:
            await self.move(batch)

    async def move(self, batch: BatchRow) -> None:
        """Move the files of a batch."""
        rows = await self._journal.call(functools.partial(_done_files, batch))
        await anyio.to_thread.run_sync(self._move_files, rows)

    def _move_files(self, rows: list[tuple[FileRow, str]]) -> None:
        for row, path in rows:
            source = Path(path)
            try:
                found = source.stat()
            except OSError:
                continue
            if (found.st_size, found.st_mtime_ns) != (row.size, row.mtime_ns):
                continue
            target = self._place_for(source)
            with explained(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                source.rename(target)

    def _place_for(self, source: Path) -> Path:
        """Return where to move a file: the same path below the target, with a number if there is one of that name."""
        try:
            below = source.resolve().relative_to(self._source.resolve())
        except ValueError:
            below = Path(source.name)
        target, number = self._target / below, 1
        while target.exists():
            number += 1
            target = (self._target / below).with_stem(f"{below.stem}~{number}")
        return target


def _done_files(batch: BatchRow, db: sqlite3.Connection) -> list[tuple[FileRow, str]]:
    rows = queries.files_of(db, batch, FileState.UPLOADED)
    paths = queries.folders(db, (row.folder for row in rows))
    return [(row, os.path.join(paths[row.folder], row.base)) for row in rows]  # noqa: PTH118 - text as stored
