"""Scenario files: a seed, settings, faults, webhook misbehavior and a world in TOML.

Example:
    ```toml
    seed = 7                        # of the generator behind `probability`

    [settings]                      # names of EmulatorSettings
    run_seconds = 2.0

    [[fault]]                       # attributes of Fault
    kind = "refuse"                 # connections are refused for 5 seconds, 10 seconds after the start
    after = 10
    lasting = 5

    [[fault]]
    kind = "reset-before"           # the connection breaks; the run starts 6 seconds later
    operation = "runApp"
    times = 1
    handled_after = 6.0

    [[fault]]
    kind = "headers"
    extra_headers = { Server = "gateway" }

    [webhooks]                      # attributes of WebhookPlan
    lost = true

    [[world.organization]]          # attributes of Organization
    id = "acme"
    admins = ["ana"]
    workspaces = { finance = ["ben"] }

    [[world.user]]                  # attributes of User
    id = "ana"
    token = "ana-key"
    ```
"""

import difflib
import tomllib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs

from aihub_async.emulator.faults import Fault
from aihub_async.emulator.settings import setting_names
from aihub_async.emulator.webhooks import WebhookPlan
from aihub_async.emulator.world import World

_T = TypeVar("_T")

# A file cannot hold callables.
_SETTINGS = setting_names() - {"clock", "new_id", "post_webhook"}


class ScenarioError(ValueError):
    """A scenario that cannot be used; the message names the file, the place and the nearest known key."""


@attrs.frozen(kw_only=True)
class Scenario:
    """What a scenario file describes."""

    seed: int | None = None
    settings: Mapping[str, Any] = attrs.field(factory=dict)
    faults: tuple[Fault, ...] = ()
    webhooks: WebhookPlan | None = None
    world: World | None = None


def load_scenario(path: Path | str) -> Scenario:
    """Read a scenario file.

    Raises:
        ScenarioError: unreadable, not TOML, an unknown key, or a value that does not fit.
    """
    try:
        return parse_scenario(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ScenarioError(f"{path}: not UTF-8") from None
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from None


def parse_scenario(text: str) -> Scenario:
    """Read a scenario from TOML text.

    Raises:
        ScenarioError: not TOML, an unknown key, or a value that does not fit.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"not valid TOML: {error}") from None
    _check_keys("the file", content, {"seed", "settings", "fault", "webhooks", "world"})
    seed = content.get("seed")
    if seed is not None and type(seed) is not int:
        raise ScenarioError("seed must be an integer")
    settings = _table("settings", content.get("settings", {}))
    _check_keys("[settings]", settings, _SETTINGS)
    faults = content.get("fault", [])
    if not isinstance(faults, list):
        raise ScenarioError("write [[fault]] with double brackets: there may be several")
    plan, world = content.get("webhooks"), content.get("world")
    return Scenario(
        seed=seed,
        settings={name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()},
        faults=tuple(_fault(number, fault) for number, fault in enumerate(faults, 1)),
        webhooks=None if plan is None else _build("[webhooks]", WebhookPlan, _table("webhooks", plan)),
        world=None if world is None else _world(_table("world", world)),
    )


def _world(content: Mapping[str, Any]) -> World:
    try:
        return World.from_mapping(content)
    except (TypeError, ValueError) as error:
        raise ScenarioError(f"[world]: {error}") from None


def _fault(number: int, content: Any) -> Fault:
    place = f"[[fault]] number {number}"
    values = dict(_table(place, content))
    headers = values.get("extra_headers")
    if isinstance(headers, Mapping):
        values["extra_headers"] = tuple((str(name), str(value)) for name, value in headers.items())
    if "kind" not in values:
        raise ScenarioError(f"{place} has no kind")
    return _build(place, Fault, values)


def _build(place: str, build: Callable[..., _T], values: Mapping[str, Any]) -> _T:
    fields: tuple[Any, ...] = attrs.fields(cast("Any", build))
    _check_keys(place, values, {field.name for field in fields})
    try:
        return build(**values)
    except (TypeError, ValueError) as error:
        raise ScenarioError(f"{place}: {error.args[0] if error.args else error}") from None


def _table(place: str, content: Any) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise ScenarioError(f"{place} must be a table")
    return content


def _check_keys(place: str, content: Mapping[str, Any], known: Collection[str]) -> None:
    for key in content:
        if key not in known:
            nearest = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"known keys: {', '.join(sorted(known))}"
            raise ScenarioError(f"{place} has an unknown key {key!r}; {hint}")
