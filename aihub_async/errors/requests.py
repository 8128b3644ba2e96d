"""Exceptions of requests: what the network or the server did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from aihub_async.errors.base import AIHubError


@attrs.frozen
class Attempt:
    """What happened to one try at a request.

    `started` is seconds since the call began (monotonic), `duration` seconds until the outcome, `wait` the seconds
    waited afterwards before the next attempt, `status` the HTTP status if one arrived, `outcome` a short reason such
    as ``"200"``, ``"429"``, ``"connect"``, ``"lost"`` or ``"timeout"``.
    """

    number: int
    started: float
    duration: float
    outcome: str
    status: int | None = None
    wait: float = 0.0


@attrs.frozen
class RequestDetails:
    """Where a failed request was going and what happened to it; shared by all `RequestError` classes."""

    operation: str
    method: str
    path: str
    attempts: tuple[Attempt, ...] = ()
    status: int | None = None
    reason: str | None = None
    request_id: str | None = None
    server_message: str | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    body: bytes = attrs.field(default=b"", repr=False)


class RequestError(AIHubError):
    """A request failed.

    Attributes mirror `RequestDetails`: `operation`, `method`, `path` (below api_root), `status` (None when no answer
    arrived), `server_message`, `request_id` (where the server sent one) and `attempts`.
    """

    def __init__(self, message: str, details: RequestDetails) -> None:
        super().__init__(message)
        self.details = details

    def __str__(self) -> str:
        details = self.details
        tries = len(details.attempts)
        parts = [f"{details.operation}: {self.args[0]}", f"{details.method} {details.path}"]
        if details.request_id:
            parts.append(f"request id {details.request_id}")
        if tries > 1:
            parts.append(f"{tries} attempts: " + ", ".join(attempt.outcome for attempt in details.attempts))
        return " | ".join(parts)

    @property
    def operation(self) -> str:
        """The operation's name in the published specification, such as ``"addFileToBatch"``."""
        return self.details.operation

    @property
    def method(self) -> str:
        """The HTTP method."""
        return self.details.method

    @property
    def path(self) -> str:
        """The path below `api_root`, percent-encoded."""
        return self.details.path

    @property
    def status(self) -> int | None:
        """The HTTP status, or None when no answer arrived."""
        return self.details.status

    @property
    def reason(self) -> str | None:
        """The HTTP reason phrase, or None when no answer arrived."""
        return self.details.reason

    @property
    def request_id(self) -> str | None:
        """The server's id of this request, if it sent one."""
        return self.details.request_id

    @property
    def server_message(self) -> str | None:
        """The message of the server, with secrets removed."""
        return self.details.server_message

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every try, in order."""
        return self.details.attempts

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers that are safe to keep; empty when no answer arrived."""
        return self.details.headers

    @property
    def body(self) -> str:
        """The beginning of the answer's body as text, with secrets removed."""
        return self.details.body.decode("utf-8", "replace")

    @property
    def data(self) -> None:
        """Always None, as in the official SDK, whose scripts may look at it."""
        return


class ConnectError(RequestError):
    """No connection could be made; nothing was sent."""


class CertificateError(ConnectError):
    """The server's TLS certificate was refused; not retried."""


class ConnectionLostError(RequestError):
    """The connection broke after the request had begun."""


class RequestTimeoutError(RequestError, TimeoutError):
    """An attempt's timeout or the call's deadline ran out."""


class OutcomeUnknownError(RequestError):
    """A once-only request may or may not have been carried out.

    `cause` names the failure of the last attempt. `await error.reconcile()`, or `error.reconcile()` in the sync client,
    queries the server again and returns what the call would have returned, or raises: `LookupError` if the request
    provably was not carried out, `OutcomeUnknownError` while it is still unknown. It is None after unpickling and where
    the API has no lookup for it.
    """

    _unpicklable = frozenset({"__notes__", "reconcile"})
    # `Any`, not `Awaitable`: in the sync client it returns directly.
    reconcile: Callable[[], Any] | None = None

    def __init__(self, message: str, details: RequestDetails, *, cause: str = "") -> None:
        super().__init__(message, details)
        self.cause = cause


class ProtocolError(RequestError):
    """The server's answer is not a valid API response, such as a login page with status 200."""


class UnreadableAnswerError(OutcomeUnknownError, ProtocolError):
    """A once-only request was answered with success and something unreadable, such as a gateway's HTML page.

    The request may have been carried out, so it is never sent again.
    """


class ResponseTooLargeError(ProtocolError):
    """The answer is larger than `max_response_bytes` after decompression."""


class RedirectError(ProtocolError):
    """The server answered 3xx; a redirect would carry credentials and files elsewhere, so none is followed."""


class PaginationError(ProtocolError):
    """A list repeats a page, or promises more and has nothing."""


class LegacyAPIError(RequestError):
    """A v1 operation answered HTTP 200 with ``{"status": "ERROR"}``; `server_message` is its msg."""


class StatusError(RequestError):
    """The server answered with an error status; `status` is never None."""


class BadRequestError(StatusError):
    """400."""


class AuthenticationError(StatusError):
    """401: bad token, bad IB-Context, or missing permission (docs: response statuses)."""


class ForbiddenError(StatusError):
    """403: not enough consumption units (docs: response statuses)."""


class NotFoundError(StatusError):
    """404: absent, or no access."""


class ConflictError(StatusError):
    """409."""


class GoneError(StatusError):
    """410."""


class PreconditionFailedError(StatusError):
    """412: for `files.write(if_none_match=True)`, a file exists at the path."""


class PayloadTooLargeError(StatusError):
    """413."""


class UnprocessableError(StatusError):
    """422."""


class RateLimitedError(StatusError):
    """429 after all retries."""


class ServerError(StatusError):
    """5xx after all retries."""


STATUS_ERRORS: Mapping[int, type[StatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    412: PreconditionFailedError,
    413: PayloadTooLargeError,
    422: UnprocessableError,
    429: RateLimitedError,
}


def status_error_class(status: int) -> type[StatusError]:
    """Return the exception class for an HTTP error status."""
    if status >= 500:
        return ServerError
    return STATUS_ERRORS.get(status, StatusError)
