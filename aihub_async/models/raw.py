"""What a server sent beyond the fields of a class: kept lazily with the typed object."""

import enum
import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, TypeAlias, get_args, get_origin

import attrs
import msgspec


class DecodeError(ValueError):
    """Bytes or values that are not what a class describes; the message never quotes them."""


class Payload:
    """The bytes of one answer, parsed on first use and then released."""

    __slots__ = ("_data", "_value")

    def __init__(self, data: bytes) -> None:
        self._data: bytes | None = data
        self._value: Any = None

    def value(self) -> Any:
        """Return the whole answer as plain JSON types.

        Raises:
            DecodeError: a part that belongs to no class cannot be read, such as one that is nested too deeply.
        """
        data = self._data
        if data is None:
            return self._value
        # Value first: another thread that sees no data must find it.
        self._value = parse(data)
        self._data = None
        return self._value


def parse(data: bytes) -> Any:
    """Read JSON into plain types.

    Raises:
        DecodeError: not JSON, not UTF-8, or nested too deeply.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        refusal = error
    return parse_leniently(data, refusal)


def parse_leniently(data: bytes, refusal: Exception) -> Any:
    """Read what Python's `json` reads and msgspec refused: NaN, lone surrogates, numbers of any length.

    Servers written in Python send these. An integer of more digits than Python converts is kept as its text.

    Raises:
        DecodeError: Python's json cannot read it either; the message is that of msgspec.
    """
    try:
        return json.loads(data, parse_int=_integer)
    except (ValueError, RecursionError):
        pass
    raise malformed(data, refusal)


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MAX_DIGITS else digits


_MAX_DIGITS = 4300
"""Python's default of `sys.get_int_max_str_digits()`."""


def malformed(data: bytes, error: Exception) -> DecodeError:
    """Return the `DecodeError` for bytes that are not readable JSON, naming what they look like."""
    start = data[:64].lstrip()
    if not start and not data.strip():
        return DecodeError("the body is empty; expected JSON")
    if start.startswith(b"<"):
        return DecodeError("the body is HTML or XML, perhaps a login or proxy page; expected JSON")
    if isinstance(error, RecursionError):
        return DecodeError("the JSON is nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return DecodeError("the JSON is not valid UTF-8")
    return DecodeError(f"the body of {len(data)} bytes is not JSON: {error}")


# A dict: the object itself. A Payload: its top-level object. A tuple: (source of the parent, key, index in a
# list or None). Children point at parents and never back, so that no cycle keeps a large page alive.
Source: TypeAlias = "dict[str, Any] | Payload | tuple[Source, str, int | None]"


def resolve(source: "Source") -> Any:
    """Return the JSON value of a source."""
    if isinstance(source, dict):
        return source
    if isinstance(source, Payload):
        return source.value()
    parent, key, index = source
    value = resolve(parent)[key]
    return value if index is None else value[index]


class KeepsRaw:
    """Remembers the JSON that an object was decoded from, outside its fields.

    Equality, hash, repr and pickle ignore it; a copy made by pickle or `attrs.evolve` no longer has it.
    """

    __slots__ = ("_source",)
    _source: "Source"

    _leaf: ClassVar[bool] = False
    """True where the objects below are too many to remember each: they are found in this object's `raw`."""

    @property
    def raw(self) -> dict[str, Any]:
        """The JSON object as the server sent it: every field at any depth, with its original value.

        It is parsed on first use and shared by all objects of one answer: do not change it. For an object
        that was not decoded, or was unpickled, this is `to_dict()`. So it may be for what lies below a
        `Field` or a `FileNode`, such as a confidence: the field's own `raw` has that as it was sent.

        Raises:
            DecodeError: a part that is no field of the class cannot be read.
        """
        sent = self._sent()
        return self.to_dict() if sent is None else sent

    @property
    def extra(self) -> dict[str, Any]:
        """The fields of this object that its class does not define, if it has its own JSON (see `raw`).

        Raises:
            DecodeError: a part that is no field of the class cannot be read.
        """
        known = _field_names(type(self))
        return {key: value for key, value in (self._sent() or {}).items() if key not in known}

    def to_dict(self) -> dict[str, Any]:
        """Return this object as plain JSON types, with fields that the class does not define.

        What the server did not send is left out, and what it sent is kept, also nulls. Of an object that was not
        decoded, fields that are None are left out.

        Raises:
            DecodeError: a part that is no field of the class cannot be read.
        """
        return _dump(self, None)

    def evolve(self, **changes: Any) -> Self:
        """Return a copy with changed fields that keeps `raw`."""
        copy = attrs.evolve(self, **changes)  # type: ignore[misc]  # every subclass is an attrs class
        source = getattr(self, "_source", None)
        if source is not None:
            set_source(copy, source)
        return copy

    def _sent(self) -> dict[str, Any] | None:
        source = getattr(self, "_source", None)
        return None if source is None else resolve(source)


# The slot's own setter: half the time of object.__setattr__, and past the frozen __setattr__.
set_source = KeepsRaw.__dict__["_source"].__set__


def attach(model: KeepsRaw, source: "Source") -> None:
    """Record the place of a decoded object, and of those below it, in the answer."""
    set_source(model, source)
    for name, many in _children(type(model)):
        value = getattr(model, name)
        if not value:
            continue
        if not many:
            attach(value, (source, name, None))
        elif _children(type(value[0])):
            for index, item in enumerate(value):
                attach(item, (source, name, index))
        else:
            for index, item in enumerate(value):
                set_source(item, (source, name, index))


def _find_fields(cls: type) -> tuple[str, ...]:
    return tuple(attribute.name for attribute in attrs.fields(cls))


def _find_children(cls: Any) -> tuple[tuple[str, bool], ...]:
    """Name, and whether it is a list, of each field that holds models."""
    if cls._leaf:
        return ()
    declared = [(field.name, field.type) for field in attrs.fields(cls)]
    return tuple((name, get_origin(kind) is list) for name, kind in declared if _holds_models(kind))


def _holds_models(declared: Any) -> bool:
    parts = (declared, *get_args(declared))
    return any(isinstance(part, type) and issubclass(part, KeepsRaw) for part in parts)


_field_names: Callable[[type], tuple[str, ...]] = functools.cache(_find_fields)
_children: Callable[[type], tuple[tuple[str, bool], ...]] = functools.cache(_find_children)


def _dump(model: KeepsRaw, sent: Any) -> dict[str, Any]:
    own = model._sent()
    sent = sent if own is None else own
    known = _field_names(type(model))
    if not isinstance(sent, dict):
        values = ((name, getattr(model, name)) for name in known)
        return {name: _dump_value(value, None) for name, value in values if value is not None}
    plain = {}
    for name in known:
        value = getattr(model, name)
        if value is None or value == []:
            # Null, absent, or not understood: the JSON that was sent decides.
            if name in sent:
                plain[name] = sent[name]
        else:
            plain[name] = _dump_value(value, sent.get(name))
    return plain | {key: value for key, value in sent.items() if key not in known}


def _dump_value(value: Any, sent: Any) -> Any:
    if isinstance(value, KeepsRaw):
        return _dump(value, sent)
    if isinstance(value, list):
        aligned = sent if isinstance(sent, list) and len(sent) == len(value) else [None] * len(value)
        return [_dump_value(item, before) for item, before in zip(value, aligned, strict=True)]
    if isinstance(value, enum.Enum):
        return value.value
    return dict(value) if isinstance(value, Mapping) else value
