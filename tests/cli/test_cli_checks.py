"""Nothing is sent before the cheap checks have passed, and every refusal shows how to continue."""

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aihub_async.cli.exits import code_of, explain
from aihub_async.emulator import Emulator, Fault

if TYPE_CHECKING:
    from tests.cli.conftest import Call, Command

RUN = ("--app", "key-values")


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note.txt"
    path.write_text("Total: 1")
    return path


def refused(call: "Call", emulator: Emulator, *arguments: str | Path) -> str:
    """Run a command that is refused; return its one line, which follows the list of files that are to blame."""
    before = emulator.requests.total
    code, out, err = call(*arguments)
    assert code == 2, err
    assert out == ""
    lines = [line for line in err.splitlines() if not line.startswith("failed ")]
    assert len(lines) == 1
    assert lines[0].startswith("aihub: ")
    assert emulator.requests.total == before, "a request was sent"
    return err


def test_sources_are_checked_first(call: "Call", emulator: Emulator, tmp_path: Path, note: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "nosuch.pdf" in refused(call, emulator, "process", "nosuch.pdf", *RUN)
    assert "no files" in refused(call, emulator, "process", "empty", *RUN)
    assert "--include" in refused(call, emulator, "upload", ".", "--include", "*.nothing")
    assert "no files" in refused(call, emulator, "upload", "empty")
    assert "name files" in refused(call, emulator, "process", *RUN)


def test_two_files_of_one_name_have_a_way_out(call: "Call", emulator: Emulator, tmp_path: Path) -> None:
    for folder in ("in/a", "in/b"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "scan.txt").write_text(f"Folder: {folder}")
    said = refused(call, emulator, "process", "in", *RUN)
    assert said.count("--relative") == 2, "in the line of the file, and in the summary"
    assert "naming=" not in said
    assert not re.search(r"(in/./scan\.txt: )\1", said), "the summary names the file once"
    code, out, err = call("process", "in", *RUN, "--relative", "--json")
    assert code == 0, err
    assert {row["file"] for row in json.loads(out)["fields"]} == {"a__scan.txt", "b__scan.txt"}
    code, out, err = call("process", "in", *RUN, "--exclude", "b", "--json")
    assert {row["file"] for row in json.loads(out)["fields"]} == {"scan.txt"}


def test_the_api_is_asked_for_the_app_before_the_upload(call: "Call", emulator: Emulator, note: Path) -> None:
    before = emulator.requests.count("createBatch")
    emulator.faults.add(Fault(kind="status", status=404, operation="listRuns", message="There is no app 'nobody'."))
    try:
        code, _, err = call("process", note, "--app", "nobody")
    finally:
        emulator.faults.clear()
    assert (code, "nobody" in err) == (1, True)
    assert emulator.requests.count("createBatch") == before


def test_files_of_the_operating_system_are_left_out(call: "Call", tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in (".DS_Store", "Thumbs.db", "a.txt"):
        (tmp_path / "in" / name).write_text("Total: 1")
    code, out, err = call("process", "in", *RUN, "--json")
    assert code == 0, err
    assert {row["file"] for row in json.loads(out)["fields"]} == {"a.txt"}
    assert ".DS_Store" in err


def test_more_files_than_a_run_takes(call: "Call", emulator: Emulator, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(1001):
        (folder / f"{number}.txt").touch()
    assert "aihub ingest" in refused(call, emulator, "process", "many", *RUN)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("folder.csv", "folder"),
        ("note.txt/x.csv", "not a folder"),
        ("x.pdf", ".parquet"),
        ("x", ".jsonl"),
        ("", ".jsonl"),
        ("s3://bucket/x.csv", "URL"),
        ("a\0.csv", "null"),
        ("n" * 300 + ".csv", "long"),
    ],
)
def test_outputs_are_checked_first(
    call: "Call", emulator: Emulator, tmp_path: Path, note: Path, target: str, said: str
) -> None:
    (tmp_path / "folder.csv").mkdir()
    assert said in refused(call, emulator, "process", note, *RUN, "--out", target)


def test_a_package_that_is_missing_is_named_first(
    call: "Call", emulator: Emulator, note: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'aihub-async[parquet]'" in refused(call, emulator, "process", note, *RUN, "--out", "x.parquet")


def test_an_extra_that_is_missing_is_named() -> None:
    missing = ModuleNotFoundError("No module named 'xlsxwriter'", name="xlsxwriter")
    assert code_of(missing) == 2
    assert "pip install 'aihub-async[xlsx]'" in explain(missing)
    assert code_of(ModuleNotFoundError("x", name="nosuch")) == 70


def test_no_fields_is_said(aihub: "Command", tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("nothing here")
    code, shown = aihub.on_terminal("process", "a.txt", *RUN)
    assert code == 0
    assert "no fields were found" in shown


def test_the_folder_of_an_output_is_made(call: "Call", note: Path, tmp_path: Path) -> None:
    code, out, err = call("process", note, *RUN, "--out", "deep/er/x.jsonl")
    assert code == 0, err
    assert out == ""
    (row,) = [json.loads(line) for line in (tmp_path / "deep/er/x.jsonl").read_text().splitlines()]
    assert (row["field"], row["value"]) == ("Total", "1")


@pytest.mark.parametrize("suffix", ["csv", "xlsx", "parquet", "jsonl"])
def test_every_format_is_written(call: "Call", note: Path, tmp_path: Path, suffix: str) -> None:
    code, _, err = call("process", note, *RUN, "--out", f"x.{suffix}", "--quiet")
    assert (code, err) == (0, "")
    assert (tmp_path / f"x.{suffix}").stat().st_size > 0


def test_results_are_tsv_when_piped_and_for_a_dash(call: "Call", note: Path) -> None:
    for more in ((), ("--out", "-")):
        code, out, err = call("process", note, *RUN, *more)
        assert code == 0, err
        header, row = out.splitlines()
        values = dict(zip(header.split("\t"), row.split("\t"), strict=True))
        assert (values["file"], values["field"], values["value"], values["page"]) == ("note.txt", "Total", "1", "1")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["process", "note.txt"], "--app"),
        (["process", "note.txt", "--app", "a", "--app-id", "b"], "only one of --app and --app-id"),
        (["process", "note.txt", "--app", ""], "empty"),
        (["process", "note.txt", "--app", "a", "--skip-existing"], "--batch-id"),
        (["process", "note.txt", "--app", "a", "--batch-id", "1", "--batch-name", "b"], "not both"),
        (["process", "note.txt", "--app", "a", "--timeout", "soon"], "--timeout"),
        (["upload", "note.txt", "--batch-name", "n" * 256], "255"),
        (["upload", "note.txt", "--concurrency", "0"], "--concurrency"),
        (["upload", "note.txt", "--batch-id", "x"], "--batch-id"),
        (["upload"], "SOURCE"),
        (["results", "a/b"], "run id"),
        (["runs", "list", "--since", "yesterday"], "--since"),
        (["runs", "list", "--status", "GONE"], "GONE"),
        (["batches", "create", ""], "255"),
        (["batches", "show", "x"], "BATCH_ID"),
        (["files", "put", "nosuch", "/a/b"], "nosuch"),
        (["results", "x", "--api-root", "ftp://x"], "--api-root"),
        (["results", "x", "--api-root", "http://example.com/api"], "AIHUB_ALLOW_INSECURE=1"),
        (["results", "x", "--api-key", "a\nb"], "--api-key"),
        (["results", "x", "--ib-context", "a\nb"], "--ib-context"),
        (["serve", "--app", "nosuch:x"], "nosuch"),
        (["serve", "--app", "json"], "MODULE:FUNC"),
        (["serve", "--app", "json:nosuch"], "nosuch"),
        (["serve", "--scenario", "nosuch.toml"], "nosuch.toml"),
        (["serve", "--port", "70000"], "--port"),
        (["demo", "--folder", "note.txt"], "note.txt"),
        (["webhook", "listen", "--answer", "99"], "--answer"),
        (["nosuch"], "nosuch"),
        (["process", "--nosuch"], "--help"),
    ],
)
def test_usage_errors_end_with_2(call: "Call", emulator: Emulator, note: Path, arguments: list[str], said: str) -> None:
    assert said in refused(call, emulator, *arguments)


