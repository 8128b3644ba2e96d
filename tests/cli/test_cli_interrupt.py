"""Ctrl-C: exit code 130, what is there, and the command that continues."""

import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aihub_async.cli import sending
from aihub_async.emulator import Emulator, Fault

if TYPE_CHECKING:
    from tests.cli.conftest import Command


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def interrupted(aihub: "Command", ready: Callable[[], bool], *arguments: str) -> tuple[str, str]:
    process = aihub.start(*arguments)
    try:
        wait_for(ready)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait(20)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert len(err.splitlines()[-1:]) == 1
    return out, err.splitlines()[-1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.txt").write_text(f"Number: {number}")
    return folder


def test_an_upload_says_how_to_continue(aihub: "Command", emulator: Emulator, folder: Path) -> None:
    before = emulator.requests.count("addFileToBatch")
    emulator.faults.add(Fault(kind="latency", operation="addFileToBatch", seconds=30, skip=5))
    try:
        _, said = interrupted(
            aihub, lambda: emulator.requests.count("addFileToBatch") - before > 6, "upload", "in", "--concurrency", "2"
        )
    finally:
        emulator.faults.clear()
    assert "batch" in said
    command = said[said.index("aihub upload") :]
    assert "--skip-existing" in command
    done = aihub(*shlex.split(command)[1:])
    assert done.returncode == 0, done.stderr
    assert len(emulator.batch_files(int(done.stdout))) == 20
    assert emulator.requests.count("addFileToBatch") - before < 30


def test_a_run_continues_and_its_results_can_be_had(aihub: "Command", emulator: Emulator, folder: Path) -> None:
    before = emulator.requests.count("getRunStatus")
    emulator.hold_runs()
    try:
        _, said = interrupted(
            aihub, lambda: emulator.requests.count("getRunStatus") > before, "process", "in", "--app", "key-values"
        )
    finally:
        emulator.release_runs()
    run = emulator.runs()[-1]
    assert run["id"] in said
    assert f"batch {run['batch_id']}" in said
    done = aihub(*shlex.split(said[said.index("aihub results") :])[1:])
    assert done.returncode == 0, done.stderr
    assert "19.txt\t" in done.stdout


@pytest.mark.parametrize(("group", "said"), [("results", "aihub results"), ("wait", "aihub runs wait")])
def test_a_wait_can_be_continued(aihub: "Command", emulator: Emulator, folder: Path, group: str, said: str) -> None:
    aihub("process", "in", "--app", "key-values", "--timeout", "0")
    run = emulator.runs()[-1]["id"]
    emulator.faults.add(Fault(kind="latency", operation="getRunStatus", seconds=30))
    before = emulator.requests.count("getRunStatus")
    try:
        arguments = ["results", run] if group == "results" else ["runs", "wait", run]
        _, line = interrupted(aihub, lambda: emulator.requests.count("getRunStatus") > before, *arguments)
    finally:
        emulator.faults.clear()
    assert f"{said} {run}" in line


def test_the_command_that_continues_holds_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    line = ["aihub", "upload", "my scans", "--api-key", "k1", "--api-key=k2", "--batch-id", "3", "--skip-existing"]
    monkeypatch.setattr("sys.argv", line)
    assert sending.repeated_command("--batch-id", "7", "--skip-existing") == (
        "aihub upload 'my scans' --batch-id 7 --skip-existing"
    )
