"""The README and the guides are correct: their code runs, their links lead somewhere, their map is the tree."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import pytest

import aihub_async
from aihub_async.emulator import Emulator, write_samples

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = Path(str(files(aihub_async).joinpath("docs")))
PAGES = [README, *sorted(DOCS.glob("*.md"))]
ELSEWHERE = {"emulator.md": "tests/emulator/test_emulator_docs.py", "command-line.md": "tests/cli/test_cli_docs.py"}
"""Guides whose blocks are run by other tests."""
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXTRAS = ("fastapi", "uvicorn", "opentelemetry", "pandas", "structlog")


def blocks(*languages: str) -> list[object]:
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            if match[1] in languages and page.name not in ELSEWHERE:
                line = text.count("\n", 0, match.start()) + 1
                found.append(pytest.param(match[2], id=f"{page.name} line {line}"))
    return found


@pytest.fixture(scope="module")
def world() -> Iterator[dict[str, str]]:
    """The environment of a user: an emulator to talk to, and the command on PATH."""
    with Emulator().in_thread() as hub:
        scripts = str(Path(sys.executable).parent)
        yield {
            **os.environ,
            "AIHUB_API_KEY": hub.api_key,
            "AIHUB_API_ROOT": hub.api_root,
            "PATH": scripts + os.pathsep + os.environ["PATH"],
            "PYTHONWARNINGS": "error",
            "PYTHONPATH": str(ROOT),
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
    for package in EXTRAS:
        if re.search(rf"^(import|from) {package}\b", code, re.MULTILINE) and find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    if "def test_" in code:
        (folder / "pytest.ini").write_text(
            "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
        )
        (folder / "test_users.py").write_text(code)
        options = ("-q", "-p", "no:cacheprovider", "--basetemp", "temporary")
        run([sys.executable, "-m", "pytest", *options, "test_users.py"], world, folder)
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_there_are_no_other_kinds_of_blocks(page: Path) -> None:
    allowed = {"bash", "toml", "python"} if page.name in ELSEWHERE else {"python", "sh", "text"}
    assert {match[1] for match in BLOCK.finditer(page.read_text())} <= allowed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), target
        headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE) if path.suffix == ".md" else []
        assert not anchor or anchor in {slug(heading) for heading in headings}, target


def slug(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_every_guide_is_linked_and_listed() -> None:
    index = DOCS.parent.joinpath("llms.txt").read_text()
    for page in DOCS.glob("*.md"):
        assert f"aihub_async/docs/{page.name}" in README.read_text(), page.name
        assert f"docs/{page.name}" in index, page.name


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 250


def test_the_map_of_the_readme_is_the_tree() -> None:
    """Every package and module at the top of both packages is on the map, and nothing else."""
    (drawn,) = (match[2] for match in BLOCK.finditer(README.read_text()) if match[2].startswith("aihub_async/\n"))
    heads = [re.match(r"( *)(\S+)", line) for line in drawn.splitlines()]
    package = ""
    found: set[str] = set()
    for head in heads:
        if head is None or len(head[1]) > 2:
            continue
        if not head[1]:
            package = head[2]
        found.add(package + head[2] if head[1] else package)
    expected = {"aihub_async/", "aihub_sync/", "tests/", "benchmarks/"}
    for top in ("aihub_async", "aihub_sync"):
        for path in (ROOT / top).iterdir():
            if path.name == "__pycache__" or path.name.startswith("."):
                continue
            expected.add(f"{top}/{path.name}/" if path.is_dir() else f"{top}/{path.name}")
    assert found == expected


def test_the_numbers_say_what_printed_them() -> None:
    assert "python -m benchmarks" in README.read_text()
    assert "python -m benchmarks" in (DOCS / "benchmarks.md").read_text()
