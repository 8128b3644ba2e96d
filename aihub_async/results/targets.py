"""Classes that records are bound to: attrs, dataclasses, msgspec Structs, TypedDicts and pydantic models.

pydantic is recognized by what its classes have, and never imported.
"""

import dataclasses
import functools
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
import msgspec

from aihub_async.errors import ConfigurationError


@attrs.frozen
class Member:
    """One attribute of a class: its name, the parameter that sets it, its type, and a name of the field, if stated."""

    name: str
    parameter: str
    type: Any
    required: bool
    alias: str | None = None


@attrs.frozen
class Target:
    """A class that can be built from its members by name."""

    cls: type
    members: tuple[Member, ...]
    build: Callable[..., Any]
    converts: bool = False
    """Whether building it converts values of types that nothing else converts, as pydantic does."""


def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise ConfigurationError(
            f"{cls.__name__}: the annotation {error.name!r} cannot be resolved; define the class in a module"
        ) from error


def _of_attrs(cls: Any) -> tuple[Member, ...]:
    hints = _hints(cls)
    return tuple(
        Member(
            field.name,
            field.alias,
            hints.get(field.name, Any),
            field.default is attrs.NOTHING,
            field.metadata.get("alias"),
        )
        for field in attrs.fields(cls)
        if field.init
    )


def _of_dataclass(cls: Any) -> tuple[Member, ...]:
    hints = _hints(cls)
    missing = dataclasses.MISSING
    return tuple(
        Member(
            field.name,
            field.name,
            hints[field.name],
            field.default is missing and field.default_factory is missing,
            field.metadata.get("alias"),
        )
        for field in dataclasses.fields(cls)
        if field.init
    )


def _of_struct(cls: Any) -> tuple[Member, ...]:
    return tuple(
        Member(
            field.name,
            field.name,
            field.type,
            field.required,
            field.encode_name if field.encode_name != field.name else None,
        )
        for field in msgspec.structs.fields(cls)
    )


def _of_typed_dict(cls: Any) -> tuple[Member, ...]:
    hints = typing.get_type_hints(cls)
    return tuple(Member(name, name, kind, name in cls.__required_keys__) for name, kind in hints.items())


def _of_pydantic(cls: Any) -> tuple[Member, ...]:
    def alias(info: Any) -> str | None:
        stated = info.validation_alias or info.alias
        return stated if isinstance(stated, str) else None

    return tuple(
        Member(name, alias(info) or name, info.annotation, info.is_required(), alias(info))
        for name, info in cls.model_fields.items()
    )


def _build_pydantic(cls: Any) -> Callable[..., Any]:
    def build(**values: Any) -> Any:
        return cls.model_validate(values)

    return build


def _same(cls: Any) -> Callable[..., Any]:
    build: Callable[..., Any] = cls
    return build


_KINDS: Final[tuple[tuple[Callable[[Any], bool], Callable[[Any], tuple[Member, ...]], Callable[[Any], Any]], ...]] = (
    (attrs.has, _of_attrs, _same),
    (lambda cls: issubclass(cls, msgspec.Struct), _of_struct, _same),
    (lambda cls: hasattr(cls, "model_fields") and hasattr(cls, "model_validate"), _of_pydantic, _build_pydantic),
    (dataclasses.is_dataclass, _of_dataclass, _same),
    (typing.is_typeddict, _of_typed_dict, _same),
)


@functools.cache
def find_target(cls: Any) -> Target | None:
    """Return how to build a class; None if it is of no known kind."""
    if not isinstance(cls, type):
        return None
    for matches, members, build in _KINDS:
        if matches(cls):
            return Target(cls, members(cls), build(cls), converts=build is _build_pydantic)
    return None


def target_of(cls: Any) -> Target:
    """Return how to build a class.

    Raises:
        ConfigurationError: it is of no known kind.
    """
    target = find_target(cls)
    if target is None:
        name = getattr(cls, "__name__", cls)
        raise ConfigurationError(
            f"{name} is not an attrs class, dataclass, msgspec Struct, TypedDict or pydantic model"
        )
    return target


def folded(name: str) -> str:
    """Return a name without what the API changes in it: case, and underscores, which it doubles and inserts."""
    return name.replace("_", "").casefold()


def match(members: tuple[Member, ...], names: Mapping[str, Any], aliases: Mapping[str, str]) -> dict[str, str]:
    """Return the field of each member that has one: by alias, else by its name, else by its folded name.

    Raises:
        LookupError: several fields have the folded name of a member; the message lists them.
    """
    by_folded: dict[str, list[str]] = {}
    for name in names:
        by_folded.setdefault(folded(name), []).append(name)
    found = {}
    for member in members:
        stated = aliases.get(member.name, member.alias)
        if stated is not None:
            if stated in names:
                found[member.name] = stated
        elif member.name in names:
            found[member.name] = member.name
        else:
            similar = by_folded.get(folded(member.name), [])
            if len(similar) > 1:
                raise LookupError(f"{member.name} could be {' or '.join(similar)}; state it with aliases=")
            if similar:
                found[member.name] = similar[0]
    return found
