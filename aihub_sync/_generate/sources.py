"""Read the modules of the async client, their names and their classes."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from aihub_sync._generate.docstrings import UnknownError

Function = ast.FunctionDef | ast.AsyncFunctionDef

_FOREIGN_BASES = frozenset({"Protocol", "Generic", "Enum", "Exception"})


@attrs.frozen
class Import:
    """An import; `name` is None for a whole module."""

    module: str
    name: str | None
    alias: str | None = None

    @property
    def local(self) -> str:
        """Return the name in the importing file."""
        return self.alias or self.name or self.module


@attrs.frozen
class Method:
    """One definition of a method, and the module that its names refer to."""

    node: Function
    module: "Module"


@attrs.frozen
class Field:
    """A public attribute that is a value."""

    annotation: ast.expr
    doc: str
    module: "Module"


@attrs.frozen
class Group:
    """A public attribute that holds an instance of another class.

    ``self.runs = Runs(transport)`` makes it with its owner; if `late`, a `cached_property` makes it on first use.
    """

    class_name: str
    doc: str
    late: bool = False


@attrs.frozen
class Class:
    """A class with the members of its bases."""

    name: str
    module: "Module"
    doc: str
    methods: Mapping[str, list[Method]]
    fields: Mapping[str, Field]
    groups: Mapping[str, Group]


@attrs.frozen
class Module:
    """One source file."""

    name: str
    imports: Mapping[str, Import]
    values: Mapping[str, ast.expr]
    nodes: Mapping[str, ast.ClassDef]

    @property
    def stem(self) -> str:
        """Return the name of the generated file: the last part of the module's name, prefixed by the API version."""
        *_, parent, last = ("", *self.name.split("."))
        stem = last.removeprefix("_")
        return f"{parent}_{stem}" if parent == "v1" else stem


@attrs.frozen
class Sources:
    """All modules that may have a sync twin."""

    modules: Mapping[str, Module]

    def find(self, name: str) -> Class | None:
        """Return a class by its name.

        Raises:
            UnknownError: Two modules have one of this name.
        """
        homes = [module for module in self.modules.values() if name in module.nodes]
        if len(homes) > 1 and not name.startswith("_"):
            raise UnknownError(f"{name} is in {' and in '.join(module.name for module in homes)}")
        return self._class(name, homes[0]) if homes else None

    def _class(self, name: str, module: Module) -> Class:
        methods: dict[str, list[Method]] = {}
        fields: dict[str, Field] = {}
        groups: dict[str, str] = {}
        late: dict[str, Group] = {}
        doc = ast.get_docstring(module.nodes[name]) or ""
        for node, home in self._lineage(name, module):
            own: dict[str, list[Method]] = {}
            for index, item in enumerate(node.body):
                if group := _late_group(item):
                    late[group[0]] = group[1]
                elif isinstance(item, Function):
                    own.setdefault(item.name, []).append(Method(item, home))
                    groups |= dict(_groups(item))
                    fields |= {key: Field(kind, _described(key, doc), home) for key, kind in _assigned(item)}
                elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                    key = item.target.id
                    described = _text(node.body[index + 1 : index + 2]) or _described(key, doc)
                    fields[key] = Field(item.annotation, described, home)
            methods |= own
        public = {key: field for key, field in fields.items() if not key.startswith("_") and key not in groups}
        documented = {
            key: Group(kind, fields[key].doc if key in fields else self._summary(kind)) for key, kind in groups.items()
        }
        return Class(name, module, doc, methods, public, {**documented, **late})

    def _summary(self, name: str) -> str:
        """Return the first sentence of a class's docstring."""
        nodes = [module.nodes[name] for module in self.modules.values() if name in module.nodes]
        doc = ast.get_docstring(nodes[0]) if nodes else None
        return (doc or "").split("\n\n")[0]

    def _lineage(self, name: str, module: Module) -> Iterator[tuple[ast.ClassDef, Module]]:
        """Yield the bases of a class, then the class; bases from other packages have nothing to delegate."""
        for base in module.nodes[name].bases:
            # The parameters of a generic base have no place in the twin: its methods name their types themselves.
            text = ast.unparse(base.value if isinstance(base, ast.Subscript) else base)
            if text in module.nodes:
                yield from self._lineage(text, module)
            elif text in module.imports and module.imports[text].module in self.modules:
                yield from self._lineage(text, self.modules[module.imports[text].module])
            elif text not in _FOREIGN_BASES:
                raise UnknownError(f"{module.name}.{name}: no rule for its base {text}")
        yield module.nodes[name], module


