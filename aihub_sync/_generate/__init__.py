"""Generate the sync client from the sources of the async one: `python -m aihub_sync._generate`.

With `--check` nothing is written, and what is out of date is reported. The generator knows four shapes: coroutines,
plain methods and properties, page-by-page iterators, and context managers. Anything else in the sources is an error,
and so is a rule that nothing needs any more.
"""

import ast
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from aihub_sync._generate.annotations import names_in, parsed
from aihub_sync._generate.docstrings import UnknownError
from aihub_sync._generate.layout import Imports, import_order
from aihub_sync._generate.rules import (
    BY_HAND,
    CLIENT,
    COMMAND,
    MODULES,
    PACKAGE,
    PAGES,
    PAGES_MODULE,
    SYNC_NAMES,
    Rules,
)
from aihub_sync._generate.sources import Class, Sources, parse_module, read_sources
from aihub_sync._generate.writer import Writer

__all__ = ["UnknownError", "difference", "generate", "main", "parse_module"]

SOURCES = Path(__file__).resolve().parents[2] / "aihub_async"
TARGET = Path(__file__).resolve().parents[1] / "_generated"


def generate(sources: Sources, exported: Sequence[str], late: Collection[str] = ()) -> dict[str, str]:
    """Return the text of every generated file by its name.

    Args:
        sources: The async package.
        exported: Its public names.
        late: The public names that it imports on first use, as the sync package does too.

    Raises:
        UnknownError: The sources have something without a rule, or a rule has nothing to apply to.
    """
    rules = Rules()
    twins = _twins(sources)
    homes = {name: f"{PACKAGE}.{found.module.stem}" for name, found in twins.items()}
    files = {}
    for module in sources.modules.values():
        classes = [found for found in twins.values() if found.module is module]
        if classes:
            files[f"{module.stem}.py"] = Writer(module, homes, rules).file(classes)
    unused = rules.unused()
    if unused:
        raise UnknownError("rules that nothing needs any more: " + "; ".join(unused))
    return {"__init__.py": _names_file(exported, homes, late), **files}


def _names_file(exported: Sequence[str], homes: Mapping[str, str], late: Collection[str]) -> str:
    """Return the file of the public names: those of the async package, with twins in place of their originals."""
    origins = {**MODULES, "Pages": PAGES_MODULE}
    for name in exported:
        if name not in PAGES:
            origins[SYNC_NAMES.get(name, name)] = homes.get(name) or BY_HAND.get(name, "aihub_async")
    imports = Imports({})
    for name, module in origins.items():
        imports.add(module, name, typing_only=name in late)
    if late:
        imports.add("typing", "Any")
        imports.add("importlib", None)
    names = sorted(origins, key=lambda name: (import_order(name)[0], name))
    listed = "\n".join(f'    "{name}",' for name in names)
    header = f'# Written by `{COMMAND}`. DO NOT EDIT.\n"""The public names."""\n'
    return (
        f"{header}\n{imports.text(PACKAGE)}\n\n__all__ = [\n{listed}\n]\n{_late_names(origins, late) if late else ''}"
    )


def _late_names(origins: Mapping[str, str], late: Collection[str]) -> str:
    """Return the part of the file of names that imports a name on first use: a twin from its own module."""
    homes = sorted((name, origins[name]) for name in late if origins.get(name, "aihub_async") != "aihub_async")
    return _LATE_NAMES.format(homes="".join(f'    "{name}": "{home}",\n' for name, home in homes))


_LATE_NAMES = """
_HOMES = {{
{homes}}}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {{__name__!r}} has no attribute {{name!r}}")
    return getattr(importlib.import_module(_HOMES.get(name, "aihub_async")), name)
"""


def read_late_names(root: Path) -> list[str]:
    """Return the public names that the async package imports on first use: it imports them for type checkers only."""
    for node in ast.parse((root / "__init__.py").read_text(encoding="utf-8")).body:
        match node:
            case ast.If(test=ast.Name("TYPE_CHECKING"), body=body):
                imports = [item for item in body if isinstance(item, ast.ImportFrom)]
                return [alias.name for item in imports for alias in item.names]
            case _:
                pass
    return []


def read_exports(root: Path) -> list[str]:
    """Return the public names of the async package."""
    for node in ast.parse((root / "__init__.py").read_text(encoding="utf-8")).body:
        match node:
            case ast.Assign(targets=[ast.Name("__all__")], value=ast.List() as names):
                return list(ast.literal_eval(names))
            case _:
                pass
    raise UnknownError("aihub_async has no __all__")


def _twins(sources: Sources) -> dict[str, Class]:
    """Return the classes that need a twin, in the order of the sources.

    They are reachable from the client and have something asynchronous. Other classes are values, which are shared.
    """
    reached = _reachable(sources)
    chosen: set[str] = set()
    while True:
        more = {name for name, item in reached.items() if _is_asynchronous(item, chosen)}
        if more <= chosen:
            order = [name for module in sources.modules.values() for name in module.nodes]
            return {name: reached[name] for name in order if name in chosen}
        chosen |= more


def _reachable(sources: Sources) -> dict[str, Class]:
    """Return all classes that are reachable from the client through attributes and return types."""
    found: dict[str, Class] = {}
    waiting = [CLIENT]
    while waiting:
        name = waiting.pop()
        item = sources.find(name) if name not in found and name not in PAGES else None
        if item is not None:
            found[name] = item
            waiting += _leads_to(item)
    return found


def _leads_to(item: Class) -> set[str]:
    public = [method.node for name, same in item.methods.items() if not name.startswith("_") for method in same]
    answers = {name for node in public if node.returns for name in names_in(parsed(node.returns))}
    return answers | {group.class_name for group in item.groups.values()}


def _is_asynchronous(item: Class, chosen: set[str]) -> bool:
    public = [method.node for name, same in item.methods.items() if not name.startswith("_") for method in same]
    coroutines = any(isinstance(node, ast.AsyncFunctionDef) for node in public)
    return coroutines or bool(_leads_to(item) & (chosen | PAGES.keys()))


def difference(files: Mapping[str, str], target: Path) -> list[str]:
    """Describe what is wrong with a folder of generated files: missing, out of date or orphaned files."""
    present = {path.name: path for path in target.glob("*") if path.name != "__pycache__"}
    stale = [name for name, text in files.items() if name not in present or present[name].read_text("utf-8") != text]
    orphans = sorted(present.keys() - files.keys())
    return [f"{name} is out of date" for name in stale] + [f"{name} has no source any more" for name in orphans]


def main(argv: Sequence[str], *, sources: Path = SOURCES, target: Path = TARGET) -> int:
    """Write the files, or with ``--check`` only compare."""
    if argv not in ([], ["--check"]):
        sys.stderr.write(f"usage: {COMMAND} [--check]\n")
        return 2
    try:
        files = generate(read_sources(sources), read_exports(sources), read_late_names(sources))
    except UnknownError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    wrong = difference(files, target)
    if argv:
        sys.stderr.writelines(f"{line}; run: {COMMAND}\n" for line in wrong)
        return 1 if wrong else 0
    target.mkdir(exist_ok=True)
    for name in {path.name for path in target.glob("*.py")} - files.keys():
        (target / name).unlink()
    for name, text in files.items():
        (target / name).write_text(text, encoding="utf-8")
    return 0
