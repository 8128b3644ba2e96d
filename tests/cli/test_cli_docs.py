"""The guide to the command line is correct."""

import re
import subprocess
import sys
from importlib.resources import files
from typing import TYPE_CHECKING

import aihub_async
from aihub_async.cli.exits import MEANINGS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Command

GUIDE = files(aihub_async).joinpath("docs/command-line.md").read_text()


def test_the_table_of_exit_codes_is_that_of_the_program() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", GUIDE, re.MULTILINE)
    assert {int(code): text.replace("\\|", "|") for code, text in rows} == {
        int(code): text for code, text in MEANINGS.items()
    }


def test_every_command_is_in_the_guide() -> None:
    from typer.main import get_command

    from aihub_async.cli.app import app

    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]  # the app is a group
        assert f"`{name}" in GUIDE, name
        for inner in getattr(command, "commands", ()):
            assert re.search(rf"`{name} {inner}`|`{inner}`", GUIDE), f"{name} {inner}"


def test_the_commands_run(aihub: "Command", documents: "Path") -> None:
    documents.rename(documents.with_name("invoices"))
    (commands,) = re.findall(r"^```bash\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    script = f'aihub() {{ "{sys.executable}" -m aihub_async.cli "$@"; }}\nset -e\n{commands}'
    done = subprocess.run(
        ["bash", "-c", script],
        env=aihub.environment,
        cwd=aihub.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (aihub.folder / "march.csv").read_text().startswith("file,document,class_name")
