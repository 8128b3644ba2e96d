"""The journal under every order of writes, kills, torn logs and flipped bits, against a model in memory."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aihub_async.errors import JournalBusyError, JournalError
from aihub_async.ingest.candidates import Grouping
from aihub_async.ingest.journal import queries, schema
from aihub_async.ingest.journal.file import Journal
from aihub_async.ingest.journal.rows import BatchRow, BatchState, FileState
from aihub_async.ingest.packing import Planner
from aihub_async.ingest.scan import Candidate

SPEC = {"source": "scans", "app_name": "invoices"}
HEADER = 100
"""Bytes of the header of an SQLite file."""


class KilledError(Exception):
    """The process ends here."""


@attrs.frozen
class Contents:
    """The content of a journal, without samples of the throughput, which decide nothing."""

    batches: tuple[BatchRow, ...]
    files: tuple[tuple[Any, ...], ...]
    failures: tuple[tuple[Any, ...], ...]

    @property
    def is_all_done(self) -> bool:
        """Whether nothing is left to do."""
        return all(row.state.is_settled for row in self.batches)


def read(connection: Any) -> Contents:
    """Read the whole journal."""
    files = connection.execute("SELECT * FROM files JOIN folders ON folders.id = folder ORDER BY files.id")
    failures = connection.execute("SELECT * FROM failures ORDER BY file")
    return Contents(tuple(queries.batches(connection)), tuple(files.fetchall()), tuple(failures.fetchall()))


Work = Callable[[Any], object]


class Journaling(RuleBasedStateMachine):
    """`known` is what was acknowledged; `older` what stood there at earlier commits since the log was emptied."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.root = Path(tempfile.mkdtemp(prefix="journal-"))
        self.lives = 0
        self.kill_at: str | None = None
        self.journal: Journal | None = None
        self.known = Contents((), (), ())
        self.files: dict[int, FileState] = {}
        self.older: list[Contents] = []
        self.path = self.root / "0" / "job.db"
        self.open()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def boundary(self, name: str) -> None:
        """Copy at a boundary what a kill would leave on the disk there, and stop."""
        if name == self.kill_at:
            shutil.copytree(self.path.parent, self.root / str(self.lives + 1))
            raise KilledError(name)

    def open(self) -> None:
        self.journal = self.do(Journal.open(self.path, SPEC, crash_hook=self.boundary))

    def close(self) -> None:
        assert self.journal is not None
        self.do(self.journal.aclose())
        self.journal = None

    def contents(self) -> Contents:
        assert self.journal is not None
        return self.do(self.journal.call(read))

    def write(self, work: Work) -> None:
        """Write, and remember what then must be there."""

        def write_and_read(connection: Any) -> Contents:
            work(connection)
            return read(connection)

        assert self.journal is not None
        self.older.append(self.known)
        self.known = self.do(self.journal.call(write_and_read))

    # What a job does

    def planning(self, count: int, group: str) -> Work:
        first = len(self.known.files)
        names = [f"file-{number:04d}.pdf" for number in range(first, first + count)]
        found = [Candidate("scans", name, "", name, 100 + len(name), 1, group=group) for name in names]

        def plan(connection: Any) -> None:
            planner = Planner(connection, 10, 1 << 30, grouping=Grouping.FOLDERS if group else Grouping.NONE)
            planner.add(connection, found)
            planner.finish(connection)

        return plan

    @rule(count=st.integers(1, 10), group=st.sampled_from(["", "case-7", "case-8"]))
    def plan(self, count: int, group: str) -> None:
        self.write(self.planning(count, group))
        self.files |= {row[0]: FileState.PLANNED for row in self.known.files if row[0] not in self.files}

    def a_batch(self, data: st.DataObject) -> BatchRow:
        return data.draw(st.sampled_from(self.known.batches))

    @precondition(lambda self: self.known.batches)
    @rule(data=st.data(), state=st.sampled_from([s for s in BatchState if s is not BatchState.FILLING]))
    def advance(self, data: st.DataObject, state: BatchState) -> None:
        batch = self.a_batch(data)
        changed = attrs.evolve(batch, state=state, run_id=f"run-{batch.no}", gated=batch.no, pages=3, note="\ud800")
        self.write(lambda connection: queries.put_batch(connection, changed))

    @precondition(lambda self: self.known.batches)
    @rule(data=st.data(), state=st.sampled_from(FileState), share=st.floats(0, 1))
    def settle(self, data: st.DataObject, state: FileState, share: float) -> None:
        batch = self.a_batch(data)
        ids = range(batch.first, batch.first + int(batch.files * share))
        if state in {FileState.FAILED, FileState.REFUSED, FileState.NO_RESULT}:
            failed = [(number, "SourceError", f"file {number}: gone") for number in ids]
            self.write(lambda connection: queries.fail_files(connection, failed, state))
        else:
            self.write(lambda connection: queries.settle_files(connection, ids, state))
        self.files |= dict.fromkeys(ids, state)

    # What happens to it

    @rule()
    def reopen(self) -> None:
        self.close()
        self.older.clear()
        self.open()

    @rule()
    def open_twice(self) -> None:
        with pytest.raises(JournalBusyError):
            self.do(Journal.open(self.path, SPEC))

    @rule(data=st.data(), at=st.sampled_from(["before commit", "after commit"]), count=st.integers(1, 12))
    def kill(self, data: st.DataObject, at: str, count: int) -> None:
        """Kill the process beside a commit; then the end of the log may be torn, or hold other bytes."""
        assert self.journal is not None
        before, self.kill_at = self.known, at
        durable = self.log_size()
        with pytest.raises(JournalError, match=at):
            self.do(self.journal.call(self.planning(count, "")))
        self.kill_at = None
        self.close()
        self.lives += 1
        self.path = self.root / str(self.lives) / "job.db"
        torn = self.tear(data, durable)
        self.open()
        self.known = self.contents()
        if at == "before commit" or torn:
            assert self.known == before or (at == "after commit" and len(self.known.files) == len(before.files) + count)
        else:
            assert len(self.known.files) == len(before.files) + count
            assert self.known.files[: len(before.files)] == before.files
        self.files |= {row[0]: FileState.PLANNED for row in self.known.files if row[0] not in self.files}
        self.older.append(before)

    def log_size(self) -> int:
        log = self.path.with_name("job.db-wal")
        return log.stat().st_size if log.exists() else 0

    def tear(self, data: st.DataObject, durable: int) -> bool:
        """Damage what the last, unacknowledged write added to the log."""
        added = self.log_size() - durable
        how = data.draw(st.sampled_from(["not", "cut", "flip"]))
        if added <= 0 or how == "not":
            return False
        log = self.path.with_name("job.db-wal")
        content = bytearray(log.read_bytes())
        place = durable + data.draw(st.integers(0, added - 1))
        if how == "cut":
            del content[place:]
        else:
            content[place] ^= 1 << data.draw(st.integers(0, 7))
        log.write_bytes(content)
        return True

    @rule(data=st.data(), lost=st.booleans())
    def damage_the_log(self, data: st.DataObject, lost: bool) -> None:
        """A bit of the log flips, or the log is lost: an earlier state, an error, but nothing that never was."""
        copy = self.root / "copy"
        shutil.copytree(self.path.parent, copy)
        log = copy / "job.db-wal"
        if lost or not self.log_size():
            log.unlink(missing_ok=True)
        else:
            flip(log, data.draw(st.integers(0, self.log_size() - 1)), data.draw(st.integers(0, 7)))
        self.check_copy(copy / "job.db", [*self.older, self.known])

    @rule(data=st.data(), in_header=st.booleans())
    def flip_a_bit(self, data: st.DataObject, in_header: bool) -> None:
        """A bit of the journal flips while no process has it open: an error, or no difference."""
        self.close()
        self.older.clear()
        copy = self.root / "copy"
        shutil.copytree(self.path.parent, copy)
        path = copy / "job.db"
        size = HEADER if in_header else path.stat().st_size
        flip(path, data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, 7)))
        self.check_copy(path, [self.known])
        self.open()

    def check_copy(self, path: Path, allowed: list[Contents]) -> None:
        try:
            journal = self.do(Journal.open(path, SPEC))
        except JournalError:
            pass
        else:
            found = self.do(journal.call(read))
            self.do(journal.aclose())
            assert found in allowed
            assert not found.is_all_done or any(each.is_all_done for each in allowed)
        finally:
            shutil.rmtree(path.parent)

    # What must hold

    @invariant()
    def journal_is_as_acknowledged(self) -> None:
        assert self.journal is not None
        assert self.contents() == self.known
        with contextlib.closing(schema.connect_readonly(self.path)) as connection:
            assert read(connection) == self.known
            schema.verify(self.path, connection)
            counts = {state: count for state, (count, _) in queries.count_by_state(connection).items()}
            unsettled = [row.no for row in queries.unsettled(connection, 0, 1000)]
        states = list(self.files.values())
        assert counts == {state: states.count(state) for state in set(states)}
        assert unsettled == [row.no for row in self.known.batches if not row.state.is_settled]
        assert sum(row.files for row in self.known.batches) == len(self.files)

    def teardown(self) -> None:
        if hasattr(self, "root"):
            if self.journal is not None:
                self.close()
            self.loop.close()
            shutil.rmtree(self.root)


def flip(path: Path, place: int, bit: int) -> None:
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


TestJournaling = Journaling.TestCase
TestJournaling.settings = settings(
    max_examples=12, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
