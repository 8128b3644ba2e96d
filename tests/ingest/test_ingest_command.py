import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from rich.console import Console

import aihub_async
from aihub_async.cli.ingest_job import JobDisplay
from aihub_async.emulator import Emulator, Fault
from aihub_async.ingest import IngestStatus

MakeFiles = Callable[..., Path]
_ROOT = str(Path(aihub_async.__file__).parents[1])


@attrs.frozen
class Command:
    """Runs `aihub ingest` in a folder."""

    hub: Emulator
    folder: Path

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        environment = {
            **os.environ,
            "AIHUB_API_KEY": self.hub.api_key,
            "AIHUB_API_ROOT": self.hub.api_root,
            "PYTHONPATH": _ROOT,
            "PYTHONWARNINGS": "error",
            "NO_COLOR": "1",
        }
        return subprocess.Popen(
            [sys.executable, "-m", "aihub_async.cli", "ingest", *arguments],
            env=environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        with self.start(*arguments) as process:
            output, errors = process.communicate(timeout=60)
        assert process.returncode == code, output + errors
        return output + errors


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    with Emulator().in_thread() as hub:
        yield Command(hub, tmp_path)


JOB = ("scans", "--app", "Invoices", "--out", "results")


def test_a_job_from_plan_to_report(command: Command, make_files: MakeFiles) -> None:
    make_files("scans", 7)
    plan = command.run(*JOB, "--plan")
    assert "7 (0.0 MB): 7 txt" in plan
    assert command.hub.requests.total == 0
    done = command.run(*JOB, "--report", "report.html")
    assert "7 of 7 files done" in done
    assert "7 of 7" in (command.folder / "report.html").read_text()
    assert "7 of 7 files done" in command.run("status", "results/.aihub/job.db")
    assert len((command.folder / "results" / "part-000001.jsonl").read_text().splitlines()) == 7


def test_failures_are_named_and_retried(command: Command, make_files: MakeFiles) -> None:
    make_files("scans", 4)
    command.hub.faults.add(Fault(kind="status", status=413, operation="addFileToBatch", path="doc-00001"))
    assert "failures.jsonl" in command.run(*JOB)
    command.hub.faults.clear()
    assert "4 of 4 files done" in command.run(*JOB, "--retry-failed")
    assert not (command.folder / "results" / "failures.jsonl").exists()


def test_mistakes_are_told_in_one_line(command: Command, make_files: MakeFiles) -> None:
    make_files("scans", 1)
    assert "give --out" in command.run("scans", "--app", "Invoices", code=2)
    assert "there is no 'nothing'" in command.run("nothing", "--app", "Invoices", "--out", "results", code=1)
    assert "--scheduler" in command.run(*JOB, "--engine", "dask", code=2)
    assert "local or dask" in command.run(*JOB, "--engine", "ray", code=2)
    assert "there is no journal" in command.run("status", "other.db", code=1)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_interrupt_finishes_what_is_in_flight(command: Command, make_files: MakeFiles) -> None:
    make_files("scans", 5)
    command.hub.hold_runs()
    with command.start(*JOB) as process:
        wait_for(lambda: command.hub.requests.count("getRunStatus") > 0)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 1, output + errors
    assert "stopping" in errors
    assert "same command again" in errors
    command.hub.release_runs()
    assert "5 of 5 files done" in command.run(*JOB)
    assert command.hub.requests.count("runApp") == 1


def test_two_interrupts_stop_at_once_and_the_job_goes_on(command: Command, make_files: MakeFiles) -> None:
    make_files("scans", 5)
    command.hub.faults.add(Fault(kind="latency", operation="addFileToBatch", seconds=20))
    with command.start(*JOB) as process:
        wait_for(lambda: command.hub.requests.count("addFileToBatch") == 5)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "stopping" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=15)
    assert process.returncode == 130, output + errors
    assert time.monotonic() - began < 10
    command.hub.faults.clear()
    assert "5 of 5 files done" in command.run(*JOB)


STATUS = IngestStatus(
    files=100,
    bytes=1000,
    uploaded=50,
    uploaded_bytes=500,
    done=40,
    failed=2,
    refused=1,
    rows=40,
    retries=3,
    batches={"running": 2},
    scanned=True,
    elapsed=10.0,
    files_per_second=5.0,
    bytes_per_second=50.0,
    remaining=14.0,
)


def test_a_terminal_shows_a_live_table() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with JobDisplay(console) as display:
        display.show(STATUS)
    text = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    for part in ("40 of 100", "2 running", "2 failed, 1 refused", "00:00:14", "3 retries"):
        assert part in text


def test_elsewhere_a_line_is_logged_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=60)
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with JobDisplay(console) as display:
        for _ in range(20):
            now += 0.5
            display.show(STATUS)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]  # a StringIO
    assert len(lines) == 2
    assert lines[0].startswith("40 of 100 files done, 50 uploaded")
    assert lines[0].endswith("about 14 s left")
