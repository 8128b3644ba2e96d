"""The journal's file, its lock and its writer thread: what is refused with which words, and what is written when."""

import asyncio
import contextlib
import os
import shutil
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from aihub_async.errors import (
    IngestError,
    JournalBusyError,
    JournalDamagedError,
    JournalError,
    JournalMismatchError,
)
from aihub_async.ingest.journal import counts, queries, schema
from aihub_async.ingest.journal.file import Journal
from aihub_async.ingest.journal.lock import JournalLock
from aihub_async.ingest.journal.rows import BatchRow, BatchState, FileRow, FileState

SPEC = {"source": "scans", "app_name": "invoices"}
WAYS_OUT = "; restore a copy, or recreate it from the server with `aihub ingest rebuild`"
META = {"job": "1f", "spec": SPEC, "created_at": 5.0, "files": 2, "batches": 1, "scanned": True}


def fill(connection: sqlite3.Connection) -> None:
    queries.put_folders(connection, {1: "scans"})
    queries.put_file(connection, FileRow(1, 1, "first.pdf", "", "", 10, 1, 1, FileState.PLANNED))
    queries.put_file(connection, FileRow(2, 1, "second.pdf", "", "", 20, 1, 1, FileState.FAILED))
    queries.put_failure(connection, 2, "SourceError", "gone")
    queries.put_batch(connection, BatchRow(1, 1, 2, 2, 30, BatchState.PLANNED))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sound journal of two files."""
    path = tmp_path / "job.db"
    schema.create(path, META, fill)
    return path


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as any program opens it."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def alter(path: Path, *statements: str) -> None:
    with opened(path) as connection:
        for statement in statements:
            connection.execute(statement)


def check(path: Path) -> None:
    with contextlib.closing(schema.connect(path)) as connection:
        schema.verify(path, connection)


def beside(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir())


# Creating


def test_a_new_journal_is_sound_and_complete(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "job.db"
    stale = path.with_name(f"job.db.new-{os.getpid()}")
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of a process that was killed")
    schema.create(path, META, fill)
    check(path)
    with opened(path) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (0x41494862,)
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)
        assert schema.read_meta(path, connection) == META
    assert beside(path) == ["job.db"]


def test_missing_folders_are_made(tmp_path: Path) -> None:
    schema.create(tmp_path / "a" / "b" / "job.db", META)
    assert (tmp_path / "a" / "b" / "job.db").is_file()


def test_a_journal_that_cannot_be_created_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "job.db"
    with pytest.raises(JournalError, match=f"^cannot create the journal {path}: no such table: none$"):
        schema.create(path, META, lambda connection: connection.execute("SELECT * FROM none"))
    assert beside(path) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=r"^cannot create the journal "):
        schema.create(tmp_path / "file" / "job.db", META)


# Opening


def test_every_commit_is_durable(path: Path) -> None:
    with contextlib.closing(schema.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert not connection.in_transaction


def test_an_empty_file_is_a_truncated_journal(path: Path) -> None:
    path.write_bytes(b"")
    with pytest.raises(JournalDamagedError) as caught:
        schema.connect(path)
    assert str(caught.value) == f"the journal {path} is empty: it was truncated{WAYS_OUT}"


OPENERS = [schema.connect, schema.connect_readonly]


@pytest.mark.parametrize("connect", OPENERS)
def test_another_database_is_no_journal(path: Path, connect: Any) -> None:
    alter(path, "PRAGMA application_id=7")
    with pytest.raises(JournalDamagedError) as caught:
        connect(path)
    assert str(caught.value) == f"{path} is not a journal of a bulk job, or its header is damaged"


@pytest.mark.parametrize("connect", OPENERS)
def test_a_newer_version_is_named(path: Path, connect: Any) -> None:
    alter(path, "PRAGMA user_version=4")
    with pytest.raises(JournalMismatchError) as caught:
        connect(path)
    assert str(caught.value).startswith(f"the journal {path} has version 4; ")
    assert "up to 3" in str(caught.value)


@pytest.mark.parametrize("connect", OPENERS)
def test_what_is_no_database_is_damaged(path: Path, connect: Any) -> None:
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(JournalDamagedError) as caught:
        connect(path)
    assert str(caught.value) == f"the journal {path} is damaged: file is not a database{WAYS_OUT}"


@pytest.mark.parametrize("version", [0, 1, 2])
def test_an_older_version_with_todays_tables_is_damaged(path: Path, version: int) -> None:
    alter(path, f"PRAGMA user_version={version}")
    with pytest.raises(JournalDamagedError) as caught:
        schema.connect(path)
    what = f"its header has version {version}, its tables are of another version"
    assert str(caught.value) == f"the journal {path} is damaged: {what}{WAYS_OUT}"


def downgrade(path: Path, version: int) -> None:
    """Remove what a version did not have."""
    tables = {1: ("samples", "fields"), 2: ("fields",)}[version]
    alter(
        path,
        *(f"DROP TABLE {table}" for table in tables),
        *(f'ALTER TABLE batches DROP COLUMN "{column}"' for column in ("group", "pages", "gated")),
        "ALTER TABLE failures DROP COLUMN crc",
        f"PRAGMA user_version={version}",
    )


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_journal_keeps_what_it_records(path: Path, version: int) -> None:
    downgrade(path, version)
    check(path)
    with contextlib.closing(schema.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)
        assert list(queries.batches(connection)) == [BatchRow(1, 1, 2, 2, 30, BatchState.PLANNED)]
        assert [failure.message for failure in queries.failures(connection)] == ["gone"]
        queries.put_sample(connection, 1.0, 2, 3, 4)
        queries.put_fields(connection, 1, {"Total": (1, 1, 0)})
        assert counts.samples(connection) == [(1.0, 2, 3, 4)]
        assert not connection.in_transaction


# Reading


def test_a_journal_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.db", tmp_path):
        with pytest.raises(JournalError) as caught:
            schema.connect_readonly(path)
        assert str(caught.value) == f"there is no journal {path}"


@pytest.mark.parametrize("name", ["job.db", "link.db"])
def test_a_reader_sees_what_is_still_in_the_log(path: Path, name: str) -> None:
    path.with_name("link.db").symlink_to(path)
    with contextlib.closing(schema.connect(path)) as writer:
        queries.put_sample(writer, 1.0, 2, 3, 4)
        with contextlib.closing(schema.connect_readonly(path.with_name(name))) as reader:
            assert counts.samples(reader) == [(1.0, 2, 3, 4)]


def test_a_reader_sees_what_is_written_meanwhile(path: Path) -> None:
    check(path)
    path.with_name("job.db.lock").write_bytes(b"")
    with contextlib.closing(schema.connect_readonly(path)) as reader:
        assert counts.samples(reader) == []
        with contextlib.closing(schema.connect(path)) as writer:
            queries.put_sample(writer, 1.0, 2, 3, 4)
            assert counts.samples(reader) == [(1.0, 2, 3, 4)]


@pytest.mark.parametrize("connect", [schema.connect_readonly])
def test_a_reader_writes_nothing(path: Path, connect: Any) -> None:
    path.with_name("job.db.lock").write_bytes(b"")
    with (
        contextlib.closing(connect(path)) as reader,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        queries.put_sample(reader, 1.0, 2, 3, 4)


def test_reading_a_lone_copy_makes_no_files_beside_it(path: Path, tmp_path: Path) -> None:
    check(path)
    copy = tmp_path / "copies of #1?" / "job.db"
    copy.parent.mkdir()
    shutil.copy(path, copy)
    with contextlib.closing(schema.connect_readonly(copy)) as reader:
        assert len(list(queries.batches(reader))) == 1
        assert beside(copy) == ["job.db"]


def test_reading_in_a_read_only_folder_makes_no_files(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(path)
    path.with_name("job.db.lock").write_bytes(b"")

    def access(folder: Path, mode: int) -> bool:
        assert (folder, mode) == (path.parent, os.W_OK)
        return False

    monkeypatch.setattr(os, "access", access)
    with contextlib.closing(schema.connect_readonly(path)) as reader:
        assert len(list(queries.batches(reader))) == 1
        assert beside(path) == ["job.db", "job.db.lock"]


# Verifying


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE files SET size = 21 WHERE id = 2", "row 2 of files does not match its checksum"),
        ("UPDATE folders SET path = 'Scans'", "row 1 of folders does not match its checksum"),
        ("UPDATE batches SET run_id = 'x'", "row 1 of batches does not match its checksum"),
        ("UPDATE batches SET state = 99", "row 1 of batches does not match its checksum"),
        ("UPDATE failures SET message = 'Gone'", "row 2 of failures does not match its checksum"),
        ("DELETE FROM files WHERE id = 1", "it should have 2 files and has 1"),
        ("DELETE FROM batches", "it should have 1 batches and has 0"),
        ("DELETE FROM failures", "file 2 failed without a reason"),
        ("UPDATE meta SET value = '7' WHERE key = 'files'", "'files' does not match its checksum"),
        ("UPDATE meta SET crc = 7 WHERE key = 'spec'", "'spec' does not match its checksum"),
        ("DELETE FROM meta WHERE key IN ('scanned', 'batches')", "batches, scanned missing"),
        ("UPDATE folders SET path = CAST(x'ff' AS TEXT)", "text is not UTF-8"),
    ],
)
def test_what_was_altered_is_named(path: Path, statement: str, what: str) -> None:
    alter(path, statement)
    with pytest.raises(JournalDamagedError) as caught:
        check(path)
    assert str(caught.value) == f"the journal {path} is damaged: {what}{WAYS_OUT}"


@pytest.mark.parametrize("state", [FileState.FAILED, FileState.REFUSED, FileState.NO_RESULT])
@pytest.mark.parametrize("explained", [True, False])
def test_every_file_without_a_result_has_a_reason(tmp_path: Path, state: FileState, explained: bool) -> None:
    def fill(connection: sqlite3.Connection) -> None:
        queries.put_file(connection, FileRow(1, 1, "first.pdf", "", "", 10, 1, 1, state))
        if explained:
            queries.put_failure(connection, 1, "empty", "")

    schema.create(tmp_path / "job.db", META | {"files": 1, "batches": 0}, fill)
    if explained:
        check(tmp_path / "job.db")
    else:
        with pytest.raises(JournalDamagedError, match="file 1 failed without a reason"):
            check(tmp_path / "job.db")


def test_a_flipped_bit_in_an_index_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    places = [place for place in range(len(content)) if content.startswith(b"second.pdf", place)]
    assert len(places) == 2, "the table and its index"
    for place in places:
        path.write_bytes(content[:place] + b"S" + content[place + 1 :])
        with pytest.raises(JournalDamagedError, match=f"^the journal {path} is damaged: .*{WAYS_OUT[2:20]}"):
            check(path)


def test_a_message_of_sqlite_that_is_no_text_means_damage(path: Path) -> None:
    """It quotes names of the schema, which may not be UTF-8 any more after a flipped bit."""
    with pytest.raises(JournalDamagedError, match="invalid continuation byte"), schema.explained(path):
        b"near \xce(".decode()


def test_a_failure_of_the_system_is_no_damage(path: Path) -> None:
    with pytest.raises(JournalError, match=f"^cannot use the journal {path}: no such table: none$") as caught:
        with schema.explained(path), opened(path) as connection:
            connection.execute("SELECT * FROM none")
    assert not isinstance(caught.value, JournalDamagedError)


# Locking

HERE = f"process {os.getpid()} on {socket.gethostname()}"


def test_the_holder_is_named(path: Path) -> None:
    lock = JournalLock(path)
    with pytest.raises(JournalBusyError) as caught:
        JournalLock(path)
    assert str(caught.value) == f"the journal {path} is in use by {HERE}; wait for it, or stop it"
    lock.remove_owner()
    lock.remove_owner()
    with pytest.raises(JournalBusyError, match="is in use by another process;"):
        JournalLock(path)
    lock.release()
    lock.release()
    JournalLock(path).release()


def test_another_name_of_the_file_is_the_same_journal(path: Path) -> None:
    os.link(path, path.with_name("other.db"))
    first, second = JournalLock(path), JournalLock(path.with_name("other.db"))
    try:
        first.lock_file()
        with pytest.raises(JournalBusyError, match=r"other\.db is in use by"):
            second.lock_file()
        first.release()
    finally:
        second.release()
    third = JournalLock(path)
    third.lock_file()
    third.release()


def test_a_lock_needs_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "job.db"
    JournalLock(path).release()
    assert path.with_name("job.db.owner").read_text() == HERE


@pytest.mark.parametrize("obstacle", ["folder", "lock", "garbage", "owner"])
def test_what_cannot_be_locked_is_named(tmp_path: Path, obstacle: str) -> None:
    path = tmp_path / "jobs" / "job.db"
    if obstacle == "folder":
        path.parent.write_text("a file")
    elif obstacle == "garbage":
        path.parent.mkdir()
        path.with_name("job.db.lock").write_bytes(b"not a database" * 100)
    else:
        path.with_name(f"job.db.{obstacle}").mkdir(parents=True)
    with pytest.raises(JournalError, match=f"^cannot lock the journal {path}: ") as caught:
        JournalLock(path)
    assert not isinstance(caught.value, JournalBusyError)
    if obstacle == "owner":
        path.with_name("job.db.owner").rmdir()
        JournalLock(path).release()


# Opening a job


async def test_a_new_job_begins_with_what_defines_it(tmp_path: Path) -> None:
    boundaries: list[str] = []
    path = tmp_path / "job.db"
    async with await Journal.open(path, SPEC, now=5.5, job="1f", crash_hook=boundaries.append) as journal:
        assert (journal.is_new, journal.job, journal.path) == (True, "1f", path)
    facts = {"job": "1f", "spec": SPEC, "created_at": 5.5, "files": 0, "batches": 0, "scanned": False}
    assert journal.meta == facts | {"created": True}
    assert boundaries == ["before create journal", "after create journal"]
    async with await Journal.open(path) as journal:
        assert (journal.is_new, journal.meta) == (False, facts | {"created": False})
    assert beside(path) == ["job.db", "job.db.lock"]


async def test_the_id_of_a_job_is_unique(tmp_path: Path) -> None:
    jobs = set()
    for name in ("a.db", "b.db"):
        async with await Journal.open(tmp_path / name, SPEC) as journal:
            jobs.add(journal.job)
            assert len(journal.job) == 32
            assert journal.meta["created_at"] == 0.0
    assert len(jobs) == 2


async def test_without_a_journal_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(JournalError) as caught:
        await Journal.open(tmp_path / "job.db")
    assert str(caught.value) == f"there is no journal {tmp_path / 'job.db'}"
    assert list(tmp_path.iterdir()) == []


async def test_a_log_alone_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "job.db"
    path.with_name("job.db-wal").write_bytes(b"something")
    with pytest.raises(JournalDamagedError) as caught:
        await Journal.open(path, SPEC)
    assert str(caught.value) == f"the journal {path} is missing, but its log job.db-wal exists; restore the journal"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({**SPEC, "source": "x", "app_name": "y"}, "its app_name is 'invoices', not 'y'"),
        ({**SPEC, "limit": 7}, "its limit is None, not 7"),
        ({"source": "scans"}, "its app_name is 'invoices', not None"),
    ],
)
async def test_the_journal_of_another_job_is_named(path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(JournalMismatchError) as caught:
        await Journal.open(path, given)
    ways_out = "run the same job as before, or use another journal"
    assert str(caught.value) == f"the journal {path} belongs to another job: {message}; {ways_out}"
    async with await Journal.open(path, SPEC):
        pass


async def test_a_symbolic_link_is_the_same_journal(path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    async with await Journal.open(link, SPEC) as journal:
        assert journal.path == path
        with pytest.raises(JournalBusyError, match=HERE):
            await Journal.open(path, SPEC)


async def test_a_hard_link_is_the_same_journal(path: Path) -> None:
    os.link(path, path.with_name("other.db"))
    async with await Journal.open(path, SPEC):
        with pytest.raises(JournalBusyError):
            await Journal.open(path.with_name("other.db"), SPEC)


async def test_a_damaged_journal_is_not_held(path: Path) -> None:
    content = path.read_bytes()
    alter(path, "UPDATE files SET size = 21 WHERE id = 2")
    for _ in range(2):
        with pytest.raises(JournalDamagedError):
            await Journal.open(path, SPEC)
    path.write_bytes(content)
    async with await Journal.open(path, SPEC):
        pass


# Writing


class Held:
    """Work that holds the writer thread until it is let go, so that more work queues up behind it."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()

    def __call__(self, connection: sqlite3.Connection) -> str:
        self.begun.set()
        assert self.go.wait(20)
        queries.put_sample(connection, 0.0, 0, 0, 0)
        return "held"


