"""Everything public of the async client is in the sync one, and nothing else."""

import builtins
import functools
import inspect
import pydoc
import re
import typing
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

import aihub_async
import aihub_async.client
import aihub_sync
from aihub_async import AsyncAIHub, ClientConfig
from aihub_sync import AIHub
from aihub_sync._facade import Facade

ROOT = "http://127.0.0.1:1/api"
# Keywords for scripts of the official SDK, which only the sync client takes.
ONLY_SYNC = {"debug", "api_token"}


def groups_of(sync: Any) -> dict[str, Facade]:
    """The groups of a sync object, with those that are made on first use."""
    late = [name for name, made in inspect.getmembers(type(sync)) if isinstance(made, functools.cached_property)]
    parts = {name: getattr(sync, name) for name in (*vars(sync), *late)}
    return {name: part for name, part in parts.items() if isinstance(part, Facade)}


def twins(path: str, sync: Any, original: Any) -> Iterator[tuple[str, type, type]]:
    """The sync objects below a client, each with the object that it wraps."""
    yield path, type(sync), type(original)
    for name, part in groups_of(sync).items():
        yield from twins(f"{path}.{name}", part, getattr(original, name))


def pairs() -> list[tuple[str, type, type]]:
    found = list(twins("client", AIHub("key", api_root=ROOT), AsyncAIHub("key", api_root=ROOT)))
    exported = set(aihub_async.__all__) & set(dir(aihub_sync))
    found += [
        (name, getattr(aihub_sync, name), getattr(aihub_async, name))
        for name in sorted(exported)
        if getattr(aihub_sync, name) is not getattr(aihub_async, name)
        and inspect.isclass(getattr(aihub_sync, name))
        and issubclass(getattr(aihub_sync, name), Facade)
    ]
    return found


PAIRS = pairs()


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


@pytest.mark.parametrize(("path", "sync", "original"), PAIRS, ids=[path for path, _, _ in PAIRS])
def test_every_method_with_every_parameter_and_default(path: str, sync: type, original: type) -> None:
    expected = {"close" if name == "aclose" else name for name in public(original)}
    assert public(sync) == expected
    for name in expected:
        source = inspect.getattr_static(original, "aclose" if name == "close" and hasattr(original, "aclose") else name)
        target = inspect.getattr_static(sync, name)
        if isinstance(source, property | functools.cached_property):
            assert type(target) is type(source)
            continue
        if not inspect.isfunction(source):
            assert isinstance(target, property)
            continue
        assert not inspect.iscoroutinefunction(target)
        ours, theirs = inspect.signature(target).parameters, inspect.signature(source).parameters
        assert list(ours) == list(theirs), f"{path}.{name}"
        assert [(p.kind, p.default) for p in ours.values()] == [(p.kind, p.default) for p in theirs.values()]


@pytest.mark.parametrize(("path", "sync", "original"), PAIRS, ids=[path for path, _, _ in PAIRS])
def test_every_docstring_and_every_exception_in_it(path: str, sync: type, original: type) -> None:
    for name in public(original):
        source = inspect.getdoc(getattr(original, name, None)) or ""
        target = inspect.getdoc(getattr(sync, "close" if name == "aclose" else name, None)) or ""
        assert bool(source) == bool(target) or not inspect.isfunction(getattr(original, name))
        assert re.findall(r"\w+Error\b", source) == re.findall(r"\w+Error\b", target), f"{path}.{name}"
        assert "AsyncAIHub" not in target
        assert ">>> async" not in target


