"""What a job checks and writes in its results folder at its beginning and end."""

import functools
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import attrs

from aihub_async.ingest.folder import ResultsFolder, explained, write_lines
from aihub_async.ingest.journal import queries
from aihub_async.ingest.journal.file import Journal
from aihub_async.ingest.journal.rows import BatchState, FileRow, FileState
from aihub_async.ingest.options import JobOptions
from aihub_async.results.datasets import unify
from aihub_async.results.dropping import drop_files


class Outputs:
    """The parts of a job as its journal has them, and the lists next to them."""

    def __init__(self, folder: ResultsFolder, options: JobOptions, crash_hook: Callable[[str], None]) -> None:
        self._folder = folder
        self._options = options
        self._crash_hook = crash_hook

    async def reopen_lost(self, journal: Journal) -> int:
        """Plan the export of parts that the journal has and the folder does not; return how many."""

        def check(db: sqlite3.Connection) -> int:
            exported = queries.batches_in(db, BatchState.EXPORTED)
            raw, gated = self._options.raw, self._options.gate is not None
            lost = [batch for batch in exported if not self._folder.has(batch, raw=raw, gated=gated)]
            changes: dict[str, Any] = {
                "state": BatchState.COMPLETE,
                "rows": 0,
                "gated": 0,
                "note": "its part is missing",
            }
            reopened = (attrs.evolve(batch, **changes) for batch in lost)
            queries.put_batches(db, reopened)
            return len(lost)

        return await journal.call(check)

    async def drop_superseded(self, journal: Journal) -> tuple[int, int]:
        """Remove what earlier tries of files left in parts, once the results of later ones are written.

        Returns:
            The rows, and the documents that the gate had refused, that were removed.
        """
        all_rows = all_gated = 0
        for number, files in (await journal.call(queries.superseded)).items():
            names = [file.upload_name for file in files]
            drop = functools.partial(self._drop, number, names)
            rows, gated = await anyio.to_thread.run_sync(drop)
            part = self._folder.part(number)
            size = part.stat().st_size if part.exists() else 0
            await journal.call(functools.partial(_record_dropped, number, files, rows, gated, size))
            all_rows, all_gated = all_rows + rows, all_gated + gated
        return all_rows, all_gated

    def _drop(self, number: int, names: list[str]) -> tuple[int, int]:
        """Return how many rows were removed from the part of a batch, and from its list for review."""

        def drop(path: Path, format: str) -> int:
            with explained(path):
                return drop_files(path, format, names) if path.exists() else 0

        rows = drop(self._folder.part(number), self._options.format)
        return rows, drop(self._folder.review_part(number), "jsonl")

    async def unify(self, journal: Journal) -> None:
        """Make the columns of all parts equal, so that any reader can read the folder as one table."""
        changed: dict[Path, int] = {}

        def replace(temporary: Path, part: Path) -> None:
            size = temporary.stat().st_size
            temporary.replace(part)
            changed[part] = size

        def work() -> None:
            with explained(self._options.out):
                unify(self._folder.parts(), self._options.format, replace)

        await anyio.to_thread.run_sync(work)

        def record(db: sqlite3.Connection) -> None:
            for batch in list(queries.batches_in(db, BatchState.EXPORTED)):
                size = changed.get(self._folder.part(batch.no))
                if size is not None:
                    queries.put_batch(db, attrs.evolve(batch, part_bytes=size))

        if changed:
            await journal.call(record)

    async def write_lists(self, journal: Journal) -> None:
        """Write the dead-letter list and the list of what waits for a review."""

        def write(db: sqlite3.Connection) -> None:
            write_lines(self._folder.failures, map(attrs.asdict, queries.failures(db)), self._crash_hook)
            write_lines(self._folder.reviews, self._reviews(db), self._crash_hook)

        await journal.call(write)

    def _reviews(self, db: sqlite3.Connection) -> Iterator[dict[str, object]]:
        """Return the runs that wait for a review, and the documents that the gate refused."""
        for batch in queries.batches_in(db, BatchState.REVIEW):
            yield {"run_id": batch.run_id, "batch_id": batch.batch_id, "group": batch.group, "files": batch.files}
        for batch in queries.batches_in(db, BatchState.EXPORTED):
            path = self._folder.review_part(batch.no)
            if batch.gated and path.exists():
                with path.open(encoding="utf-8") as lines:
                    yield from map(json.loads, lines)


def _record_dropped(
    number: int, files: list[FileRow], rows: int, gated: int, size: int, db: sqlite3.Connection
) -> None:
    queries.settle_files(db, (file.id for file in files), FileState.SUPERSEDED)
    batch = queries.batch(db, number)
    if batch.state is BatchState.EXPORTED:
        changed = attrs.evolve(batch, rows=batch.rows - rows, gated=batch.gated - gated, part_bytes=size)
        queries.put_batch(db, changed)
