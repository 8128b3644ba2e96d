"""Requests and responses as the route handlers see them, independent of the HTTP library."""

import base64
import binascii
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

import attrs
import msgspec

from aihub_async.emulator.world import Account
from aihub_async.operations import Operation

MAX_JSON_BODY = 10_000_000
"""Largest JSON request, in bytes."""

_MOST_DIGITS = 18  # so many fit in SQLite's integers

_TRUE = frozenset({"true", "1", "yes"})
_FALSE = frozenset({"false", "0", "no"})


class ApiError(Exception):
    """An error response of the API: a status and, unless empty, a message."""

    def __init__(self, status: int, message: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}

    def response(self) -> "Response":
        """Return the response that is sent."""
        if not self.message:
            return Response(self.status, headers=self.headers)
        return json_response({"message": self.message}, self.status, self.headers)


@attrs.frozen
class FileSlice:
    """A part of a local file, sent as it is read."""

    path: str
    start: int
    length: int


@attrs.frozen
class Response:
    """A response. `file` takes the place of `body` where there may be much of it."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    file: FileSlice | None = None


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response with a JSON body."""
    return Response(status, msgspec.json.encode(content), {"Content-Type": "application/json", **(headers or {})})


class Request:
    """One authenticated request on its way to a handler. `lag` is the age in seconds of what lists show."""

    __slots__ = ("_chunks", "_query", "_raw_query", "account", "headers", "lag", "operation", "values")

    def __init__(
        self,
        operation: Operation,
        values: Mapping[str, str],
        *,
        raw_query: str,
        headers: Mapping[str, str],
        account: Account,
        chunks: Callable[[], AsyncIterator[bytes]],
        lag: float = 0.0,
    ) -> None:
        self.operation = operation
        self.values = values
        self.headers = headers
        self.account = account
        self.lag = lag
        self._raw_query = raw_query
        self._query: dict[str, list[str]] | None = None
        self._chunks = chunks

    def body(self) -> AsyncIterator[bytes]:
        """Return the request body in chunks, as it arrives."""
        return self._chunks()

    @property
    def query(self) -> dict[str, list[str]]:
        """The query parameters; each may occur several times."""
        if self._query is None:
            self._query = parse_qs(self._raw_query, keep_blank_values=True)
        return self._query

    def text(self, name: str) -> str | None:
        """Return a query parameter, or None where it is absent or empty."""
        found = self.query.get(name)
        return found[-1] or None if found else None

    def number(self, name: str, *, least: int = 0) -> int | None:
        """Return an integer query parameter.

        Raises:
            ApiError: 400, not an integer or less than `least`.
        """
        raw = self.text(name)
        if raw is None:
            return None
        return parse_integer(name, raw, least=least)

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a boolean query parameter.

        Raises:
            ApiError: 400, neither true nor false.
        """
        raw = self.text(name)
        if raw is None:
            return default
        if raw.lower() in _TRUE:
            return True
        if raw.lower() in _FALSE:
            return False
        raise ApiError(400, f"{name} must be true or false.")

    def path_number(self, name: str) -> int:
        """Return an integer of the path.

        Raises:
            ApiError: 400, not an integer.
        """
        return parse_integer(name, self.values[name])

    async def json(self) -> dict[str, Any]:
        """Return the request body as a JSON object.

        Raises:
            ApiError: 413 too large, 400 not a JSON object.
        """
        body = bytearray()
        async for chunk in self.body():
            body += chunk
            if len(body) > MAX_JSON_BODY:
                raise ApiError(413, f"A JSON body has {MAX_JSON_BODY} bytes at most.")
        try:
            content = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ApiError(400, "The request body is not valid JSON.") from None
        if not isinstance(content, dict):
            raise ApiError(400, "The request body must be a JSON object.")
        return content


def parse_integer(name: str, raw: str, *, least: int = 0) -> int:
    """Return a decimal integer of at least `least`.

    Raises:
        ApiError: 400, anything else.
    """
    if not raw.isascii() or not raw.isdigit() or len(raw) > _MOST_DIGITS or int(raw) < least:
        raise ApiError(400, f"{name} must be an integer of at least {least}.")
    return int(raw)


def json_integer(payload: Mapping[str, Any], name: str) -> int:
    """Return an integer of at least 0 in a request body.

    Raises:
        ApiError: 400, missing or anything else.
    """
    value = payload.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**_MOST_DIGITS:
        raise ApiError(400, f"{name} must be an integer of at least 0.")
    return value


def to_token(cursor: str) -> str:
    """Return an opaque page token for a place in a list."""
    return base64.urlsafe_b64encode(cursor.encode()).decode()


def from_token(token: str) -> str:
    """Return the place that a page token encodes.

    Raises:
        ApiError: 400, not a token.
    """
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError):
        raise ApiError(400, "The page token is not one of this list.") from None


@attrs.define
class RequestRecord:
    """One request that reached the emulator. `status` is None if no response was sent (yet).

    `operation` is "" for a path that is no operation. `path` is the raw target with its query.
    """

    operation: str
    method: str
    path: str
    status: int | None = None


class RequestLog:
    """What arrived on the wire: exact counts, and the last 10,000 requests in order of arrival.

    Example:
        >>> hub.requests.count("createBatch")
        1
    """

    def __init__(self, keep: int = 10_000) -> None:
        self._records: deque[RequestRecord] = deque(maxlen=keep)
        self._counts: Counter[str] = Counter()

    @property
    def records(self) -> list[RequestRecord]:
        """The latest requests, oldest first."""
        return list(self._records)

    @property
    def total(self) -> int:
        """How many requests arrived since the start or the last `clear`."""
        return self._counts.total()

    @property
    def counts(self) -> dict[str, int]:
        """How many requests arrived per operation name."""
        return dict(self._counts)

    def count(self, operation: str | Operation) -> int:
        """Return how many requests arrived for one operation, by its name or row of the table."""
        return self._counts[operation if isinstance(operation, str) else operation.name]

    def statuses(self, operation: str | None = None) -> list[int | None]:
        """Return the statuses that were sent, in order of arrival."""
        return [record.status for record in self._records if operation in {None, record.operation}]

    def clear(self) -> None:
        """Forget everything counted so far."""
        self._records.clear()
        self._counts.clear()

    def add(self, operation: str, method: str, path: str) -> RequestRecord:
        """Record an arrival."""
        record = RequestRecord(operation, method, path)
        self._records.append(record)
        self._counts[operation] += 1
        return record


Handler = Callable[[Any, Request], Awaitable[Response]]
