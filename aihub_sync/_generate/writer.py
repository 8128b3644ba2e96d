"""Write one generated file: a class for each class, a line or two for each method."""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence

from aihub_sync._generate.annotations import SyncTypes, decorator_names, names_in, parsed
from aihub_sync._generate.docstrings import UnknownError
from aihub_sync._generate.layout import Imports, call, definition, docstring, unparse
from aihub_sync._generate.options import class_doc, constructor_doc
from aihub_sync._generate.rules import (
    ASYNCHRONOUS,
    BY_HAND,
    CLIENT,
    COMMAND,
    COMPAT,
    DROPPED,
    FACADE,
    OLD_NAMES,
    OLD_OPTIONS,
    PACKAGE,
    PAGES,
    PAGES_MODULE,
    SECRET_PARAMETERS,
    SPECIAL,
    SYNC_NAMES,
    Rules,
)
from aihub_sync._generate.sources import Class, Field, Function, Group, Import, Method, Module


class Writer:
    """Write one file."""

    def __init__(self, module: Module, homes: Mapping[str, str], rules: Rules) -> None:
        self._module = module
        self._homes = homes
        self._rules = rules
        twins = {self._sync(name): Import(home, self._sync(name)) for name, home in homes.items()}
        pages = {name: Import(PAGES_MODULE, "Pages") for name in PAGES}
        by_hand = {name: Import(home, name) for name, home in BY_HAND.items()}
        self._imports = Imports({**twins, **pages, **by_hand, CLIENT: twins[SYNC_NAMES[CLIENT]]})
        self._class: Class
        self._origin = module

    def file(self, classes: Sequence[Class]) -> str:
        """Return the whole text."""
        body = [line for item in classes for line in ("", "", *self._write_class(item))]
        self._imports.add("__future__", "annotations")
        doc = docstring(f"Sync twins of the classes of `{self._module.name}`.", 0)
        header = f"# Written by `{COMMAND}` from {self._module.name.replace('.', '/')}.py. DO NOT EDIT."
        imports = self._imports.text(f"{PACKAGE}.{self._module.stem}")
        return "\n".join([header, *doc, "", imports, *body]) + "\n"

    def _write_class(self, item: Class) -> Iterator[str]:
        self._class = item
        self._origin = self._module
        home, _, stem = self._module.name.rpartition(".")
        self._imports.add(home, stem, typing_only=True)
        self._imports.add(FACADE, "Facade")
        yield f"class {self._sync(item.name)}(Facade):"
        doc = self._rules.docs.rewrite(item.doc, item.name)
        if item.name == CLIENT:
            doc = class_doc(doc, self._rules)
        yield from docstring(doc, 4)
        yield ""
        yield f"    _async: {stem}.{item.name}"
        yield from self._groups(item)
        if item.name == CLIENT:
            yield from self._constructor(item.methods["__init__"], doc)
        if any(_early(item)):
            yield from self._bind(item, stem)
        yield from self._late_groups(item)
        for name, field in item.fields.items():
            yield from self._field(name, field)
        for name, methods in item.methods.items():
            if not name.startswith("_") or name in SPECIAL:
                yield from self._method(name, methods)
            elif name in DROPPED:
                self._rules.used.add(name)
            elif name.startswith("__") and name != "__init__":
                raise UnknownError(f"{item.name}.{name}: no rule for this special method")

    def _groups(self, item: Class) -> Iterator[str]:
        for name, group in _early(item):
            yield f"    {name}: {group.class_name}"
            yield from docstring(self._rules.docs.rewrite(group.doc, f"{item.name}.{name}"), 4)

    def _constructor(self, methods: Sequence[Method], doc: str) -> Iterator[str]:
        function = methods[0].node
        where = f"{CLIENT}.__init__"
        parameters = self._parameters(function.args, where)
        for name, option in OLD_OPTIONS.items():
            place = parameters.index("*") if option.after else len(parameters)
            parameters.insert(place, f"{name}: {option.annotation}")
        arguments = self._arguments(function.args)
        attached = list(self._by_hand(function.args))
        for name in attached:
            arguments[arguments.index(f"{name}={name}")] = f"{name}=None if {name} is None else {name}.wrapped"
        arguments[arguments.index("api_key")] = "api_key if api_token is None else api_token"
        self._imports.add(self._module.name, CLIENT)
        self._imports.add(FACADE, "Lease")
        self._imports.add(COMPAT, "check_old_options")
        yield ""
        yield from definition(function, "__init__", parameters, "None", 4)
        yield from docstring(constructor_doc(doc), 8)
        given = ", ".join(f"{name}={name} is not None" for name in ("api_key", *OLD_OPTIONS))
        body = [f"            check_old_options({given})", *call("wrapped = ", CLIENT, arguments, "", 12)]
        yield from self._concealing(body, [*self._secrets(function, where), "api_token"])
        yield f"        self._bind(wrapped, Lease({', '.join(['wrapped', *attached])}))"

    def _secrets(self, function: Function, where: str) -> list[str]:
        """Return the parameters that may hold secrets; the table must have all that the async method deletes."""
        arguments = function.args
        names = [arg.arg for arg in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        dropped = {name for node in ast.walk(function) if isinstance(node, ast.Delete) for name in names_in(node)}
        unknown = dropped & set(names) - SECRET_PARAMETERS
        if unknown:
            raise UnknownError(f"{where} drops {', '.join(sorted(unknown))}; add it to SECRET_PARAMETERS")
        found = [name for name in names if name in SECRET_PARAMETERS]
        self._rules.used |= {*found}
        return found

    def _concealing(self, body: Iterable[str], secrets: Sequence[str]) -> Iterator[str]:
        """Wrap a body so that its frame, which a traceback shows, loses the parameters that may hold secrets."""
        yield "        try:"
        yield from body
        yield "        finally:"
        yield f"            del {', '.join(secrets)}"

    def _by_hand(self, arguments: ast.arguments) -> Iterator[str]:
        """Yield the parameters that take a hand-written twin."""
        for arg in arguments.kwonlyargs:
            twins = names_in(parsed(arg.annotation)) & BY_HAND.keys() if arg.annotation else set()
            if twins:
                self._rules.used |= twins
                yield arg.arg

    def _bind(self, item: Class, stem: str) -> Iterator[str]:
        self._imports.add(FACADE, "Lease", typing_only=True)
        yield ""
        yield f"    def _bind(self, wrapped: {stem}.{item.name}, lease: Lease) -> None:"
        yield "        super()._bind(wrapped, lease)"
        for name, group in _early(item):
            self._check_group(item, name, group)
            self._use(group.class_name)
            yield f"        self.{name} = {group.class_name}(wrapped.{name}, lease)"

    def _late_groups(self, item: Class) -> Iterator[str]:
        """Yield the properties that make a group on first use, and import what it stands on."""
        for name, group in item.groups.items():
            if not group.late:
                continue
            self._check_group(item, name, group)
            home = self._homes[group.class_name]
            self._imports.add("functools", "cached_property")
            self._imports.add(home, group.class_name, typing_only=True)
            yield ""
            yield "    @cached_property"
            yield f"    def {name}(self) -> {group.class_name}:"
            yield from docstring(self._rules.docs.rewrite(group.doc, f"{item.name}.{name}"), 8)
            yield f"        from {home} import {group.class_name}"
            yield ""
            yield f"        return {group.class_name}(self._async.{name}, self._lease)"

    def _check_group(self, item: Class, name: str, group: Group) -> None:
        if group.class_name not in self._homes:
            raise UnknownError(f"{item.name}.{name}: {group.class_name} has no sync twin")

    def _field(self, name: str, field: Field) -> Iterator[str]:
        where = f"{self._class.name}.{name}"
        self._origin = field.module
        yield ""
        yield "    @property"
        yield f"    def {name}(self) -> {self._annotation(field.annotation, where)}:"
        yield from docstring(self._rules.docs.rewrite(field.doc, where), 8)
        yield from self._pass_on(f"self._async.{name}", field.annotation, where)

    def _method(self, name: str, methods: Sequence[Method]) -> Iterator[str]:
        where = f"{self._class.name}.{name}"
        sync_name = SPECIAL.get(name, name)
        if name in SPECIAL:
            self._rules.used.add(name)
        for method in methods:
            function, self._origin = method.node, method.module
            yield ""
            yield from self._decorators(function, where)
            if function.returns is None:
                raise UnknownError(f"{where}: what does it return?")
            parameters = self._parameters(function.args, where)
            returns = self._annotation(function.returns, where)
            yield from definition(function, sync_name, parameters, returns, 4)
            if decorator_names(function) & {"overload"}:
                continue
            text = ast.get_docstring(function)
            if text:
                yield from docstring(self._rules.docs.rewrite(text, where), 8)
            if name in SPECIAL:
                yield from self._special(name)
            elif secrets := self._secrets(function, where):
                yield from self._concealing(self._body(function, function.returns, where, 12), secrets)
            else:
                yield from self._body(function, function.returns, where, 8)

    def _decorators(self, function: Function, where: str) -> Iterator[str]:
        for decorator in function.decorator_list:
            text = unparse(decorator)
            if text not in {"property", "overload"} and not text.startswith("deprecated("):
                raise UnknownError(f"{where}: no rule for the decorator {text}")
            self._imports.need(decorator, self._origin, where, typing_only=False)
            yield f"    @{text}"
        names = OLD_NAMES.get(where)
        if names is not None and not decorator_names(function) & {"overload"}:
            self._rules.used.add(where)
            self._imports.add(COMPAT, "renamed")
            pairs = ", ".join(f'{old}="{new}"' for old, new in names.items())
            yield f"    @renamed({pairs})"

    def _special(self, name: str) -> Iterator[str]:
        is_client = self._class.name == CLIENT
        match name:
            case "aclose" if is_client:
                yield "        self._close()"
            case "aclose":
                yield "        self._lease.run(self._async.aclose())"
            case "__aenter__":
                yield "        return self"
            case "__aexit__" if "aclose" in self._class.methods:
                yield "        self.close()"
            case _:
                raise UnknownError(f"{self._class.name}.{name}: a context manager needs aclose()")

    def _body(self, function: Function, returns: ast.expr, where: str, indent: int) -> Iterator[str]:
        target = f"self._async.{function.name}"
        if "property" in decorator_names(function):
            yield from self._pass_on(target, returns, where, indent)
            return
        yields = any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(function))
        if yields and isinstance(function, ast.AsyncFunctionDef):
            raise UnknownError(f"{where}: an async generator crosses threads once per item; return pages")
        arguments = self._arguments(function.args)
        if not isinstance(function, ast.AsyncFunctionDef):
            yield from self._pass_on(target, returns, where, indent, arguments)
            return
        wrapper = self._wrapper(returns, where)
        if unparse(returns) == "None":
            yield from call("self._lease.run", target, arguments, "", indent)
        elif wrapper is None:
            yield from call("return self._lease.run", target, arguments, "", indent)
        else:
            yield from call("found = self._lease.run", target, arguments, "", indent)
            yield f"{' ' * indent}return {wrapper}(found, self._lease)"

    def _pass_on(
        self, target: str, returns: ast.expr, where: str, indent: int = 8, arguments: Sequence[str] | None = None
    ) -> Iterator[str]:
        wrapper = self._wrapper(returns, where)
        if arguments is None:
            wrapped = target if wrapper is None else f"{wrapper}({target}, self._lease)"
            yield f"{' ' * indent}return {wrapped}"
        elif wrapper is None:
            yield from call("" if unparse(returns) == "None" else "return ", target, arguments, "", indent)
        elif wrapper == "Self":
            yield from call("return self._derive", target, arguments, "", indent)
        else:
            yield from call(f"return {wrapper}", target, arguments, ", self._lease", indent)

    def _wrapper(self, returns: ast.expr, where: str) -> str | None:
        """Return the class that wraps a returned object, or None for a value."""
        returns = parsed(returns)
        outer = returns.value if isinstance(returns, ast.Subscript) else returns
        name = outer.id if isinstance(outer, ast.Name) else ""
        if name in PAGES:
            return self._use("Pages")
        if name in self._homes:
            return self._use(self._sync(name))
        if name == "Self":
            return name
        inner = names_in(returns) & (self._homes.keys() | PAGES.keys() | ASYNCHRONOUS | {"Self"})
        if inner:
            raise UnknownError(f"{where}: no rule for returning {unparse(returns)}")
        return None

    def _use(self, twin: str) -> str:
        self._imports.need(ast.Name(twin), self._module, twin, typing_only=False)
        return twin

    def _parameters(self, arguments: ast.arguments, where: str) -> list[str]:
        positional = [*arguments.posonlyargs, *arguments.args]
        defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
        parameters = [self._parameter(arg, default, where) for arg, default in zip(positional, defaults, strict=True)]
        if arguments.posonlyargs:
            parameters.insert(len(arguments.posonlyargs), "/")
        if arguments.vararg:
            parameters.append("*" + self._parameter(arguments.vararg, None, where))
        elif arguments.kwonlyargs:
            parameters.append("*")
        pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        parameters += [self._parameter(arg, default, where) for arg, default in pairs]
        if arguments.kwarg:
            parameters.append("**" + self._parameter(arguments.kwarg, None, where))
        return parameters

    def _parameter(self, arg: ast.arg, default: ast.expr | None, where: str) -> str:
        annotated = arg.arg
        if arg.annotation is not None:
            twins = names_in(parsed(arg.annotation)) & self._homes.keys()
            if twins:
                raise UnknownError(f"{where}: {arg.arg} takes a {twins.pop()}; no rule to unwrap its sync twin")
            annotated += f": {self._annotation(arg.annotation, where)}"
        if default is None:
            return annotated
        value = self._origin.values.get(default.id) if isinstance(default, ast.Name) else None
        if not isinstance(value, ast.Constant):
            value = default
        self._imports.need(value, self._origin, where, typing_only=False)
        return f"{annotated}{' = ' if arg.annotation is not None else '='}{unparse(value)}"

    def _arguments(self, arguments: ast.arguments) -> list[str]:
        passed = [arg.arg for arg in (*arguments.posonlyargs, *arguments.args)][1:]
        passed += [f"*{arguments.vararg.arg}"] if arguments.vararg else []
        passed += [f"{arg.arg}={arg.arg}" for arg in arguments.kwonlyargs]
        return passed + ([f"**{arguments.kwarg.arg}"] if arguments.kwarg else [])

    def _annotation(self, node: ast.expr, where: str) -> str:
        original = parsed(node)
        self._imports.need(original, self._origin, where)
        node = SyncTypes(self._rules, self._imports).visit(original)
        return unparse(node)

    def _sync(self, name: str) -> str:
        if name in SYNC_NAMES:
            self._rules.used.add(name)
        return SYNC_NAMES.get(name, name)


def _early(item: Class) -> list[tuple[str, Group]]:
    """Return the groups that are made with their owner, by name."""
    return [(name, group) for name, group in item.groups.items() if not group.late]
