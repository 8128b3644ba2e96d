"""Every query of the journal over one small job whose files and batches are in all of their states."""

import contextlib
import os
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from aihub_async.ingest.journal import counts, queries, schema
from aihub_async.ingest.journal.rows import (
    BatchRow,
    BatchState,
    FailedFile,
    FileRow,
    FileState,
    failure_checksum,
    folder_checksum,
    printable,
)

SCANS, MORE = 1, 2
SCANS_PATH, MORE_PATH = f"scans{os.sep}", f"scans/more{os.sep}"
FOLDERS = {SCANS: "scans", MORE: "scans/more"}
FILES = [
    #       id folder base        given        name      size mtime batch state
    FileRow(1, SCANS, "a.pdf", "", "", 100, 11, 1, FileState.UPLOADED),
    FileRow(2, SCANS, "b.PDF", "", "b-2.pdf", 200, 12, 1, FileState.UPLOADED),
    FileRow(3, MORE, "a.pdf", "", "a~1.pdf", 100, 13, 1, FileState.FAILED),
    FileRow(4, MORE, "noext", "letter.tiff", "", 300, 14, 2, FileState.PLANNED),
    FileRow(5, MORE, "c.txt", "", "", 5000, 15, 2, FileState.PLANNED),
    FileRow(6, SCANS, "d.txt", "", "", 0, 16, 0, FileState.REFUSED),
    FileRow(7, SCANS, "old.pdf", "", "", 70, 17, 1, FileState.REPLACED),
    FileRow(8, SCANS, "LICENSE", "", "", 900, 18, 3, FileState.NO_RESULT),
    FileRow(9, SCANS, "e.txt", "", "", 0, 19, 0, FileState.REFUSED),
    FileRow(10, SCANS, "old.pdf", "", "", 71, 20, 3, FileState.UPLOADED),
]
FAILURES = [
    (3, "SourceError", "gone"),
    (6, "empty", "it has no bytes"),
    (8, "SourceError", "unreadable"),
    (9, "type", "not supported"),
]
BATCHES = [
    BatchRow(
        1, 1, 7, 3, 400, BatchState.RUNNING, batch_id=71, run_id="run-1", created_at=5.0, pages=7, gated=2, rows=4
    ),
    BatchRow(2, 4, 5, 2, 5300, BatchState.PLANNED, group="case-7"),
    BatchRow(3, 8, 10, 2, 971, BatchState.EXPORTED, batch_id=73, run_id="run-3", pages=3, gated=1, rows=6),
    BatchRow(4, 11, 10, 0, 0, BatchState.FILLING),
    BatchRow(5, 11, 10, 0, 0, BatchState.REVIEW, batch_id=75, run_id="run-5", created_at=6.0, rows=1),
    BatchRow(6, 11, 10, 0, 0, BatchState.SUBMITTING, note="its start is unclear", created_at=7.0),
    BatchRow(7, 11, 10, 0, 0, BatchState.SUBMITTING, created_at=8.0),
    BatchRow(8, 11, 10, 9, 0, BatchState.FAILED, note="refused while planning"),
]
SPEC = {"source": "scans"}


def fill(connection: sqlite3.Connection) -> None:
    queries.put_folders(connection, FOLDERS)
    queries.put_files(connection, FILES)
    queries.put_batches(connection, BATCHES)
    for failure in FAILURES:
        queries.put_failure(connection, *failure)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "job.db"
    meta = {"job": "1f", "spec": SPEC, "created_at": 5.0, "files": len(FILES), "batches": len(BATCHES), "scanned": True}
    schema.create(path, meta, fill)
    return path


@pytest.fixture
def db(path: Path) -> Iterator[sqlite3.Connection]:
    """The journal; what a test has written must match its checksums."""
    with contextlib.closing(schema.connect(path)) as connection:
        yield connection
        count, _ = queries.last_file(connection)
        schema.set_meta(connection, "files", count)
        schema.set_meta(connection, "batches", queries.last_batch(connection)[0])
        schema.verify(path, connection)


def ids(rows: list[FileRow]) -> list[int]:
    return [row.id for row in rows]


def states(db: sqlite3.Connection) -> dict[int, int]:
    return dict(db.execute("SELECT id, state FROM files").fetchall())


def changed(**states: int) -> dict[int, int]:
    return {row.id: row.state for row in FILES} | {int(name[1:]): state for name, state in states.items()}


# Files


