"""Recreation of a lost journal from the names and tags on the server, the results folder and the source."""

import functools
import itertools
import logging
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping

import anyio.to_thread
import attrs

from aihub_async.errors import IngestError
from aihub_async.ingest.candidates import Candidate
from aihub_async.ingest.journal import queries
from aihub_async.ingest.journal.file import Journal
from aihub_async.ingest.journal.rows import BatchRow, BatchState, FileRow, FileState
from aihub_async.ingest.journal.schema import set_meta
from aihub_async.ingest.naming import JOB_NAME, job_prefix
from aihub_async.ingest.remote import Known, Remote

logger = logging.getLogger("aihub_async")

_CHUNK = 500
_SUFFIXED = re.compile(r"~\d+(?=(\.[^.]*)?\Z)")


@attrs.frozen
class ServerBatch:
    """A batch of the job as the server has it: its files with their sizes, and its run."""

    no: int
    generation: int
    batch_id: int
    run_id: str
    files: Mapping[str, int | None]


async def find_job(remote: Remote, owner: str | None) -> str:
    """Return the id of the job: that of the results folder, or the only one that the server has batches of.

    Raises:
        IngestError: there is none, or several.
    """
    if owner:
        return owner
    jobs = sorted(await remote.jobs())
    if len(jobs) == 1:
        return jobs[0]
    found = f"batches of {len(jobs)} jobs: {', '.join(jobs[:5])}" if jobs else "no batches of any job"
    raise IngestError(
        f"the results folder does not name its job, and the server has {found}; pass the job's id (--job)"
    )


async def read_batches(remote: Remote, job: str) -> list[ServerBatch]:
    """Return the batches of a job that the server has, each in its latest generation."""
    known: Known = await remote.known(job_prefix(job))
    latest: dict[int, tuple[int, str]] = {}
    for name in known.batches:
        match = JOB_NAME.fullmatch(name)
        if match is None:
            continue
        no, generation = int(match["no"]), int(match["generation"] or 1)
        latest[no] = max(latest.get(no, (0, "")), (generation, name))
    return [
        ServerBatch(
            no,
            generation,
            known.batches[name],
            known.runs.get(name, ""),
            await remote.file_sizes(known.batches[name]),
        )
        for no, (generation, name) in sorted(latest.items())
    ]


class Rebuilder:
    """Assigns the files of the source to the batches that the server has.

    Names are unique in a batch, and batches were filled in the order of the source: so a file belongs to the first
    batch that has its name and has not got it yet. Files that no batch has are left to the plan of the next run.
    """

    def __init__(self, batches: Iterable[ServerBatch]) -> None:
        self._batches = {batch.no: batch for batch in batches}
        self._free: dict[str, list[tuple[int, str]]] = {}
        for batch in reversed(self._batches.values()):
            for name in sorted(batch.files, reverse=True):
                # Both under its own name and without the number that made it unique.
                for key in {name, _SUFFIXED.sub("", name)}:
                    self._free.setdefault(key, []).append((batch.no, name))
        self._taken: set[tuple[int, str]] = set()
        self._rows: dict[int, list[int]] = {}
        self._sizes: dict[int, int] = {}
        self._last = 0

    @property
    def unmatched(self) -> int:
        """Files of the server that the source does not have."""
        return sum(len(batch.files) for batch in self._batches.values()) - len(self._taken)

    def add(self, db: sqlite3.Connection, candidates: Iterable[Candidate]) -> None:
        """Record the candidates that a batch has."""
        for candidate in candidates:
            place = None if candidate.refused is not None else self._take(candidate.name)
            if place is None:
                continue
            no, name = place
            batch = self._batches[no]
            self._last += 1
            is_there = bool(batch.run_id) or batch.files[name] == candidate.size
            row = FileRow(
                id=self._last,
                folder=queries.folder(db, candidate.folder),
                base=candidate.base,
                given=candidate.given,
                name="" if name == candidate.base else name,
                size=candidate.size,
                mtime_ns=candidate.mtime_ns,
                batch=no,
                state=FileState.UPLOADED if is_there else FileState.PLANNED,
            )
            queries.put_file(db, row)
            self._rows.setdefault(no, []).append(row.id)
            self._sizes[no] = self._sizes.get(no, 0) + row.size

    def _take(self, name: str) -> tuple[int, str] | None:
        free = self._free.get(name, [])
        while free:
            place = free.pop()
            if place not in self._taken:
                self._taken.add(place)
                return place
        return None

    def finish(self, db: sqlite3.Connection) -> None:
        """Record the batches."""
        for batch in self._batches.values():
            ids = self._rows.get(batch.no) or [0]
            queries.put_batch(
                db,
                BatchRow(
                    batch.no,
                    first=min(ids),
                    last=max(ids),
                    files=len(self._rows.get(batch.no, ())),
                    bytes=self._sizes.get(batch.no, 0),
                    state=BatchState.RUNNING if batch.run_id else BatchState.UPLOADING,
                    generation=batch.generation,
                    batch_id=batch.batch_id,
                    run_id=batch.run_id,
                    note="recreated from the server",
                ),
            )
        set_meta(db, "files", self._last)
        set_meta(db, "batches", len(self._batches))


async def rebuild(journal: Journal, remote: Remote, candidates: Iterator[Candidate]) -> None:
    """Fill a new journal with what the server has of its job."""
    rebuilder = Rebuilder(await read_batches(remote, journal.job))
    while chunk := await anyio.to_thread.run_sync(lambda: list(itertools.islice(candidates, _CHUNK))):
        await journal.call(functools.partial(rebuilder.add, candidates=chunk))
    await journal.call(rebuilder.finish)
    if rebuilder.unmatched:
        logger.warning("%d files on the server are not in the source any more", rebuilder.unmatched)
