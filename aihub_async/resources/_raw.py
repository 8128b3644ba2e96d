"""Requests of any shape, for `client.request()`."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aihub_async.config import checked_headers
from aihub_async.errors import ConfigurationError, InvalidRequestError
from aihub_async.operations import Operation, Repeat
from aihub_async.resources._base import QueryValue, encode_query, json_body
from aihub_async.transport.messages import Request
from aihub_async.uploads.sources import Content, content_body

_METHOD = re.compile(r"[A-Za-z]+")
_DOT = re.compile(r"%2e", re.IGNORECASE)
_CONTROL = re.compile(r"%(?:0[0-9a-f]|1[0-9a-f]|7f)", re.IGNORECASE)
_BROKEN_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_REPEAT = {
    "GET": Repeat.SAFE,
    "HEAD": Repeat.SAFE,
    "OPTIONS": Repeat.SAFE,
    "PUT": Repeat.SAFE,
    "DELETE": Repeat.IDEMPOTENT_DELETE,
}


def raw_request(
    method: str,
    path: str,
    *,
    params: Mapping[str, QueryValue] | None,
    json: Any,
    content: Content | None,
    headers: Mapping[str, str] | None,
) -> Request:
    """Put any request together.

    Raises:
        InvalidRequestError: something in it cannot be sent as it is.
    """
    if json is not None and content is not None:
        raise InvalidRequestError("give json or content, not both")
    if not _METHOD.fullmatch(method):
        raise InvalidRequestError(f"{method!r} is not an HTTP method")
    method = method.upper()
    operation = Operation("request", method, _checked_path(path), range(200, 300), _REPEAT.get(method, Repeat.ONCE))
    body = None if content is None else content_body(content, path)
    if json is not None:
        body = json_body(json)
    query = encode_query(params) if params else ""
    return Request(operation, operation.path, query, _checked_headers(headers), body)


def _checked_headers(headers: Mapping[str, str] | None) -> Mapping[str, str] | None:
    if headers is None:
        return None
    try:
        return checked_headers(headers)
    except ConfigurationError as error:
        raise InvalidRequestError(str(error)) from None


def _checked_path(path: str) -> str:
    if not path.startswith("/") or "?" in path or "#" in path:
        raise InvalidRequestError(f"path must begin with a slash and have no query: {path!r} (use params=…)")
    try:
        encoded = quote(path, safe="/%:@!$&'()*+,;=~")
    except UnicodeEncodeError:
        raise InvalidRequestError(f"path is not valid Unicode: {path!r}") from None
    if _CONTROL.search(encoded) or _BROKEN_ESCAPE.search(encoded):
        raise InvalidRequestError(f"path has control characters, or a % that escapes nothing: {path!r}")
    # Every URL library folds these into the parent: another resource than the one that was named.
    if any(segment in {".", ".."} for segment in _DOT.sub(".", encoded).split("/")):
        raise InvalidRequestError(f"path must not have . or .. in it: {path!r}")
    return encoded