def test_a_failure_is_json_too(call: "Call", note: Path) -> None:
    code, out, _ = call("runs", "show", "nosuch", "--json")
    error = json.loads(out)["error"]
    assert (code, error["exit_code"], error["type"], error["status"]) == (1, 1, "NotFoundError", 404)
    code, out, _ = call("runs", "show", "--json")
    assert json.loads(out)["error"]["exit_code"] == code == 2


def test_a_batch_that_is_not_there_is_one_error(call: "Call", tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.txt").write_text("x")
    code, _, err = call("upload", "in", "--batch-id", "99999")
    assert (code, err.count("\n")) == (1, 1)
    assert "404" in err


def test_a_document_that_cannot_be_read_is_a_failure(call: "Call", note: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    code, out, err = call("process", "note.txt", "broken.pdf", *RUN, "--json")
    assert code == 3
    found = json.loads(out)
    assert [failed["file"] for failed in found["failed"]] == ["broken.pdf"]
    assert "ERROR" not in [row["value"] for row in found["fields"]]
    assert "1 of 2 files" in err


def test_the_same_batch_name_again_is_mentioned(call: "Call", note: Path) -> None:
    _, first, err = call("upload", note, "--batch-name", "twice")
    assert "warning" not in err
    code, second, err = call("upload", note, "--batch-name", "twice")
    assert code == 0
    assert first != second
    assert f"--batch-id {first.strip()}" in err


def test_an_upload_as_json(call: "Call", note: Path) -> None:
    code, out, err = call("upload", note, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["files"], found["bytes"], sorted(found)) == (1, 8, ["batch_id", "bytes", "files", "seconds"])
    assert "1 file, 8 bytes" in err


def test_an_upload_is_continued(call: "Call", emulator: Emulator, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    _, batch, _ = call("upload", "in")
    (folder / "b.txt").write_text("b")
    (folder / "a.txt").write_text("longer")
    (folder / "c.txt").write_text("c")
    before = emulator.requests.count("addFileToBatch")
    assert call("upload", "in", "--batch-id", batch.strip(), "--skip-existing")[0] == 0
    assert call("upload", "in", "--batch-id", batch.strip(), "--skip-existing")[0] == 0
    assert emulator.requests.count("addFileToBatch") - before == 3
    assert [file.size for file in emulator.batch_files(int(batch))] == [6, 1, 1]


def test_an_existing_batch_is_processed(call: "Call", note: Path) -> None:
    _, batch, _ = call("upload", note)
    code, out, err = call("process", "--batch-id", batch.strip(), *RUN)
    assert code == 0, err
    assert "note.txt\t" in out


def test_text_of_others_is_printed_as_it_is(aihub: "Command", tmp_path: Path) -> None:
    (tmp_path / "a [final].txt").write_text("Path: C:\\scans\\[/x]\nEvil: \x1b]52;c;cm0gLXJm\x07\x1b[2J\n")
    code, shown = aihub.on_terminal("process", "a [final].txt", *RUN)
    assert code == 0, shown
    assert "a [final].txt" in shown
    assert "C:\\scans\\[/x]" in shown
    assert "\x1b]52" not in shown
    assert "\x1b[2J" not in shown


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_characters_that_the_terminal_lacks_are_replaced(aihub: "Command", tmp_path: Path, encoding: str) -> None:
    (tmp_path / "caf\u00e9 \u65e5.txt").write_text("Name: \u65e5\u672c", encoding="utf-8")
    done = aihub("process", "caf\u00e9 \u65e5.txt", *RUN, env={"PYTHONIOENCODING": encoding})
    assert done.returncode == 0, done.stderr
    assert "??" in done.stdout
    as_json = aihub("process", "caf\u00e9 \u65e5.txt", *RUN, "--json", env={"PYTHONIOENCODING": encoding})
    assert json.loads(as_json.stdout)["fields"][0]["value"] == "\u65e5\u672c"


def test_a_closed_pipe_is_no_failure_to_report(aihub: "Command", note: Path) -> None:
    import subprocess

    process = subprocess.Popen(
        aihub.line("process", note, *RUN), env=aihub.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    assert b"Traceback" not in errors
    assert b"Exception ignored" not in errors
    assert process.returncode == 141


def test_columns_fit_narrow_terminals(aihub: "Command", documents: Path) -> None:
    for columns in (60, 80):
        code, shown = aihub.on_terminal("process", documents, *RUN, columns=columns)
        table = re.sub(r"\x1b\[[0-9;]*m", "", shown[shown.index("Extracted fields") :])
        assert code == 0
        assert max(map(len, table.splitlines())) <= columns


def test_no_color_means_no_color(aihub: "Command", note: Path) -> None:
    _, plain = aihub.on_terminal("process", "nosuch", *RUN)
    _, colored = aihub.on_terminal("process", "nosuch", *RUN, env={"NO_COLOR": ""})
    assert "\x1b[1;31m" in colored
    assert "31m" not in plain
