"""All queries of the journal; they run in the journal's writer thread, or on a read-only connection."""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping

from aihub_async.ingest.journal.rows import (
    BATCH_COLUMNS,
    RETRYABLE,
    BatchRow,
    BatchState,
    FailedFile,
    FileRow,
    FileState,
    failure_checksum,
    folder_checksum,
    storable,
)

_FILE = "id, folder, base, given, name, size, mtime_ns, batch, state"
_BATCH = ", ".join(f'"{name}"' for name in BATCH_COLUMNS)
_BATCH_MARKS = ", ".join("?" * (len(BATCH_COLUMNS) + 1))


def put_file(connection: sqlite3.Connection, row: FileRow) -> None:
    """Write a file's row."""
    connection.execute("REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row.stored())


def put_files(connection: sqlite3.Connection, rows: Iterable[FileRow]) -> None:
    """Write the rows of files."""
    connection.executemany("REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (row.stored() for row in rows))


def settle_files(connection: sqlite3.Connection, ids: Iterable[int], state: FileState) -> None:
    """Set the state of files."""
    query = f"SELECT {_FILE} FROM files WHERE id = ?"  # noqa: S608 - constant names
    # One look-up each: the files of a group may be anywhere in the table.
    found = [connection.execute(query, (number,)).fetchone() for number in sorted(set(ids))]
    rows = [FileRow(*columns)._replace(state=int(state)) for columns in found if columns is not None]
    changed = ((int(state), row.checksum(), row.id) for row in rows)
    connection.executemany("UPDATE files SET state = ?, crc = ? WHERE id = ?", changed)


def put_uploaded(connection: sqlite3.Connection, rows: Iterable[FileRow]) -> None:
    """Record that files have arrived, with the size and time that they had when they were sent.

    The rows must be as the journal has them otherwise: they are not read again.
    """
    uploaded = (row._replace(state=int(FileState.UPLOADED)) for row in rows)
    connection.executemany(
        "UPDATE files SET size = ?, mtime_ns = ?, state = ?, crc = ? WHERE id = ?",
        ((row.size, row.mtime_ns, row.state, row.checksum(), row.id) for row in uploaded),
    )


def fail_files(
    connection: sqlite3.Connection, failed: Iterable[tuple[int, str, str]], state: FileState = FileState.FAILED
) -> None:
    """Record files that have no result: id, reason, message."""
    recorded = list(failed)
    settle_files(connection, (number for number, _, _ in recorded), state)
    for row in recorded:
        put_failure(connection, *row)


def put_failure(connection: sqlite3.Connection, file: int, reason: str, message: str) -> None:
    """Write a row of the dead-letter list."""
    message = storable(message)
    row = (file, reason, message, failure_checksum(file, reason, message))
    connection.execute("REPLACE INTO failures VALUES (?, ?, ?, ?)", row)


def delete_failure(connection: sqlite3.Connection, file: int) -> None:
    """Remove a file from the dead-letter list."""
    connection.execute("DELETE FROM failures WHERE file = ?", (file,))


def failures_of(connection: sqlite3.Connection, files: Iterable[FileRow]) -> list[tuple[int, str, str]]:
    """Return the rows of the dead-letter list about these files: id, reason, message."""
    query = "SELECT file, reason, message FROM failures WHERE file = ?"
    return [row for file in files for row in connection.execute(query, (file.id,))]


def put_batch(connection: sqlite3.Connection, row: BatchRow) -> None:
    """Write a batch's row."""
    connection.execute(f"REPLACE INTO batches VALUES ({_BATCH_MARKS})", row.stored())  # noqa: S608 - constant names


def put_batches(connection: sqlite3.Connection, rows: Iterable[BatchRow]) -> None:
    """Write the rows of batches."""
    for row in rows:
        put_batch(connection, row)


def adopt_batch(connection: sqlite3.Connection, row: BatchRow) -> None:
    """Record a batch as the server has it; if its run has started, all of its files are uploaded."""
    put_batch(connection, row)
    if row.state is BatchState.RUNNING:
        settle_files(connection, [file.id for file in files_of(connection, row, FileState.PLANNED)], FileState.UPLOADED)


def batch(connection: sqlite3.Connection, number: int) -> BatchRow:
    """Return one batch."""
    found = connection.execute(f"SELECT {_BATCH} FROM batches WHERE no = ?", (number,)).fetchone()  # noqa: S608 - constant names
    return BatchRow(*found)


def batches(connection: sqlite3.Connection) -> Iterator[BatchRow]:
    """Return all batches, in order."""
    for row in connection.execute(f"SELECT {_BATCH} FROM batches ORDER BY no"):  # noqa: S608 - constant names
        yield BatchRow(*row)


def has_run(connection: sqlite3.Connection) -> bool:
    """Return whether the server has accepted any run of the job."""
    return connection.execute("SELECT 1 FROM batches WHERE run_id != '' LIMIT 1").fetchone() is not None


def batches_in(connection: sqlite3.Connection, state: BatchState) -> Iterator[BatchRow]:
    """Return the batches of a state, in order."""
    found = connection.execute(f"SELECT {_BATCH} FROM batches WHERE state = ? ORDER BY no", (int(state),))  # noqa: S608 - constant names
    for row in found:
        yield BatchRow(*row)


def any_to_start(connection: sqlite3.Connection) -> bool:
    """Return whether the run of any planned batch may not have been started."""
    found = connection.execute(
        "SELECT 1 FROM batches WHERE state BETWEEN ? AND ? LIMIT 1",
        (int(BatchState.PLANNED), int(BatchState.SUBMITTING)),
    )
    return found.fetchone() is not None


def unsettled(connection: sqlite3.Connection, after: int, limit: int) -> list[BatchRow]:
    """Return the next batches that are not finished, except one that is being filled."""
    settled = (BatchState.FILLING, BatchState.EXPORTED, BatchState.FAILED)
    found = connection.execute(
        f"SELECT {_BATCH} FROM batches WHERE no > ? AND state NOT IN (?, ?, ?) ORDER BY no LIMIT ?",  # noqa: S608 - constant names
        (after, *map(int, settled), limit),
    )
    return [BatchRow(*row) for row in found]


def files_of(connection: sqlite3.Connection, row: BatchRow, state: FileState | None = None) -> list[FileRow]:
    """Return the files of a batch, in order; only those in `state` if it is given."""
    wanted = "" if state is None else f" AND state = {int(state)}"
    found = connection.execute(
        f"SELECT {_FILE} FROM files WHERE id BETWEEN ? AND ? AND batch = ?{wanted}",  # noqa: S608 - constants and a number
        (row.first, row.last, row.no),
    )
    return [FileRow(*columns) for columns in found]


def count_files(connection: sqlite3.Connection, row: BatchRow, state: FileState) -> int:
    """Return the number of files of a batch that are in a state."""
    (count,) = connection.execute(
        "SELECT count(*) FROM files WHERE id BETWEEN ? AND ? AND batch = ? AND state = ?",
        (row.first, row.last, row.no, int(state)),
    ).fetchone()
    return int(count)


def sources_of(connection: sqlite3.Connection, row: BatchRow) -> dict[str, tuple[int, str]]:
    """Return the uploaded files of a batch: their ids and local paths by their names in the batch."""
    found = connection.execute(
        "SELECT coalesce(nullif(name, ''), base), id, folder, base FROM files "
        "WHERE id BETWEEN ? AND ? AND batch = ? AND state = ?",
        (row.first, row.last, row.no, int(FileState.UPLOADED)),
    ).fetchall()
    paths = folders(connection, (folder for _, _, folder, _ in found))
    return {name: (number, _path(paths[folder], base)) for name, number, folder, base in found}


def superseded(connection: sqlite3.Connection) -> dict[int, list[FileRow]]:
    """Return the files, by batch, that were planned again and whose later results are written."""
    columns = ", ".join(f"old.{name}" for name in _FILE.split(", "))
    found = connection.execute(
        f"SELECT {columns} FROM files AS old WHERE old.state = ? AND EXISTS ("  # noqa: S608 - constant names
        "SELECT 1 FROM files AS new JOIN batches ON no = new.batch WHERE new.folder = old.folder "
        "AND new.base = old.base AND new.given = old.given AND new.id > old.id AND new.state IN (?, ?) "
        "AND batches.state = ?)",
        (
            int(FileState.RETRIED),
            int(FileState.UPLOADED),
            int(FileState.NO_RESULT),
            int(BatchState.EXPORTED),
        ),
    )
    by_batch: dict[int, list[FileRow]] = {}
    for row in (FileRow(*columns) for columns in found):
        by_batch.setdefault(row.batch, []).append(row)
    return by_batch


def count_by_state(connection: sqlite3.Connection) -> dict[FileState, tuple[int, int]]:
    """Return the number of files in each state, and their bytes."""
    found = connection.execute("SELECT state, count(*), coalesce(sum(size), 0) FROM files GROUP BY state")
    return {FileState(state): (count, size) for state, count, size in found}


def count_batches(connection: sqlite3.Connection) -> tuple[dict[BatchState, int], int]:
    """Return the number of batches in each state, and the rows of all results."""
    found = connection.execute(
        "SELECT state, count(*), sum(rows) FROM batches GROUP BY state ORDER BY state"
    ).fetchall()
    return {BatchState(state): count for state, count, _ in found}, sum(rows for _, _, rows in found)


def count_uploaded(connection: sqlite3.Connection, state: BatchState) -> int:
    """Return the number of uploaded files in batches of a state."""
    # The files outside: each is read once, however the ranges of ids of the batches overlap.
    (count,) = connection.execute(
        "SELECT count(*) FROM files CROSS JOIN batches ON no = files.batch WHERE files.state = ? AND batches.state = ?",
        (int(FileState.UPLOADED), int(state)),
    ).fetchone()
    return int(count)


def waiting_batches(connection: sqlite3.Connection, limit: int) -> list[BatchRow]:
    """Return batches that need attention: those in review, and those whose start is unclear."""
    found = connection.execute(
        f"SELECT {_BATCH} FROM batches WHERE state = ? OR (state = ? AND note != '') ORDER BY no LIMIT ?",  # noqa: S608 - constant names
        (int(BatchState.REVIEW), int(BatchState.SUBMITTING), limit),
    )
    return [BatchRow(*row) for row in found]


def paths_of(connection: sqlite3.Connection, row: BatchRow) -> list[str]:
    """Return the local paths of the files of a batch."""
    rows = files_of(connection, row)
    paths = folders(connection, (file.folder for file in rows))
    return [_path(paths[file.folder], file.base) for file in rows]


def spent(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Return the files, pages and number of the batches that were started, without those refused while planning."""
    found = connection.execute(
        "SELECT coalesce(sum(files), 0), coalesce(sum(pages), 0), count(*) FROM batches "
        "WHERE state > ? AND (created_at > 0 OR batch_id > 0)",
        (int(BatchState.PLANNED),),
    ).fetchone()
    return int(found[0]), int(found[1]), int(found[2])


def count_gated(connection: sqlite3.Connection) -> int:
    """Return the number of documents that the gate refused."""
    (count,) = connection.execute("SELECT coalesce(sum(gated), 0) FROM batches").fetchone()
    return int(count)


def find(connection: sqlite3.Connection, folder: int, base: str, given: str) -> FileRow | None:
    """Return the newest row of a source."""
    found = connection.execute(
        f"SELECT {_FILE} FROM files WHERE folder = ? AND base = ? AND given = ? ORDER BY id DESC LIMIT 1",  # noqa: S608 - constant names
        (folder, base, given),
    ).fetchone()
    return None if found is None else FileRow(*found)


def between(
    connection: sqlite3.Connection, folder: int, first: tuple[str, str], last: tuple[str, str], limit: int
) -> list[FileRow]:
    """Return the rows of a folder's files from one (base, given) to another, those of one file ordered by id."""
    found = connection.execute(
        f"SELECT {_FILE} FROM files WHERE folder = ? AND (base, given) >= (?, ?) AND (base, given) <= (?, ?) "  # noqa: S608 - constant names
        "ORDER BY base, given, id LIMIT ?",
        (folder, *first, *last, limit),
    )
    return [FileRow(*row) for row in found]


def failed(connection: sqlite3.Connection, after: int, limit: int) -> list[FileRow]:
    """Return the next failed files; refused ones are left out."""
    found = connection.execute(
        f"SELECT {_FILE} FROM files WHERE state IN {tuple(map(int, RETRYABLE))} AND id > ? ORDER BY id LIMIT ?",  # noqa: S608 - constants
        (after, limit),
    )
    return [FileRow(*row) for row in found]


def last_file(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the number of files, and the highest id."""
    count, last = connection.execute("SELECT count(*), coalesce(max(id), 0) FROM files").fetchone()
    return int(count), int(last)


def last_batch(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the number of batches, and the highest number."""
    count, last = connection.execute("SELECT count(*), coalesce(max(no), 0) FROM batches").fetchone()
    return int(count), int(last)


def folder(connection: sqlite3.Connection, path: str) -> int:
    """Return the id of a folder; record it if it is new."""
    found = connection.execute("SELECT id FROM folders WHERE path = ?", (path,)).fetchone()
    if found is not None:
        return int(found[0])
    (number,) = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM folders").fetchone()
    connection.execute("INSERT INTO folders VALUES (?, ?, ?)", (number, path, folder_checksum(number, path)))
    return int(number)


def put_folders(connection: sqlite3.Connection, paths: Mapping[int, str]) -> None:
    """Write the rows of folders."""
    rows = ((number, path, folder_checksum(number, path)) for number, path in paths.items())
    connection.executemany("REPLACE INTO folders VALUES (?, ?, ?)", rows)


def folders(connection: sqlite3.Connection, numbers: Iterable[int]) -> dict[int, str]:
    """Return the paths of folders."""
    return {
        number: connection.execute("SELECT path FROM folders WHERE id = ?", (number,)).fetchone()[0]
        for number in set(numbers)
    }


def failures(connection: sqlite3.Connection) -> Iterator[FailedFile]:
    """Return the dead-letter list, in the order of the files."""
    found = connection.execute(
        "SELECT path, base, coalesce(nullif(name, ''), base), batch, files.size, reason, message, "
        "coalesce(\"group\", ''), coalesce(run_id, '') "
        "FROM failures JOIN files ON files.id = failures.file JOIN folders ON folders.id = files.folder "
        "LEFT JOIN batches ON batches.no = files.batch ORDER BY failures.file"
    )
    for folder, base, name, number, size, *rest in found:
        yield FailedFile(_path(folder, base), name, number, size, *rest)


def put_fields(connection: sqlite3.Connection, batch: int, found: Mapping[str, tuple[int, int, int]]) -> None:
    """Record how often each field was found in a batch: documents that have it, found in, failed in."""
    connection.execute("DELETE FROM fields WHERE batch = ?", (batch,))
    rows = ((batch, storable(name), *numbers) for name, numbers in found.items())
    connection.executemany("REPLACE INTO fields VALUES (?, ?, ?, ?, ?)", rows)


def fields_of(connection: sqlite3.Connection, batch: int) -> dict[str, tuple[int, int, int]]:
    """Return what `put_fields` recorded of a batch."""
    found = connection.execute("SELECT name, documents, found, failed FROM fields WHERE batch = ?", (batch,))
    return {name: tuple(numbers) for name, *numbers in found}


def put_sample(connection: sqlite3.Connection, at: float, uploaded: int, uploaded_bytes: int, done: int) -> None:
    """Record the progress at a time (Unix seconds)."""
    connection.execute("INSERT INTO samples VALUES (?, ?, ?, ?)", (at, uploaded, uploaded_bytes, done))


def _path(folder: str, base: str) -> str:
    return os.path.join(folder, base)  # noqa: PTH118 - a Path object for each of 1,000,000 files is slow
