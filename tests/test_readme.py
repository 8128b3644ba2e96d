"""Every block of code in the README runs, against one emulator, in a folder with the sample documents."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aihub_async.emulator import Emulator, write_samples

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TEXT = README.read_text()


def blocks(*languages: str) -> list[object]:
    found = []
    for match in BLOCK.finditer(TEXT):
        if match[1] in languages:
            line = TEXT.count("\n", 0, match.start()) + 1
            found.append(pytest.param(match[2], id=f"line {line}"))
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a user: an emulator to talk to, and the command on PATH."""
    with Emulator().in_thread() as hub:
        scripts = str(Path(sys.executable).parent)
        yield {
            **os.environ,
            "AIHUB_API_KEY": hub.api_key,
            "AIHUB_API_ROOT": hub.api_root,
            "PATH": scripts + os.pathsep + os.environ["PATH"],
            "PYTHONWARNINGS": "error",
            "PYTHONPATH": str(README.parent),
            "NO_COLOR": "1",
        }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    documents = tmp_path / "invoices"
    documents.mkdir()
    write_samples(documents)
    return tmp_path


def run(command: list[str], world: dict[str, str], folder: Path) -> str:
    done = subprocess.run(command, env=world, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("code", blocks("python"))
def test_python(code: str, world: dict[str, str], folder: Path) -> None:
    for package in ("fastapi", "uvicorn"):
        if f"import {package}" in code or f"from {package} " in code:
            pytest.importorskip(package, reason=f"{package} is not installed")
    if "def test_" in code:
        (folder / "pytest.ini").write_text(
            "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
        )
        (folder / "test_users.py").write_text(code)
        run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_users.py"], world, folder)
        return
    (folder / "script.py").write_text(code)
    run([sys.executable, "script.py"], world, folder)


@pytest.mark.parametrize("code", blocks("sh"))
def test_shell(code: str, world: dict[str, str], folder: Path) -> None:
    # Installing is what the CI script does with these very lines; here the rest of each line runs.
    lines = [re.sub(r"^pip install '[^']+'( && )?", "", line) for line in code.splitlines()]
    lines = [line for line in lines if line not in {"", "pytest"}]
    # The benchmarks take minutes; that their commands exist is enough.
    lines = [re.sub(r"^python -m benchmarks (\w+).*", r"python -m benchmarks \1 --help", line) for line in lines]
    run(["bash", "-euo", "pipefail", "-c", "\n".join(lines)], world, folder)


def test_there_are_no_other_kinds_of_blocks() -> None:
    assert {match[1] for match in BLOCK.finditer(TEXT)} <= {"python", "sh", "text"}


def test_the_numbers_of_the_readme_say_what_printed_them() -> None:
    assert "python -m benchmarks" in TEXT
