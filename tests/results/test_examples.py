"""Every example in the docstrings of results runs, in both clients."""

import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import aihub_async.results
from aihub_async import AsyncAIHub, Gate, NotebookProgress, Processed, Table
from aihub_async.emulator import Emulator
from aihub_async.models import reprs
from aihub_async.resources import _run_results
from aihub_async.results.rows import Origin, Shape, file_name
from aihub_sync import AIHub
from aihub_sync._generated import runs as sync_runs

TEXT = "Vendor: Acme\nTotal: 12.50\ntotal: 12.50\n"
NEEDED = {"pandas": pytest.importorskip("pandas"), "pyarrow": pytest.importorskip("pyarrow")}


def modules() -> Iterator[Any]:
    yield from (reprs, _run_results, sync_runs)
    for info in pkgutil.walk_packages(aihub_async.results.__path__, "aihub_async.results."):
        yield importlib.import_module(info.name)


def examples() -> list[Any]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [
        test for module in modules() for test in finder.find(module, module.__name__, module=module) if test.examples
    ]
    # Only those about results: the other methods of the groups have their own tests.
    about = ("processed", "table", "results")
    return [
        pytest.param(test, id=test.name)
        for test in found
        if not test.name.startswith("aihub_sync") or test.name.rpartition(".")[2] in about
    ]


@pytest.fixture(scope="module")
def hub() -> Iterator[Emulator]:
    with Emulator().in_thread() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "a.txt").write_text(TEXT)
    return tmp_path


@attrs.frozen
class Invoice:
    total: float


@pytest.mark.parametrize("example", examples())
async def test_example(example: doctest.DocTest, hub: Emulator, folder: Path) -> None:
    names = {"Gate": Gate, "Table": Table, "NotebookProgress": NotebookProgress}
    # A name that the module has is that one.
    example.globs = names | example.globs
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    result = runner.run(example, clear_globs=False)
    assert result.failed == 0
    before = {*names, *vars(importlib.import_module(_module_of(example.name)))}
    defined = {name: value for name, value in example.globs.items() if inspect.isfunction(value) and name not in before}
    async with AsyncAIHub(hub.api_key, api_root=hub.api_root) as client:
        processed = await client.process("scans", app_name="key-values", batch_name=None)
        for function in defined.values():
            await call(function, client, hub, processed, folder)
    assert defined or any(each.want for each in example.examples), "the example shows nothing"


async def call(function: Any, client: AsyncAIHub, hub: Emulator, processed: Processed, folder: Path) -> None:
    file = processed.files[0]
    given = {
        "processed": processed,
        "results": [processed, processed],
        "invoice": Invoice,
        "run_id": processed.run.id,
        "folder": folder / "scans",
        "shape": Shape.of(),
        "file": file,
        "origin": Origin(None, file_name(file)),
    }
    parameters = inspect.signature(function).parameters
    arguments = {name: given[name] for name in parameters if name != "client"}
    if inspect.iscoroutinefunction(function):
        assert await function(**arguments, **({"client": client} if "client" in parameters else {})) is not Ellipsis
    elif "client" in parameters:
        with AIHub(hub.api_key, api_root=hub.api_root) as sync_client:
            assert function(client=sync_client, **arguments) is not Ellipsis
    else:
        assert function(**arguments) is not Ellipsis


def _module_of(name: str) -> str:
    while True:
        try:
            return importlib.import_module(name).__name__
        except ImportError:
            name = name.rpartition(".")[0]


def test_the_examples_are_found() -> None:
    names = {parameter.id or "" for parameter in examples()}
    assert len(names) > 12
    assert any(name.startswith("aihub_sync") for name in names)
