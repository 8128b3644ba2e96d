"""Requests of any shape, for `client.request()`."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aihub_async.config import checked_headers
from aihub_async.errors import ConfigurationError, InvalidRequestError
from aihub_async.operations import Operation, Repeat
from aihub_async.resources._base import encode_query, json_body
from aihub_async.secrecy import SecretValue
from aihub_async.transport.body import Body
from aihub_async.transport.messages import Request, Response
from aihub_async.transport.transport import Transport
from aihub_async.types import QueryValue
from aihub_async.uploads.contents import Content, to_body

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


Given = tuple[Any, Content | None, Mapping[str, str] | None]
"""What a request carries: JSON, content, headers."""


class RawRequests:
    """The part of the client that sends requests of any shape."""

    _transport: Transport

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, QueryValue] | None = None,
        json: Any = None,
        content: Content | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send any request, with the authorization, retries and errors of this client.

        Args:
            method: HTTP method. POST and PATCH are sent again only when nothing can have happened.
            path: below `api_root`, beginning with a slash, such as ``/v2/batches``.
            params: the query.
            json: the body, as JSON.
            content: the body, as bytes, a path object, or an open binary file.
            headers: more headers.

        Returns:
            The answer: `status`, `headers`, `body`, `json()`.

        Raises:
            InvalidRequestError: the path, a header or the body cannot be sent as it is.
            RequestError: see the tree in `aihub_async.errors`.

        Example:
            >>> async def batches(client):
            ...     return (await client.request("GET", "/v2/batches", params={"limit": 5})).json()
        """
        # They may hold secrets, and this frame is part of a traceback.
        given = SecretValue((json, content, headers))
        del json, content, headers
        return await self._transport.send(await raw_request(method, path, given, params=params))


async def raw_request(
    method: str, path: str, given: SecretValue[Given], *, params: Mapping[str, QueryValue] | None
) -> Request:
    """Build a request of any shape.

    Raises:
        InvalidRequestError: something in it cannot be sent as it is.
    """
    has_json, has_content, has_headers = (value is not None for value in given.reveal())
    if has_json and has_content:
        raise InvalidRequestError("pass json or content, not both")
    if not _METHOD.fullmatch(method):
        raise InvalidRequestError(f"{method!r} is not an HTTP method")
    method = method.upper()
    repeat = _REPEAT.get(method, Repeat.ONCE)
    operation = Operation("request", method, _checked_path(path), range(200, 300), repeat, returns_file=True)
    body: Body | None = None
    if has_content:
        body = await _content_body(given, path)
    if has_json:
        body = json_body(SecretValue(given.reveal()[0]))
    query = encode_query(params) if params else ""
    headers = _checked_headers(SecretValue(given.reveal()[2] or {})) if has_headers else None
    return Request(operation, operation.path, query, headers, body)


async def _content_body(given: SecretValue[Given], path: str) -> Body | None:
    content = given.reveal()[1]
    return None if content is None else await to_body(content, path)


def _checked_headers(headers: SecretValue[Mapping[str, str]]) -> SecretValue[Mapping[str, str]]:
    try:
        return checked_headers(headers)
    except ConfigurationError as error:
        reason = str(error)
    raise InvalidRequestError(reason)


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