def test_a_file_is_written_over(db: sqlite3.Connection) -> None:
    row = FILES[0]._replace(size=7)
    queries.put_file(db, row)
    assert queries.find(db, SCANS, "a.pdf", "") == row


def test_the_name_of_a_file_in_its_batch() -> None:
    assert [row.upload_name for row in FILES[:3]] == ["a.pdf", "b-2.pdf", "a~1.pdf"]


def test_of_one_source_the_newest_row_counts(db: sqlite3.Connection) -> None:
    assert queries.find(db, SCANS, "old.pdf", "") == FILES[9]
    assert queries.find(db, MORE, "noext", "letter.tiff") == FILES[3]
    assert queries.find(db, MORE, "noext", "") is None
    assert queries.find(db, MORE, "old.pdf", "") is None


def test_files_between_two_names(db: sqlite3.Connection) -> None:
    found = queries.between(db, SCANS, ("a.pdf", ""), ("old.pdf", ""), 100)
    assert ids(found) == [1, 2, 6, 9, 7, 10]
    assert found[0] == FILES[0]
    assert ids(queries.between(db, SCANS, ("a.pdf", "x"), ("e.txt", ""), 2)) == [2, 6]
    assert ids(queries.between(db, MORE, ("noext", "letter.tiff"), ("noext", "letter.tiff"), 9)) == [4]


def test_the_files_of_a_batch(db: sqlite3.Connection) -> None:
    assert queries.files_of(db, BATCHES[0]) == [*FILES[:3], FILES[6]]
    assert ids(queries.files_of(db, BATCHES[0], FileState.UPLOADED)) == [1, 2]
    assert ids(queries.files_of(db, BATCHES[0], FileState.PLANNED)) == []
    assert ids(queries.files_of(db, BATCHES[1], FileState.PLANNED)) == [4, 5]
    assert queries.count_files(db, BATCHES[0], FileState.UPLOADED) == 2
    assert queries.count_files(db, BATCHES[0], FileState.REPLACED) == 1


def test_the_sources_of_a_batch_by_their_names_in_it(db: sqlite3.Connection) -> None:
    assert queries.sources_of(db, BATCHES[0]) == {
        "a.pdf": (1, f"{SCANS_PATH}a.pdf"),
        "b-2.pdf": (2, f"{SCANS_PATH}b.PDF"),
    }
    assert queries.paths_of(db, BATCHES[1]) == [f"{MORE_PATH}noext", f"{MORE_PATH}c.txt"]


def test_files_of_groups_are_found_by_an_index(db: sqlite3.Connection) -> None:
    for _ in range(2):
        schema.index_batches(db)
    plan = db.execute("EXPLAIN QUERY PLAN SELECT * FROM files WHERE batch = 1").fetchall()
    assert "USING INDEX files_batch" in plan[0][-1]


def test_settling_changes_only_what_is_named(db: sqlite3.Connection) -> None:
    queries.settle_files(db, [4, 1], FileState.UPLOADED)
    assert states(db) == changed(_4=FileState.UPLOADED)
    queries.settle_files(db, iter([5]), FileState.REPLACED)
    queries.settle_files(db, [], FileState.FAILED)
    assert states(db) == changed(_4=FileState.UPLOADED, _5=FileState.REPLACED)


def test_files_fail_with_a_reason(db: sqlite3.Connection) -> None:
    queries.fail_files(db, iter([(4, "SourceError", "gone"), (5, "empty", "lone \ud800")]))
    assert states(db) == changed(_4=FileState.FAILED, _5=FileState.FAILED)
    assert queries.failures_of(db, FILES[:5]) == [
        (3, "SourceError", "gone"),
        (4, "SourceError", "gone"),
        (5, "empty", "lone \\ud800"),
    ]
    queries.fail_files(db, [(1, "run", "failed")], FileState.NO_RESULT)
    assert states(db)[1] == FileState.NO_RESULT


def test_a_failure_is_removed(db: sqlite3.Connection) -> None:
    queries.settle_files(db, [3], FileState.PLANNED)
    queries.delete_failure(db, 3)
    assert queries.failures_of(db, FILES) == FAILURES[1:]