def put(number: int) -> Any:
    def work(connection: sqlite3.Connection) -> int:
        queries.put_sample(connection, float(number), 0, 0, 0)
        return number

    return work


def recorded(path: Path) -> list[float]:
    with contextlib.closing(schema.connect_readonly(path)) as connection:
        return [sample[0] for sample in counts.samples(connection)]


async def hold(journal: Journal) -> tuple[Held, "asyncio.Task[str]"]:
    held = Held()
    task = asyncio.create_task(journal.call(held))
    await asyncio.to_thread(held.begun.wait, 20)
    return held, task


async def test_work_returns_when_it_is_durable_and_reading_commits_nothing(path: Path) -> None:
    boundaries: list[str] = []
    async with await Journal.open(path, SPEC, crash_hook=boundaries.append) as journal:
        assert await journal.call(put(7)) == 7
        assert boundaries == ["before commit", "after commit"]
        assert recorded(path) == [7]
        assert await journal.call(queries.last_file) == (2, 2)
        assert boundaries == ["before commit", "after commit"]


async def test_a_commit_has_256_pieces_of_work_at_most(path: Path) -> None:
    boundaries: list[str] = []
    async with await Journal.open(path, SPEC, crash_hook=boundaries.append) as journal:
        held, first = await hold(journal)
        tasks = [asyncio.create_task(journal.call(put(number))) for number in range(1, 257)]
        await asyncio.sleep(0)
        held.go.set()
        assert await first == "held"
        assert [await task for task in tasks] == list(range(1, 257))
    assert boundaries.count("after commit") == 2
    assert recorded(path) == list(range(257))


