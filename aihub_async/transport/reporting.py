"""Report attempts to users: hooks and log lines for each, and the exception at the end. None contains a secret."""

import logging
from collections.abc import Mapping, Sequence

from aihub_async import errors
from aihub_async.config import ClientConfig
from aihub_async.errors import Attempt, RequestDetails, RequestError
from aihub_async.operations import Repeat
from aihub_async.policies.retry import FailureKind
from aihub_async.transport.events import AttemptEvent, Hook
from aihub_async.transport.messages import AttemptFailure, Request, Response
from aihub_async.transport.redaction import Redactor, kept_headers, redirect_host, request_id, server_message

logger = logging.getLogger("aihub_async")

_FAILURE_ERRORS: dict[FailureKind, type[RequestError]] = {
    FailureKind.NOT_SENT: errors.ConnectError,
    FailureKind.QUEUED: errors.RequestTimeoutError,
    FailureKind.CERTIFICATE: errors.CertificateError,
    FailureKind.PROXY: errors.ConnectError,
    FailureKind.LOST: errors.ConnectionLostError,
    FailureKind.TRUNCATED: errors.ConnectionLostError,
    FailureKind.TIMEOUT: errors.RequestTimeoutError,
    FailureKind.TOO_LARGE: errors.ResponseTooLargeError,
    FailureKind.PROTOCOL: errors.ProtocolError,
    FailureKind.SOURCE: errors.ProtocolError,
}
_HINTS = {
    401: " (check api_key and ib_context, and that they may do this)",
    403: " (the organization may be out of consumption units)",
    407: " (the proxy requires credentials: proxy='http://user:password@host:port')",
}
LASTING_RETRIES = 5.0
"""A retry is logged at WARNING instead of INFO when the call will have lasted this many seconds."""
WARNING_INTERVAL = 15.0
"""Minimum seconds between two such warnings of one client."""
_PAGE_HINT = "an HTML page: check api_root, and whether a login page or a proxy is in between"


def is_web_page(headers: Mapping[str, str]) -> bool:
    """Return whether an answer is an HTML page, as gateways and login pages are."""
    return headers.get("Content-Type", "").lower().startswith(("text/html", "application/xhtml"))


