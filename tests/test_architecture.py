"""The house has one way in: who may import whom."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import aihub_async

PACKAGE = Path(aihub_async.__file__).parent

# Each layer may import those before it, and what stands in the same row.
LAYERS = [
    ["_version", "errors", "clock", "limits"],
    ["models", "operations", "config"],
    ["policies", "pagination"],
    ["transport"],
    ["reconcile", "uploads", "webhooks", "waiting", "results"],
    ["resources"],
    ["processing", "ingest"],
    ["client"],
    ["cli"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
# errors.py names the report and the run that its exceptions carry, for type checkers only.
EMULATOR_MAY = {"_version", "errors", "limits", "models", "operations", "emulator"}
HEAVY = {"aiohttp", "typer", "rich", "pypdf", "dask", "distributed", "pyarrow", "redis", "fsspec", "uvloop"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def runtime_imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Names of imported modules, each with whether the import stands at the top level of the module."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "aihub_async":
                names = [f"aihub_async.{alias.name}" for alias in node.names]
            yield from ((name, id(node) in top) for name in names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    part = part_of(path)
    for name, top in runtime_imports(path):
        if not name.startswith("aihub_async.") or part == "__init__":
            continue
        other = name.split(".")[1]
        if part == "emulator":
            assert other in EMULATOR_MAY, f"the emulator imports the client's {name}"
        elif other == "emulator":
            assert part == "cli", f"{part} imports the emulator"
            assert not top, "the command line loads the emulator only when it is used"
        elif other in LEVEL and top:
            assert LEVEL[other] <= LEVEL[part], f"{part} imports {name}, which stands above it"


def test_every_part_has_its_layer() -> None:
    parts = {part_of(path) for path in modules()} - {"__init__", "emulator"}
    assert parts == set(LEVEL)


def test_uploads_and_waiting_are_engines_over_callables() -> None:
    for path in modules():
        if part_of(path) in {"uploads", "waiting"}:
            assert not [name for name, _ in runtime_imports(path) if name.startswith("aihub_async.resources")]


def test_only_the_wire_imports_aiohttp() -> None:
    importers = {
        str(path.relative_to(PACKAGE))
        for path in modules()
        if part_of(path) != "emulator"
        and any(name.split(".")[0] == "aiohttp" and top for name, top in runtime_imports(path))
    }
    assert importers == {"transport/http.py", "transport/direct.py"}


def test_heavy_modules_are_imported_when_used() -> None:
    for path in modules():
        if part_of(path) in {"emulator", "cli"} or path.name in {"http.py", "direct.py"}:
            continue
        loaded = {name.split(".")[0] for name, top in runtime_imports(path) if top}
        assert not loaded & HEAVY, path


def test_modules_are_of_one_reading() -> None:
    long = {path.name: len(path.read_text().splitlines()) for path in modules()}
    assert {name: lines for name, lines in long.items() if lines > 460} == {}


def test_the_project_names_no_machine() -> None:
    root = Path(__file__).parent.parent
    suspicious = ("/" + "work/", "/root" + "/", "pypi" + ".org", "regis" + "try.npmjs")
    for path in [*root.glob("*.md"), *root.glob("*.toml"), *root.glob("*/**/*.py"), *root.glob(".ci/*")]:
        if ".venv" in path.parts or "build" in path.parts:
            continue
        text = path.read_text(errors="replace")
        assert not [word for word in suspicious if word in text], path