async def test_closing_writes_what_is_queued(path: Path) -> None:
    journal = await Journal.open(path, SPEC)
    held, first = await hold(journal)
    second = asyncio.create_task(journal.call(put(1)))
    await asyncio.sleep(0)
    closing = asyncio.create_task(journal.aclose())
    await asyncio.sleep(0)
    with pytest.raises(JournalError) as caught:
        await journal.call(put(2))
    assert str(caught.value) == f"the journal {path} is closed"
    held.go.set()
    await closing
    assert (await first, await second) == ("held", 1)
    await journal.aclose()
    assert beside(path) == ["job.db", "job.db.lock"]
    assert recorded(path) == [0, 1]
    JournalLock(path).release()


async def test_a_failure_undoes_its_commit_and_stops_the_journal(path: Path) -> None:
    async with await Journal.open(path, SPEC) as journal:
        await journal.call(put(1))
        held, first = await hold(journal)

        def fail(connection: sqlite3.Connection) -> None:
            connection.execute("SELECT * FROM none")

        tasks = [asyncio.create_task(journal.call(work)) for work in (put(2), fail, put(3), put(4))]
        await asyncio.sleep(0)
        held.go.set()
        errors = await asyncio.gather(first, *tasks, return_exceptions=True)
        assert {type(error) for error in errors} == {JournalError}
        (message,) = {str(error) for error in errors}
        assert message.startswith(f"cannot write the journal {path}: no such table: none; ")
        with pytest.raises(JournalError, match="no such table: none"):
            await journal.call(put(5))
        assert recorded(path) == [1]
    assert recorded(path) == [1]