def test_files_whose_later_results_are_written(db: sqlite3.Connection) -> None:
    retried = [FILES[number]._replace(state=FileState.RETRIED) for number in (0, 1, 3, 4)]
    queries.put_files(db, retried)
    later = {
        11: (retried[0], FileState.UPLOADED, 3),
        12: (retried[1], FileState.NO_RESULT, 3),
        # Not yet: its batch is running.
        13: (retried[2], FileState.UPLOADED, 1),
        14: (retried[3], FileState.FAILED, 3),
    }
    queries.put_files(db, [old._replace(id=key, state=int(state), batch=no) for key, (old, state, no) in later.items()])
    for key in (12, 14):
        queries.put_failure(db, key, "empty", "")
    assert queries.superseded(db) == {1: retried[:2]}
    # Another file of the same name in the same folder, or one of the same name elsewhere, is not a later row of it.
    queries.put_file(db, retried[0]._replace(id=11, state=int(FileState.UPLOADED), batch=3, given="other"))
    queries.put_file(db, retried[1]._replace(id=12, state=int(FileState.NO_RESULT), batch=3, folder=MORE))
    assert queries.superseded(db) == {}


def test_failed_files_without_those_refused(db: sqlite3.Connection) -> None:
    assert queries.failed(db, 0, 10) == [FILES[2], FILES[7]]
    assert ids(queries.failed(db, 3, 10)) == [8]
    assert ids(queries.failed(db, 2, 1)) == [3]


def test_the_dead_letter_list(db: sqlite3.Connection) -> None:
    assert list(queries.failures(db)) == [
        FailedFile(f"{MORE_PATH}a.pdf", "a~1.pdf", 1, 100, "SourceError", "gone", "", "run-1"),
        FailedFile(f"{SCANS_PATH}d.txt", "d.txt", 0, 0, "empty", "it has no bytes"),
        FailedFile(f"{SCANS_PATH}LICENSE", "LICENSE", 3, 900, "SourceError", "unreadable", "", "run-3"),
        FailedFile(f"{SCANS_PATH}e.txt", "e.txt", 0, 0, "type", "not supported"),
    ]
    queries.fail_files(db, [(4, "empty", "none")])
    assert [failure.group for failure in queries.failures(db)] == ["", "case-7", "", "", ""]


def test_how_many_there_are_and_the_last(db: sqlite3.Connection) -> None:
    assert queries.last_file(db) == (10, 10)
    assert queries.last_batch(db) == (8, 8)
    queries.put_file(db, FILES[0]._replace(id=20))
    queries.put_batch(db, attrs.evolve(BATCHES[0], no=30))
    assert (queries.last_file(db), queries.last_batch(db)) == ((11, 20), (9, 30))


def test_an_empty_job_has_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    schema.create(path, {})
    with contextlib.closing(schema.connect_readonly(path)) as db:
        assert (queries.last_file(db), queries.last_batch(db)) == ((0, 0), (0, 0))
        assert (queries.spent(db), queries.count_gated(db)) == ((0, 0, 0), 0)
        assert (queries.count_by_state(db), queries.count_batches(db)) == ({}, ({}, 0))
        assert (counts.equal_names(db), counts.parts(db, 1, 1)) == (0, 0)
        assert (list(counts.planned_paths(db)), counts.samples(db), counts.fields(db, 5)) == ([], [], [])


# Batches


def test_batches_are_read_as_they_were_written(db: sqlite3.Connection) -> None:
    assert list(queries.batches(db)) == BATCHES
    assert queries.batch(db, 5) == BATCHES[4]
    again = attrs.evolve(BATCHES[4], state=BatchState.COMPLETE, note="lone \ud800")
    queries.put_batch(db, again)
    assert queries.batch(db, 5) == again
    assert again.note == "lone \\ud800"


def test_the_batches_of_a_state(db: sqlite3.Connection) -> None:
    assert [row.no for row in queries.batches_in(db, BatchState.SUBMITTING)] == [6, 7]
    assert list(queries.batches_in(db, BatchState.FILLING)) == [BATCHES[3]]


def test_batches_that_are_not_finished(db: sqlite3.Connection) -> None:
    assert queries.unsettled(db, 0, 10) == [BATCHES[number - 1] for number in (1, 2, 5, 6, 7)]
    assert queries.unsettled(db, 2, 2) == [BATCHES[4], BATCHES[5]]
    assert queries.unsettled(db, 7, 2) == []


def test_batches_that_wait_for_somebody(db: sqlite3.Connection) -> None:
    assert queries.waiting_batches(db, 10) == [BATCHES[4], BATCHES[5]]
    assert queries.waiting_batches(db, 1) == [BATCHES[4]]


