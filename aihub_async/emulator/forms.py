"""Reading `multipart/form-data` and `application/x-www-form-urlencoded` bodies."""

import re
from typing import Any
from urllib.parse import parse_qsl

import attrs

from aihub_async.emulator.wire import ApiError, Request

MAX_FORM_BYTES = 110_000_000
"""Largest form: the 100 MB of an upload, and its part headers."""

_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^\s;,"]{1,70}))')
_NAME = re.compile(r'\bname="([^"]*)"')
_FILENAME = re.compile(r'\bfilename="([^"]*)"')


@attrs.frozen
class Form:
    """Texts by name, and all files in order, each with the name of its field, its own name and its content."""

    texts: dict[str, str]
    files: list[tuple[str, str, bytes]]


async def read_body(request: Request, limit: int = MAX_FORM_BYTES) -> bytes:
    """Return a whole body.

    Raises:
        ApiError: 413, too large.
    """
    body = bytearray()
    async for chunk in request.body():
        body += chunk
        if len(body) > limit:
            raise ApiError(413, f"The body is larger than {limit} bytes.")
    return bytes(body)


async def read_form(request: Request) -> Form:
    """Return a multipart form.

    Raises:
        ApiError: 400, not one; 413, too large.
    """
    kind = request.headers.get("Content-Type", "")
    found = _BOUNDARY.search(kind)
    if not kind.lower().startswith("multipart/form-data") or found is None:
        raise ApiError(400, "The request body must be multipart/form-data.")
    delimiter = b"\r\n--" + (found[1] or found[2]).encode()
    parts = (b"\r\n" + await read_body(request)).split(delimiter)
    if len(parts) < 2 or not parts[-1].startswith(b"--"):
        raise ApiError(400, "The form has no end.")
    form = Form({}, [])
    for part in parts[1:-1]:
        _add(form, part)
    return form


def _add(form: Form, part: bytes) -> None:
    head, separator, content = part.partition(b"\r\n\r\n")
    try:
        text = head.decode()
        name, filename = _NAME.search(text), _FILENAME.search(text)
        if not separator or name is None:
            raise ApiError(400, "A part of the form has no name.")
        if filename is not None:
            form.files.append((name[1], filename[1].replace("%22", '"'), content))
        else:
            form.texts[name[1]] = content.decode()
    except UnicodeDecodeError:
        raise ApiError(400, "A part of the form is not UTF-8.") from None


async def read_json_or_form(request: Request) -> dict[str, Any]:
    """Return a JSON object, also one sent as an urlencoded form, as the samples of the legacy endpoints do.

    Raises:
        ApiError: 400 neither, 413 too large.
    """
    if request.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
        try:
            return dict(parse_qsl((await read_body(request)).decode(), keep_blank_values=True))
        except UnicodeDecodeError:
            raise ApiError(400, "The form is not UTF-8.") from None
    return await request.json()
