"""The emulator's database: SQLite, used from the event loop's thread only."""

import asyncio
import sqlite3
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec

Row = sqlite3.Row

_COMMIT_DELAY = 0.02  # seconds; many small uploads share one commit

# Exclusive: a second emulator on the same folder fails at its start instead of corrupting the first.
_PRAGMAS = """
PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA temp_store=MEMORY;
"""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batches(
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, context TEXT NOT NULL, mount_point TEXT NOT NULL,
    workspace TEXT NOT NULL, owner TEXT NOT NULL,
    folder TEXT NOT NULL DEFAULT '', created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS nodes(
    path TEXT PRIMARY KEY, blob INTEGER NOT NULL, size INTEGER NOT NULL, modified_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads(
    id TEXT PRIMARY KEY, batch_id INTEGER NOT NULL, filename TEXT NOT NULL, file_size INTEGER NOT NULL,
    state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS parts(
    upload_id TEXT NOT NULL, number INTEGER NOT NULL, id TEXT NOT NULL, blob INTEGER NOT NULL,
    size INTEGER NOT NULL, PRIMARY KEY(upload_id, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs(
    position INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, status TEXT NOT NULL,
    start_ns INTEGER NOT NULL, finish_ns INTEGER, msg TEXT, batch_id INTEGER, input_dir TEXT NOT NULL,
    input_since_ns INTEGER NOT NULL, input_until_ns INTEGER NOT NULL, output_dir TEXT NOT NULL,
    output_workspace TEXT NOT NULL, app_name TEXT NOT NULL, app_id TEXT NOT NULL, app_version TEXT NOT NULL,
    deployment_id TEXT, tags TEXT NOT NULL, username TEXT NOT NULL, context TEXT NOT NULL, settings TEXT NOT NULL,
    binary_path TEXT, case_info TEXT NOT NULL DEFAULT '[]', reviewed INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS usage(run_id TEXT PRIMARY KEY, context TEXT NOT NULL, units INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS runs_start ON runs(start_ns);
CREATE TABLE IF NOT EXISTS results(
    run_id TEXT NOT NULL, position INTEGER NOT NULL, content BLOB NOT NULL, UNIQUE(run_id, position));
CREATE TABLE IF NOT EXISTS jobs(
    id TEXT PRIMARY KEY, folder TEXT NOT NULL, state TEXT NOT NULL, message TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS secrets(
    context TEXT NOT NULL, alias TEXT NOT NULL, description TEXT NOT NULL, allowed_type TEXT NOT NULL,
    allowed_workspaces TEXT NOT NULL, created_ms INTEGER NOT NULL, created_by TEXT NOT NULL,
    updated_ms INTEGER NOT NULL, updated_by TEXT NOT NULL, PRIMARY KEY(context, alias)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS folders(path TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS legacy_jobs(
    position INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
    context TEXT NOT NULL, workspace TEXT NOT NULL, path TEXT NOT NULL,
    body TEXT NOT NULL, state TEXT NOT NULL, message TEXT NOT NULL, finish_s INTEGER);
CREATE TABLE IF NOT EXISTS conversations(
    position INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, description TEXT,
    context TEXT NOT NULL, owner TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS conversation_documents(
    id INTEGER PRIMARY KEY AUTOINCREMENT, conversation_id TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL,
    blob INTEGER NOT NULL, uploaded_ns INTEGER NOT NULL, pages TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS queries(
    id TEXT PRIMARY KEY, status TEXT NOT NULL, payload TEXT NOT NULL, results TEXT NOT NULL, error TEXT);
CREATE TABLE IF NOT EXISTS audit(
    id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, context TEXT NOT NULL,
    email TEXT NOT NULL, ip TEXT NOT NULL, log_type TEXT NOT NULL,
    operation TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, status INTEGER NOT NULL);
"""


def to_json(value: Any) -> str:
    """Return JSON as it is stored in a column."""
    return msgspec.json.encode(value).decode()


class Database:
    """A connection whose writes are committed in groups, a few milliseconds after the first of them.

    A killed process loses at most that much. There is no fsync, so that a test never measures the emulator's disk.
    """

    def __init__(self, path: Path) -> None:
        # No timeout: the holder of the lock is another emulator, which keeps it until it stops.
        self._connection = sqlite3.connect(path, timeout=0, check_same_thread=False, cached_statements=256)
        self._connection.row_factory = sqlite3.Row
        try:
            self._connection.executescript(_PRAGMAS + _SCHEMA)
        except sqlite3.Error:
            self._connection.close()
            raise
        self._commit_timer: asyncio.TimerHandle | None = None
        self._deferred: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)

    def write(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Execute a change; it is visible immediately and durable at the next group commit."""
        cursor = self._connection.execute(sql, values)
        self._schedule_commit()
        return cursor

    def defer(self, sql: str, *values: Any) -> None:
        """Queue an insert without waiting for its result; it is executed by `flush` or by the next group commit."""
        self._deferred[sql].append(values)
        self._schedule_commit()

    def flush(self) -> None:
        """Execute what `defer` has queued."""
        deferred, self._deferred = self._deferred, defaultdict(list)
        for sql, rows in deferred.items():
            self._connection.executemany(sql, rows)

    def all(self, sql: str, *values: Any) -> list[Row]:
        """Return all rows of a query."""
        return self._connection.execute(sql, values).fetchall()

    def one(self, sql: str, *values: Any) -> Row | None:
        """Return the first row of a query, or None."""
        row: Row | None = self._connection.execute(sql, values).fetchone()
        return row

    def value(self, sql: str, *values: Any) -> Any:
        """Return the first column of the first row, or None."""
        row = self.one(sql, *values)
        return None if row is None else row[0]

    def commit(self) -> None:
        """Make everything so far durable."""
        if self._commit_timer is not None:
            self._commit_timer.cancel()
            self._commit_timer = None
        self.flush()
        self._connection.commit()

    def close(self) -> None:
        """Commit and close; the database is one file afterwards."""
        self.commit()
        self._connection.close()

    def _schedule_commit(self) -> None:
        if self._commit_timer is None:
            self._commit_timer = asyncio.get_running_loop().call_later(_COMMIT_DELAY, self.commit)
