import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


def test_a_folder_may_have_the_name_of_a_command(command: Command, make_files: MakeFiles) -> None:
    make_files("status", 2)
    assert "2 of 2 files done" in command.run("run", "status", "--app", "Invoices", "--out", "results")
    assert "2 of 2 files done" in command.run("./status", "--app", "Invoices", "--out", "others")


def test_status_of_a_lone_copy_in_a_folder_that_is_read_only(command: Command, make_files: MakeFiles) -> None:
    make_files("scans", 2)
    command.run(*JOB)
    folder = command.folder / "copy"
    folder.mkdir()
    shutil.copy(command.folder / "results" / ".aihub" / "job.db", folder / "job.db")
    folder.chmod(0o555)
    try:
        assert "2 of 2 files done" in command.run("status", "copy/job.db")
        assert sorted(path.name for path in folder.iterdir()) == ["job.db"]
    finally:
        folder.chmod(0o755)


def test_a_job_in_review_says_what_waits_and_how_to_continue(command: Command, make_files: MakeFiles) -> None:
    @command.hub.app("reviewed", outcome="STOPPED_AT_CHECKPOINT")
    def reviewed(document: Any) -> dict[str, str]:
        return {"length": str(len(document.text))}

    make_files("scans", 2)
    job = ("scans", "--app", "reviewed", "--out", "results")
    said = command.run(*job, code=6)
    run_id = command.hub.runs()[0]["id"]
    assert f"run {run_id}: 2 files wait for a review" in said
    assert "run the same job again" in said
    assert run_id in (command.folder / "results" / "review.jsonl").read_text()
    command.hub.complete_review(run_id)
    assert "2 of 2 files done" in command.run(*job)
    assert not (command.folder / "results" / "review.jsonl").exists()


JOB = ("scans", "--app", "Invoices", "--out", "results")


def test_a_job_from_plan_to_report(command: Command, make_files: MakeFiles) -> None:
    make_files("scans", 7)
    plan = command.run("plan", *JOB)
    assert "7 (0.0 MB): 7 txt" in plan
    assert command.hub.requests.total == 0
    done = command.run(*JOB, "--report", "report.html")
    assert "7 of 7 files done" in done
    assert "7 of 7" in (command.folder / "report.html").read_text()
    assert "7 of 7 files done" in command.run("status", "results/.aihub/job.db")
    assert "7 of 7 files done" in command.run("status", "results")
    assert len((command.folder / "results" / "part-000001.jsonl").read_text().splitlines()) == 7


def test_failures_are_named_and_retried(command: Command, make_files: MakeFiles) -> None:
    make_files("scans", 4)
    command.hub.faults.add(Fault(kind="status", status=413, operation="addFileToBatch", path="doc-00001"))
    assert "failures.jsonl" in command.run(*JOB, code=3)
    command.hub.faults.clear()
    assert "4 of 4 files done" in command.run("retry-failed", *JOB)
    assert not (command.folder / "results" / "failures.jsonl").exists()


def test_mistakes_are_told_in_one_line(command: Command, make_files: MakeFiles) -> None:
    make_files("scans", 1)
    assert "pass --out" in command.run("scans", "--app", "Invoices", code=2)
    assert "nothing: there is no such file" in command.run("nothing", "--app", "Invoices", "--out", "results", code=2)
    assert "--engine dask" in command.run(*JOB, "--scheduler", "tcp://127.0.0.1:1", code=2)
    assert "one of --app" in command.run("scans", "--out", "results", code=2)
    assert "nosuch://bucket/out" in command.run("scans", "--app", "Invoices", "--out", "nosuch://bucket/out", code=2)
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
    assert process.returncode == 130, output + errors
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
            now += 1.0
            display.show(STATUS)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]  # a StringIO
    assert len(lines) == 2
    assert lines[0].startswith("waiting for runs: 40 of 100 files done, 50 uploaded")
    assert lines[0].endswith("about 14 s left")


def test_a_source_without_files_is_noticed(command: Command) -> None:
    (command.folder / "scans").mkdir()
    assert "warning: the sources hold no files" in command.run("scans", "--app", "key-values", "--out", "results")
    (command.folder / "scans" / "a.txt").write_text("Total: 1")
    assert "warning" not in command.run("scans", "--app", "key-values", "--out", "results")


@pytest.mark.parametrize("sources", [["nosuch"], ["scans", "nosuch"], ["watch", "nosuch"]])
def test_a_missing_source_is_refused_before_anything_else(command: Command, sources: list[str]) -> None:
    """Also one of several: a mistyped command would pass for a job whose files were all refused."""
    (command.folder / "scans").mkdir()
    (command.folder / "scans" / "a.txt").write_text("Total: 1")
    said = command.run(*sources, "--app", "key-values", "--out", "results", code=2)
    assert f"{'watch' if 'watch' in sources else 'nosuch'}: there is no such file or folder" in said
    assert not (command.folder / "results").exists()
    assert command.hub.requests.total == 0
