"""JSON files: lists of objects are tables, everything else is one document."""

import json
from collections.abc import Mapping
from typing import Any

from aihub_async.emulator.documents import Page
from aihub_async.emulator.reading.text import UnreadableFileError, decode, lay_out


def read_json(content: bytes) -> tuple[tuple[Page, ...], tuple[Mapping[str, str], ...]]:
    """Return the pages and records of a JSON file.

    Raises:
        UnreadableFileError: not JSON.
    """
    try:
        value = json.loads(decode(content))
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            rows = tuple(dict(_flat("", item)) for item in value)
            text = "\n\n".join("\n".join(f"{key}: {text}" for key, text in row.items()) for row in rows)
            return lay_out(text), rows
        return lay_out("\n".join(f"{key}: {text}" if key else text for key, text in _flat("", value))), ()
    except (ValueError, RecursionError) as error:
        raise UnreadableFileError(f"The file is not valid JSON: {error}.") from error


def _flat(prefix: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in _flat(f"{prefix}.{key}".lstrip("."), item)]
    if isinstance(value, list):
        return [pair for index, item in enumerate(value) for pair in _flat(f"{prefix}.{index}".lstrip("."), item)]
    return [(prefix, value if isinstance(value, str) else json.dumps(value))]
