"""The only serialiser: JSON bytes to attrs classes and back.

Decoding has two lanes. The strict lane reads the bytes straight into the class. It refuses an answer that
differs from the published schema, and the tolerant lane (see `tolerant`) reads that again as far as it can.
"""

import functools
import json
import math
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from aihub_async.models.raw import DecodeError, KeepsRaw, Payload, attach, parse, parse_leniently
from aihub_async.models.tolerant import is_model, structure, structure_model, structure_refused, unstructure

__all__ = ["DecodeError", "decode", "encode", "structure", "unstructure"]

T = TypeVar("T")

_BOM = b"\xef\xbb\xbf"


def decode(cls: type[T], data: bytes) -> T:
    """Read JSON into `cls`: a response model, any other attrs class, or a plain type such as `dict`.

    A UTF-8 byte order mark is skipped; of duplicate keys the last one counts. NaN, lone surrogates and numbers of any
    length are read, as by Python's `json`. Response models tolerate all but a missing id: a value that cannot be
    understood becomes None and stays reachable in `raw`.

    Raises:
        DecodeError: not JSON (an empty body, HTML, not UTF-8, nested too deeply), not an object, or without a required
            id. The message names class and path, and quotes nothing.

    Example:
        >>> decode(Batch, b'{"id": 7}').id
        7
    """
    data = data.removeprefix(_BOM)
    try:
        value: T = _decoder(cls).decode(data)
    except msgspec.ValidationError as error:
        return _decode_again(cls, data, error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        refused: Exception = error
    else:
        if isinstance(value, KeepsRaw):
            attach(value, Payload(data))
        return value
    return _structure_lenient(cls, parse_leniently(data, refused))


def encode(obj: Any) -> bytes:
    """Write JSON for a request body from plain types, models, settings, enums and datetimes.

    Classes with a `to_dict` are written through it. NaN and the infinities have no JSON form and become null.

    Raises:
        TypeError: something in `obj` has no JSON form.
        UnicodeEncodeError: a text is not valid Unicode.

    Example:
        >>> encode({"name": "march", "workspace": None})
        b'{"name":"march","workspace":null}'
    """
    return msgspec.json.encode(unstructure(obj))


def encode_any(plain: Any) -> str:
    """Write plain types as JSON text, also what only Python's `json` reads and writes: see `decode`."""
    try:
        return encode(plain).decode()
    except (UnicodeEncodeError, OverflowError):
        # A lone surrogate, or an integer of more than 64 bits.
        return json.dumps(_without_nan(plain), separators=(",", ":"))


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


_decoder: Callable[[type], "msgspec.json.Decoder[Any]"] = functools.cache(msgspec.json.Decoder)


def _structure_lenient(cls: type[T], plain: Any) -> T:
    if is_model(cls):
        # Not the way that tries the strict schema first: it would let NaN pass as a number.
        return structure_model(cls, plain)  # type: ignore[type-var]
    try:
        return msgspec.convert(plain, cls)
    except (msgspec.ValidationError, UnicodeEncodeError) as refusal:
        raise DecodeError(f"not a {getattr(cls, '__name__', cls)}: {refusal}") from None


def _decode_again(cls: type[T], data: bytes, refusal: msgspec.ValidationError) -> T:
    plain = parse(data)
    if is_model(cls):
        return structure_refused(cls, plain)
    raise DecodeError(f"not a {getattr(cls, '__name__', cls)}: {refusal}")
