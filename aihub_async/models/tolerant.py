"""The tolerant lane: cattrs with hooks that accept what servers send outside the published schema.

Each hook returns None for what it cannot understand. Only a required field turns that into an error.
Of an answer that the strict lane refused, the parts that fit the schema still take a strict, fast way.
"""

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

import attrs
import msgspec

from aihub_async.models.raw import DecodeError, KeepsRaw, attach, set_source

if TYPE_CHECKING:
    import cattrs

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
    return _read(cls, value, _tolerant().get_structure_hook(cls))


def structure_refused(cls: type[T], value: Any) -> T:
    """Structure parsed JSON that the strict lane has refused as a whole; faster where most of it fits.

    Raises:
        DecodeError: not an object, or a required field is missing; names class and path.
    """
    return _read(cls, value, _refused_hook(cls))


def _read(cls: type[T], value: Any, hook: Hook) -> T:
    if not isinstance(value, dict):
        raise DecodeError(f"{cls.__name__}: expected an object, got {_kind(value)}")
    try:
        model: T = hook(value, cls)
    except _MissingError as missing:
        raise DecodeError(f"{missing.problem} at ${''.join(reversed(missing.path))}") from None
    return model


def structure(cls: type[T], obj: Any) -> T:
    """Build `cls` from plain types: tolerantly for response models, as cattrs does for every other class.

    Raises:
        DecodeError: `obj` does not fit `cls`.

    Example:
        >>> structure(Batch, {"id": "7"})
        Batch(id=7)
    """
    try:
        return _plain().structure(obj, cls)
    except DecodeError:
        raise
    except Exception as error:  # noqa: BLE001  # cattrs passes on any exception of the constructors of the values
        from cattrs import transform_error  # noqa: PLC0415 - as `_tolerant`

        reasons = "; ".join(transform_error(error))
        raise DecodeError(f"not a {getattr(cls, '__name__', cls)}: {reasons}") from None


def unstructure(obj: Any) -> Any:
    """Turn attrs classes, enums, datetimes and containers of them into plain JSON types.

    Classes with a `to_dict` go through it.

    Example:
        >>> unstructure([Batch(id=7)])
        [{'id': 7}]
    """
    return _plain().unstructure(obj)


