"""Every operation ever published has its row, its method in both clients, its route in the emulator, and works."""

import importlib.util
import inspect
import tomllib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from aihub_async import AsyncAIHub, operations
from aihub_async.emulator import Emulator
from aihub_async.emulator.routes import ALL
from tests.operation_calls import CALLS, World

FACTS = tomllib.loads(Path(__file__).with_name("operations.toml").read_text(encoding="utf-8"))
OPERATIONS: list[dict[str, Any]] = FACTS["operation"]
CALLABLE: list[dict[str, Any]] = [*OPERATIONS, *FACTS["shape"]]
ROWS = {row.name: row for row in operations.OPERATIONS}
NAMES = [fact["name"] for fact in OPERATIONS]


pytestmark = pytest.mark.filterwarnings("ignore:conversations, chatbots:DeprecationWarning")


def each(facts: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fact", facts, ids=[fact["name"] for fact in facts])


def as_template(path: str) -> str:
    """A published path in the form of the table: a name in braces is an identifier there."""
    return path.replace("deployment-id", "deployment_id")


def method_of(client: object, call: str) -> Callable[..., Any]:
    found: Any = client
    for part in call.split("."):
        found = getattr(found, part)
    assert callable(found)
    return found


def test_the_table_holds_the_published_operations_and_no_others() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert sorted(ROWS) == sorted(NAMES)


@each(OPERATIONS)
def test_the_row_says_what_was_published(fact: dict[str, Any]) -> None:
    row = ROWS[fact["name"]]
    assert (row.method, row.path.replace("*}", "}")) == (fact["method"], as_template(fact["path"]))
    assert row.standing is operations.Standing(fact["standing"])
    assert fact["source"]


@each(CALLABLE)
def test_the_method_takes_every_published_parameter(fact: dict[str, Any]) -> None:
    taken = inspect.signature(method_of(AsyncAIHub("key"), fact["call"])).parameters
    for parameter in fact["parameters"]:
        kind, _, name = parameter.partition(" ")
        if name == "IB-Context":
            continue
        usual = name.rpartition(".")[2].lower().replace("-", "_")
        wanted = fact.get("named", {}).get(name or kind, usual)
        assert not wanted or wanted in taken, f"{fact['call']} has no parameter for {parameter!r}"


@each(CALLABLE)
def test_the_sync_client_has_the_method(fact: dict[str, Any]) -> None:
    if importlib.util.find_spec("aihub_sync._generated.client") is None:
        pytest.skip("the sync client has not been generated")
    from aihub_sync import AIHub

    with AIHub("key") as client:
        method = method_of(client, fact["call"])
    assert not inspect.iscoroutinefunction(method)
    parameters = inspect.signature(method_of(AsyncAIHub("key"), fact["call"])).parameters
    assert list(inspect.signature(method).parameters) == list(parameters)


@each(OPERATIONS)
def test_the_emulator_has_a_route(fact: dict[str, Any]) -> None:
    assert ROWS[fact["name"]] in ALL


@each([fact for fact in CALLABLE if fact["standing"] == "unverified"])
def test_what_is_not_published_says_so(fact: dict[str, Any]) -> None:
    text = inspect.getdoc(method_of(AsyncAIHub("key"), fact["call"])) or ""
    assert "Unverified" in text


@each([fact for fact in OPERATIONS if fact["standing"] == "removed"])
def test_what_was_removed_says_so(fact: dict[str, Any]) -> None:
    text = inspect.getdoc(method_of(AsyncAIHub("key"), fact["call"])) or ""
    assert "Deprecated: left AI Hub in February 2026." in text


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with Emulator(part_size=1024) as hub, AsyncAIHub(api_key=hub.api_key, api_root=hub.api_root) as client:
        yield World(client, hub)


def test_every_operation_has_a_call() -> None:
    assert sorted(CALLS) == sorted(fact["name"] for fact in CALLABLE)


@each(CALLABLE)
async def test_the_call_is_answered(fact: dict[str, Any], world: World) -> None:
    needs, call = CALLS[fact["name"]]
    made = [] if needs is None else [await getattr(world, needs)()]
    world.hub.requests.clear()
    await call(world.client, *made)
    name = fact.get("of", fact["name"])
    assert world.hub.requests.count(name) >= 1
    assert set(world.hub.requests.statuses(name)) <= ROWS[name].expected
    world.hub.release_runs()
