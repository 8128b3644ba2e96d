"""The v1 API: an error is an answer with HTTP status 200 and ``{"status": "ERROR"}``."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from aihub_async.errors import LegacyAPIError
from aihub_async.models.raw import DecodeError, parse
from aihub_async.operations import Operation
from aihub_async.resources._base import Resource, build_request, read_answer
from aihub_async.resources._run_settings import secrets_in
from aihub_async.secrecy import SecretValue
from aihub_async.transport.messages import Request, Response
from aihub_async.transport.transport import Transport
from aihub_async.types import Id, QueryValue

T = TypeVar("T")

_BOM = b"\xef\xbb\xbf"


class LegacyResource(Resource):
    """Operations whose success has to be read in the answer."""

    async def _ask(
        self,
        operation: Operation,
        *,
        query: Mapping[str, QueryValue] | None = None,
        json: Any = None,
        **path: Id,
    ) -> tuple[Request, Response]:
        # It may hold secrets, and this frame is part of a traceback.
        body: SecretValue[Any] = SecretValue(json)
        del json
        secrets: SecretValue[Sequence[str]] = SecretValue(_secrets_in(body.reveal()))
        request = build_request(operation, path, query=query, json=body, secrets=secrets)
        response = await self._transport.send(request)
        refuse_error(self._transport, request, response)
        return request, response

    async def _call(
        self,
        cls: type[T],
        operation: Operation,
        *,
        query: Mapping[str, QueryValue] | None = None,
        json: Any = None,
        **path: Id,
    ) -> T:
        request, response = await self._ask(operation, query=query, json=json, **path)
        return read_answer(self._transport, cls, request, response)


def refuse_error(transport: Transport, request: Request, response: Response) -> None:
    """Look into an answer of the v1 API.

    Raises:
        LegacyAPIError: its content is ``{"status": "ERROR"}``.
    """
    if str(_status(response.body.removeprefix(_BOM))).upper() == "ERROR":
        details = transport.details(request, response)
        raise LegacyAPIError(details.server_message or "the server answered with status ERROR", details)


def _status(body: bytes) -> Any:
    """Return the `status` of an answer, without decoding the rest; None if there is none."""
    try:
        return _read_envelope(body).status
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        # Servers written in Python send NaN and lone surrogates, which msgspec refuses.
        answer = parse(body)
    except DecodeError:
        # Something else: decoding it into its model reports the problem better.
        return None
    return answer.get("status") if isinstance(answer, Mapping) else None


def _secrets_in(body: object) -> tuple[str, ...]:
    return secrets_in(body.get("settings")) if isinstance(body, Mapping) else ()


class _Envelope(msgspec.Struct):
    status: Any = None


_read_envelope = msgspec.json.Decoder(_Envelope).decode
