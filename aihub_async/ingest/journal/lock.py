"""The lock of a journal: one process works on a job at a time."""

import os
import socket
import sqlite3
from pathlib import Path
from typing import Final

from aihub_async.errors import JournalBusyError, JournalError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class JournalLock:
    """Holds a journal until `release()` or the end of this process; the operating system releases it after a kill.

    Two locks make one. The first is on an empty database next to the journal, so that others can still read the journal
    itself; it works wherever SQLite does, and records who holds it. The second is on the journal's own file where the
    system has `flock`, so that another name of the same file, such as a hard link, does not lead around the first.

    Args:
        path: the journal, without symbolic links in its path.

    Raises:
        JournalBusyError: another process holds it.
        JournalError: it cannot be locked.
    """

    def __init__(self, path: Path) -> None:
        self._path: Final = path
        self._owner_path = path.with_name(path.name + ".owner")
        self._descriptor: int | None = None
        self._database = self._lock_beside()

    def _lock_beside(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = sqlite3.connect(
                self._path.with_name(self._path.name + ".lock"),
                isolation_level=None,
                check_same_thread=False,
                timeout=0,
            )
        except (OSError, sqlite3.Error) as error:
            raise self._cannot(error) from error
        try:
            lock.execute("PRAGMA journal_mode=MEMORY")
            lock.execute("BEGIN EXCLUSIVE")
            self._owner_path.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        except sqlite3.Error as error:
            lock.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise self._busy() from None
            raise self._cannot(error) from error
        except OSError as error:
            lock.close()
            raise self._cannot(error) from error
        return lock

    def lock_file(self) -> None:
        """Lock the journal's own file, which exists now."""
        if fcntl is None:
            return
        # Open until the journal's connection is closed: closing a descriptor earlier would drop SQLite's own locks.
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._busy() from None
        except OSError as error:
            raise self._cannot(error) from error

    def release(self) -> None:
        """Let others take the journal. A second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._database.close()

    def remove_owner(self) -> None:
        """Remove the record of who holds the journal."""
        self._owner_path.unlink(missing_ok=True)

    def _busy(self) -> JournalBusyError:
        owner = self._owner_path.read_text(encoding="utf-8") if self._owner_path.exists() else "another process"
        return JournalBusyError(f"the journal {self._path} is in use by {owner}; wait for it, or stop it")

    def _cannot(self, error: Exception) -> JournalError:
        return JournalError(f"cannot lock the journal {self._path}: {error}")
