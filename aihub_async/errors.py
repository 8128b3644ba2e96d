r"""Every exception of the client.

    AIHubError
    ├── ConfigurationError            a setting cannot be used (also a ValueError)
    ├── InvalidRequestError           refused before anything was sent (also a ValueError)
    ├── ClosedClientError             the client was closed, or belongs to another process
    ├── SourceError                   a file to upload cannot be read
    │   └── SourceChangedError        a file changed while it was being uploaded
    ├── BindingError                  documents are not what the caller's class describes (also a ValueError)
    ├── UploadError                   some files of a batch upload failed; carries the report
    ├── WaitTimeoutError              a wait ended before the thing waited for (also a TimeoutError)
    ├── JobFailedError                a job ended FAILED or CANCELLED
    ├── RunError                      a run ended without results
    │   ├── RunFailedError            FAILED
    │   ├── RunCancelledError         CANCELLED
    │   └── RunNeedsReviewError       STOPPED_AT_CHECKPOINT: a person must look at it
    ├── IngestError                   a bulk job cannot go on; it can be resumed when the cause is gone
    │   └── JournalError              the job's journal cannot be read or written
    │       ├── JournalBusyError      another process holds it
    │       ├── JournalDamagedError   it is not what was written
    │       └── JournalMismatchError  it belongs to another job or another version
    └── RequestError                  a request failed; has operation, method, path, status, request_id, attempts
        ├── ConnectError              no connection was made: nothing was sent
        │   └── CertificateError      the server's TLS certificate was refused
        ├── ConnectionLostError       the connection broke after the request began
        ├── RequestTimeoutError       an attempt or the whole deadline ran out (also a TimeoutError)
        ├── OutcomeUnknownError       a once-only request may or may not have been carried out
        │   └── UnreadableAnswerError the server reported success with an unreadable answer (also a ProtocolError)
        ├── ProtocolError             the answer is not what the API speaks
        │   ├── ResponseTooLargeError
        │   ├── RedirectError         3xx: redirects are never followed
        │   └── PaginationError       a list repeats itself or promises more and gives none
        ├── LegacyAPIError            HTTP 200 with {"status": "ERROR"} from a v1 operation
        └── StatusError               the server answered with an error status
            ├── BadRequestError       400
            ├── AuthenticationError   401: bad token, bad IB-Context or missing permission
            ├── ForbiddenError        403: not enough consumption units
            ├── NotFoundError         404
            ├── ConflictError         409
            ├── GoneError             410
            ├── PreconditionFailedError  412
            ├── PayloadTooLargeError  413
            ├── UnprocessableError    422
            ├── RateLimitedError      429
            └── ServerError           5xx

All of them can be pickled, and none holds a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

if TYPE_CHECKING:
    from aihub_async.models.runs import Run
    from aihub_async.models.uploads import UploadReport


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


class AIHubError(Exception):
    """Base class of every exception that this package raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        state = {key: value for key, value in self.__dict__.items() if key not in self._unpicklable}
        return _rebuild, (type(self), self.args), state

    _unpicklable: ClassVar[frozenset[str]] = frozenset({"__notes__"})


def _rebuild(cls: type[AIHubError], args: tuple[Any, ...]) -> AIHubError:
    error = cls.__new__(cls)
    error.args = args
    return error


class ConfigurationError(AIHubError, ValueError):
    """A setting cannot be used; the message names it and where it came from."""


class InvalidRequestError(AIHubError, ValueError):
    """Arguments that cannot make a request; nothing was sent."""


class ClosedClientError(AIHubError, RuntimeError):
    """The client was closed, or is used where it cannot work."""


class SourceError(AIHubError):
    """Something to upload cannot be read; `name` says which."""

    def __init__(self, message: str, *, name: str | None = None) -> None:
        super().__init__(message)
        self.name = name


class SourceChangedError(SourceError):
    """A file shrank, grew or was replaced while it was being uploaded; the request was aborted."""


class BindingError(AIHubError, ValueError):
    """Documents do not fit the class they were bound to; has all `problems`, and the bound `records`."""

    def __init__(self, problems: Sequence[str], *, records: Sequence[Any] = ()) -> None:
        shown = "\n".join(f"  {problem}" for problem in problems[:20])
        more = f"\n  … and {len(problems) - 20} more" if len(problems) > 20 else ""
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        super().__init__(f"{count} in the documents:\n{shown}{more}")
        self.problems = list(problems)
        self.records = list(records)


class UploadError(AIHubError):
    """Some files of a batch upload failed; `report` has one record per source."""

    def __init__(self, message: str, *, report: UploadReport) -> None:
        super().__init__(message)
        self.report = report


class WaitTimeoutError(AIHubError, TimeoutError):
    """A wait ran out of time; `id` is the run or job that still goes on, `last` its last known state."""

    def __init__(self, message: str, *, id: str, last: str | None = None) -> None:
        super().__init__(message)
        self.id = id
        self.last = last


class JobFailedError(AIHubError):
    """An asynchronous job ended FAILED or CANCELLED; `state` says which, `job_message` why."""

    def __init__(self, message: str, *, job_id: str, state: str, job_message: str | None = None) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.state = state
        self.job_message = job_message


class RunError(AIHubError):
    """A run did not come to results; `run` is its last state."""

    def __init__(self, message: str, *, run: Run) -> None:
        super().__init__(message)
        self.run = run


class RunFailedError(RunError):
    """The run ended FAILED."""


class RunCancelledError(RunError):
    """The run ended CANCELLED."""


class RunNeedsReviewError(RunError):
    """The run is STOPPED_AT_CHECKPOINT: it goes on after a human review."""


class IngestError(AIHubError):
    """A bulk job cannot go on; what is done is kept, and running it again resumes it."""


class JournalError(IngestError):
    """The journal of a bulk job cannot be read or written, such as on a full disk."""


class JournalBusyError(JournalError):
    """Another process holds the journal; the message names it."""


class JournalDamagedError(JournalError):
    """The journal is not what was written: truncated, or bits were flipped."""


class JournalMismatchError(JournalError):
    """The journal belongs to another job, or was written by another version of this package."""


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
        """What the server said, with secrets removed."""
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
    asks the server again and returns what the call would have returned, or raises: `LookupError` if the request
    provably was not carried out, `OutcomeUnknownError` while it is still unknown. It is None after unpickling and where
    the API has no way to ask.
    """

    _unpicklable = frozenset({"__notes__", "reconcile"})
    # `Any`, not `Awaitable`: in the sync client it answers at once.
    reconcile: Callable[[], Any] | None = None

    def __init__(self, message: str, details: RequestDetails, *, cause: str = "") -> None:
        super().__init__(message, details)
        self.cause = cause


class ProtocolError(RequestError):
    """The server's answer is not what the API speaks, such as a login page with status 200."""


class UnreadableAnswerError(OutcomeUnknownError, ProtocolError):
    """A once-only request was answered with success and something unreadable, such as a gateway's HTML page.

    The request may have been carried out, so it is never sent again.
    """


class ResponseTooLargeError(ProtocolError):
    """The answer is larger than `max_response_bytes` after decompression."""


class RedirectError(ProtocolError):
    """The server answered 3xx; a redirect would carry credentials and files elsewhere, so none is followed."""


class PaginationError(ProtocolError):
    """A list repeats a page, or says that there is more and gives nothing."""


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
    """The exception class for an HTTP error status."""
    if status >= 500:
        return ServerError
    return STATUS_ERRORS.get(status, StatusError)
