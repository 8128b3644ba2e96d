"""Kinds of columns, and the forms of a value in them.

The kind of a field's column is inferred from its values over the whole result, and never from what a text looks like:
"1,234.50" stays a text in every locale. Kinds only ever widen, so that parts written earlier can be brought up to date.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final

NULL: Final = "null"
BOOL: Final = "bool"
INT: Final = "int"
BIG: Final = "big int"
"""An integer beyond 2**53, which a float does not hold exactly; beyond 64 bits it is a text."""
FLOAT: Final = "float"
TEXT: Final = "text"

_EXACT: Final = 1 << 53
_INT64: Final = 1 << 63
_JOINED: Final = {
    frozenset({INT, FLOAT}): FLOAT,
    frozenset({INT, BIG}): BIG,
}

# One encoder for all: json.dumps makes a new one for every call with options.
to_json: Final[Callable[[Any], str]] = json.JSONEncoder(ensure_ascii=False, default=str).encode
"""JSON as in all outputs: not escaped to ASCII."""


def kind_of(value: Any) -> str:
    """Return the kind of one value; an empty text means "not found" and decides nothing."""
    if value is None or value == "":
        return NULL
    if isinstance(value, str):
        return TEXT
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int):
        return INT if -_EXACT <= value <= _EXACT else BIG if -_INT64 <= value < _INT64 else TEXT
    return FLOAT if isinstance(value, float) else TEXT


def join(first: str, second: str) -> str:
    """Return the narrowest kind that holds values of both kinds without loss; what has none becomes a text."""
    if second in {first, NULL}:
        return first
    if first == NULL:
        return second
    return _JOINED.get(frozenset({first, second}), TEXT)


def as_text(value: Any) -> str | None:
    """Return a text as it is, None as None, and anything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return to_json(value)


def as_kind(value: Any, kind: str) -> Any:
    """Return the value for a column of a kind that includes the value's own."""
    if kind in {TEXT, NULL}:
        return as_text(value)
    if value == "":
        return None
    return float(value) if kind == FLOAT and value is not None else value


# The characters that OWASP lists for CSV injection; East Asian versions of Excel also take the full-width forms.
_FORMULA = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
# Digits with marks and spaces between them, in any locale, perhaps with a currency: there is nothing to run.
_NUMBER = re.compile(r"[+\-\uff0b\uff0d]?\s?[$€£¥]?\s?[\d.,'\u00a0\u202f ]+([eE][+-]?\d+)?\s?[%$€£¥]?\Z|[-\uff0d]+\Z")


def neutralized(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would run as a formula; plain numbers stay as they are.

    Example:
        >>> neutralized("=1+1"), neutralized("-12.50"), neutralized("@SUM(A1)")
        ("'=1+1", '-12.50', "'@SUM(A1)")
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.match(text) else text