def is_model(declared: Any) -> bool:
    """Return whether a class is a response model."""
    return isinstance(declared, type) and issubclass(declared, KeepsRaw)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _text(value: Any, _: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return _number_text(value)
    return None


def _number_text(value: float | bool) -> str:
    try:
        text = msgspec.json.encode(value).decode()
    except OverflowError:
        return str(value)
    return str(value) if text == "null" else text


def _scalar(value: Any, wanted: Any) -> Any:
    try:
        read = value if type(value) is wanted else msgspec.convert(value, wanted, strict=False)
    except (msgspec.ValidationError, UnicodeEncodeError):
        return None
    return None if isinstance(read, float) and not math.isfinite(read) else read


def _mapping(value: Any, _: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _anything(value: Any, _: Any) -> Any:
    return value


def _union_hook(declared: Any, converter: "cattrs.BaseConverter") -> Hook:
    members = get_args(declared)
    if Any in members:
        return _anything
    (member,) = (member for member in members if member is not type(None))
    hook = converter.get_structure_hook(member)

    def read(value: Any, _: Any) -> Any:
        return None if value is None else hook(value, member)

    return read


def _list_hook(declared: Any, converter: "cattrs.BaseConverter") -> Hook:
    (member,) = get_args(declared)
    hook = converter.get_structure_hook(member)
    stand_in = _stand_in(member)

    def read(value: Any, _: Any) -> list[Any] | None:
        if not isinstance(value, list):
            alone = hook(value, member)
            return None if alone is None else [alone]
        items = []
        for index, item in enumerate(value):
            try:
                understood = hook(item, member)
                items.append(stand_in(item) if understood is None else understood)
            except _MissingError as missing:
                missing.path.append(f"[{index}]")
                raise
        return [item for item in items if item is not None]

    return read


def _stand_in(member: Any) -> Callable[[Any], Any]:
    """Return the replacement for a list item that is not understood.

    The number of files on a page decides where the next page starts, so an object keeps its place; a scalar is
    dropped.
    """
    if not is_model(member):
        return lambda _: None
    if not _required(member):
        return lambda _: member()

    def refuse(item: Any) -> Any:
        raise _MissingError(f"{member.__name__}: expected an object, got {_kind(item)},")

    return refuse


def _model_hook(cls: Any, converter: "cattrs.BaseConverter") -> Hook:
    declared = [(field.name, field.type) for field in attrs.fields(cls)]
    hooks = tuple((name, kind, converter.get_structure_hook(kind), _plain_type(kind)) for name, kind in declared)
    required = _required(cls)

    def read(value: Any, _: Any) -> KeepsRaw | None:
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if not isinstance(value, dict):
            return None
        fields = {}
        for name, kind, hook, plain in hooks:
            sent = value.get(name)
            understood = sent if type(sent) is plain else _read_field(name, kind, hook, sent)
            if understood is not None:
                fields[name] = understood
            elif name in required:
                raise _MissingError(_describe(cls, name, kind, value))
        model: KeepsRaw = cls(**fields)
        set_source(model, value)
        return model

    return read


def _plain_type(declared: Any) -> type | None:
    """Return the type whose values a hook would return as they are."""
    members = get_args(declared) if type(None) in get_args(declared) else (declared,)
    return next((member for member in members if member in {str, int, bool}), None)


def _strict_first_hook(cls: Any, converter: "cattrs.BaseConverter") -> Hook:
    tolerant = _model_hook(cls, converter)

    def read(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            return tolerant(value, cls)
        # The most frequent oddity is null in every object: left out, it need not be refused.
        sent = {name: part for name, part in value.items() if part is not None}
        try:
            model = msgspec.convert(sent, cls)
        except (msgspec.ValidationError, UnicodeEncodeError, RecursionError):
            # UnicodeEncodeError: the name of a field is a lone surrogate.
            return tolerant(value, cls)
        attach(model, value)
        return model

    return read


def _read_field(name: str, kind: Any, hook: Hook, sent: Any) -> Any:
    if sent is None:
        return None
    try:
        return hook(sent, kind)
    except _MissingError as missing:
        missing.path.append(f".{name}")
        raise


def _describe(cls: Any, name: str, kind: Any, sent: dict[str, Any]) -> str:
    if name not in sent:
        return f"{cls.__name__}.{name} is missing"
    if sent[name] is None:
        return f"{cls.__name__}.{name} is null"
    return f"{cls.__name__}.{name}: expected {kind.__name__}, got {_kind(sent[name])},"


def _required(cls: Any) -> frozenset[str]:
    return frozenset(field.name for field in attrs.fields(cls) if field.default is attrs.NOTHING)


def _is_a(origin: type) -> Callable[[Any], bool]:
    return lambda declared: get_origin(declared) is origin


def _make_tolerant(model_hook: "Callable[[Any, cattrs.BaseConverter], Hook]") -> "cattrs.Converter":
    import cattrs  # noqa: PLC0415 - a twentieth of the import's time, and the strict lane does without it

    converter = cattrs.Converter()
    converter.register_structure_hook(str, _text)
    for scalar in (int, float, bool):
        converter.register_structure_hook(scalar, _scalar)
    converter.register_structure_hook_func(_is_a(dict), _mapping)
    converter.register_structure_hook_func(lambda declared: declared is Any, _anything)
    converter.register_structure_hook_factory(_is_a(list), _list_hook)
    converter.register_structure_hook_factory(lambda declared: type(None) in get_args(declared), _union_hook)
    converter.register_structure_hook_factory(is_model, model_hook)
    return converter


@functools.cache
def _plain() -> "cattrs.Converter":
    from cattrs.preconf.json import make_converter  # noqa: PLC0415 - as above

    converter = make_converter()
    converter.register_structure_hook_func(is_model, lambda value, cls: structure_model(cls, value))
    converter.register_unstructure_hook_func(lambda cls: hasattr(cls, "to_dict"), lambda value: value.to_dict())
    return converter


@functools.cache
def _tolerant() -> "cattrs.Converter":
    return _make_tolerant(_model_hook)


@functools.cache
def _strict_first() -> "cattrs.Converter":
    """For parsed JSON only: other plain types may hold NaN, which the strict way would let pass."""
    return _make_tolerant(_strict_first_hook)


def _make_refused(cls: type) -> Hook:
    """The top level is not tried again: as a whole, the answer has been refused."""
    return _model_hook(cls, _strict_first())


_refused_hook: Callable[[type], Hook] = functools.cache(_make_refused)
