"""What a job would do, from its journal: counted before anything is sent."""

import hashlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from aihub_async.ingest.journal.file import Journal
from aihub_async.ingest.journal.rows import FileState
from aihub_async.ingest.packing import Changes
from aihub_async.limits import DEFAULT_PART_SIZE, MULTIPART_THRESHOLD

_RESULTS_PAGE = 20
_POLLS = 5

# For the estimate of time: a middling line and server. Only the order of magnitude is meant.
_SECONDS_PER_REQUEST = 0.1
_CONNECTIONS = 64
_BYTES_PER_SECOND = 20e6

_LIVE = (int(FileState.PLANNED), int(FileState.UPLOADED), int(FileState.FAILED))


@attrs.frozen
class Plan:
    """What a job would do. Sizes are bytes.

    `files` and `bytes` are what will be or was sent, `types` counts them by extension, `refused` counts what is not
    sent by reason: empty, too large, unsupported and others. `duplicate_names` counts files whose name another file of
    the job has too, `duplicate_contents` those whose content an earlier one has (None if not looked for); both are
    sent, under different names. `batches` is the number of runs, `left` the files that are not sent yet.
    `requests` and `seconds` are estimates for what is left: 64 connections, 0.1 s a request, 20 MB/s, and no time for
    the runs themselves. `changes` is what this scan found against the journal, `gone` the planned files that are no
    longer there.
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
        if changes.known:
            lines.append(
                f"since then  {changes.new:,} new, {changes.changed:,} changed, {self.gone:,} gone, "
                f"{changes.changed_after:,} changed after they were sent (not sent again)"
            )
        return "\n".join(lines)


def _time(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"


async def make_plan(journal: Journal, changes: Changes, *, contents: bool) -> Plan:
    """Count what the journal holds."""
    gone = await journal.call(_count_gone) if changes.known else 0
    duplicates = await journal.call(_count_equal_contents) if contents else None
    return await journal.call(lambda db: _make_plan(db, changes, duplicates, gone))


def _make_plan(db: sqlite3.Connection, changes: Changes, duplicates: int | None, gone: int) -> Plan:
    db.create_function("extension", 1, _extension, deterministic=True)
    live = f"state IN {_LIVE}"
    files, size = db.execute(f"SELECT count(*), coalesce(sum(size), 0) FROM files WHERE {live}").fetchone()  # noqa: S608 - constants
    types = db.execute(
        f"SELECT extension(coalesce(nullif(given, ''), base)) AS kind, count(*) FROM files WHERE {live} "  # noqa: S608 - constants
        "GROUP BY kind ORDER BY 2 DESC, 1"
    )
    refused = (
        "SELECT reason, count(*) FROM failures JOIN files ON id = file WHERE state = ? GROUP BY reason "
        "ORDER BY 2 DESC, 1"
    )
    (equal_names,) = db.execute(
        "SELECT coalesce(sum(n), 0) FROM (SELECT count(*) AS n FROM files "  # noqa: S608 - constants
        f"WHERE {live} GROUP BY coalesce(nullif(given, ''), base) HAVING n > 1)"
    ).fetchone()
    left, left_bytes, parts = db.execute(
        "SELECT count(*), coalesce(sum(size), 0), coalesce(sum(CASE WHEN size > ? THEN 2 + size / ? ELSE 0 END), 0) "
        "FROM files WHERE state = ?",
        (MULTIPART_THRESHOLD, DEFAULT_PART_SIZE, int(FileState.PLANNED)),
    ).fetchone()
    (batches,) = db.execute("SELECT count(*) FROM batches").fetchone()
    (left_batches,) = db.execute(
        "SELECT count(DISTINCT batch) FROM files WHERE state = ?", (int(FileState.PLANNED),)
    ).fetchone()
    requests = left + parts + left_batches * (2 + _POLLS) + -(-left // _RESULTS_PAGE)
    return Plan(
        files=files,
        bytes=size,
        types=dict(types.fetchall()),
        refused=dict(db.execute(refused, (int(FileState.REFUSED),)).fetchall()),
        duplicate_names=equal_names,
        duplicate_contents=duplicates,
        batches=batches,
        left=left,
        requests=requests,
        seconds=max(requests * _SECONDS_PER_REQUEST / _CONNECTIONS, left_bytes / _BYTES_PER_SECOND),
        changes=changes,
        gone=gone,
    )


def _extension(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name else ""


def _paths(db: sqlite3.Connection, condition: str) -> Iterator[str]:
    found = db.execute(f"SELECT path, base FROM files JOIN folders ON folders.id = folder WHERE {condition}")  # noqa: S608 - constants
    for folder, base in found:
        yield os.path.join(folder, base)  # noqa: PTH118 - a Path object for each of 1,000,000 files is slow


def _count_gone(db: sqlite3.Connection) -> int:
    return sum(not os.path.exists(path) for path in _paths(db, f"state = {int(FileState.PLANNED)}"))  # noqa: PTH110 - as above


def _count_equal_contents(db: sqlite3.Connection) -> int:
    """Only files that share their size with another are read; digests go to a temporary table, not to memory."""
    shared = f"SELECT size FROM files WHERE state IN {_LIVE} GROUP BY size HAVING count(*) > 1"  # noqa: S608 - constants
    equal_size = f"state IN {_LIVE} AND size IN ({shared})"
    db.execute("CREATE TEMP TABLE digests(digest BLOB NOT NULL)")
    try:
        for path in _paths(db, equal_size):
            digest = _digest(path)
            if digest is not None:
                db.execute("INSERT INTO digests VALUES (?)", (digest,))
        (count,) = db.execute("SELECT count(*) - count(DISTINCT digest) FROM digests").fetchone()
    finally:
        db.execute("DROP TABLE digests")
    return int(count)


def _digest(path: str) -> bytes | None:
    try:
        with Path(path).open("rb", buffering=0) as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
    except OSError:
        # It is reported when it is sent.
        return None
