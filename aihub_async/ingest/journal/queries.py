"""Reading and writing the journal's rows; everything here runs in the journal's writer thread."""

import os
import sqlite3
from collections.abc import Iterable, Iterator

from aihub_async.ingest.journal.rows import BATCH_COLUMNS, BatchRow, BatchState, FailedFile, FileRow, FileState
from aihub_async.ingest.journal.schema import folder_checksum

_FILE = "id, folder, base, given, name, size, mtime_ns, batch, state"
_BATCH = ", ".join(BATCH_COLUMNS)
_BATCH_MARKS = ", ".join("?" * (len(BATCH_COLUMNS) + 1))


def put_file(connection: sqlite3.Connection, row: FileRow) -> None:
    """Write a file's row."""
    connection.execute("REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row.stored())


def put_files(connection: sqlite3.Connection, rows: Iterable[FileRow]) -> None:
    """Write the rows of files."""
    connection.executemany("REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (row.stored() for row in rows))


def settle_files(connection: sqlite3.Connection, ids: Iterable[int], state: FileState) -> None:
    """Give files another state."""
    wanted = set(ids)
    if not wanted:
        return
    # One query for the whole range: the files of a page stand close together.
    found = connection.execute(
        f"SELECT {_FILE} FROM files WHERE id BETWEEN ? AND ?",  # noqa: S608 - constant names
        (min(wanted), max(wanted)),
    )
    rows = [FileRow(*columns)._replace(state=int(state)) for columns in found if columns[0] in wanted]
    changed = ((int(state), row.checksum(), row.id) for row in rows)
    connection.executemany("UPDATE files SET state = ?, crc = ? WHERE id = ?", changed)


def fail_files(connection: sqlite3.Connection, failed: Iterable[tuple[int, str, str]]) -> None:
    """Record files that have no result: id, reason, message."""
    recorded = list(failed)
    settle_files(connection, (number for number, _, _ in recorded), FileState.FAILED)
    connection.executemany("REPLACE INTO failures VALUES (?, ?, ?)", recorded)


def put_failure(connection: sqlite3.Connection, file: int, reason: str, message: str) -> None:
    """Write a row of the dead-letter list."""
    connection.execute("REPLACE INTO failures VALUES (?, ?, ?)", (file, reason, message))


def put_batch(connection: sqlite3.Connection, row: BatchRow) -> None:
    """Write a batch's row."""
    connection.execute(f"REPLACE INTO batches VALUES ({_BATCH_MARKS})", row.stored())  # noqa: S608 - constant names


def put_batches(connection: sqlite3.Connection, rows: Iterable[BatchRow]) -> None:
    """Write the rows of batches."""
    for row in rows:
        put_batch(connection, row)


def batch(connection: sqlite3.Connection, number: int) -> BatchRow:
    """One batch."""
    found = connection.execute(f"SELECT {_BATCH} FROM batches WHERE no = ?", (number,)).fetchone()  # noqa: S608 - constant names
    return BatchRow(*found)


def batches(connection: sqlite3.Connection) -> Iterator[BatchRow]:
    """All batches in order."""
    for row in connection.execute(f"SELECT {_BATCH} FROM batches ORDER BY no"):  # noqa: S608 - constant names
        yield BatchRow(*row)


def unsettled(connection: sqlite3.Connection, after: int, limit: int) -> list[BatchRow]:
    """The next batches with something left to do, those that are being filled left out."""
    settled = (BatchState.FILLING, BatchState.EXPORTED, BatchState.FAILED)
    found = connection.execute(
        f"SELECT {_BATCH} FROM batches WHERE no > ? AND state NOT IN (?, ?, ?) ORDER BY no LIMIT ?",  # noqa: S608 - constant names
        (after, *map(int, settled), limit),
    )
    return [BatchRow(*row) for row in found]


def files_of(connection: sqlite3.Connection, row: BatchRow, state: FileState | None = None) -> list[FileRow]:
    """The files of a batch, in order; only those in `state` if it is given."""
    wanted = "" if state is None else f" AND state = {int(state)}"
    found = connection.execute(
        f"SELECT {_FILE} FROM files WHERE id BETWEEN ? AND ? AND batch = ?{wanted}",  # noqa: S608 - constants and a number
        (row.first, row.last, row.no),
    )
    return [FileRow(*columns) for columns in found]


def count_files(connection: sqlite3.Connection, row: BatchRow, state: FileState) -> int:
    """How many files of a batch are in a state."""
    (count,) = connection.execute(
        "SELECT count(*) FROM files WHERE id BETWEEN ? AND ? AND batch = ? AND state = ?",
        (row.first, row.last, row.no, int(state)),
    ).fetchone()
    return int(count)


def sources_of(connection: sqlite3.Connection, row: BatchRow) -> dict[str, tuple[int, str]]:
    """The uploaded files of a batch: their ids and local paths by their names in the batch."""
    rows = files_of(connection, row, FileState.UPLOADED)
    paths = folders(connection, (file.folder for file in rows))
    return {file.upload_name: (file.id, _path(paths[file.folder], file.base)) for file in rows}


def find(connection: sqlite3.Connection, folder: int, base: str, given: str) -> FileRow | None:
    """The newest row of a source."""
    found = connection.execute(
        f"SELECT {_FILE} FROM files WHERE folder = ? AND base = ? AND given = ? ORDER BY id DESC LIMIT 1",  # noqa: S608 - constant names
        (folder, base, given),
    ).fetchone()
    return None if found is None else FileRow(*found)


def between(
    connection: sqlite3.Connection, folder: int, first: tuple[str, str], last: tuple[str, str], limit: int
) -> list[FileRow]:
    """The rows of a folder's files from one (base, given) to another, those of one file in the order of their ids."""
    found = connection.execute(
        f"SELECT {_FILE} FROM files WHERE folder = ? AND (base, given) >= (?, ?) AND (base, given) <= (?, ?) "  # noqa: S608 - constant names
        "ORDER BY base, given, id LIMIT ?",
        (folder, *first, *last, limit),
    )
    return [FileRow(*row) for row in found]


def failed(connection: sqlite3.Connection, after: int, limit: int) -> list[FileRow]:
    """The next failed files; those that were refused are left out."""
    found = connection.execute(
        f"SELECT {_FILE} FROM files WHERE state = ? AND id > ? ORDER BY id LIMIT ?",  # noqa: S608 - constant names
        (int(FileState.FAILED), after, limit),
    )
    return [FileRow(*row) for row in found]


def folder(connection: sqlite3.Connection, path: str) -> int:
    """The id of a folder, recorded if it is new."""
    found = connection.execute("SELECT id FROM folders WHERE path = ?", (path,)).fetchone()
    if found is not None:
        return int(found[0])
    (number,) = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM folders").fetchone()
    connection.execute("INSERT INTO folders VALUES (?, ?, ?)", (number, path, folder_checksum(number, path)))
    return int(number)


def folders(connection: sqlite3.Connection, numbers: Iterable[int]) -> dict[int, str]:
    """The paths of folders."""
    return {
        number: connection.execute("SELECT path FROM folders WHERE id = ?", (number,)).fetchone()[0]
        for number in set(numbers)
    }


def failures(connection: sqlite3.Connection) -> Iterator[FailedFile]:
    """The dead-letter list, in the order of the files."""
    found = connection.execute(
        "SELECT path, base, coalesce(nullif(name, ''), base), batch, size, reason, message "
        "FROM failures JOIN files ON files.id = failures.file JOIN folders ON folders.id = files.folder "
        "ORDER BY failures.file"
    )
    for folder, base, name, number, size, reason, message in found:
        yield FailedFile(_path(folder, base), name, number, size, reason, message)


def put_sample(connection: sqlite3.Connection, at: float, uploaded: int, uploaded_bytes: int, done: int) -> None:
    """Record how far the job was at a time."""
    connection.execute("INSERT INTO samples VALUES (?, ?, ?, ?)", (at, uploaded, uploaded_bytes, done))


def _path(folder: str, base: str) -> str:
    return os.path.join(folder, base)  # noqa: PTH118 - a Path object for each of 1,000,000 files is slow