async def test_work_behind_a_failure_fails_too(path: Path) -> None:
    async with await Journal.open(path, SPEC) as journal:
        held, first = await hold(journal)
        held.go.set()

        def fail(connection: sqlite3.Connection) -> None:
            raise OSError("disk full")

        # Both are queued before the first has failed.
        tasks = [asyncio.create_task(journal.call(work)) for work in (fail, put(2))]
        errors = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(error) for error in errors] == [JournalError] * 2
        await asyncio.gather(first, return_exceptions=True)
    assert 2 not in recorded(path)


async def test_an_error_of_the_journal_is_raised_as_it_is(path: Path) -> None:
    class FullError(IngestError):
        pass

    error = FullError("the budget is spent")

    def fail(connection: sqlite3.Connection) -> None:
        raise error

    async with await Journal.open(path, SPEC) as journal:
        with pytest.raises(FullError) as caught:
            await journal.call(fail)
    assert caught.value is error


async def test_a_damaged_page_met_while_writing_is_damage(path: Path) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    async with await Journal.open(path, SPEC) as journal:
        with pytest.raises(JournalDamagedError) as caught:
            await journal.call(fail)
    assert str(caught.value) == f"the journal {path} is damaged: database disk image is malformed"


@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancelled_caller_leaves_the_others_alone(path: Path, fails: bool) -> None:
    def work(connection: sqlite3.Connection) -> int:
        if fails:
            raise OSError("disk full")
        return 7

    async with await Journal.open(path, SPEC) as journal:
        held, first = await hold(journal)
        cancelled = asyncio.create_task(journal.call(put(1)))
        other = asyncio.create_task(journal.call(work))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait({cancelled})
        held.go.set()
        results = await asyncio.gather(first, other, return_exceptions=True)
        if fails:
            assert [type(result) for result in results] == [JournalError] * 2
        else:
            assert results == ["held", 7]
    assert recorded(path) == ([] if fails else [0, 1]), "what was queued is written"


