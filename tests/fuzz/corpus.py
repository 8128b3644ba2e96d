"""Real answers of the emulator to begin with, and the ways to damage them."""

import json
import random
from typing import Any

from aihub_async import models
from aihub_async.models import Model

RUN = {
    "id": "7f0c1c3e-52a7-4a7e-9c0e-1d4c3b2a1908",
    "status": "COMPLETE",
    "start_timestamp": 1_700_000_000_000_000_000,
    "finish_timestamp": 1_700_000_009_000_000_000,
    "app_id": "a1",
    "batch_id": 7,
    "input_dir": "/acme/ws/fs/Instabase Drive/b",
    "tags": ["aihub-sdk:0123456789abcdef0123456789abcdef", "march"],
    "msg": "",
}
FIELD = {
    "field_name": "total",
    "value": "12.50",
    "type": "TEXT",
    "confidence": {"model": 0.93, "ocr": 0.99},
    "error_msg": "",
    "source_coordinates": [{"top_x": 1.5, "top_y": 2.0, "bottom_x": 10.0, "bottom_y": 20.0, "page_number": 0}],
    "edit_history": [{"user_id": "jane", "timestamp": "08/27/2025 00:58:39"}],
}
RESULTS = {
    "id": RUN["id"],
    "files": [
        {
            "original_file_name": "a.pdf",
            "input_file_path": "/acme/a.pdf",
            "documents": [
                {
                    "name": "d",
                    "class_name": "Invoice",
                    "page_numbers": [1, 2],
                    "fields": [FIELD],
                    "review_completed": False,
                }
            ],
        }
    ],
    "has_more": True,
    "case_info": {"fields": [FIELD]},
}

BODIES: tuple[bytes, ...] = tuple(
    json.dumps(body).encode()
    for body in (
        RUN,
        {"runs": [RUN, {**RUN, "status": "RUNNING", "finish_timestamp": None}]},
        RESULTS,
        {"id": 7, "name": "march", "workspace": "ws", "created_at_ms": 1_700_000_000_000, "owner": "jane"},
        {"batches": [{"id": 7, "name": "march"}, {"id": 8, "name": None}]},
        {"nodes": [{"name": "a.txt", "metadata": {"node_type": "file", "size": 5}}], "next_page_token": "x"},
        {"state": "RUNNING", "message": "", "results": [{"ok": True}]},
        {"secrets": [{"alias": "db", "created_at": 1.5, "allowed_workspaces_type": "ALL", "allowed_workspaces": []}]},
        {"status": "OK", "job_id": RUN["id"], "input_dir": "/a/", "output": "/b/out"},
        {"status": "ERROR", "msg": "no such job"},
        [{"id": "1", "eventType": "Run", "data": {"job_id": RUN["id"]}, "dataVersion": "1"}],
        {"session_id": "s1", "part_size": 1024},
        {"message": "Unauthorized"},
    )
)

MODELS: tuple[type[Model], ...] = tuple(
    value
    for name, value in sorted(vars(models).items())
    if isinstance(value, type) and issubclass(value, Model) and value is not Model
)

HEADERS: tuple[str, ...] = (
    "1", "0", "-1", "1e9", "nan", "inf", "Wed, 21 Oct 2026 07:28:00 GMT",
    "Wed, 21 Oct 2026 07:28:00 +99999999999999999999",
    "bytes 0-4/10", "bytes */10", "bytes 5-4/3",
    "https://elsewhere.example/api", "http://[::1", "application/json; charset=x",
)  # fmt: skip

_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1 << 64, 10**400, 1.5, float("nan"), float("inf"), "", "caf\ud83d",
    "\x00", "\x1b[31m", "..", "a" * 5000,
    [], {}, [[[]]], {"id": None}, "2026-11-25", "COMPLETE", "NEW_STATUS",
)  # fmt: skip
_SPICE = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"NaN", b"Infinity", b"1e999", b"9" * 5000, b"[" * 5000, b'{"a":' * 2000,
    b'"\\ud83d"',
    b'"\\u0000"', b"<html>", b",", b"}", b"null", b"-", b"/*",
)  # fmt: skip


def mutated(chance: random.Random, body: bytes) -> bytes:
    """Damage a body: its values, its bytes, or both."""
    if chance.random() < 0.6:
        body = json.dumps(_changed(chance, json.loads(body)), allow_nan=True).encode("utf-8", "surrogatepass")
    for _ in range(chance.choice((0, 0, 1, 1, 3))):
        body = _spoiled(chance, body)
    return body


def _changed(chance: random.Random, value: Any) -> Any:
    """Change something in a JSON value."""
    if chance.random() < 0.12:
        return chance.choice(_VALUES)
    if isinstance(value, dict):
        changed = {key: _changed(chance, inner) for key, inner in value.items() if chance.random() > 0.05}
        if chance.random() < 0.2:
            changed[chance.choice(("id", "status", "new_field", "files", "\ud83d"))] = chance.choice(_VALUES)
        return changed
    if isinstance(value, list):
        return [_changed(chance, inner) for inner in value for _ in range(chance.choice((0, 1, 1, 1, 2)))]
    return value


def _spoiled(chance: random.Random, body: bytes) -> bytes:
    at = chance.randrange(len(body) + 1)
    match chance.randrange(5):
        case 0:
            return body[:at] + chance.choice(_SPICE) + body[at:]
        case 1:
            return body[:at] + body[at + chance.randrange(1, 20) :]
        case 2:
            return body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]
        case 3:
            return body[:at]
        case _:
            return body + body[at:]
