"""A folder that fills: what counts as a file, and what a kill leaves behind."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

import aihub_async
from aihub_async import AsyncAIHub
from aihub_async.emulator import Emulator
from aihub_async.errors import IngestError
from aihub_async.ingest import IngestStatus
from aihub_async.ingest.candidates import Candidate
from aihub_async.ingest.scan import scan
from aihub_async.ingest.stopping import StopRequest
from aihub_async.ingest.watch import Arrivals

_ROOT = str(Path(aihub_async.__file__).parents[1])


def rows_in(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for part in sorted(out.glob("part-*.jsonl")) for line in part.read_text().splitlines()]


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.01)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def names(found: list[Candidate] | None) -> list[str]:
    assert found is not None
    return sorted(candidate.base for candidate in found)


def test_a_file_counts_when_it_stood_still(tmp_path: Path) -> None:
    clock = Clock()
    arrivals = Arrivals(lambda: scan(tmp_path), settle=5, batch_after=60, stop=StopRequest(), monotonic=clock)

    def look(at: float) -> list[str]:
        clock.now = at
        return names(arrivals._ready(list(scan(tmp_path)), at))

    (tmp_path / "a.txt").write_text("begun")
    (tmp_path / "empty.txt").touch()
    assert look(0) == []
    (tmp_path / "a.txt").write_text("begun and continued")
    assert look(4) == []
    assert look(8) == []
    assert look(9) == ["a.txt"]
    assert look(30) == []
    (tmp_path / "empty.txt").write_text("filled")
    assert look(31) == []
    assert look(36) == ["empty.txt"]
    (tmp_path / "a.txt").write_text("another file of this name")
    assert look(40) == []
    assert look(46) == ["a.txt"]


async def test_files_are_sent_as_they_arrive(hub: Emulator, client: AsyncAIHub, tmp_path: Path) -> None:
    inbox, out, done = tmp_path / "inbox", tmp_path / "out", tmp_path / "inbox" / "done"
    inbox.mkdir()
    job = client.ingest(inbox, app_name="key-values", out=out, batch_files=3)
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            await job.watch(settle=0.1, batch_after=0.4, move=done)

        group.start_soon(watch)
        for number in range(4):
            (inbox / f"{number}.txt").write_text(f"Total: {number}\n")
        await until(lambda: len(list(done.glob("*.txt"))) == 4)
        # Another file of a name that was there before.
        (inbox / "0.txt").write_text("Total: 100\n")
        await until(lambda: len(rows_in(out)) == 5)
        await until(lambda: not list(inbox.glob("*.txt")))
        job.stop()
    assert Counter(row["fields"]["Total"] for row in rows_in(out)) == Counter(["0", "1", "2", "3", "100"])
    assert sorted(path.name for path in done.iterdir()) == ["0.txt", "0~2.txt", "1.txt", "2.txt", "3.txt"]
    assert len(hub.runs()) in {3, 4}


async def test_stopping_finishes_what_is_in_flight(hub: Emulator, client: AsyncAIHub, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "a.txt").write_text("Total: 1\n")
    hub.hold_runs()
    found: list[IngestStatus] = []
    job = client.ingest(inbox, app_name="key-values", out=tmp_path / "out")
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            found.append(await job.watch(settle=0, batch_after=0))

        group.start_soon(watch)
        await until(lambda: len(hub.runs()) == 1)
        job.stop()
    assert found[0].batches == {"running": 1}
    hub.release_runs()
    job = client.ingest(inbox, app_name="key-values", out=tmp_path / "out")
    async with anyio.create_task_group() as group:
        group.start_soon(watch_until_done, job, tmp_path / "out")
    assert len(hub.runs()) == 1


async def watch_until_done(job: Any, out: Path) -> None:
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            await job.watch(settle=0, batch_after=0)

        group.start_soon(watch)
        await until(lambda: len(rows_in(out)) == 1)
        job.stop()


async def test_only_a_folder_can_be_watched(client: AsyncAIHub, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(IngestError, match="only a folder"):
        await client.ingest(tmp_path / "a.txt", app_name="x", out=tmp_path / "out").watch()


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_while_files_arrive_lose_and_repeat_nothing(tmp_path: Path, kills: int) -> None:
    inbox, out = tmp_path / "inbox", tmp_path / "out"
    inbox.mkdir()
    chance = random.Random(3)
    written = 0
    with Emulator().in_thread() as hub:
        environment = {
            **os.environ, "AIHUB_API_KEY": hub.api_key, "AIHUB_API_ROOT": hub.api_root, "PYTHONPATH": _ROOT,
        }  # fmt: skip
        command = [
            *(sys.executable, "-m", "aihub_async.cli", "watch", os.fspath(inbox), "--app", "key-values"),
            *(
                "--out",
                os.fspath(out),
                "--settle",
                "0.05",
                "--batch-after",
                "0.2",
                "--move",
                os.fspath(tmp_path / "done"),
            ),
        ]

        def write(count: int) -> None:
            nonlocal written
            for _ in range(count):
                (inbox / f"{written}.txt").write_text(f"Total: {written}\n")
                written += 1

        for _ in range(kills):
            with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
                deadline = time.monotonic() + 1.2 + chance.random()
                while time.monotonic() < deadline:
                    write(2)
                    time.sleep(0.1)
                process.send_signal(signal.SIGKILL)
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            deadline = time.monotonic() + 90
            while len(list((tmp_path / "done").glob("*.txt"))) < written and time.monotonic() < deadline:
                time.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=30)
        assert process.returncode == 0, errors
        tags = Counter(tag for run in hub.runs() for tag in run["tags"] if tag.startswith("aihub-ingest"))
        held = Counter(file.name for run in hub.runs() for file in hub.batch_files(run["batch_id"]))
    assert set(tags.values()) == {1}
    assert held == Counter(f"{number}.txt" for number in range(written))
    assert Counter(row["fields"]["Total"] for row in rows_in(out)) == Counter(map(str, range(written)))
