"""The only serialiser: JSON bytes to attrs classes and back.

Decoding has two lanes. The strict lane reads the bytes straight into the class. Where the answer differs from the
published schema the strict lane refuses it, and the tolerant lane (see `tolerant`) reads it again as far as it can.
"""

import functools
from typing import Any, TypeVar

import msgspec

from aihub_async.models.raw import DecodeError, KeepsRaw, Payload, attach, malformed, parse
from aihub_async.models.tolerant import structure, structure_model, unstructure

__all__ = ["DecodeError", "decode", "encode", "structure", "unstructure"]

T = TypeVar("T")

_BOM = b"\xef\xbb\xbf"


def decode(cls: type[T], data: bytes) -> T:
    """Read JSON into `cls`: a response model, any other attrs class, or a plain type such as `dict`.

    A UTF-8 byte order mark is skipped; of duplicate keys the last one counts. For response models everything but a
    missing id is tolerated: a value that cannot be understood becomes None and stays reachable in `raw`.

    Raises:
        DecodeError: not JSON (an empty body, HTML, NaN, not UTF-8, too deeply nested, a number out of range), not an
            object, or without a required id; the message names class and path and never quotes the body.

    Example:
        >>> decode(Batch, b'{"id": 7}').id
        7
    """
    data = data.removeprefix(_BOM)
    try:
        value = _decoder(cls).decode(data)
    except msgspec.ValidationError as error:
        return _decode_again(cls, data, error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(data, error) from None
    if isinstance(value, KeepsRaw):
        attach(value, Payload(data))
    return value


def encode(obj: Any) -> bytes:
    """Write JSON for a request body from plain types, attrs classes, enums and datetimes.

    Fields of attrs classes that are None are left out; those of dicts are written as null.

    Raises:
        TypeError: something in `obj` has no JSON form.
        UnicodeEncodeError: a text is not valid Unicode.

    Example:
        >>> encode({"name": "march", "workspace": None})
        b'{"name":"march","workspace":null}'
    """
    return msgspec.json.encode(unstructure(obj))


@functools.cache
def _decoder(cls: type[T]) -> "msgspec.json.Decoder[T]":
    return msgspec.json.Decoder(cls)


def _decode_again(cls: type[T], data: bytes, refusal: msgspec.ValidationError) -> T:
    plain = parse(data)
    if isinstance(cls, type) and issubclass(cls, KeepsRaw):
        return structure_model(cls, plain)
    raise DecodeError(f"not a {getattr(cls, '__name__', cls)}: {refusal}")
