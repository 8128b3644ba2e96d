"""Sources and results behind URLs, in memory; see also test_buckets.py."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aihub_async import AsyncAIHub
from aihub_async.emulator import Emulator
from aihub_async.errors import ConfigurationError, IngestError

fsspec = pytest.importorskip("fsspec")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Parts are written below the home folder."""
    monkeypatch.setenv("HOME", os.fspath(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def put(system: Any, path: str, content: str) -> None:
    with system.open(path, "wb") as file:
        file.write(content.encode())


def rows_at(system: Any, folder: str) -> list[dict[str, Any]]:
    parts = sorted(name for name in system.find(folder) if "/part-" in name)
    return [json.loads(line) for part in parts for line in system.cat_file(part).decode().splitlines()]


async def test_from_memory_to_memory(hub: Emulator, client: AsyncAIHub, memory: Any) -> None:
    for number in range(12):
        put(memory, f"/in/2026/{number:02d}.txt", f"Total: {number}\n")
    put(memory, "/in/notes.md", "not a document\n")
    put(memory, "/in/.DS_Store", "x")
    put(memory, "/in/empty.txt", "")
    job = client.ingest("memory://in/**/*.txt", app_name="key-values", out="memory://out/run-7", batch_files=5)
    plan = await job.plan()
    assert (plan.files, plan.refused, plan.gone) == (12, {"empty": 1}, 0)
    status = await job.run()
    assert (status.complete, status.done, status.refused) == (True, 12, 1)
    rows = rows_at(memory, "/out/run-7")
    assert sorted(row["fields"]["Total"] for row in rows) == sorted(map(str, range(12)))
    assert rows[0]["source"] == "memory:///in/2026/00.txt"
    names = {name.removeprefix("/out/run-7/") for name in memory.find("/out/run-7")}
    assert {"part-000001.jsonl", "failures.jsonl", ".aihub/journal.db"} <= names


async def test_a_changed_object_is_another_one_and_an_unchanged_one_is_known(
    hub: Emulator, client: AsyncAIHub, memory: Any
) -> None:
    put(memory, "/in/a.txt", "Total: 1\n")
    options: dict[str, Any] = {"app_name": "key-values", "out": "memory://out"}
    assert (await client.ingest("memory://in", **options).run()).done == 1
    before = hub.requests.total
    again = await client.ingest("memory://in", **options).run()
    assert (again.done, hub.requests.total) == (1, before)
    put(memory, "/in/b.txt", "Total: 2\n")
    assert (await client.ingest("memory://in", **options).run()).done == 2
    assert len(rows_at(memory, "/out")) == 2


async def test_results_that_were_deleted_are_copied_again(hub: Emulator, client: AsyncAIHub, memory: Any) -> None:
    put(memory, "/in/a.txt", "Total: 1\n")
    options: dict[str, Any] = {"app_name": "key-values", "out": "memory://out"}
    await client.ingest("memory://in", **options).run()
    memory.rm("/out/part-000001.jsonl")
    await client.ingest("memory://in", **options).run()
    assert len(rows_at(memory, "/out")) == 1


async def test_groups_are_folders_of_the_url(hub: Emulator, client: AsyncAIHub, memory: Any, tmp_path: Path) -> None:
    for name in ("a/1.txt", "a/2.txt", "b/1.txt"):
        put(memory, f"/in/{name}", "Total: 1\n")
    job = client.ingest("memory://in", app_name="key-values", out=tmp_path / "out", group="folder")
    assert (await job.run()).done == 3
    assert len(hub.runs()) == 2


async def test_what_cannot_be_used_is_refused(client: AsyncAIHub, tmp_path: Path, memory: Any) -> None:
    with pytest.raises(ConfigurationError, match="nosuch"):
        client.ingest(tmp_path, app_name="x", out="nosuch://bucket/out")
    with pytest.raises(ConfigurationError, match="journal must be a path on this machine"):
        client.ingest(tmp_path, app_name="x", out=tmp_path / "out", journal="memory://job.db")
    with pytest.raises(IngestError, match="cannot list nosuch"):
        await client.ingest("nosuch://in", app_name="x", out=tmp_path / "out").plan()