def test_whether_the_server_has_accepted_a_run(db: sqlite3.Connection) -> None:
    assert queries.has_run(db)
    for row in BATCHES:
        queries.put_batch(db, attrs.evolve(row, run_id=""))
    assert not queries.has_run(db)


def test_a_batch_whose_run_has_started_is_uploaded(db: sqlite3.Connection) -> None:
    queries.adopt_batch(db, attrs.evolve(BATCHES[1], state=BatchState.UPLOADING))
    assert states(db) == changed()
    row = attrs.evolve(BATCHES[1], state=BatchState.RUNNING, run_id="run-2")
    queries.adopt_batch(db, row)
    assert queries.batch(db, 2) == row
    assert states(db) == changed(_4=FileState.UPLOADED, _5=FileState.UPLOADED)
    queries.adopt_batch(db, attrs.evolve(BATCHES[0], generation=2))
    assert states(db)[3] == FileState.FAILED, "only what was planned"


def test_which_batches_cost_something(db: sqlite3.Connection) -> None:
    # Not those that are planned or being filled, and not the one that was refused while planning.
    assert queries.spent(db) == (5, 10, 5)
    assert queries.count_gated(db) == 3


# Counts


def test_files_and_bytes_by_state(db: sqlite3.Connection) -> None:
    assert queries.count_by_state(db) == {
        FileState.PLANNED: (2, 5300),
        FileState.UPLOADED: (3, 371),
        FileState.FAILED: (1, 100),
        FileState.REFUSED: (2, 0),
        FileState.REPLACED: (1, 70),
        FileState.NO_RESULT: (1, 900),
    }
    assert queries.count_batches(db) == (
        {
            BatchState.FILLING: 1,
            BatchState.PLANNED: 1,
            BatchState.SUBMITTING: 2,
            BatchState.RUNNING: 1,
            BatchState.REVIEW: 1,
            BatchState.EXPORTED: 1,
            BatchState.FAILED: 1,
        },
        11,
    )
    assert list(queries.count_batches(db)[0]) == sorted(queries.count_batches(db)[0])
    assert queries.count_uploaded(db, BatchState.RUNNING) == 2
    assert queries.count_uploaded(db, BatchState.EXPORTED) == 1
    assert queries.count_uploaded(db, BatchState.PLANNED) == 0


def test_files_by_extension(db: sqlite3.Connection) -> None:
    assert list(counts.by_extension(db).items()) == [("pdf", 4), ("", 1), ("tiff", 1), ("txt", 1)]
    queries.put_file(db, FILES[0]._replace(base="march.2026.TIFF"))
    assert list(counts.by_extension(db).items()) == [("pdf", 3), ("tiff", 2), ("", 1), ("txt", 1)]


def test_failures_by_reason(db: sqlite3.Connection) -> None:
    assert list(counts.reasons(db, 10).items()) == [("SourceError", 2), ("empty", 1), ("type", 1)]
    assert counts.reasons(db, 1) == {"SourceError": 2}
    assert counts.refused(db) == {"empty": 1, "type": 1}
    queries.put_failure(db, 9, "empty", "too")
    assert counts.refused(db) == {"empty": 2}


def test_files_that_share_their_name(db: sqlite3.Connection) -> None:
    assert counts.equal_names(db) == 2
    queries.put_file(db, FILES[3]._replace(given="a.pdf"))
    queries.put_file(db, FILES[4]._replace(given="b.PDF"))
    assert counts.equal_names(db) == 5


@pytest.mark.parametrize(
    ("threshold", "part_size", "expected"), [(299, 100, 57), (300, 100, 52), (4999, 2500, 4), (5000, 2500, 0)]
)
def test_requests_of_files_in_parts(db: sqlite3.Connection, threshold: int, part_size: int, expected: int) -> None:
    assert counts.parts(db, threshold, part_size) == expected


def test_batches_that_have_files_of_a_state(db: sqlite3.Connection) -> None:
    assert counts.batches_with(db, FileState.UPLOADED) == 2
    assert counts.batches_with(db, FileState.PLANNED) == 1


def test_contents_that_repeat(db: sqlite3.Connection) -> None:
    assert counts.repeated(db, [b"a", None, b"b", b"a", None, b"a"]) == 2
    assert counts.repeated(db, iter([b"a", b"b"])) == 0, "an earlier count leaves nothing"

    def failing() -> Iterator[bytes]:
        yield b"a"
        raise OSError("unreadable")

    with pytest.raises(OSError, match="unreadable"):
        counts.repeated(db, failing())
    assert counts.repeated(db, []) == 0


