"""The limits of a job: files, pages and runs that it may use over all of its resumptions."""

import functools
import sqlite3
from pathlib import Path

import anyio
import anyio.to_thread
import attrs

from aihub_async.ingest.journal import queries
from aihub_async.ingest.journal.file import Journal
from aihub_async.ingest.journal.rows import BatchRow
from aihub_async.ingest.options import JobOptions
from aihub_async.ingest.pages import count_pages


class Budget:
    """Decides whether a batch may be started; what was started before, in any process, counts.

    Pages are those of PDF and TIFF files and images; a file whose pages are not known counts as one page.
    """

    def __init__(self, journal: Journal, options: JobOptions) -> None:
        self._journal = journal
        self._options = options
        self._lock = anyio.Lock()
        self._spent: dict[str, int] | None = None
        self._refused: str | None = None

    @property
    def exhausted(self) -> str | None:
        """Why the job stopped starting batches, and how to continue; None while it has not."""
        return self._refused

    async def take(self, batch: BatchRow) -> BatchRow | None:
        """Return the batch, with its pages if they are limited; None if it would exceed a limit."""
        limits = {
            "max_files": self._options.max_files,
            "max_pages": self._options.max_pages,
            "max_runs_total": self._options.max_runs_total,
        }
        if all(limit is None for limit in limits.values()):
            return batch
        async with self._lock:
            if self._refused is not None:
                return None
            if self._spent is None:
                files, pages, runs = await self._journal.call(queries.spent)
                self._spent = {"max_files": files, "max_pages": pages, "max_runs_total": runs}
            if self._options.max_pages is not None:
                batch = attrs.evolve(batch, pages=await self._count(batch))
            wants = {"max_files": batch.files, "max_pages": batch.pages, "max_runs_total": 1}
            for name, limit in limits.items():
                if limit is not None and self._spent[name] + wants[name] > limit:
                    self._refused = (
                        f"the next batch would exceed {name}={limit:,} ({self._spent[name]:,} used, "
                        f"{wants[name]:,} more); run the same job with a higher limit to continue"
                    )
                    return None
            self._spent = {name: spent + wants[name] for name, spent in self._spent.items()}
            return batch

    async def _count(self, batch: BatchRow) -> int:
        paths = await self._journal.call(functools.partial(_paths, batch))
        return await anyio.to_thread.run_sync(lambda: sum(count_pages(path) or 1 for path in paths))


def _paths(batch: BatchRow, db: sqlite3.Connection) -> list[Path]:
    return [Path(path) for path in queries.paths_of(db, batch)]
