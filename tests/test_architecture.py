"""The architecture: which module may import which."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import aihub_async

PACKAGE = Path(aihub_async.__file__).parent

# Each layer may import those before it, and its own row.
LAYERS = [
    ["_version", "errors", "clock", "limits", "loops", "paths", "secrecy", "types"],
    ["models", "operations", "config", "profiles", "proxy"],
    ["policies", "pagination"],
    ["transport"],
    ["reconcile", "uploads", "webhooks", "waiting", "results"],
    ["resources"],
    ["processing", "process_run", "process_each", "ingest", "bulk", "telemetry"],
    ["client"],
    ["cli"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
# errors/ names the report and the run that its exceptions carry, for type checkers only.
EMULATOR_MAY = {"_version", "errors", "limits", "loops", "paths", "models", "operations", "emulator"}
MAX_LINES = 350

WIRE = {"_aiohttp.py", "answers.py", "direct.py", "failures.py", "http.py", "payload.py", "pool.py"}
HEAVY = {
    *("aiohttp", "typer", "rich", "pypdfium2", "lxml", "dask", "distributed", "pyarrow", "redis", "fsspec", "uvloop"),
    "opentelemetry",
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def runtime_imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Names of imported modules, each with whether the import is at the top level of the module."""
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


def import_graph(package: Path = PACKAGE) -> dict[str, set[str]]:
    """The modules that each module imports anywhere: at its top, in a function, or for type checkers only."""
    names = {
        ".".join((package.name, *path.relative_to(package).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in sorted(package.rglob("*.py"))
    }
    return {name: set(_all_imports(path, names)) - {name} for name, path in names.items()}


def _all_imports(path: Path, names: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in names)
        if isinstance(node, ast.ImportFrom) and node.module in names:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in names else node.module for name in inner)


def circles(graph: Mapping[str, set[str]]) -> Iterator[set[str]]:
    """The largest groups of modules that import each other."""
    reached = {name: _reached(graph, name) for name in graph}
    seen: set[str] = set()
    for name in sorted(graph):
        circle = {other for other in reached[name] if name in reached[other]}
        if circle and name not in seen:
            seen |= circle
            yield circle


def _reached(graph: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        fresh = graph[waiting.pop()] - found
        found |= fresh
        waiting += fresh
    return found


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
    assert importers == {f"transport/{name}" for name in WIRE}


def test_heavy_modules_are_imported_when_used() -> None:
    for path in modules():
        if part_of(path) in {"emulator", "cli"} or path.name in WIRE:
            continue
        loaded = {name.split(".")[0] for name, top in runtime_imports(path) if top}
        assert not loaded & HEAVY, path


def test_modules_are_of_one_reading() -> None:
    lines = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in modules()}
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


@pytest.mark.parametrize("package", [PACKAGE, PACKAGE.with_name("aihub_sync")], ids=lambda path: path.name)
def test_no_circle_of_imports(package: Path) -> None:
    """Lazy imports and those for type checkers count: a reader follows them too."""
    graph = import_graph(package)
    assert len(graph) > 20
    assert list(circles(graph)) == []


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}
    assert list(circles(graph)) == [{"b", "c"}]


def test_the_project_names_no_machine() -> None:
    root = Path(__file__).parent.parent
    suspicious = ("/" + "work/", "/root" + "/", "pypi" + ".org", "regis" + "try.npmjs")
    for path in [*root.glob("*.md"), *root.glob("*.toml"), *root.glob("*/**/*.py"), *root.glob(".ci/*")]:
        if ".venv" in path.parts or "build" in path.parts:
            continue
        text = path.read_text(errors="replace")
        assert not [word for word in suspicious if word in text], path
