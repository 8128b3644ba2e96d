"""Queries of the journal that count: for plans and reports."""

import os
import sqlite3
from collections.abc import Iterable, Iterator

from aihub_async.ingest.journal.rows import LIVE, FileState

_LIVE = f"state IN {tuple(map(int, LIVE))}"
_REFUSED = int(FileState.REFUSED)
_PLANNED = int(FileState.PLANNED)
_NAME = "coalesce(nullif(given, ''), base)"


def by_extension(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the number of files of each extension, in lower case; most frequent first."""
    connection.create_function("extension", 1, _extension, deterministic=True)
    found = connection.execute(
        f"SELECT extension({_NAME}) AS kind, count(*) FROM files WHERE {_LIVE} GROUP BY kind ORDER BY 2 DESC, 1"  # noqa: S608 - constants
    )
    return dict(found.fetchall())


def _extension(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name else ""


def refused(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the number of refused files by reason; most frequent first."""
    found = connection.execute(
        "SELECT reason, count(*) FROM failures JOIN files ON id = file WHERE state = ? GROUP BY reason "
        "ORDER BY 2 DESC, 1",
        (_REFUSED,),
    )
    return dict(found.fetchall())


def equal_names(connection: sqlite3.Connection) -> int:
    """Return the number of files that share their name with another file of the job."""
    (count,) = connection.execute(
        f"SELECT coalesce(sum(n), 0) FROM (SELECT count(*) AS n FROM files WHERE {_LIVE} "  # noqa: S608 - constants
        f"GROUP BY {_NAME} HAVING n > 1)"
    ).fetchone()
    return int(count)


def parts(connection: sqlite3.Connection, threshold: int, part_size: int) -> int:
    """Return the number of requests that planned files above `threshold` bytes need beyond one."""
    (count,) = connection.execute(
        "SELECT coalesce(sum(2 + size / ?), 0) FROM files WHERE state = ? AND size > ?",
        (part_size, _PLANNED, threshold),
    ).fetchone()
    return int(count)


def batches_with(connection: sqlite3.Connection, state: FileState) -> int:
    """Return the number of batches that have files of a state."""
    query = "SELECT count(DISTINCT batch) FROM files WHERE state = ?"
    (count,) = connection.execute(query, (int(state),)).fetchone()
    return int(count)


def repeated(connection: sqlite3.Connection, digests: Iterable[bytes | None]) -> int:
    """Return how many digests repeat an earlier one; they go to a temporary table, not to memory."""
    connection.execute("CREATE TEMP TABLE digests(digest BLOB NOT NULL)")
    try:
        for digest in digests:
            if digest is not None:
                connection.execute("INSERT INTO digests VALUES (?)", (digest,))
        (count,) = connection.execute("SELECT count(*) - count(DISTINCT digest) FROM digests").fetchone()
    finally:
        connection.execute("DROP TABLE digests")
    return int(count)


def planned_paths(connection: sqlite3.Connection) -> Iterator[str]:
    """Return the local paths of all files that are not sent yet."""
    return _paths(connection, f"state = {_PLANNED}")


def live_paths(connection: sqlite3.Connection) -> Iterator[str]:
    """Return the local paths of all files of the plan."""
    return _paths(connection, _LIVE)


def paths_of_equal_size(connection: sqlite3.Connection) -> Iterator[str]:
    """Return the local paths of files that share their size with another."""
    shared = f"SELECT size FROM files WHERE {_LIVE} GROUP BY size HAVING count(*) > 1"  # noqa: S608 - constants
    return _paths(connection, f"{_LIVE} AND size IN ({shared})")


def _paths(connection: sqlite3.Connection, condition: str) -> Iterator[str]:
    found = connection.execute(f"SELECT path, base FROM files JOIN folders ON folders.id = folder WHERE {condition}")  # noqa: S608 - constants
    for folder, base in found:
        yield os.path.join(folder, base)  # noqa: PTH118 - a Path object for each of 1,000,000 files is slow


def sizes(connection: sqlite3.Connection, limits: Iterable[int]) -> list[int]:
    """Return the number of files below each limit of bytes, and at or above the limit before it."""
    below, found = 0, []
    for limit in limits:
        (count,) = connection.execute(
            f"SELECT count(*) FROM files WHERE size >= ? AND size < ? AND {_LIVE}",  # noqa: S608 - constants
            (below, limit),
        ).fetchone()
        found.append(int(count))
        below = limit
    return found


def reasons(connection: sqlite3.Connection, limit: int) -> dict[str, int]:
    """Return the number of failures by reason; most frequent first."""
    query = "SELECT reason, count(*) FROM failures GROUP BY reason ORDER BY 2 DESC, 1 LIMIT ?"
    return dict(connection.execute(query, (limit,)).fetchall())


def samples(connection: sqlite3.Connection) -> list[tuple[float, int, int, int]]:
    """Return the recorded progress: Unix seconds, files and bytes uploaded, files done."""
    return connection.execute("SELECT at, uploaded, bytes, done FROM samples ORDER BY at").fetchall()


def fields(connection: sqlite3.Connection, limit: int) -> list[tuple[str, int, int, int]]:
    """Return the fields that most documents have: name, documents, found in, failed in."""
    return connection.execute(
        "SELECT name, sum(documents), sum(found), sum(failed) FROM fields GROUP BY name "
        "ORDER BY sum(documents) DESC, name LIMIT ?",
        (limit,),
    ).fetchall()
