"""Bad input of every kind to every command: one line, a documented exit code, no traceback."""

import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aihub_async.cli.exits import MEANINGS, ExitCode

if TYPE_CHECKING:
    from tests.cli.conftest import Call

HOSTILE = [
    "", " ", "-", "--", "-1", "0", "1", "99999", "1e999", "nan", ".", "./", "~", "%2e%2e", "..%2f", "a/b", "a?b#c",
    "\\", "[bold]", "[/x]", "\x1b[2J", "\x9b", "\n", "a\r\nb", "\0", "\ud83d", "\u202e", "caf\u00e9", "s3://b/x",
    "file:///etc", "http://x", "/dev/null", "/proc/self/mem", "a" * 300, "a" * 5000, "note.txt", "x.csv", "x.parquet",
    "'", '"', "$(x)", "{}", "[]", '{"run_id": 1}', "--json", "--quiet", "-vv",
]  # fmt: skip
COMMANDS = {
    "process": ["--app", "--app-id", "--deployment-id", "--owner", "--version", "--timeout", "--out", "--include",
                "--exclude", "--batch-id", "--batch-name", "--workspace", "--relative", "--skip-existing"],
    "upload": ["--include", "--exclude", "--batch-id", "--batch-name", "--workspace", "--concurrency", "--verify"],
    "results": ["--out", "--timeout"],
    "runs list": ["--app", "--app-id", "--status", "--since", "--limit"],
    "runs show": [],
    "runs results": ["--out", "--timeout"],
    "runs delete": ["--yes", "--keep-input"],
    "batches list": ["--workspace", "--username", "--limit"],
    "batches show": [],
    "batches create": ["--workspace"],
    "batches files": [],
    "batches remove-file": ["--yes"],
    "batches delete": ["--yes"],
    "files list": [],
    "files info": [],
    "files get": [],
    "files put": ["--no-clobber"],
    "files delete": ["--yes"],
    "view": ["--out", "--source", "--max-pages"],
    "schema": ["--style"],
    "compare": [],
    "score": [],
    "record": ["--to"],
    "ingest plan": ["--out", "--app", "--journal", "--include", "--format", "--rows", "--batch-files"],
    "ingest run": ["--out", "--app", "--journal", "--include", "--format", "--rows", "--report"],
    "ingest status": ["--journal"],
    "ingest retry-failed": ["--out", "--app"],
    "ingest rebuild": ["--out", "--app"],
    "whoami": [],
    "doctor": ["--bundle"],
}  # fmt: skip
CONNECTION = ["--api-key", "--ib-context", "--api-root", "--profile", "--json"]


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    name = draw(st.sampled_from(sorted(COMMANDS)))
    words = draw(st.lists(st.sampled_from(HOSTILE), max_size=3))
    for option in draw(st.lists(st.sampled_from(COMMANDS[name] + CONNECTION), max_size=3)):
        words += [option, draw(st.sampled_from(HOSTILE))]
    return [*name.split(), *words]


def steers_a_terminal(text: str) -> bool:
    return any(unicodedata.category(character) in {"Cc", "Cs"} and character not in "\n\t" for character in text)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arguments=command_lines())
def test_bad_input_ends_in_one_line(call: "Call", arguments: list[str]) -> None:
    code, out, err = call(*arguments)
    assert code in MEANINGS
    assert code != ExitCode.INTERNAL, (arguments, err)
    assert "Traceback" not in out + err
    assert not steers_a_terminal(out + err)
    if code == ExitCode.USAGE and "-vv" not in arguments:
        assert len([line for line in err.splitlines() if line.startswith("aihub: ")]) == 1, (arguments, err)


@pytest.mark.parametrize(
    "kind", ["status", "html", "redirect", "echo-authorization", "nulls", "unknown-fields", "unknown-enum"]
)
def test_bad_answers_end_in_one_line(call: "Call", kind: str) -> None:
    from aihub_async.emulator import Emulator, Fault

    with Emulator(faults=[Fault(kind=kind, status=400)]).in_thread() as hub:  # type: ignore[arg-type]  # one of the kinds
        for line in (
            "batches list",
            "runs list",
            "runs show x",
            "batches create x",
            "files info /a/b",
            "whoami",
            "doctor",
        ):
            code, out, err = call(*line.split(), "--api-root", hub.api_root, "--api-key", hub.api_key)
            assert code in {0, 1, 4, 5}, (line, err)
            assert "Traceback" not in out + err
