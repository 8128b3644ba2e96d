"""What a job would do, from its journal: counted before anything is sent."""

import functools
import hashlib
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import attrs

from aihub_async.ingest.journal import counts, queries, schema
from aihub_async.ingest.journal.file import Journal
from aihub_async.ingest.journal.rows import LIVE, FileState
from aihub_async.ingest.packing import Changes
from aihub_async.ingest.pages import count_pages
from aihub_async.limits import DEFAULT_PART_SIZE, MULTIPART_THRESHOLD

_RESULTS_PAGE = 20
_POLLS = 5

# For the estimate of time: a middling line and server. Only the order of magnitude is meant.
_SECONDS_PER_REQUEST = 0.1
_CONNECTIONS = 64
_BYTES_PER_SECOND = 20e6


@attrs.frozen
class Plan:
    """What a job would do. Sizes are bytes.

    `files` and `bytes` are what will be or was sent, `types` counts them by extension, `refused` counts what is not
    sent by reason: empty, too large, unsupported and others. `skipped` counts the litter of operating systems.
    `duplicate_names` counts files whose name another file of the job has too, `duplicate_contents` those whose content
    an earlier one has (None if not looked for); both are sent, under different names. `batches` is the number of runs,
    `left` the files that are not sent yet. `requests` and `seconds` are estimates for these: 64 connections,
    0.1 s a request, 20 MB/s, and no time for the runs themselves. `changes` is what this scan found against the
    journal, `gone` the planned files that no longer exist. `pages` counts the pages of PDF and TIFF files and images
    (None if not counted), `unknown_pages` the files whose pages are not known.
    """

    files: int
    bytes: int
    types: Mapping[str, int]
    refused: Mapping[str, int]
    duplicate_names: int
    duplicate_contents: int | None
    batches: int
    left: int
    requests: int
    seconds: float
    changes: Changes
    gone: int
    skipped: int = 0
    pages: int | None = None
    unknown_pages: int = 0

    def __str__(self) -> str:
        types = ", ".join(f"{count:,} {name or 'without extension'}" for name, count in self.types.items())
        refused = ", ".join(f"{count:,} {reason}" for reason, count in self.refused.items())
        contents = "not looked for" if self.duplicate_contents is None else f"{self.duplicate_contents:,}"
        changes = self.changes
        lines = [
            f"files       {self.files:,} ({self.bytes / 1e6:,.1f} MB): {types or 'none'}",
            f"not sent    {refused or 'none'}",
            f"duplicates  {self.duplicate_names:,} names, {contents} contents",
            f"batches     {self.batches:,}, one run each",
            (
                f"left        {self.left:,} files: about {self.requests:,} requests, "
                f"{_time(self.seconds)} and the runs' own time"
            ),
        ]
        if self.pages is not None:
            unknown = f", unknown for {self.unknown_pages:,} files" if self.unknown_pages else ""
            lines.insert(1, f"pages       {self.pages:,}{unknown}")
        if self.skipped:
            lines.insert(-3, f"skipped     {self.skipped:,} files of operating systems, such as .DS_Store")
        if changes.known:
            lines.append(
                f"since then  {changes.new:,} new, {changes.changed:,} changed, {self.gone:,} gone, "
                f"{changes.changed_after:,} changed after they were sent (not sent again)"
            )
        return "\n".join(lines)


def _time(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"


async def make_plan(journal: Journal, changes: Changes, *, contents: bool, pages: bool) -> Plan:
    """Count what the journal holds."""
    counted, unknown = await journal.call(_count_pages) if pages else (None, 0)
    gone = await journal.call(_count_gone) if changes.known else 0
    duplicates = await journal.call(_count_equal_contents) if contents else None
    plan = await journal.call(functools.partial(_make_plan, journal.path, changes, duplicates, gone))
    return attrs.evolve(plan, pages=counted, unknown_pages=unknown)


def _make_plan(path: Path, changes: Changes, duplicates: int | None, gone: int, db: sqlite3.Connection) -> Plan:
    by_state = queries.count_by_state(db)
    left, left_bytes = by_state.get(FileState.PLANNED, (0, 0))
    left_batches = counts.batches_with(db, FileState.PLANNED)
    large = counts.parts(db, MULTIPART_THRESHOLD, DEFAULT_PART_SIZE)
    requests = left + large + left_batches * (2 + _POLLS) + -(-left // _RESULTS_PAGE)
    return Plan(
        files=sum(by_state.get(state, (0, 0))[0] for state in LIVE),
        bytes=sum(by_state.get(state, (0, 0))[1] for state in LIVE),
        types=counts.by_extension(db),
        refused=counts.refused(db),
        duplicate_names=counts.equal_names(db),
        duplicate_contents=duplicates,
        batches=queries.last_batch(db)[0],
        left=left,
        requests=requests,
        seconds=max(requests * _SECONDS_PER_REQUEST / _CONNECTIONS, left_bytes / _BYTES_PER_SECOND),
        changes=changes,
        gone=gone,
        skipped=int(schema.read_meta(path, db).get("skipped", 0)),
    )


def _count_pages(db: sqlite3.Connection) -> tuple[int, int]:
    known = unknown = 0
    for path in counts.live_paths(db):
        pages = count_pages(Path(path))
        known += pages or 0
        unknown += pages is None
    return known, unknown


def _count_gone(db: sqlite3.Connection) -> int:
    return sum("://" not in path and not os.path.exists(path) for path in counts.planned_paths(db))  # noqa: PTH110 - a Path object for each is slow


def _count_equal_contents(db: sqlite3.Connection) -> int:
    """Count files of equal content; only files that share their size with another are read."""
    return counts.repeated(db, (_digest(path) for path in counts.paths_of_equal_size(db)))


def _digest(path: str) -> bytes | None:
    try:
        with Path(path).open("rb", buffering=0) as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
    except OSError:
        # It is reported when it is sent.
        return None
