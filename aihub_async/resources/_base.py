"""What all resources share: building a request, sending it, reading the answer."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import attrs

from aihub_async.errors import InvalidRequestError
from aihub_async.models.decode import DecodeError, decode, encode
from aihub_async.operations import NAMES_OF_2024, Operation
from aihub_async.secrecy import SecretValue
from aihub_async.transport.body import JSON_TYPE, Body, BytesBody
from aihub_async.transport.messages import Request, Response, Sink
from aihub_async.transport.transport import Transport
from aihub_async.types import Id, QueryValue

T = TypeVar("T")


@attrs.frozen
class CommaList:
    """A list that is one value of a query, joined by commas, which stay unencoded (OpenAPI: form, not exploded)."""

    items: Sequence[str | int]


class Resource:
    """A group of operations on one transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def _send(
        self,
        operation: Operation,
        *,
        query: Mapping[str, QueryValue | CommaList] | None = None,
        json: Any = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        sink: Sink | None = None,
        secrets: SecretValue[Sequence[str]] | None = None,
        **path: Id,
    ) -> Response:
        query = self._named(operation, query)
        request = build_request(
            operation, path, query=query, json=json, body=body, headers=headers, sink=sink, secrets=secrets
        )
        return await self._transport.send(request)

    async def _fetch(
        self,
        cls: type[T],
        operation: Operation,
        *,
        query: Mapping[str, QueryValue | CommaList] | None = None,
        json: Any = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        secrets: SecretValue[Sequence[str]] | None = None,
        **path: Id,
    ) -> T:
        query = self._named(operation, query)
        request = build_request(operation, path, query=query, json=json, body=body, headers=headers, secrets=secrets)
        return read_answer(self._transport, cls, request, await self._transport.send(request))

    def _named(
        self, operation: Operation, query: Mapping[str, QueryValue | CommaList] | None
    ) -> Mapping[str, QueryValue | CommaList] | None:
        """Name the parameters as the server's version does."""
        if query is None or self._transport.settings.api_version is None:
            return query
        names = NAMES_OF_2024.get(operation.name, {})
        return {names.get(name, name): value for name, value in query.items()}

    def _read(self, cls: type[T], operation: Operation, response: Response, **path: Id) -> T:
        return read_answer(self._transport, cls, Request(operation, operation.url_path(**path)), response)


def build_request(
    operation: Operation,
    path: Mapping[str, Id] | None = None,
    *,
    query: Mapping[str, QueryValue | CommaList] | None = None,
    json: Any = None,
    body: Body | None = None,
    headers: Mapping[str, str] | None = None,
    sink: Sink | None = None,
    secrets: SecretValue[Sequence[str]] | None = None,
) -> Request:
    """Build a request. `json` may be wrapped in a `SecretValue`, and must be where it holds a secret.

    Raises:
        InvalidRequestError: a name or an id cannot be part of a URL, or a text is not valid Unicode.
    """
    plain: SecretValue[Any] = SecretValue(json)
    del json
    return Request(
        operation,
        operation.url_path(**(path or {})),
        query=encode_query(query) if query else "",
        headers=None if headers is None else SecretValue(headers),
        body=body if plain.reveal() is None else json_body(plain),
        sink=sink,
        secrets=SecretValue(() if secrets is None else tuple(secrets.reveal())),
    )


def json_body(json: SecretValue[Any]) -> BytesBody:
    """Build a JSON body.

    Raises:
        InvalidRequestError: something in it has no JSON form.
    """
    try:
        return BytesBody(encode(json.reveal()), JSON_TYPE)
    except (TypeError, UnicodeEncodeError, RecursionError) as error:
        # The original quotes the text, which may be a secret.
        reason = "a text is not valid Unicode" if isinstance(error, UnicodeEncodeError) else str(error)
    raise InvalidRequestError(f"the body cannot be written as JSON: {reason}")


def read_answer(transport: Transport, cls: type[T], request: Request, response: Response) -> T:
    """Decode an answer into a model.

    Raises:
        ProtocolError: It is not JSON of this model.
        UnreadableAnswerError: The same, for an operation that must not be carried out twice.
    """
    try:
        return decode(cls, response.body)
    except DecodeError as error:
        reason = str(error)
    # Raised here, the error carries no context: the frames of a decoder show the body, and a body may echo the key.
    raise transport.reporter.unreadable(request, response, reason)


def encode_query(query: Mapping[str, QueryValue | CommaList]) -> str:
    """Percent-encode a query; None is left out, booleans become `true` and `false`, lists repeat their key.

    Raises:
        InvalidRequestError: a text is not valid Unicode.

    Example:
        >>> encode_query({"a": ["x,y", "z"], "b": CommaList([1, 2]), "c": None, "d": True})
        'a=x%2Cy&a=z&b=1,2&d=true'
    """
    pairs = (
        (name, item)
        for name, value in query.items()
        if value is not None
        for item in (value if isinstance(value, list | tuple) else (value,))
    )
    try:
        return "&".join(f"{quote(name, safe='')}={_query_text(item)}" for name, item in pairs)
    except UnicodeEncodeError:
        raise InvalidRequestError("a query value is not valid Unicode") from None


def _query_text(value: object) -> str:
    if isinstance(value, CommaList):
        return ",".join(map(_query_text, value.items))
    if isinstance(value, bool):
        return "true" if value else "false"
    return quote(str(value), safe="")


def given(**values: Any) -> dict[str, Any]:
    """Return the values that are not None: zero, empty and False are values."""
    return {name: value for name, value in values.items() if value is not None}


def as_batch_id(batch_id: Id) -> int:
    """Return a batch id as an integer, as the API types it in bodies, though users often hold it as text.

    Raises:
        InvalidRequestError: not a number.
    """
    try:
        return int(batch_id)
    except ValueError:
        raise InvalidRequestError(f"batch_id must be a number, not {batch_id!r}") from None


def exactly_one(**values: object) -> None:
    """Refuse a call that has none or several of these arguments.

    Raises:
        InvalidRequestError: it does.
    """
    count = sum(value is not None for value in values.values())
    if count == 1:
        return
    names = " or ".join(values)
    raise InvalidRequestError(f"pass {names}" if count == 0 else f"pass only one of {names}")