def test_local_paths(db: sqlite3.Connection) -> None:
    assert set(counts.planned_paths(db)) == {f"{MORE_PATH}noext", f"{MORE_PATH}c.txt"}
    live = {
        f"{SCANS_PATH}a.pdf",
        f"{SCANS_PATH}b.PDF",
        f"{MORE_PATH}a.pdf",
        f"{SCANS_PATH}LICENSE",
        f"{SCANS_PATH}old.pdf",
    }
    assert sorted(counts.live_paths(db)) == sorted(live | set(counts.planned_paths(db)))
    assert set(counts.paths_of_equal_size(db)) == {f"{SCANS_PATH}a.pdf", f"{MORE_PATH}a.pdf"}


def test_files_by_size(db: sqlite3.Connection) -> None:
    assert counts.sizes(db, [100, 200, 5000, 5001]) == [1, 2, 3, 1]
    assert counts.sizes(db, [5000]) == [6]
    queries.put_file(db, FILES[0]._replace(size=0))
    assert counts.sizes(db, [1, 71, 100]) == [1, 0, 1]


# The rest


def test_folders_are_recorded_once(db: sqlite3.Connection) -> None:
    assert queries.folder(db, "scans/more") == MORE
    assert queries.folder(db, "new") == 3
    assert queries.folder(db, "new") == 3
    assert queries.folders(db, iter([3, 1, 3])) == {1: "scans", 3: "new"}


def test_the_first_folder_has_number_one(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    schema.create(path, {}, lambda connection: queries.folder(connection, "first"))
    with contextlib.closing(schema.connect_readonly(path)) as db:
        assert queries.folders(db, [1]) == {1: "first"}


def test_fields_are_summed_over_batches(db: sqlite3.Connection) -> None:
    queries.put_fields(db, 1, {"Total": (9, 9, 9), "old": (1, 1, 1)})
    queries.put_fields(db, 1, {"Total": (5, 4, 1), "Date": (7, 6, 0), "lone \ud800": (7, 1, 1)})
    queries.put_fields(db, 3, {"Total": (3, 2, 1)})
    assert queries.fields_of(db, 3) == {"Total": (3, 2, 1)}
    assert queries.fields_of(db, 1) == {"Total": (5, 4, 1), "Date": (7, 6, 0), "lone \\ud800": (7, 1, 1)}
    assert counts.fields(db, 10) == [("Total", 8, 6, 2), ("Date", 7, 6, 0), ("lone \\ud800", 7, 1, 1)]
    assert counts.fields(db, 1) == [("Total", 8, 6, 2)]


def test_samples_in_the_order_of_time(db: sqlite3.Connection) -> None:
    queries.put_sample(db, 2.5, 20, 200, 2)
    queries.put_sample(db, 1.5, 10, 100, 1)
    assert counts.samples(db) == [(1.5, 10, 100, 1), (2.5, 20, 200, 2)]


# Rows


def test_checksums_stay_those_of_journals_that_exist() -> None:
    """Another way of computing them would call every journal that was written before damaged."""
    assert FILES[1].stored() == (*FILES[1], zlib.crc32(b"2\x1f1\x1fb.PDF\x1f\x1fb-2.pdf\x1f200\x1f12\x1f1\x1f1"))
    text = "2|4|5|2|5300|1|1|0||0.0|0.0|0.0|0.0|0.0|0|0||case-7|0|0".replace("|", "\x1f")
    assert BATCHES[1].stored()[-1] == BATCHES[1].checksum() == zlib.crc32(text.encode())
    assert BATCHES[1].stored()[:-1] == attrs.astuple(BATCHES[1])
    assert failure_checksum(3, "SourceError", "gone") == zlib.crc32(b"3\x1fSourceError\x1fgone")
    assert folder_checksum(1, "scans") == zlib.crc32(b"1\x1fscans")


def test_which_batches_are_settled() -> None:
    assert {state for state in BatchState if state.is_settled} == {BatchState.EXPORTED, BatchState.FAILED}


@pytest.mark.parametrize(
    ("path", "text"), [("scans/\xe9.pdf", "scans/\xe9.pdf"), ("scans/\udcff.pdf", "scans/\\xff.pdf")]
)
def test_paths_that_are_not_utf8_become_printable(path: str, text: str) -> None:
    assert printable(path) == text
