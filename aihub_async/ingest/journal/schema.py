"""The journal's file: creation, verification and migration."""

import contextlib
import json
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aihub_async.errors import JournalDamagedError, JournalError, JournalMismatchError
from aihub_async.ingest.journal.rows import (
    BATCH_COLUMNS,
    WITH_FAILURE,
    BatchRow,
    FileRow,
    failure_checksum,
    folder_checksum,
)
from aihub_async.results.files import sync_folder

APPLICATION_ID = 0x41494862
VERSION = 3
_WAYS_OUT = "restore a copy, or recreate it from the server with `aihub ingest rebuild`"

_TABLES = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE folders(id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, crc INTEGER NOT NULL);
CREATE TABLE files(
    id INTEGER PRIMARY KEY, folder INTEGER NOT NULL, base TEXT NOT NULL, given TEXT NOT NULL, name TEXT NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, batch INTEGER NOT NULL, state INTEGER NOT NULL,
    crc INTEGER NOT NULL);
CREATE INDEX files_source ON files(folder, base, given);
CREATE TABLE batches(
    no INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, files INTEGER NOT NULL,
    bytes INTEGER NOT NULL, state INTEGER NOT NULL, generation INTEGER NOT NULL, batch_id INTEGER NOT NULL,
    run_id TEXT NOT NULL, created_at REAL NOT NULL, uploaded_at REAL NOT NULL, submitted_at REAL NOT NULL,
    complete_at REAL NOT NULL, exported_at REAL NOT NULL, rows INTEGER NOT NULL, part_bytes INTEGER NOT NULL,
    note TEXT NOT NULL, "group" TEXT NOT NULL, pages INTEGER NOT NULL,
    gated INTEGER NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE failures(file INTEGER PRIMARY KEY, reason TEXT NOT NULL, message TEXT NOT NULL, crc INTEGER NOT NULL);
"""
_FIELDS = """
CREATE TABLE fields(
    batch INTEGER NOT NULL, name TEXT NOT NULL, documents INTEGER NOT NULL, found INTEGER NOT NULL,
    failed INTEGER NOT NULL, PRIMARY KEY(batch, name)) WITHOUT ROWID;
"""
_SAMPLES = """
CREATE TABLE samples(at REAL NOT NULL, uploaded INTEGER NOT NULL, bytes INTEGER NOT NULL, done INTEGER NOT NULL);
"""


def _to_version_3(connection: sqlite3.Connection) -> None:
    """Add groups, pages and gates of batches, and checksums of failures."""
    columns = ", ".join(name for name in BATCH_COLUMNS if name not in {"group", "pages", "gated"})
    old = connection.execute(f"SELECT {columns} FROM batches").fetchall()  # noqa: S608 - constant names
    failures = connection.execute("SELECT file, reason, message FROM failures").fetchall()
    connection.execute("DROP TABLE batches")
    connection.execute("DROP TABLE failures")
    for statement in _TABLES.split(";"):
        if "TABLE batches" in statement or "TABLE failures" in statement:
            connection.execute(statement)
    connection.execute(_FIELDS)
    marks = ", ".join("?" * (len(BATCH_COLUMNS) + 1))
    connection.executemany(f"INSERT INTO batches VALUES ({marks})", (BatchRow(*row).stored() for row in old))  # noqa: S608 - as above
    connection.executemany(
        "INSERT INTO failures VALUES (?, ?, ?, ?)", ((*row, failure_checksum(*row)) for row in failures)
    )


MIGRATIONS: dict[int, Callable[[sqlite3.Connection], object]] = {
    # Version 1 had no samples of the throughput.
    1: lambda connection: connection.execute(_SAMPLES),
    2: _to_version_3,
}
"""The step from version n to n + 1."""


def create(path: Path, meta: dict[str, Any], fill: Callable[[sqlite3.Connection], object] = lambda _: None) -> None:
    """Create a new journal with what `fill` writes; it appears at `path` complete or not at all."""
    temporary = path.with_name(f"{path.name}.new-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(temporary, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(f"BEGIN; {_TABLES} {_SAMPLES} {_FIELDS}")
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={VERSION}")
            for key, value in meta.items():
                set_meta(connection, key, value)
            fill(connection)
            connection.execute("COMMIT")
        temporary.replace(path)
        sync_folder(path.parent)
    except (OSError, sqlite3.Error) as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise JournalError(f"cannot create the journal {path}: {error}") from error


def connect(path: Path) -> sqlite3.Connection:
    """Open the journal for writing, at this package's version.

    Raises:
        JournalError: it cannot be written.
        JournalDamagedError: it is not a journal, or is incomplete.
        JournalMismatchError: a newer version of this package wrote it.
    """
    if path.stat().st_size == 0:
        raise JournalDamagedError(f"the journal {path} is empty: it was truncated; {_WAYS_OUT}")
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    try:
        with explained(path):
            check_version(path, connection)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            # A read-only journal must be refused before anything is sent.
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(f"PRAGMA user_version={_version(connection)}")
            connection.execute("COMMIT")
            _migrate(path, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_readonly(path: Path) -> sqlite3.Connection:
    """Open the journal for reading, also while another process writes it, and in a folder that is read-only."""
    if not path.is_file():
        raise JournalError(f"there is no journal {path}")
    path = path.resolve()
    log = path.with_name(path.name + "-wal")
    lock = path.with_name(path.name + ".lock")
    # SQLite creates files next to a journal to read it, but not for a lone copy or one in a read-only folder.
    immutable = not log.exists() and not (lock.exists() and os.access(path.parent, os.W_OK))
    query = "mode=ro&immutable=1" if immutable else "mode=ro"
    connection = sqlite3.connect(f"{path.as_uri()}?{query}", uri=True, isolation_level=None, timeout=5)
    try:
        with explained(path):
            check_version(path, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def check_version(path: Path, connection: sqlite3.Connection) -> None:
    """Refuse a file that is not a journal, and a journal of a newer version."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    version = _version(connection)
    if application != APPLICATION_ID:
        raise JournalDamagedError(f"{path} is not a journal of a bulk job, or its header is damaged")
    if version > VERSION:
        raise JournalMismatchError(
            f"the journal {path} has version {version}; this package supports up to {VERSION}: update it to continue"
        )


def verify(path: Path, connection: sqlite3.Connection) -> None:
    """Compare the whole journal, indexes included, with its own checksums and counts; about 5 s for 1,000,000 files.

    Raises:
        JournalDamagedError: something is missing or was altered.
    """
    with explained(path):
        (answer,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if answer != "ok":
            raise _damaged(path, answer)
        facts = read_meta(path, connection)
        for table, query, checksum in _CHECKSUMS:
            for *values, crc in connection.execute(query):
                if checksum(values) != crc:
                    raise _damaged(path, f"row {values[0]} of {table} does not match its checksum")
        for table in ("files", "batches"):
            (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - constant names
            if count != facts[table]:
                raise _damaged(path, f"it should have {facts[table]} {table} and has {count}")
        orphan = connection.execute(
            f"SELECT id FROM files WHERE state IN {tuple(map(int, WITH_FAILURE))} "  # noqa: S608 - constants
            "AND id NOT IN (SELECT file FROM failures)"
        ).fetchone()
        if orphan is not None:
            raise _damaged(path, f"file {orphan[0]} failed without a reason")


def _batch_checksum(values: list[Any]) -> int | None:
    try:
        return BatchRow(*values).checksum()
    except ValueError:
        # It has a state that does not exist.
        return None


_BATCH = ", ".join(f'"{name}"' for name in BATCH_COLUMNS)
_CHECKSUMS: tuple[tuple[str, str, Callable[[list[Any]], int | None]], ...] = (
    ("batches", f"SELECT {_BATCH}, crc FROM batches", _batch_checksum),  # noqa: S608 - constant names
    ("folders", "SELECT id, path, crc FROM folders", lambda values: folder_checksum(*values)),
    ("failures", "SELECT file, reason, message, crc FROM failures", lambda values: failure_checksum(*values)),
    (
        "files",
        "SELECT id, folder, base, given, name, size, mtime_ns, batch, state, crc FROM files",
        lambda values: FileRow(*values).checksum(),
    ),
)


def set_meta(connection: sqlite3.Connection, key: str, value: Any) -> None:
    """Store a property of the whole job."""
    text = json.dumps(value)
    connection.execute("REPLACE INTO meta VALUES (?, ?, ?)", (key, text, zlib.crc32(f"{key}={text}".encode())))


def read_meta(path: Path, connection: sqlite3.Connection) -> dict[str, Any]:
    """Return all properties of the job."""
    found = {}
    for key, text, crc in connection.execute("SELECT key, value, crc FROM meta"):
        if zlib.crc32(f"{key}={text}".encode()) != crc:
            raise _damaged(path, f"{key!r} does not match its checksum")
        found[key] = json.loads(text)
    missing = {"job", "spec", "files", "batches", "created_at", "scanned"} - found.keys()
    if missing:
        raise _damaged(path, f"{', '.join(sorted(missing))} missing")
    return found


def index_batches(connection: sqlite3.Connection) -> None:
    """Index the files by batch: those of a group may be anywhere in the table, where other batches are ranges of it."""
    connection.execute("CREATE INDEX IF NOT EXISTS files_batch ON files(batch)")


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _migrate(path: Path, connection: sqlite3.Connection) -> None:
    version = _version(connection)
    if version == VERSION:
        return
    columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(batches)")}
    # A bit that flipped in the header; a migration would replace what this version records with defaults.
    if version not in MIGRATIONS or columns.issuperset(BATCH_COLUMNS):
        raise _damaged(path, f"its header has version {version}, its tables are of another version")
    for step in range(version, VERSION):
        connection.execute("BEGIN IMMEDIATE")
        MIGRATIONS[step](connection)
        connection.execute(f"PRAGMA user_version={step + 1}")
        connection.execute("COMMIT")


def _damaged(path: Path, what: str) -> JournalDamagedError:
    return JournalDamagedError(f"the journal {path} is damaged: {what}; {_WAYS_OUT}")


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of SQLite into those of the journal."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "decode" in str(error):
            raise _damaged(path, "text is not UTF-8") from error
        raise JournalError(f"cannot use the journal {path}: {error}") from error
    except (sqlite3.DatabaseError, OverflowError, UnicodeDecodeError) as error:
        # The message of SQLite about a damaged table quotes its name, which may not be UTF-8 any more.
        raise _damaged(path, str(error)) from error
