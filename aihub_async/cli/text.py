r"""The one rule for printing text that this program did not write.

File names, messages of servers and values of documents are printed as they are: no character of them is markup, and
none controls the terminal. What would is shown as an escape such as ``\x1b``.
"""

import json
import math
import re
from typing import Any

# Controls (C0, DEL, C1), line and paragraph separators, marks that reorder a line, tags, and lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
_UNSAFE_IN_BLOCK = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))
_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def plain(text: str) -> str:
    r"""Return the text as one line without control characters.

    Example:
        >>> plain("a\x1b[2J.txt")
        'a\\x1b[2J.txt'
    """
    return _UNSAFE.sub(_escape, text)


def plain_block(text: str) -> str:
    """Return the text without control characters; its line breaks and tabs stay."""
    return _UNSAFE_IN_BLOCK.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if character in _NAMED:
        return _NAMED[character]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def value_text(value: object) -> str:
    """Return a value for a table or TSV: a text as it is, None as nothing, anything else as JSON; always one line."""
    if value is None:
        return ""
    return plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def json_text(value: Any, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """Return JSON that every terminal and encoding can carry; nothing of the value is lost."""
    try:
        text = json.dumps(value, ensure_ascii=ascii_only, indent=indent, allow_nan=False)
    except ValueError:
        # JSON has no NaN and no infinity, but servers send them.
        text = json.dumps(_finite(value), ensure_ascii=ascii_only, indent=indent)
    # Only characters inside of strings are concerned: JSON itself has none of them but line breaks.
    return _UNSAFE_IN_BLOCK.sub(_json_escape, text)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def _json_escape(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]
