"""The public surface is pinned: every change of it is a change of public_api.txt, seen in review.

After a wanted change: UPDATE_PUBLIC_API=1 pytest tests/test_public_api.py
"""

import builtins
import functools
import inspect
import os
import subprocess
import sys
import typing
from collections import ChainMap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import aihub_async
from aihub_async import AsyncAIHub

PINNED = Path(__file__).with_name("public_api.txt")


def surface() -> Iterator[str]:
    for name in sorted(aihub_async.__all__):
        value = getattr(aihub_async, name)
        yield f"aihub_async.{name}"
        if inspect.isclass(value) and not issubclass(value, BaseException):
            yield from members(f"aihub_async.{name}", value)
    client = AsyncAIHub("key", api_root="http://127.0.0.1:1/api")
    yield from group("client", client)


def parts_of(value: object) -> dict[str, object]:
    """The public attributes of an object, with those that are made on first use."""
    late = [name for name, made in inspect.getmembers(type(value)) if isinstance(made, functools.cached_property)]
    return dict(sorted({**vars(value), **{name: getattr(value, name) for name in late}}.items()))


def group(path: str, value: object) -> Iterator[str]:
    for name, part in parts_of(value).items():
        if not name.startswith("_"):
            yield from members(f"{path}.{name}", type(part))
            yield from group(f"{path}.{name}", part)


def members(path: str, cls: type) -> Iterator[str]:
    for name, member in sorted(inspect.getmembers(cls)):
        # What attrs and the base classes of the standard library add is not ours to pin.
        if name.startswith("_") or not (inspect.isfunction(member) or isinstance(member, property)):
            continue
        if isinstance(member, property):
            yield f"{path}.{name}"
        elif (member.__module__ or "").startswith("aihub"):
            prefix = "async " if inspect.iscoroutinefunction(member) else ""
            yield f"{prefix}{path}.{name}{parameters(member)}"


def parameters(function: object) -> str:
    """Names, order and kinds; defaults that are values."""
    signature = inspect.signature(function)  # type: ignore[arg-type]
    plain = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in signature.parameters.items()
        if name != "self"
    ]
    return str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty))


def test_the_public_surface_is_as_pinned() -> None:
    lines = list(surface())
    if os.environ.get("UPDATE_PUBLIC_API"):
        PINNED.write_text("\n".join(lines) + "\n")
        pytest.skip("written")
    assert lines == PINNED.read_text().splitlines()


def test_everything_public_has_a_docstring() -> None:
    client = AsyncAIHub("key", api_root="http://127.0.0.1:1/api")

    def undocumented(path: str, value: object) -> Iterator[str]:
        for name, part in parts_of(value).items():
            if name.startswith("_"):
                continue
            for method, member in inspect.getmembers(type(part), inspect.isfunction):
                if not method.startswith("_") and not inspect.getdoc(member):
                    yield f"{path}.{name}.{method}"
            yield from undocumented(f"{path}.{name}", part)

    assert list(undocumented("client", client)) == []


def test_every_exception_is_exported() -> None:
    from aihub_async import errors

    classes = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.AIHubError) and not name.startswith("_")
    }
    assert classes <= set(aihub_async.__all__)


class Unknown(dict[str, Any]):
    """Names of other packages that are only imported for type checkers."""

    def __missing__(self, name: str) -> object:
        if hasattr(builtins, name):
            raise KeyError(name)
        return Any


def own_types(annotation: object) -> Iterator[type]:
    """The classes of this package in an annotation."""
    for part in (annotation, typing.get_origin(annotation)):
        if inspect.isclass(part) and part.__module__.startswith("aihub_async"):
            yield part
    for part in typing.get_args(annotation):
        for inner in part if isinstance(part, list) else [part]:
            yield from own_types(inner)


