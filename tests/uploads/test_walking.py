"""Walks of folders: lazy, repeatable on request, and without files of the operating system."""

import contextlib
import os
import subprocess
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub_async.errors import SourceError
from aihub_async.uploads.walking import FolderWalk, PathFilter, is_litter


def add(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def is_open(folder: Path) -> bool:
    """Whether this process has the folder open."""
    targets = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            targets.append(link.readlink())
    return folder in targets


def walked(root: Path, accepted: PathFilter | None = None, **options) -> list[str]:
    return [found.relative for found in FolderWalk(os.fspath(root), accepted or PathFilter(), **options)]


def test_an_ordered_walk_is_the_same_whatever_order_the_disk_has(tmp_path: Path) -> None:
    names = ["b/2", "b/1", "a", "c/d/e", "c/a", "z"]
    add(tmp_path, *names)
    expected = ["a", "z", "b/1", "b/2", "c/a", "c/d/e"]
    assert walked(tmp_path, ordered=True) == expected
    assert sorted(walked(tmp_path)) == sorted(expected)


def test_paths_lead_to_the_files(tmp_path: Path) -> None:
    add(tmp_path, "a/b/c.txt", "d.txt")
    for found in FolderWalk(os.fspath(tmp_path), PathFilter()):
        assert Path(found.path) == tmp_path / found.relative
        assert Path(found.folder, found.base) == Path(found.path)
        assert Path(found.path).is_file()


def test_folders_that_are_skipped_are_not_entered(tmp_path: Path) -> None:
    add(tmp_path, "a/x", "results/part", "a/results/x")
    skipped = frozenset({os.path.realpath(tmp_path / "results")})
    assert sorted(walked(tmp_path, skipped_folders=skipped)) == ["a/results/x", "a/x"]
    assert walked(tmp_path, PathFilter(exclude="results")) == ["a/x"]


def test_a_tree_deeper_than_the_stack(tmp_path: Path) -> None:
    folder, descriptor = tmp_path, os.open(tmp_path, os.O_RDONLY)
    # By descriptors, for the whole path is longer than the system takes; the walk ends where it does.
    for _ in range(1100):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(os.open("deep.txt", os.O_CREAT, dir_fd=descriptor))
    os.close(descriptor)
    try:
        (found,) = FolderWalk(os.fspath(folder), PathFilter())
    finally:
        # shutil.rmtree, with which pytest cleans up before its next run, fails at this depth.
        subprocess.run(["rm", "-rf", folder / "d"], check=True, timeout=60)
    assert found.base == "deep.txt"


def test_a_large_folder_never_becomes_a_list(tmp_path: Path) -> None:
    for number in range(20_000):
        os.close(os.open(tmp_path / f"{number}.pdf", os.O_CREAT))
    walk = FolderWalk(os.fspath(tmp_path), PathFilter())
    tracemalloc.start()
    count = sum(1 for _ in walk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 20_000
    # A list of the entries takes more than 2 MB.
    assert peak < 200_000


def test_a_walk_that_is_left_closes_its_folder(tmp_path: Path) -> None:
    add(tmp_path, "a", "b", "c")
    walk = FolderWalk(os.fspath(tmp_path), PathFilter())
    next(iter(walk))
    assert is_open(tmp_path)
    walk.close()
    assert not is_open(tmp_path)
    assert walk.take() == []


def test_a_folder_that_cannot_be_listed_is_one_error(tmp_path: Path, monkeypatch) -> None:
    add(tmp_path, "closed/a", "open/b")
    real = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = {each.relative: each.error for each in FolderWalk(os.fspath(tmp_path), PathFilter(), ordered=True)}
    assert set(found) == {"closed", "open/b"}
    assert isinstance(found["closed"], SourceError)


@pytest.mark.parametrize(
    ("name", "litter"),
    [
        (".DS_Store", True),
        ("Thumbs.db", True),
        ("THUMBS.DB", True),
        ("desktop.ini", True),
        ("~$report.docx", True),
        ("._scan.pdf", True),
        ("._two\nlines", True),
        (".hidden.pdf", False),
        ("~report.docx", False),
        ("my Thumbs.db", False),
        ("x._y", False),
        (".DS_Store.pdf", False),
    ],
)
def test_litter(name: str, litter: bool) -> None:
    assert is_litter(name) is litter


@pytest.mark.parametrize(
    ("include", "skipped"),
    [(None, True), ("*", True), ("*.db", True), ("*Thumbs*", True), ("Thumbs.db", False), ("sub/Thumbs.db", False)],
)
def test_litter_is_taken_only_when_a_pattern_means_it(include: str | None, skipped: bool) -> None:
    assert PathFilter(include).skips_as_litter("sub/Thumbs.db") is skipped


@given(st.text(min_size=1, max_size=30))
def test_any_name_is_accepted_by_itself_and_excluded_by_itself(name: str) -> None:
    """A pattern that is a name, with its special characters escaped, means this name."""
    escaped = "".join(f"[{character}]" if character in "*?[" else character for character in name).rstrip("/")
    last = name.rpartition("/")[2]
    if not escaped or not last:
        return
    assert PathFilter(include=escaped).accepts_file(name)
    assert not PathFilter(exclude=escaped).accepts_file(name)


async def test_an_upload_that_is_left_closes_the_folder(client, batch, folder) -> None:
    for number in range(600):
        folder.add(f"{number}.txt")
    async with client.batches.iter_upload(batch, folder.path, max_concurrency=2) as uploads:
        assert await uploads.next_page()
    assert not is_open(folder.path)
