"""The public surface is pinned: every change of it is a change of public_api.txt, seen in review.

After a wanted change: UPDATE_PUBLIC_API=1 pytest tests/test_public_api.py
"""

import inspect
import os
from collections.abc import Iterator
from pathlib import Path

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


def group(path: str, value: object) -> Iterator[str]:
    for name, part in sorted(vars(value).items()):
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
        for name, part in vars(value).items():
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