def test_the_constructor_takes_the_same_and_debug_where_the_official_one_has_it() -> None:
    ours, theirs = inspect.signature(AIHub).parameters, inspect.signature(AsyncAIHub).parameters
    assert [name for name in ours if name not in ONLY_SYNC] == list(theirs)
    assert list(ours)[:4] == ["api_key", "ib_context", "api_root", "debug"]
    assert ours["debug"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD


UNITS = {
    **dict.fromkeys(("timeout", "deadline", "reconcile_for"), "seconds"),
    **dict.fromkeys(("max_retries", "max_concurrent_requests"), "number"),
    "max_requests_per_second": "requests per second",
    "max_bytes_in_flight": "bytes",
    **dict.fromkeys(("api_root", "proxy"), "URL"),
}


@pytest.mark.parametrize("documented", [AIHub, AIHub.__init__, AsyncAIHub], ids=lambda each: each.__qualname__)
def test_the_help_explains_every_option_with_unit_and_default(documented: Any) -> None:
    text = pydoc.plain(pydoc.render_doc(documented))
    text = text[text.index("Args:") : text.index("Raises:")]
    entries = dict(re.findall(r"^[ |]*(\w+): (\S.*(?:\n[ |]{10,}\S.*)*)", text, re.MULTILINE))
    entries = {name: " ".join(entry.replace("|", " ").split()) for name, entry in entries.items()}
    names = [name for name in inspect.signature(documented).parameters if name != "self"]
    assert list(entries) == names
    for name in set(names) - ONLY_SYNC:
        assert "(default: " in entries[name], name
        assert UNITS.get(name, "") in entries[name], name
    numbers = {field.name: field.default for field in attrs.fields(ClientConfig)}
    for name in ("timeout", "deadline", "max_retries", "max_concurrent_requests"):
        assert f"(default: {numbers[name]:g})" in entries[name]
    assert f"(default: {numbers['max_bytes_in_flight'] >> 20} MiB)" in entries["max_bytes_in_flight"]


def test_groups_are_annotated_and_described() -> None:
    client = AIHub("key", api_root=ROOT)
    groups = {name: type(part) for name, part in groups_of(client).items()}
    assert {"batches", "flows"} <= groups.keys()
    hints = typing.get_type_hints(AIHub, localns={"client": aihub_async.client})
    for name, made in inspect.getmembers(AIHub, lambda member: isinstance(member, functools.cached_property)):
        assert inspect.getdoc(made)
        hints[name] = typing.get_type_hints(made.func, localns={groups[name].__name__: groups[name]})["return"]
    assert {name: hints[name] for name in groups} == groups


def test_every_public_name() -> None:
    # Async iterators have no use here: the twin of Uploads is Pages[UploadRecord].
    iterators = {"Uploads", "ProcessOutcomes"}
    expected = {"AIHub" if name == "AsyncAIHub" else name for name in aihub_async.__all__} - iterators
    assert expected <= set(dir(aihub_sync))
    assert {"Pages", "errors", "exceptions", "models"} <= set(dir(aihub_sync))
    assert dir(aihub_sync) == sorted(aihub_sync.__all__)
    for name in expected:
        assert getattr(aihub_sync, name) is not None


@pytest.mark.parametrize(("path", "sync", "original"), PAIRS, ids=[path for path, _, _ in PAIRS])
def test_every_return_type_can_be_imported_from_the_package(path: str, sync: type, original: type) -> None:
    known = {*dir(aihub_sync), *aihub_sync.models.__all__, *dir(builtins), *typing.__all__, "Path"}
    for name in public(sync):
        member = inspect.getattr_static(sync, name)
        if isinstance(member, functools.cached_property):
            continue  # a group, which is reached through its client
        function = member.fget if isinstance(member, property) else member
        returned = inspect.unwrap(function).__annotations__["return"]
        assert set(re.findall(r"[A-Za-z]\w*", returned)) <= known, f"{path}.{name}"


# A bus runs on the loop of the receiver.
@pytest.mark.parametrize("name", sorted({*dir(aihub_sync)} - {"Bus", "RedisBus"}))
def test_a_class_with_async_methods_is_never_what_the_sync_package_offers(name: str) -> None:
    offered = getattr(aihub_sync, name)
    if inspect.isclass(offered):
        waiting = [method for method, made in vars(offered).items() if inspect.iscoroutinefunction(made)]
        assert waiting == []


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'AsyncAIHub'"):
        aihub_sync.AsyncAIHub  # noqa: B018


def test_the_exceptions_are_the_same_classes() -> None:
    assert aihub_sync.errors is aihub_async.errors


def test_every_answer_of_the_client_is_sync() -> None:
    client = AIHub("key", api_root=ROOT)
    assert isinstance(client.with_options(timeout=1), AIHub)
    assert isinstance(client.batches.iter(), aihub_sync.Pages)
    assert type(client.apps.runs.handle("run-1")).__module__ == "aihub_sync._generated.handles"
    assert repr(client) == f"AIHub(api_root='{ROOT}', ib_context=None)"
