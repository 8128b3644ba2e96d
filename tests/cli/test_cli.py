"""The `aihub` command, as a user runs it: in its own process, against an emulator."""

import csv
import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aihub_async.cli.exits import ExitCode
from aihub_async.emulator import Emulator

if TYPE_CHECKING:
    from tests.cli.conftest import Call, Command


def test_demo_shows_fields_files_and_the_script(aihub: "Command") -> None:
    done = aihub("demo", "--folder", "samples")
    assert done.returncode == 0, done.stderr
    written = sorted(path.suffix for path in (aihub.folder / "samples").iterdir())
    assert written.count(".pdf") >= 2
    assert {".csv", ".eml"} <= set(written)
    assert "Extracted fields" in done.stdout
    assert "samples/" in done.stdout
    script = done.stdout[done.stdout.index("from aihub_async") :]
    (aihub.folder / "ten_lines.py").write_text("\n".join(line.rstrip() for line in script.splitlines()))
    again = subprocess.run(
        [sys.executable, "ten_lines.py"],
        env=aihub.environment,
        cwd=aihub.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert ".pdf\t" in again.stdout


def test_process_prints_a_table(aihub: "Command", documents: Path) -> None:
    code, shown = aihub.on_terminal("process", documents, "--app", "key-values")
    assert code == 0, shown
    assert "Extracted fields" in shown
    assert "COMPLETE" in shown


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_process_writes_one_row_per_field(aihub: "Command", documents: Path, suffix: str) -> None:
    target = aihub.folder / f"results.{suffix}"
    done = aihub("process", documents, "--app", "key-values", "--out", target)
    assert done.returncode == 0, done.stderr
    with target.open(newline="") as file:
        rows = [json.loads(line) for line in file] if suffix == "jsonl" else list(csv.DictReader(file))
    assert {row["file"] for row in rows} == {path.name for path in documents.iterdir()}
    assert f"{len(rows)} fields" in done.stderr
    assert all(row["field"] for row in rows)


def test_process_on_an_emulator_of_its_own_needs_no_account(aihub: "Command", documents: Path) -> None:
    del aihub.environment["AIHUB_API_KEY"], aihub.environment["AIHUB_API_ROOT"]
    done = aihub("process", documents, "--app", "key-values", "--emulator")
    assert done.returncode == 0, done.stderr


def test_upload_prints_the_batch(aihub: "Command", documents: Path, emulator: Emulator) -> None:
    done = aihub("upload", documents, "--batch-name", "march", "--include", "*.pdf", "--verify")
    assert done.returncode == 0, done.stderr
    stored = emulator.batch_files(int(done.stdout))
    assert [file.name for file in stored] == sorted(path.name for path in documents.glob("*.pdf"))


def test_results_of_a_run_started_elsewhere(aihub: "Command", documents: Path, emulator: Emulator) -> None:
    aihub("process", documents, "--app", "key-values")
    code, shown = aihub.on_terminal("results", emulator.runs()[-1]["id"])
    assert code == 0, shown
    assert "Extracted fields" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["process", "missing.pdf", "--app", "key-values"], 2, "missing.pdf"),
        (["process", ".", "--app", "nobody"], 1, "nobody"),
        (["process", "."], 2, "--app"),
        (["process", ".", "--app", "key-values", "--out", "a.xml"], 2, ".jsonl"),
        (["results", "no-such-run"], 1, "404"),
    ],
)
def test_errors_are_one_line_that_names_the_thing(aihub: "Command", arguments: list[str], code: int, said: str) -> None:
    (aihub.folder / "note.txt").write_text("Total: 1")
    done = aihub(*arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_key_says_what_to_set(aihub: "Command") -> None:
    del aihub.environment["AIHUB_API_KEY"]
    done = aihub("results", "x")
    assert done.returncode == 2
    assert "AIHUB_API_KEY" in done.stderr
    assert "--api-key" in done.stderr
    assert "api_key" not in done.stderr


def commands() -> list[str]:
    """Return all commands, those of groups as `runs list`."""
    from typer.main import get_command

    from aihub_async.cli.app import app

    found = []
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]  # the app is a group
        inner = getattr(command, "commands", None)
        found += [name] if inner is None else [f"{name} {each}" for each in inner]
    return found


def test_every_command_is_listed(aihub: "Command") -> None:
    listed = aihub("--help").stdout
    for command in commands():
        assert command.split()[0] in listed
    for code in ExitCode:
        assert f"{int(code)}  " in listed


@pytest.mark.parametrize("command", commands())
def test_every_command_has_help_with_an_example_and_json(call: "Call", command: str) -> None:
    code, out, _ = call(*command.split(), "--help")
    assert code == 0
    assert f"Example: aihub {command}" in " ".join(out.split())
    for option in ("--json", "--quiet", "--verbose"):
        assert option in out


@pytest.mark.parametrize("command", commands())
def test_help_fits_a_narrow_terminal_with_every_option_in_full(
    call: "Call", monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    code, out, _ = call(*command.split(), "--help")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 60
    shown = set(re.findall(r"--[a-z][a-z-]*", out))
    monkeypatch.setenv("COLUMNS", "200")
    wide = call(*command.split(), "--help")[1]
    assert set(re.findall(r"--[a-z][a-z-]*", wide)) == shown
    assert not re.search(r"--[a-z-]*…", wide)


def test_serve_prints_its_root_once_it_answers_and_stops_on_ctrl_c(aihub: "Command") -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "aihub_async.cli", "serve", "--api-key", "mine"],
        env=aihub.environment,
        cwd=aihub.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        root = server.stdout.readline().strip().removeprefix("export AIHUB_API_ROOT=")
        assert server.stdout.readline() == "export AIHUB_API_KEY=mine\n"
        aihub.environment.update(AIHUB_API_ROOT=root, AIHUB_API_KEY="mine")
        (aihub.folder / "note.txt").write_text("Total: 1")
        assert aihub("process", "note.txt", "--app", "key-values").returncode == 0
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=10)
    finally:
        server.kill()
        server.communicate(timeout=20)
    assert server.returncode == 0
    assert "Traceback" not in errors


def test_webhook_listen_shows_deliveries_and_hides_secrets(aihub: "Command") -> None:
    listener = subprocess.Popen(
        [sys.executable, "-m", "aihub_async.cli", "webhook", "listen", "--port", "0"],
        env=aihub.environment,
        cwd=aihub.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert listener.stdout is not None
        url = listener.stdout.readline().strip()
        delivery = urllib.request.Request(
            url + "hook", b'{"job_id": "r1"}', {"X-AIHub-Webhook-Secret": "hush", "Content-Type": "application/json"}
        )
        with urllib.request.urlopen(delivery, timeout=10) as answer:
            assert answer.status == 200
        listener.send_signal(signal.SIGINT)
        shown, _ = listener.communicate(timeout=10)
    finally:
        listener.kill()
        listener.communicate(timeout=20)
    assert listener.returncode == 0
    assert '"job_id": "r1"' in shown
    assert "hush" not in shown
