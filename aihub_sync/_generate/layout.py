"""Lay out generated code as the formatter of this project does."""

import ast
import builtins
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

from aihub_sync._generate.docstrings import UnknownError
from aihub_sync._generate.sources import Function, Import, Module

WIDTH = 120
_PROJECT = ("aihub_async", "aihub_sync")


class Imports:
    """Collect the imports of one generated file: few at run time, most for types alone."""

    def __init__(self, twins: Mapping[str, Import]) -> None:
        self._twins = twins
        self._always: set[Import] = set()
        self._typing: set[Import] = set()

    def add(self, module: str, name: str | None, *, typing_only: bool = False) -> None:
        """Import a name from a module, or a module."""
        (self._typing if typing_only else self._always).add(Import(module, name))

    def need(self, node: ast.expr, module: Module, where: str, *, typing_only: bool = True) -> None:
        """Import all names of an expression of a module.

        Raises:
            UnknownError: A name is neither defined nor imported.
        """
        names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
        for name in sorted(names):
            found = self._origin(name, module)
            if found is not None:
                (self._typing if typing_only else self._always).add(found)
            elif not hasattr(builtins, name):
                raise UnknownError(f"{where}: where does {name} come from?")

    def _origin(self, name: str, module: Module) -> Import | None:
        if name in self._twins:
            return self._twins[name]
        if name in module.values or name in module.nodes:
            return Import(module.name, name)
        return module.imports.get(name)

    def text(self, own: str) -> str:
        """Return the import statements, without those of the file itself."""
        always = {item for item in self._always if item.module != own}
        typing = {item for item in self._typing if item.module != own} - always
        inside = {item for item in typing if item.module == "typing"}
        always, typing = always | inside, typing - inside
        if typing:
            always.add(Import("typing", "TYPE_CHECKING"))
        parts = ["\n".join(_statements(section, 0)) for section in _sections(always)]
        if typing:
            sections = ["\n".join(_statements(section, 4)) for section in _sections(typing)]
            parts.append("if TYPE_CHECKING:\n" + "\n\n".join(sections))
        return "\n\n".join(parts)


def _sections(imports: Iterable[Import]) -> Iterator[list[Import]]:
    def section(item: Import) -> int:
        top = item.module.split(".")[0]
        if top == "__future__":
            return 0
        return 1 if top in sys.stdlib_module_names else 3 if top in _PROJECT else 2

    for number in range(4):
        found = [item for item in imports if section(item) == number]
        if found:
            yield found


def _statements(imports: Sequence[Import], indent: int) -> Iterator[str]:
    pad = " " * indent
    for module in sorted({item.module for item in imports if item.name is None}):
        yield f"{pad}import {module}"
    for module in sorted({item.module for item in imports if item.name is not None}):
        of_module = [item for item in imports if item.module == module and item.name]
        for item in sorted((item for item in of_module if item.alias), key=lambda item: item.local):
            yield f"{pad}from {module} import {item.name} as {item.alias}"
        names = sorted({item.name or "" for item in of_module if not item.alias}, key=import_order)
        if names:
            yield from layout(f"from {module} import ", "(", names, ")", "", indent, bare=True)


def import_order(name: str) -> tuple[int, str, str]:
    """Return the sort key of an imported name: constants, then classes, then the rest."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2), name.lower(), name


def layout(
    head: str, opening: str, items: Sequence[str], closing: str, tail: str, indent: int, *, bare: bool = False
) -> list[str]:
    """Return `head(items)tail` on one line if it fits, else with the items on the next line, else one item a line.

    `bare` leaves out the brackets on one line, as in imports.
    """
    pad = " " * indent
    listed = ", ".join(items)
    flat = f"{pad}{head}{listed}{tail}" if bare else f"{pad}{head}{opening}{listed}{closing}{tail}"
    if len(flat) <= WIDTH:
        return [flat]
    if len(pad) + 4 + len(listed) <= WIDTH and not bare:
        return [f"{pad}{head}{opening}", f"{pad}    {listed}", f"{pad}{closing}{tail}"]
    return [f"{pad}{head}{opening}", *(f"{pad}    {item}," for item in items), f"{pad}{closing}{tail}"]


def call(outer: str, inner: str, arguments: Sequence[str], rest: str, indent: int) -> list[str]:
    """Return `outer(inner(arguments)rest)`, or `inner(arguments)` without `outer`, which may begin with ``return``."""
    keyword, _, function = outer.rpartition(" ")
    head = f"{keyword} " if keyword else ""
    if not function:
        return layout(head + inner, "(", arguments, ")", "", indent)
    flat = f"{' ' * indent}{head}{function}({inner}({', '.join(arguments)}){rest})"
    if len(flat) <= WIDTH:
        return [flat]
    nested = layout(inner, "(", arguments, ")", "", indent + 4)
    # Inside an outer call with further arguments each argument ends with a comma.
    if rest:
        nested[-1] += ","
        nested += [f"{' ' * (indent + 4)}{extra}," for extra in rest.removeprefix(", ").split(", ")]
    return [f"{' ' * indent}{head}{function}(", *nested, f"{' ' * indent})"]


def unparse(node: ast.AST) -> str:
    """Return the code of a node, with double quotes."""
    text = ast.unparse(node)
    return text if '"' in text else text.replace("'", '"')


def definition(function: Function, name: str, parameters: Sequence[str], returns: str, indent: int) -> list[str]:
    """Return the lines of a `def`, which is a stub for an overload."""
    overload = any(ast.unparse(decorator) == "overload" for decorator in function.decorator_list)
    tail = f" -> {returns}:" + (" ..." if overload else "")
    return layout(f"def {name}", "(", parameters, ")", tail, indent)


def docstring(text: str, indent: int) -> list[str]:
    """Return the lines of a docstring, which is raw if it has backslashes."""
    pad = " " * indent
    opening = 'r"""' if "\\" in text else '"""'
    lines = text.split("\n")
    if len(lines) == 1:
        return [f'{pad}{opening}{text}"""']
    return [f"{pad}{opening}{lines[0]}", *(f"{pad}{line}".rstrip() for line in lines[1:]), f'{pad}"""']
