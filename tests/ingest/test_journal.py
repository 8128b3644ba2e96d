import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import anyio
import attrs
import pytest

from aihub_async.errors import JournalBusyError, JournalDamagedError, JournalError, JournalMismatchError
from aihub_async.ingest.candidates import Candidate
from aihub_async.ingest.journal import queries, schema
from aihub_async.ingest.journal.file import Journal
from aihub_async.ingest.journal.rows import BatchState, FileState
from aihub_async.ingest.packing import Planner

SPEC = {"source": "scans", "app_name": "invoices"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "job.db"


def candidates(count: int, start: int = 0) -> list[Candidate]:
    names = [f"file-{number:05d}.pdf" for number in range(start, start + count)]
    return [Candidate("scans", name, "", name, 100 + number, 1) for number, name in enumerate(names)]


async def filled(path: Path, count: int = 300) -> None:
    async with await Journal.open(path, SPEC) as journal:
        planner = await journal.call(lambda db: Planner(db, 100, 1 << 30))
        await journal.call(lambda db: planner.add(db, candidates(count)))
        await journal.call(planner.finish)


async def test_what_is_written_is_there_after_reopening(path: Path) -> None:
    await filled(path)
    async with await Journal.open(path, SPEC) as journal:
        batches = await journal.call(lambda db: list(queries.batches(db)))
        assert [(row.no, row.files, row.state) for row in batches] == [
            (1, 100, BatchState.PLANNED),
            (2, 100, BatchState.PLANNED),
            (3, 100, BatchState.PLANNED),
        ]
        files = await journal.call(lambda db: queries.files_of(db, batches[1]))
        assert [row.base for row in files] == [f"file-{number:05d}.pdf" for number in range(100, 200)]


async def test_many_waiting_writes_share_a_commit(path: Path) -> None:
    boundaries: list[str] = []
    async with await Journal.open(path, SPEC, crash_hook=boundaries.append) as journal:
        boundaries.clear()
        async with anyio.create_task_group() as group:
            for number in range(200):
                group.start_soon(journal.call, lambda db, n=number: queries.put_sample(db, n, n, n, n))
        (count,) = await journal.call(lambda db: db.execute("SELECT count(*) FROM samples").fetchone())
    assert count == 200
    assert boundaries.count("after commit") < 20


async def test_a_second_holder_is_refused_and_told_who_holds_it(path: Path) -> None:
    async with await Journal.open(path, SPEC):
        with pytest.raises(JournalBusyError, match=f"process {os.getpid()} on"):
            await Journal.open(path, SPEC)
        other = subprocess.run(
            [sys.executable, "-c", _OPEN, str(path)],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path.cwd(),
            timeout=60,
        )
        assert "JournalBusyError" in other.stdout
        assert f"process {os.getpid()} on" in other.stdout
    async with await Journal.open(path, SPEC):
        pass


_OPEN = """
import asyncio, pathlib, sys
from aihub_async.ingest.journal.file import Journal
async def main():
    try:
        await Journal.open(pathlib.Path(sys.argv[1]))
    except Exception as error:
        print(type(error).__name__, error)
asyncio.run(main())
"""


async def test_a_journal_can_be_read_while_it_is_held(path: Path) -> None:
    await filled(path)
    async with await Journal.open(path, SPEC):
        with contextlib.closing(schema.connect_readonly(path)) as connection:
            assert len(list(queries.batches(connection))) == 3


async def test_an_older_version_is_brought_up_to_date(path: Path) -> None:
    await filled(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # What version 1 did not have.
        for table in ("samples", "fields"):
            connection.execute(f"DROP TABLE {table}")
        for column in ("group", "pages", "gated"):
            connection.execute(f'ALTER TABLE batches DROP COLUMN "{column}"')
        connection.execute("INSERT INTO failures VALUES (1, 'SourceError', 'gone', 0)")
        connection.execute("ALTER TABLE failures DROP COLUMN crc")
        connection.execute("PRAGMA user_version=1")
    async with await Journal.open(path, SPEC) as journal:
        await journal.call(lambda db: queries.put_sample(db, 1.0, 2, 3, 4))
        (version,) = await journal.call(lambda db: db.execute("PRAGMA user_version").fetchone())
        batches = await journal.call(lambda db: list(queries.batches(db)))
        assert [(row.no, row.files, row.group, row.gated) for row in batches] == [
            (number, 100, "", 0) for number in (1, 2, 3)
        ]
        failures = await journal.call(lambda db: list(queries.failures(db)))
        assert [failure.reason for failure in failures] == ["SourceError"]
    assert version == schema.VERSION
    async with await Journal.open(path, SPEC):
        pass


@pytest.mark.parametrize("version", [0, 1, 2])
async def test_a_version_that_lost_a_bit_is_damage_and_not_an_older_journal(path: Path, version: int) -> None:
    """Its migration would write the defaults over what this version records: groups, pages and gates."""
    await filled(path)
    async with await Journal.open(path, SPEC) as journal:
        first = await journal.call(lambda db: queries.batch(db, 1))
        await journal.call(lambda db: queries.put_batch(db, attrs.evolve(first, group="case-7", pages=3, gated=2)))
    sound = path.read_bytes()
    damaged = bytearray(sound)
    assert damaged[60:64] == bytes([0, 0, 0, schema.VERSION]), "the header's user version"
    damaged[63] = version
    path.write_bytes(damaged)
    with pytest.raises(JournalDamagedError, match="version"):
        await Journal.open(path, SPEC)
    path.write_bytes(sound)
    async with await Journal.open(path, SPEC) as journal:
        assert (await journal.call(lambda db: queries.batch(db, 1))).group == "case-7"


async def test_a_newer_version_is_refused(path: Path) -> None:
    await filled(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(JournalMismatchError, match="version 99"):
        await Journal.open(path, SPEC)


async def test_the_journal_of_another_job_is_refused(path: Path) -> None:
    await filled(path)
    with pytest.raises(JournalMismatchError, match="app_name is 'invoices', not 'receipts'"):
        await Journal.open(path, {**SPEC, "app_name": "receipts"})


async def test_no_journal_is_an_error_where_one_is_needed(path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal"):
        await Journal.open(path)


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.5, 0.9, 0.999])
async def test_a_truncated_journal_is_damaged(path: Path, keep: float) -> None:
    await filled(path, 3000)
    os.truncate(path, int(path.stat().st_size * keep))
    with pytest.raises(JournalDamagedError):
        await Journal.open(path, SPEC)


async def test_truncation_by_whole_pages_is_noticed(path: Path) -> None:
    await filled(path, 3000)
    for pages in (1, 2, 5):
        os.truncate(path, path.stat().st_size - pages * 4096)
        with pytest.raises(JournalDamagedError):
            await Journal.open(path, SPEC)


async def test_every_flipped_bit_in_the_data_is_noticed(path: Path) -> None:
    await filled(path, 60)
    sound = path.read_bytes()
    marks = [b"file-00031.pdf", b"scans", b'"invoices"']
    for mark in marks:
        for bit in range(0, 8 * len(mark), 5):
            damaged = bytearray(sound)
            # All copies but that of the index, which the check of the structure compares with the table.
            position = sound.index(mark) + bit // 8
            damaged[position] ^= 1 << bit % 8
            path.write_bytes(damaged)
            with pytest.raises(JournalError):
                await Journal.open(path, SPEC)
    path.write_bytes(sound)
    async with await Journal.open(path, SPEC):
        pass


async def test_a_state_that_was_not_written_is_noticed(path: Path) -> None:
    await filled(path)
    for table, column in (("files", "state"), ("batches", "state"), ("batches", "run_id"), ("files", "batch")):
        sound = path.read_bytes()
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"UPDATE {table} SET {column} = 9 WHERE rowid = 2")
        with pytest.raises(JournalDamagedError, match="checksum"):
            await Journal.open(path, SPEC)
        path.write_bytes(sound)


async def test_lost_rows_are_noticed(path: Path) -> None:
    await filled(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM files WHERE id > 250")
    with pytest.raises(JournalDamagedError, match="300 files and has 250"):
        await Journal.open(path, SPEC)


async def test_a_log_without_its_journal_is_damage(path: Path) -> None:
    path.with_name("job.db-wal").write_bytes(b"something")
    with pytest.raises(JournalDamagedError, match="is missing"):
        await Journal.open(path, SPEC)


async def test_a_full_disk_stops_the_journal_and_loses_nothing(path: Path) -> None:
    await filled(path)
    async with await Journal.open(path, SPEC) as journal:
        await journal.call(lambda db: db.execute("PRAGMA max_page_count = 1"))
        planner = await journal.call(lambda db: Planner(db, 100, 1 << 30))
        with pytest.raises(JournalError, match=r"full.*resume"):
            await journal.call(lambda db: planner.add(db, candidates(5000, start=1000)))
        with pytest.raises(JournalError, match="full"):
            await journal.call(lambda db: queries.put_sample(db, 1.0, 2, 3, 4))
    async with await Journal.open(path, SPEC) as journal:
        assert (await journal.call(lambda db: db.execute("SELECT count(*) FROM files").fetchone())) == (300,)


async def test_a_read_only_journal_is_refused_before_anything_is_done(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(path)
    connect = sqlite3.connect

    def read_only(target: Path, **options: object) -> sqlite3.Connection:
        if Path(target) == path:
            return connect(f"{path.as_uri()}?mode=ro", uri=True, **options)  # type: ignore[call-overload, no-any-return]
        return connect(target, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(sqlite3, "connect", read_only)
    with pytest.raises(JournalError, match="readonly"):
        await Journal.open(path, SPEC)


async def test_an_older_copy_of_states_is_kept_consistent_by_settling(path: Path) -> None:
    await filled(path)
    async with await Journal.open(path, SPEC) as journal:
        await journal.call(lambda db: queries.settle_files(db, range(1, 51), FileState.UPLOADED))
        await journal.call(lambda db: queries.fail_files(db, [(51, "SourceError", "gone")]))
    async with await Journal.open(path, SPEC) as journal:
        first = await journal.call(lambda db: queries.batch(db, 1))
        left = await journal.call(lambda db: queries.files_of(db, first, FileState.PLANNED))
        assert [row.id for row in left] == list(range(52, 101))
        failures = await journal.call(lambda db: list(queries.failures(db)))
        assert [(failure.source, failure.reason) for failure in failures] == [("scans/file-00050.pdf", "SourceError")]


async def test_a_closed_journal_takes_nothing(path: Path) -> None:
    journal = await Journal.open(path, SPEC)
    await journal.aclose()
    await journal.aclose()
    with pytest.raises(JournalError, match="closed"):
        await journal.call(lambda db: None)