def named_types() -> Iterator[tuple[str, type]]:
    """The classes that a caller of the public methods receives or has to make, each with a method that names it."""
    from aihub_async.ingest.job import IngestJob

    for home in (aihub_async, aihub_async.models):
        for name in home.__all__:
            getattr(home, name)
    everything: dict[str, Any] = {}
    for name, module in list(sys.modules.items()):
        if name.startswith("aihub_async") and ".emulator" not in name:
            everything |= {key: value for key, value in vars(module).items() if not key.startswith("__")}
    client = AsyncAIHub("key", api_root="http://127.0.0.1:1/api")
    classes = [("AsyncAIHub", AsyncAIHub), ("IngestJob", IngestJob), *groups("client", client)]
    classes += [(name, value) for name in aihub_async.__all__ if inspect.isclass(value := getattr(aihub_async, name))]
    for path, cls in classes:
        for name, member in inspect.getmembers(cls):
            function = member.fget if isinstance(member, property) else member
            if name.startswith("_") or not inspect.isfunction(function) or not function.__module__.startswith("aihub"):
                continue
            names = ChainMap(vars(sys.modules[function.__module__]), everything, Unknown())
            for annotation in typing.get_type_hints(function, {}, names).values():
                yield from ((f"{path}.{name}", found) for found in own_types(annotation))


def groups(path: str, value: object) -> Iterator[tuple[str, type]]:
    for name, part in parts_of(value).items():
        if not name.startswith("_"):
            yield f"{path}.{name}", type(part)
            yield from groups(f"{path}.{name}", part)


INTERNAL = {
    "Request": "of aiohttp's handler",
    "SourceReader": "of the command line, which checks sources before it uploads them",
    "StreamBody": "of ByteStream.body(), which the engine calls",
    "BatchUploadAPI": "of the engine",
    "RunCalls": "of handles, which the client makes",
}


def test_every_type_of_the_public_methods_is_exported() -> None:
    missing = {found.__name__: method for method, found in named_types() if found.__name__ not in aihub_async.__all__}
    assert {name: method for name, method in missing.items() if name not in INTERNAL} == {}


def test_no_public_name_lives_in_a_private_module() -> None:
    for name in aihub_async.__all__:
        home = getattr(getattr(aihub_async, name), "__module__", "")
        assert not any(part.startswith("_") for part in str(home).split(".")), (name, home)


def test_the_sync_package_exports_the_same() -> None:
    import aihub_sync

    assert set(aihub_async.__all__) - set(dir(aihub_sync)) <= {"AsyncAIHub", "ProcessOutcomes", "Uploads"}


@pytest.mark.parametrize("home", ["aihub_async", "aihub_async.models", "aihub_sync"])
def test_names_that_are_imported_late(home: str) -> None:
    """Completion, star imports and pickles know them before their first use."""
    script = f"""
import importlib, pickle, sys
home = importlib.import_module({home!r})
names = home.__all__
assert set(names) <= set(dir(home))
assert not {{"aihub_async.models.legacy", "aihub_async.models.results"}} & set(sys.modules)
scope = {{}}
exec("from {home} import *", scope)
assert set(names) <= set(scope)
field = home.Document if "models" in {home!r} else home.Field
assert pickle.loads(pickle.dumps(field())) == field()
assert vars(home)["RunResults"] is home.RunResults
try:
    home.Nothing
except AttributeError as error:
    assert str(error) == "module {home!r} has no attribute 'Nothing'", error
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_client_imports_what_its_groups_stand_on_with_their_first_use() -> None:
    script = """
import sys
from aihub_async import AsyncAIHub
client = AsyncAIHub("key", api_root="http://127.0.0.1:1/api")
late = ("cattrs", "aihub_async.resources.v1.flows", "aihub_async.resources.removed.queries",
        "aihub_async.models.results", "aihub_async.ingest", "sqlite3")
loaded = [name for name in late if name in sys.modules]
assert not loaded, loaded
assert client.flows is client.flows
assert "aihub_async.resources.v1.flows" in sys.modules
assert "flows" in dir(client)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_groups_show_their_documentation() -> None:
    """Completion and hovering read annotations of the class, and the docstring of what they name."""
    client = AsyncAIHub("key", api_root="http://127.0.0.1:1/api")
    annotated = typing.get_type_hints(AsyncAIHub)
    classes = {type(part).__name__: type(part) for part in parts_of(client).values()}
    for name, made in inspect.getmembers(AsyncAIHub, lambda member: isinstance(member, functools.cached_property)):
        assert inspect.getdoc(made)
        annotated[name] = typing.get_type_hints(made.func, localns=classes)["return"]
    for name, value in parts_of(client).items():
        if not name.startswith("_"):
            assert annotated[name] is type(value)
            assert inspect.getdoc(annotated[name])
