import os
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from aihub_async import AsyncAIHub
from aihub_async.errors import ConfigurationError, IngestError, JournalMismatchError
from aihub_async.ingest import IngestJob, Plan, packing
from aihub_async.ingest.candidates import Candidate
from aihub_async.ingest.journal import queries
from aihub_async.ingest.journal.file import Journal
from aihub_async.ingest.journal.rows import FileRow
from aihub_async.ingest.scan import scan
from aihub_async.limits import MAX_FILE_BYTES

MakeFiles = Callable[..., Path]


def reasons(found: list[Candidate]) -> dict[str, str]:
    return {candidate.base: candidate.refused[0] for candidate in found if candidate.refused}


def test_folders_are_read_in_order_and_names_tell_the_way(tmp_path: Path) -> None:
    for name in ("b/2.pdf", "a.pdf", "b/1.pdf", "b/c/3.pdf"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(b"x")
    assert [found.name for found in scan(tmp_path)] == ["a.pdf", "b__1.pdf", "b__2.pdf", "b__c__3.pdf"]


def test_what_cannot_be_sent_is_refused_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "good.pdf").write_bytes(b"x")
    (tmp_path / "empty.pdf").touch()
    (tmp_path / "program.exe").write_bytes(b"x")
    (tmp_path / "line\nbreak.pdf").write_bytes(b"x")
    with (tmp_path / "huge.pdf").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    os.mkfifo(tmp_path / "pipe.pdf")
    found = list(scan(tmp_path))
    assert reasons(found) == {
        "empty.pdf": "empty",
        "program.exe": "unsupported",
        "line\nbreak.pdf": "name",
        "huge.pdf": "too large",
        "pipe.pdf": "not a file",
    }
    assert "program.exe" not in reasons(list(scan(tmp_path, send_all_types=True)))


def test_links_are_followed_inside_the_folder_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "outside.pdf").write_bytes(b"secret")
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "real.pdf").write_bytes(b"x")
    (root / "inside.pdf").symlink_to(root / "real.pdf")
    (root / "escape.pdf").symlink_to(tmp_path / "outside.pdf")
    (root / "loop.pdf").symlink_to(root / "loop.pdf")
    (root / "sub" / "up").symlink_to(root)
    found = list(scan(root))
    assert [candidate.base for candidate in found if not candidate.refused] == ["inside.pdf", "real.pdf"]
    assert reasons(found) == {"escape.pdf": "link", "loop.pdf": "unreadable", "up": "link"}


def test_a_name_that_is_no_utf8_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.pdf")).write_bytes(b"x")
    (tmp_path / "fine.pdf").write_bytes(b"x")
    found = list(scan(tmp_path))
    assert reasons(found) == {"caf\\xe9.pdf": "name"}
    assert len(found) == 2


def test_deep_paths_get_short_names_that_differ(tmp_path: Path) -> None:
    deep = tmp_path / ("a" * 100) / ("b" * 100) / ("c" * 100)
    other = tmp_path / ("z" * 100) / ("b" * 100) / ("c" * 100)
    for folder in (deep, other):
        folder.mkdir(parents=True)
        (folder / "x.pdf").write_bytes(b"x")
    names = [found.name for found in scan(tmp_path)]
    assert len(set(names)) == 2
    assert all(len(name) <= 255 and name.endswith("x.pdf") for name in names)


@attrs.frozen
class Harness:
    """Plans a job without a server."""

    client: AsyncAIHub
    folder: Path

    def job(self, source: object = None, **options: object) -> IngestJob:
        defaults = {"app_name": "invoices", "out": self.folder / "out"} | options
        return self.client.ingest(source or self.folder / "scans", **defaults)  # type: ignore[arg-type]

    async def plan(self, **options: object) -> Plan:
        return await self.job(**options).plan()

    async def rows(self) -> list[FileRow]:
        async with await Journal.open(self.folder / "out" / ".aihub" / "job.db") as journal:
            batches = await journal.call(lambda db: list(queries.batches(db)))
            return [row for batch in batches for row in await journal.call(lambda db, b=batch: queries.files_of(db, b))]


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(AsyncAIHub(api_key="key", api_root="http://127.0.0.1:9"), tmp_path)


async def test_a_plan_counts_before_anything_is_sent(harness: Harness, make_files: MakeFiles, tmp_path: Path) -> None:
    scans = make_files("scans", 25)
    (scans / "sub").mkdir()
    (scans / "sub" / "doc-00001.txt").write_bytes((scans / "doc-00001.txt").read_bytes())
    (scans / "photo.PNG").write_bytes(b"x" * 100)
    (scans / "empty.pdf").touch()
    (scans / "tool.exe").write_bytes(b"x")
    plan = await harness.plan(batch_files=10)
    assert (plan.files, plan.batches, plan.left) == (27, 3, 27)
    assert plan.types == {"txt": 26, "png": 1}
    assert plan.refused == {"empty": 1, "unsupported": 1}
    assert (plan.duplicate_names, plan.duplicate_contents) == (2, 1)
    assert plan.requests > 27
    assert "27" in str(plan)
    assert "1 empty" in str(plan)


