"""What the API can, from a shell: runs, batches and files."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aihub_async.cli.exits import ExitCode
from aihub_async.emulator import Emulator, Fault

if TYPE_CHECKING:
    from tests.cli.conftest import Call, Command

DRIVE = "/acme/jane.doe_acme.com/fs/Instabase Drive"


@pytest.fixture
def batch(call: "Call", tmp_path: Path) -> str:
    (tmp_path / "note.txt").write_text("Total: 1")
    code, out, err = call("upload", "note.txt", "--batch-name", f"batch of {tmp_path.name}")
    assert code == 0, err
    return out.strip()


@pytest.fixture
def run_id(call: "Call", batch: str) -> str:
    return str(document(call, "process", "--batch-id", batch, "--app", "key-values")["run"]["id"])


def document(call: "Call", *arguments: str | Path) -> Any:
    code, out, err = call(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def rows(out: str) -> list[dict[str, str]]:
    header, *lines = out.splitlines()
    return [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]


def test_runs_are_listed_shown_and_waited_for(call: "Call", run_id: str, batch: str) -> None:
    code, out, err = call("runs", "list")
    assert code == 0, err
    (row,) = [row for row in rows(out) if row["id"] == run_id]
    assert (row["status"], row["batch_id"]) == ("COMPLETE", batch)
    assert run_id not in [run["id"] for run in document(call, "runs", "list", "--status", "failed")]
    assert len(document(call, "runs", "list", "--limit", "1", "--since", "1h")) == 1
    assert document(call, "runs", "show", run_id)["status"] == "COMPLETE"
    assert document(call, "runs", "wait", run_id, "--timeout", "20")["id"] == run_id
    assert f"id\t{run_id}" in call("runs", "show", run_id)[1]


def test_results_of_a_run(call: "Call", run_id: str, tmp_path: Path) -> None:
    fields = document(call, "runs", "results", run_id)["fields"]
    assert [(row["file"], row["field"], row["value"]) for row in fields] == [("note.txt", "Total", "1")]
    assert call("results", run_id, "--out", "r.csv")[0] == 0
    assert (tmp_path / "r.csv").read_text().splitlines()[1].startswith("note.txt,0,")


def test_a_run_that_waits_for_a_review(call: "Call", emulator: Emulator, batch: str) -> None:
    emulator.app("Reviewed", outcome="STOPPED_AT_CHECKPOINT")(lambda document: {"a": "1"})
    code, _, err = call("process", "--batch-id", batch, "--app", "Reviewed")
    run = emulator.runs()[-1]["id"]
    assert code == 6
    assert f"aihub results {run}" in err
    emulator.complete_review(run)
    assert call("results", run)[0] == 0


def test_a_run_that_fails(call: "Call", emulator: Emulator, batch: str) -> None:
    emulator.app("Failing", outcome="FAILED")(lambda document: {"a": "1"})
    code, out, _ = call("process", "--batch-id", batch, "--app", "Failing", "--json")
    error = json.loads(out)["error"]
    assert (code, error["type"], error["run"]["status"]) == (1, "RunFailedError", "FAILED")


def test_a_wait_that_runs_out(call: "Call", emulator: Emulator, batch: str) -> None:
    emulator.hold_runs()
    try:
        code, _, err = call("process", "--batch-id", batch, "--app", "key-values", "--timeout", "0.2")
    finally:
        emulator.release_runs()
    assert code == 6
    assert emulator.runs()[-1]["id"] in err


def test_a_run_is_deleted_and_its_batch_is_kept(call: "Call", run_id: str, batch: str) -> None:
    code, _, err = call("runs", "delete", run_id)
    assert code == 2
    assert "--yes" in err
    assert len(document(call, "runs", "delete", run_id, "--keep-input", "--yes")["jobs"]) == 2
    assert call("runs", "show", run_id)[0] == 1
    assert document(call, "batches", "show", batch)["id"] == int(batch)


def test_batches(call: "Call", batch: str, tmp_path: Path) -> None:
    made = document(call, "batches", "create", "by hand")
    assert rows(call("batches", "list", "--limit", "500")[1])[-1]["name"] == "by hand"
    assert document(call, "batches", "show", str(made["batch_id"]))["name"] == "by hand"
    assert rows(call("batches", "files", batch)[1])[0] | {"modified": ""} == {
        "name": "note.txt",
        "size": "8",
        "modified": "",
    }
    assert document(call, "batches", "remove-file", batch, "note.txt", "-y")["file"] == "note.txt"
    assert document(call, "batches", "files", batch) == []
    assert document(call, "batches", "delete", batch, "--yes")["job_id"]
    code, _, err = call("batches", "show", batch)
    assert (code, "404" in err) == (1, True)


def test_files(call: "Call", tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    assert document(call, "files", "put", "a.txt", f"{DRIVE}/in/a.txt") == {"path": f"{DRIVE}/in/a.txt", "bytes": 5}
    assert call("files", "put", "a.txt", f"{DRIVE}/in/a.txt", "--no-clobber")[0] == 1
    assert [row["name"] for row in rows(call("files", "list", f"{DRIVE}/in")[1])] == ["a.txt"]
    facts = document(call, "files", "info", f"{DRIVE}/in/a.txt")
    assert (facts["type"], facts["size"]) == ("file", 5)
    code, out, err = call("files", "get", f"{DRIVE}/in/a.txt", "b.txt")
    assert (code, Path(out.strip()).name) == (0, "b.txt"), err
    assert (tmp_path / "b.txt").read_text() == "hello"
    assert call("files", "delete", f"{DRIVE}/in/a.txt", "--yes")[0] == 0
    assert call("files", "info", f"{DRIVE}/in/a.txt")[0] == 1


def test_a_person_is_asked_before_a_deletion(aihub: "Command", emulator: Emulator) -> None:
    batch = aihub("batches", "create", "kept").stdout.strip()
    code, shown = aihub.on_terminal("batches", "delete", batch, typed="n\n")
    assert code == 1
    assert "nothing was changed" in shown
    assert aihub("batches", "show", batch).returncode == 0
    code, shown = aihub.on_terminal("batches", "delete", batch, typed="y\n")
    assert code == 0, shown
    assert aihub("batches", "show", batch).returncode == 1


@pytest.mark.parametrize("options", [(), ("--quiet",), ("-v",)])
def test_retries_that_last_are_mentioned_once(
    call: "Call", emulator: Emulator, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setattr("aihub_async.transport.reporting.LASTING_RETRIES", 0.0)
    emulator.faults.add(Fault(kind="status", status=503, operation="listBatches", times=2))
    code, _, err = call("batches", "list", *options)
    assert code == 0
    warnings = [text for text in err.splitlines() if text.startswith("aihub: warning: GET /v2/batches: 503, attempt 1")]
    assert len(warnings) == 1, err
    assert ("info: GET /v2/batches: 503, attempt 2" in err) == (options == ("-v",))


def test_verbose_quiet_and_logs(call: "Call", batch: str) -> None:
    assert call("batches", "delete", batch, "--yes", "--quiet")[2] == ""
    logger = logging.getLogger("aihub_async")
    before = (logger.level, list(logger.handlers))
    _, _, err = call("batches", "list", "-vv")
    assert "debug: GET /v2/batches" in err
    # A program that runs a command in its own process keeps its logging.
    assert (logger.level, logger.handlers) == before
    assert call("batches", "show", "1", "-vv", "--bad-option")[0] == ExitCode.USAGE
    assert (logger.level, logger.handlers) == before
