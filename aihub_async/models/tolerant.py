"""The tolerant lane: cattrs with hooks that accept what servers send beside the published schema.

Each hook returns None for what it cannot understand. Only a required field turns that into an error.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar, cast, get_args, get_origin

import attrs
import cattrs
import msgspec
from cattrs.preconf.json import make_converter

from aihub_async.models.raw import DecodeError, KeepsRaw, field_names, set_source

T = TypeVar("T")
M = TypeVar("M", bound=KeepsRaw)
Hook = Callable[[Any, Any], Any]


class _MissingError(Exception):
    """A required field is not there; `path` grows outwards while this is raised through the levels."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path: list[str] = []


def structure_model(cls: type[M], value: Any) -> M:
    """Read plain JSON types into a response model, keeping `value` as its `raw`.

    Raises:
        DecodeError: not an object, or a required field is missing; names class and path.
    """
    if not isinstance(value, dict):
        raise DecodeError(f"{cls.__name__}: expected an object, got {_kind(value)}")
    try:
        return cast("M", _TOLERANT.structure(value, cls))
    except _MissingError as missing:
        raise DecodeError(f"{missing.problem} at ${''.join(reversed(missing.path))}") from None


def structure(cls: type[T], obj: Any) -> T:
    """Build `cls` from plain types: tolerantly for response models, strictly for every other class.

    Raises:
        DecodeError: `obj` does not fit `cls`.

    Example:
        >>> structure(Batch, {"id": "7"})
        Batch(id=7)
    """
    if isinstance(cls, type) and issubclass(cls, KeepsRaw):
        return structure_model(cls, obj)
    try:
        return _PLAIN.structure(obj, cls)
    except Exception as error:  # noqa: BLE001  # cattrs raises whatever the constructors of the values raise
        reasons = "; ".join(cattrs.transform_error(error))
        raise DecodeError(f"not a {getattr(cls, '__name__', cls)}: {reasons}") from None


def unstructure(obj: Any) -> Any:
    """Turn attrs classes, enums, datetimes and containers of them into plain JSON types.

    Example:
        >>> unstructure([Batch(id=7)])
        [{'id': 7}]
    """
    return _PLAIN.unstructure(obj)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _text(value: Any, _: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return msgspec.json.encode(value).decode()
    return None


def _scalar(value: Any, wanted: type[T]) -> T | None:
    try:
        read = msgspec.convert(value, wanted, strict=False)
    except msgspec.ValidationError:
        return None
    return None if isinstance(read, float) and not math.isfinite(read) else read


def _mapping(value: Any, _: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _anything(value: Any, _: Any) -> Any:
    return value


def _union_hook(declared: Any, converter: cattrs.Converter) -> Hook:
    members = get_args(declared)
    if Any in members:
        return _anything
    (member,) = (member for member in members if member is not type(None))
    hook = converter.get_structure_hook(member)

    def read(value: Any, _: Any) -> Any:
        return None if value is None else hook(value, member)

    return read


def _list_hook(declared: Any, converter: cattrs.Converter) -> Hook:
    (member,) = get_args(declared)
    hook = converter.get_structure_hook(member)
    fallback = _empty_item(member)

    def read(value: Any, _: Any) -> list[Any] | None:
        if value is None:
            return None
        sent = value if isinstance(value, list) else [value]
        items = []
        for index, item in enumerate(sent):
            try:
                understood = hook(item, member)
                items.append(fallback(item) if understood is None else understood)
            except _MissingError as missing:
                missing.path.append(f"[{index}]")
                raise
        return [item for item in items if item is not None]

    return read


def _empty_item(member: Any) -> Callable[[Any], Any]:
    """What stands for a list item that is not understood.

    The number of files on a page is where the next page starts: an object keeps its place, a scalar is dropped.
    """
    if not (isinstance(member, type) and issubclass(member, KeepsRaw)):
        return lambda _: None
    if not _required(member):
        return lambda _: member()

    def refuse(item: Any) -> Any:
        raise _MissingError(f"{member.__name__}: expected an object, got {_kind(item)},")

    return refuse


def _model_hook(cls: type[KeepsRaw], converter: cattrs.Converter) -> Hook:
    hooks = tuple(
        (field.name, field.type, converter.get_structure_hook(field.type))
        for field in attrs.fields(cls)
        if field.init
    )
    required = _required(cls)

    def read(value: Any, _: Any) -> KeepsRaw | None:
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if not isinstance(value, dict):
            return None
        fields = {}
        for name, declared, hook in hooks:
            sent = value.get(name)
            try:
                understood = hook(sent, declared) if sent is not None else None
            except _MissingError as missing:
                missing.path.append(f".{name}")
                raise
            if understood is not None:
                fields[name] = understood
            elif name in required:
                raise _MissingError(_describe(cls, name, declared, value))
        model = cls(**fields)
        set_source(model, value)
        return model

    return read


def _describe(cls: type, name: str, declared: Any, sent: dict[str, Any]) -> str:
    if name not in sent:
        return f"{cls.__name__}.{name} is missing"
    if sent[name] is None:
        return f"{cls.__name__}.{name} is null"
    return f"{cls.__name__}.{name}: expected {declared.__name__}, got {_kind(sent[name])},"


@functools.cache
def _required(cls: type) -> frozenset[str]:
    return frozenset(field.name for field in attrs.fields(cls) if field.default is attrs.NOTHING)


def _is_model(declared: Any) -> bool:
    return isinstance(declared, type) and issubclass(declared, KeepsRaw)


def _is_union(declared: Any) -> bool:
    return type(None) in get_args(declared)


def _make_tolerant() -> cattrs.Converter:
    converter = cattrs.Converter()
    converter.register_structure_hook(str, _text)
    for number in (int, float, bool):
        converter.register_structure_hook(number, _scalar)
    converter.register_structure_hook_func(lambda declared: get_origin(declared) is dict, _mapping)
    converter.register_structure_hook_func(lambda declared: declared is Any, _anything)
    converter.register_structure_hook_factory(lambda declared: get_origin(declared) is list, _list_hook)
    converter.register_structure_hook_factory(_is_union, _union_hook)
    converter.register_structure_hook_factory(_is_model, _model_hook)
    return converter


def _make_plain() -> cattrs.Converter:
    converter = make_converter()
    converter.register_unstructure_hook_func(_is_model, lambda model: model.to_dict())
    return converter


_TOLERANT = _make_tolerant()
_PLAIN = _make_plain()