class Reporter:
    """Reports the attempts and errors of one client."""

    def __init__(self, settings: ClientConfig, hooks: Sequence[Hook]) -> None:
        self.hooks = tuple(hooks)
        self._redactor = Redactor(settings)
        self._warned = float("-inf")

    def attempt(
        self, request: Request, outcome: Response | AttemptFailure, attempt: Attempt, wait: float | None, now: float
    ) -> None:
        """Call the hooks and log.

        Args:
            request: What was sent.
            outcome: What became of it.
            attempt: When, and for how long.
            wait: Seconds before the next attempt; None if there is none.
            now: The monotonic time.
        """
        operation = request.operation
        if self.hooks:
            event = AttemptEvent(
                operation=operation.name,
                method=operation.method,
                path=request.path,
                number=attempt.number,
                outcome=attempt.outcome,
                status=attempt.status,
                duration=attempt.duration,
                wait=wait,
                sent=request.body.length if request.body is not None else 0,
                received=outcome.received,
            )
            self._call_hooks(event)
        level = logging.DEBUG if wait is None else self._level_of_retry(attempt, wait, now)
        if not logger.isEnabledFor(level):
            return
        path = self._redactor.text(request.path)
        fields = {
            "aihub_operation": operation.name,
            "aihub_method": operation.method,
            "aihub_path": path,
            "aihub_attempt": attempt.number,
            "aihub_outcome": attempt.outcome,
            "aihub_status": attempt.status,
            "aihub_duration": attempt.duration,
            "aihub_wait": wait,
            "aihub_elapsed": attempt.started + attempt.duration,
        }
        if wait is None:
            logger.debug("%s %s: %s in %.3f s", operation.method, path, attempt.outcome, attempt.duration, extra=fields)
        else:
            logger.log(
                level,
                "%s %s: %s, attempt %d, after %.1f s; next attempt in %.2f s",
                operation.method,
                path,
                attempt.outcome,
                attempt.number,
                fields["aihub_elapsed"],
                wait,
                extra=fields,
            )

    def _level_of_retry(self, attempt: Attempt, wait: float, now: float) -> int:
        """Return INFO, or WARNING when the retries of a call last, for one call in a while."""
        lasts = attempt.started + attempt.duration + wait >= LASTING_RETRIES
        if not lasts or now - self._warned < WARNING_INTERVAL:
            return logging.INFO
        self._warned = now
        return logging.WARNING

    def _call_hooks(self, event: AttemptEvent) -> None:
        for hook in self.hooks:
            try:
                hook(event)
            except Exception:  # an observer's mistake must not lose the answer of a call that may have been billed
                logger.exception("the hook %r raised; the call continues", hook)

    def details(self, request: Request, response: Response, attempts: Sequence[Attempt] = ()) -> RequestDetails:
        """Describe a request and its answer for an error."""
        redact = self._redactor.also(request.secrets)
        headers = kept_headers(response.headers, redact)
        return RequestDetails(
            operation=request.operation.name,
            method=request.operation.method,
            path=redact.text(request.path),
            attempts=tuple(attempts) or response.attempts,
            status=response.status,
            reason=redact.line(response.reason),
            request_id=request_id(headers),
            server_message=server_message(response.body, redact),
            headers=headers,
            body=redact.beginning(response.body),
        )

    def unreadable(self, request: Request, response: Response, reason: str) -> errors.ProtocolError:
        """Build the exception for a success whose body cannot be an API response."""
        details = self.details(request, response)
        content_type = details.headers.get("Content-Type", "no content type")
        hint = f"; {_PAGE_HINT}" if is_web_page(details.headers) else ""
        message = f"{response.status} with {content_type}: {reason}{hint}"
        if request.operation.repeat is Repeat.ONCE:
            message = f"{message}; it may or may not have been carried out"
            return errors.UnreadableAnswerError(message, details, cause="unreadable")
        return errors.ProtocolError(message, details)

    def error(
        self,
        request: Request,
        outcome: Response | AttemptFailure,
        attempts: Sequence[Attempt],
        *,
        ambiguous: bool,
    ) -> Exception:
        """Build the exception for the last outcome of a call."""
        if isinstance(outcome, Response):
            return self._status_error(request, outcome, attempts, ambiguous=ambiguous)
        if outcome.failure is FailureKind.SOURCE and outcome.error is not None:
            return outcome.error
        operation = request.operation
        redact = self._redactor.also(request.secrets)
        details = RequestDetails(operation.name, operation.method, redact.text(request.path), tuple(attempts))
        message = redact.text(outcome.message)
        if ambiguous:
            return errors.OutcomeUnknownError(
                f"{message}; it may or may not have been carried out", details, cause=outcome.failure.value
            )
        return _FAILURE_ERRORS[outcome.failure](message, details)

    def _status_error(
        self, request: Request, response: Response, attempts: Sequence[Attempt], *, ambiguous: bool
    ) -> RequestError:
        details = self.details(request, response, attempts)
        said = f": {details.server_message}" if details.server_message else ""
        if ambiguous:
            return errors.OutcomeUnknownError(
                f"the server answered {response.status}{said}; it may or may not have been carried out",
                details,
                cause=str(response.status),
            )
        if response.status < 300:
            return errors.ProtocolError(f"the server answered {response.status}, which is no final answer", details)
        if response.status < 400:
            host = redirect_host(details.headers)
            target = f" to {host}" if host else ""
            return errors.RedirectError(
                f"the server answered {response.status} (a redirect{target}); redirects are not followed, "
                "check api_root",
                details,
            )
        hint = _HINTS.get(response.status, "")
        if is_web_page(details.headers) and not hint:
            hint = f" ({_PAGE_HINT})"
        message = f"{response.status} {details.reason}{said}{hint}"
        return errors.status_error_class(response.status)(message, details)