async def test_batches_are_bounded_by_bytes_too_and_keep_the_order(harness: Harness, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    for number in range(10):
        (scans / f"{number}.pdf").write_bytes(b"x" * 400)
    plan = await harness.plan(batch_bytes=1000)
    rows = await harness.rows()
    assert plan.batches == 5
    assert [(row.batch, row.base) for row in rows] == [(number // 2 + 1, f"{number}.pdf") for number in range(10)]


async def test_names_that_would_collide_are_told_apart(harness: Harness, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    (scans / "a").mkdir(parents=True)
    for name in ("a/x.pdf", "A__x.pdf", "a__x.pdf", "é.pdf", "e\u0301.pdf"):
        (scans / name).write_bytes(b"x")
    await harness.plan()
    names = [row.upload_name for row in await harness.rows()]
    assert sorted(names) == sorted(["A__x.pdf", "a__x~2.pdf", "a__x~3.pdf", "e\u0301.pdf", "é~2.pdf"])


async def test_planning_again_finds_what_changed(harness: Harness, make_files: MakeFiles) -> None:
    scans = make_files("scans", 20)
    first = await harness.plan(batch_files=6)
    assert (first.changes.new, first.changes.known) == (20, 0)
    assert "since then" not in str(first)
    (scans / "doc-00003.txt").write_text("Total: 1\nlonger than before, and by far")
    (scans / "doc-00004.txt").unlink()
    (scans / "doc-00005.txt").write_bytes(b"")
    (scans / "new.txt").write_text("new")
    second = await harness.plan(batch_files=6)
    assert (second.changes.new, second.changes.changed, second.gone) == (1, 2, 1)
    assert (second.files, second.refused) == (20, {"empty": 1})
    (scans / "doc-00005.txt").write_text("filled again")
    third = await harness.plan(batch_files=6)
    assert (third.changes.changed, third.files, third.refused) == (1, 21, {})


async def test_a_plan_that_was_cut_off_goes_on_where_it_stopped(harness: Harness, make_files: MakeFiles) -> None:
    scans = make_files("scans", 20)
    paths = sorted(scans.iterdir())
    await harness.job([*paths[:8]], batch_files=6).plan()
    plan = await harness.job(paths, batch_files=6).plan()
    rows = await harness.rows()
    assert (plan.files, plan.changes.new) == (20, 12)
    assert [row.base for row in rows] == [path.name for path in paths]


async def test_a_source_that_names_files_twice_or_in_any_order_sends_each_once(
    harness: Harness, make_files: MakeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = sorted(make_files("scans", 60).iterdir())
    monkeypatch.setattr(packing, "_STRETCH", 20)
    shuffled = random.Random(3).sample(paths * 2, 120)
    assert (await harness.job(shuffled).plan()).files == 60
    again = await harness.job([*reversed(paths), *paths]).plan()
    assert (again.files, again.changes.new, again.changes.known) == (60, 0, 120)


async def test_the_results_folder_is_no_source(harness: Harness, make_files: MakeFiles) -> None:
    scans = make_files("scans", 3)
    out = scans / "out"
    out.mkdir()
    (out / "part-000001.csv").write_text("old results")
    assert (await harness.plan(out=out)).files == 3


async def test_a_source_that_is_not_there_is_an_error(harness: Harness) -> None:
    with pytest.raises(IngestError, match="there is no"):
        await harness.plan(source=harness.folder / "nothing")


async def test_another_source_needs_another_journal(harness: Harness, make_files: MakeFiles) -> None:
    make_files("scans", 1)
    await harness.plan()
    with pytest.raises(JournalMismatchError, match="source"):
        await harness.plan(source=make_files("others", 1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"app_name": None},
        {"app_id": "1"},
        {"format": "xml"},
        {"rows": "page"},
        {"batch_files": 1001},
        {"batch_files": 0},
        {"max_runs": 0},
        {"settings": {"tags": ["x" * 450]}},
    ],
)
def test_options_that_make_no_job_are_refused(harness: Harness, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        harness.job(**wrong)


def test_a_scan_holds_one_folder_at_a_time(tmp_path: Path) -> None:
    target = tmp_path / "x.pdf"
    target.write_bytes(b"x")
    pairs = ((f"name-{number}.pdf", target) for number in range(50_000))
    tracemalloc.start()
    count = sum(1 for _ in scan(pairs))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 50_000
    assert peak < 1_000_000