def read_sources(root: Path) -> Sources:
    """Read the client, its resources and its handles."""
    paths = [
        root / "pagination.py",
        *sorted((root / "resources").rglob("*.py")),
        *sorted((root / "waiting").glob("*.py")),
    ]
    paths += [root / "ingest" / "job.py", root / "processing.py", root / "bulk.py", root / "client.py"]
    modules = {}
    for path in paths:
        name = ".".join(path.relative_to(root.parent).with_suffix("").parts)
        modules[name] = parse_module(name, path.read_text(encoding="utf-8"))
    return Sources(modules)


def parse_module(name: str, text: str) -> Module:
    """Parse the source text of a module."""
    tree = ast.parse(text)
    imports: dict[str, Import] = {}
    values: dict[str, ast.expr] = {}
    nodes: dict[str, ast.ClassDef] = {}
    for item in tree.body:
        match item:
            case ast.If(test=ast.Name("TYPE_CHECKING"), body=body):
                imports |= {key: found for inner in body for key, found in _imports(inner)}
            case ast.Import() | ast.ImportFrom():
                imports |= dict(_imports(item))
            case ast.Assign(targets=[ast.Name(target)], value=value):
                values[target] = value
            case ast.AnnAssign(target=ast.Name(target), value=ast.expr() as value):
                values[target] = value
            case ast.ClassDef(name=class_name):
                nodes[class_name] = item
            case _:
                pass
    return Module(name, imports, values, nodes)


def _imports(item: ast.stmt) -> Iterator[tuple[str, Import]]:
    if isinstance(item, ast.ImportFrom):
        found = [Import(item.module or "", alias.name, alias.asname) for alias in item.names]
    elif isinstance(item, ast.Import):
        found = [Import(alias.name, None, alias.asname) for alias in item.names]
    else:
        return
    yield from ((each.local, each) for each in found)


def _groups(function: Function) -> Iterator[tuple[str, str]]:
    """Yield the public attributes that are built from a class and the transport, with the class."""
    for item in function.body:
        match item:
            case ast.Assign(
                targets=[ast.Attribute(value=ast.Name("self"), attr=name)],
                value=ast.Call(func=ast.Name(class_name), args=[ast.Name("transport"), *_]),
            ) if not name.startswith("_"):
                yield name, class_name
            case _:
                pass


def _late_group(item: ast.stmt) -> tuple[str, Group] | None:
    """Return the name and the group of a `cached_property`, which names the class that it returns in quotes."""
    match item:
        case ast.FunctionDef(
            name=name,
            decorator_list=[ast.Name("cached_property")],
            returns=ast.Constant(value=str(class_name)),
        ):
            return name, Group(class_name, ast.get_docstring(item) or "See the class.", late=True)
        case _:
            return None


def _assigned(function: Function) -> Iterator[tuple[str, ast.expr]]:
    """Yield the attributes that keep an argument of the constructor under its name, with its annotation."""
    if function.name != "__init__":
        return
    kinds = {arg.arg: arg.annotation for arg in (*function.args.args, *function.args.kwonlyargs) if arg.annotation}
    for item in function.body:
        match item:
            case ast.Assign(targets=[ast.Attribute(value=ast.Name("self"), attr=name)], value=ast.Name(value)) if (
                name == value and name in kinds
            ):
                yield name, kinds[name]
            case _:
                pass


def _described(name: str, doc: str) -> str:
    """Return the description of an attribute in the class docstring."""
    found = re.search(rf"^ +{name}: (.+)$", doc, re.MULTILINE)
    return found[1][:1].upper() + found[1][1:] if found else "See the class."


def _text(following: list[ast.stmt]) -> str:
    match following:
        case [ast.Expr(value=ast.Constant(value=str(text)))]:
            return text
        case _:
            return ""