@pytest.mark.parametrize("fails", [False, True])
async def test_callers_in_several_event_loops_share_a_commit(path: Path, fails: bool) -> None:
    boundaries: list[str] = []
    queued = threading.Event()
    elsewhere: list[Any] = []

    def other_loop(journal: Journal) -> None:
        async def main() -> None:
            task = asyncio.create_task(journal.call(put(1)))
            await asyncio.sleep(0)
            queued.set()
            elsewhere.extend(await asyncio.gather(task, return_exceptions=True))

        asyncio.run(main())

    def work(connection: sqlite3.Connection) -> int:
        if fails:
            raise OSError("disk full")
        return put(2)(connection)

    async with await Journal.open(path, SPEC, crash_hook=boundaries.append) as journal:
        held, first = await hold(journal)
        thread = threading.Thread(target=other_loop, args=(journal,))
        thread.start()
        await asyncio.to_thread(queued.wait, 20)
        second = asyncio.create_task(journal.call(work))
        await asyncio.sleep(0)
        held.go.set()
        results = await asyncio.gather(first, second, return_exceptions=True)
        await asyncio.to_thread(thread.join, 20)
    if fails:
        assert [type(result) for result in (*results, *elsewhere)] == [JournalError] * 3
    else:
        assert (results, elsewhere) == (["held", 2], [1])
    assert boundaries.count("after commit") == (not fails)


def test_a_caller_whose_event_loop_has_closed_is_forgotten(path: Path) -> None:
    async def begin() -> tuple[Journal, Held]:
        journal = await Journal.open(path, SPEC)
        held, task = await hold(journal)
        task.cancel()
        await asyncio.wait({task})
        return journal, held

    async def end(journal: Journal) -> None:
        assert await journal.call(put(1)) == 1
        await journal.aclose()

    journal, held = asyncio.run(begin())
    held.go.set()
    asyncio.run(end(journal))
    assert recorded(path) == [0, 1]


async def test_rows_written_in_the_writer_thread_are_sound(path: Path) -> None:
    async with await Journal.open(path, SPEC) as journal:
        first = await journal.call(lambda connection: queries.batch(connection, 1))
        await journal.call(lambda connection: queries.put_batch(connection, attrs.evolve(first, note="seen")))
    async with await Journal.open(path, SPEC) as journal:
        assert (await journal.call(lambda connection: queries.batch(connection, 1))).note == "seen"
