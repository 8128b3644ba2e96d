"""The journal: one writer thread, grouped commits, one holder."""

import asyncio
import queue
import sqlite3
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import anyio.to_thread
import attrs

from aihub_async.errors import IngestError, JournalDamagedError, JournalError, JournalMismatchError
from aihub_async.ingest.journal import schema
from aihub_async.ingest.journal.lock import JournalLock

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]

_GROUP = 256
"""Pieces of work in one commit at most."""


def no_crash_hook(_name: str) -> None:
    """Do nothing. Tests pass a function that crashes, called before and after every durable write."""


@attrs.define
class _Task:
    work: Work
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Any]
    result: Any = None


class Journal:
    """A job's journal, held by one process at a time.

    `await journal.call(work)` runs `work(connection)` in the writer thread and returns when its commit is durable. All
    work queued meanwhile shares the next commit, so that many small writes cost one fsync.

    Example:
        >>> async def count(path):
        ...     async with await Journal.open(path) as journal:
        ...         return await journal.call(lambda db: db.execute("SELECT count(*) FROM files").fetchone()[0])
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        lock: JournalLock,
        meta: dict[str, Any],
        crash_hook: Callable[[str], None],
    ) -> None:
        self.path = path
        self.meta = meta
        self._connection = connection
        self._lock = lock
        self._crash_hook = crash_hook
        self._queue: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._failure: IngestError | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._write_all, name=f"journal {path.name}", daemon=True)
        self._thread.start()

    @classmethod
    async def open(
        cls,
        path: Path,
        spec: dict[str, Any] | None = None,
        *,
        now: float = 0.0,
        job: str | None = None,
        crash_hook: Callable[[str], None] = no_crash_hook,
    ) -> Self:
        """Open a job's journal; create it if `spec` is given and there is none.

        Args:
            path: the journal's file.
            spec: what defines the job; a journal of another job is refused.
            now: Unix seconds, recorded as the start of a new job.
            job: the id of a new job; a random one by default.
            crash_hook: called before and after every durable write.

        Raises:
            JournalBusyError: another process holds it.
            JournalDamagedError: it is not what was written.
            JournalMismatchError: it belongs to another job or version.
            JournalError: it cannot be read or written.
        """
        return await anyio.to_thread.run_sync(cls._open, path, spec, now, job, crash_hook)

    @classmethod
    def _open(
        cls,
        path: Path,
        spec: dict[str, Any] | None,
        now: float,
        job: str | None,
        crash_hook: Callable[[str], None],
    ) -> Self:
        # The name without symbolic links: the lock and the files next to the journal are named after it.
        path = path.resolve()
        if spec is None and not path.exists():
            raise JournalError(f"there is no journal {path}")
        lock = JournalLock(path)
        try:
            created = not path.exists()
            if created and spec is not None:
                cls._create(path, spec, now, job, crash_hook)
            lock.lock_file()
            connection = schema.connect(path)
            try:
                schema.verify(path, connection)
                meta = schema.read_meta(path, connection)
                _check_spec(path, meta["spec"], spec)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            lock.release()
            raise
        return cls(path, connection, lock, meta | {"created": created}, crash_hook)

    @staticmethod
    def _create(
        path: Path, spec: dict[str, Any], now: float, job: str | None, crash_hook: Callable[[str], None]
    ) -> None:
        if path.with_name(path.name + "-wal").exists():
            raise JournalDamagedError(
                f"the journal {path} is missing, but its log {path.name}-wal exists; restore the journal"
            )
        crash_hook("before create journal")
        job = job or uuid.uuid4().hex
        facts = {"job": job, "spec": spec, "created_at": now, "files": 0, "batches": 0, "scanned": False}
        schema.create(path, facts)
        crash_hook("after create journal")

    @property
    def is_new(self) -> bool:
        """Whether this process created the journal: the server then has nothing of the job."""
        return bool(self.meta["created"])

    @property
    def job(self) -> str:
        """The job's unique id, part of the names and tags that it uses on the server."""
        return str(self.meta["job"])

    async def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in the writer thread; return its result when everything that it wrote is durable.

        Raises:
            JournalError: it could not be written. The journal stays as it was before, and takes nothing more.
        """
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise JournalError(f"the journal {self.path} is closed")
        loop = asyncio.get_running_loop()
        task = _Task(work, loop, loop.create_future())
        self._queue.put(task)
        result: T = await task.done
        return result

    async def aclose(self) -> None:
        """Write what is queued and release the journal. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._thread.join)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _write_all(self) -> None:
        try:
            while (task := self._queue.get()) is not None:
                if self._write_group(task):
                    break
        finally:
            self._connection.close()
            self._lock.remove_owner()
            self._lock.release()

    def _write_group(self, first: _Task) -> bool:
        """Run a group of tasks in one transaction; True when the end of the queue was among them."""
        group, closing = [first], False
        if self._failure is not None:
            self._fail(group, self._failure)
            return False
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            changes = self._connection.total_changes
            first.result = first.work(self._connection)
            while len(group) < _GROUP and not self._queue.empty():
                task = self._queue.get()
                if task is None:
                    closing = True
                    break
                group.append(task)
                task.result = task.work(self._connection)
            self._commit(self._connection.total_changes != changes)
        except Exception as error:  # noqa: BLE001 - it is raised to every caller, and stops the journal
            self._fail(group, error)
            return closing
        self._settle(group)
        return closing

    def _commit(self, changed: bool) -> None:
        if changed:
            self._crash_hook("before commit")
        self._connection.execute("COMMIT")
        if changed:
            self._crash_hook("after commit")

    def _fail(self, group: list[_Task], error: Exception) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        if self._failure is None:
            self._failure = _explain(self.path, error)
        for loop in {task.loop for task in group}:
            futures = [task.done for task in group if task.loop is loop]
            _call(loop, _reject, futures, self._failure)

    @staticmethod
    def _settle(group: list[_Task]) -> None:
        for loop in {task.loop for task in group}:
            _call(loop, _resolve, [task for task in group if task.loop is loop])


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: Any) -> None:
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        # The loop is closed: nothing waits any more.
        return


def _resolve(tasks: list[_Task]) -> None:
    for task in tasks:
        if not task.done.done():
            task.done.set_result(task.result)


def _reject(futures: list[asyncio.Future[Any]], error: IngestError) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)


def _explain(path: Path, error: Exception) -> IngestError:
    if isinstance(error, IngestError):
        return error
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return JournalDamagedError(f"the journal {path} is damaged: {error}")
    return JournalError(
        f"cannot write the journal {path}: {error}; no recorded data is lost: after fixing the cause, run the same job "
        "again to resume it"
    )


def _check_spec(path: Path, recorded: dict[str, Any], given: dict[str, Any] | None) -> None:
    if given is None:
        return
    differing = [key for key in recorded.keys() | given.keys() if recorded.get(key) != given.get(key)]
    if not differing:
        return
    key = min(differing)
    raise JournalMismatchError(
        f"the journal {path} belongs to another job: its {key} is {recorded.get(key)!r}, not {given.get(key)!r}; "
        "run the same job as before, or use another journal"
    )
