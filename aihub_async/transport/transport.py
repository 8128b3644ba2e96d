"""Every request goes through `Transport.send`: the only retry loop."""

import logging
from collections.abc import Sequence

import anyio
import attrs

from aihub_async import errors
from aihub_async.clock import Clock
from aihub_async.config import ClientConfig
from aihub_async.errors import Attempt, RequestDetails, RequestError
from aihub_async.policies.retry import Backoff, FailureKind, RetryQuota, Verdict, judge, parse_retry_after
from aihub_async.transport.events import AttemptEvent, Hook, record_response
from aihub_async.transport.governor import Governor
from aihub_async.transport.messages import AttemptFailure, Lane, Request, Response, Wire
from aihub_async.transport.redaction import Redactor, kept_headers, request_id, server_message

logger = logging.getLogger("aihub_async")

_PUSH_BACK = frozenset({429, 503})


@attrs.define
class _Call:
    """The progress of one `send`: what has been tried, and how long it may still take."""

    request: Request
    started: float
    expires: float
    attempts: list[Attempt] = attrs.field(factory=list)
    unclear: bool = False

    def remaining(self, now: float) -> float:
        return self.expires - now


class Transport:
    """Sends requests for one client; clients made by `with_options` share pool, governor and quota."""

    def __init__(
        self,
        settings: ClientConfig,
        *,
        wire: Wire,
        clock: Clock | None = None,
        governor: Governor | None = None,
        quota: RetryQuota | None = None,
        hooks: Sequence[Hook] = (),
    ) -> None:
        self.settings = settings
        self.clock = clock or Clock()
        self.wire = wire
        self.governor = governor or Governor(
            settings.max_connections,
            settings.max_bytes_in_flight,
            self.clock.monotonic,
            self.clock.sleep,
            self.clock.random,
        )
        self.quota = quota or RetryQuota()
        self.hooks = tuple(hooks)
        self._backoff = Backoff()
        self._redactor = Redactor(settings)

    def derive(self, settings: ClientConfig) -> "Transport":
        """A transport with other settings on the same pool."""
        return Transport(
            settings,
            wire=self.wire.derive(settings),
            clock=self.clock,
            governor=self.governor,
            quota=self.quota,
            hooks=self.hooks,
        )

    async def send(self, request: Request) -> Response:
        """Send a request, as often as its repeat class, the quota and the deadline allow.

        Raises:
            RequestError: see the tree in `aihub_async.errors`.
            SourceError: the body's source cannot be read or changed.
        """
        settings, monotonic = self.settings, self.clock.monotonic
        started = monotonic()
        transfer = request.body.length / settings.min_throughput if request.body is not None else 0.0
        expires = float("inf") if settings.deadline is None else started + settings.deadline + transfer
        call = _Call(request, started, expires)
        while True:
            began = monotonic()
            outcome = await self._attempt_in_turn(call, settings.timeout + transfer)
            verdict, delay = self._decide(call, outcome, began)
            if verdict is Verdict.RETRY:
                await self.clock.sleep(delay)
                continue
            if verdict is Verdict.ACCEPT and isinstance(outcome, Response):
                self.quota.give_back()
                response = (
                    outcome
                    if not call.attempts[1:]
                    else attrs.evolve(outcome, attempts=len(call.attempts), settled=outcome.status == 404)
                )
                record_response(response)
                return response
            if isinstance(outcome, Response):
                record_response(outcome)
            raise self._error(call, outcome, ambiguous=verdict is Verdict.AMBIGUOUS)

    async def _attempt_in_turn(self, call: _Call, timeout: float) -> Response | AttemptFailure:
        """Wait for a place, then try once; queueing is charged to the deadline but not to the attempt's timeout."""
        request, governor, monotonic = call.request, self.governor, self.clock.monotonic
        size = request.body.held if request.body is not None else 0
        # Most requests need not wait, and then a scope of their own would cost more than their turn.
        if not governor.try_acquire(request.lane, size) and not await self._queue(call, size):
            return AttemptFailure(FailureKind.QUEUED, "the deadline passes before it is the request's turn")
        try:
            remaining = call.remaining(monotonic())
            if remaining <= 0:
                return AttemptFailure(FailureKind.QUEUED, "the deadline passed before the request could be sent")
            return await self.wire.attempt(request, min(timeout, remaining))
        finally:
            governor.release(request.lane, size)

    async def _queue(self, call: _Call, size: int) -> bool:
        """Wait for a place until the call's deadline; False when that has passed, or a pause lasts longer."""
        if self.governor.pause_until >= call.expires:
            return False
        with anyio.move_on_after(call.remaining(self.clock.monotonic())) as scope:
            await self.governor.acquire(call.request.lane, size)
            # Without this a deadline that passes at the same moment would leak the place.
            scope.deadline = float("inf")
        return not scope.cancelled_caught

    def _decide(self, call: _Call, outcome: Response | AttemptFailure, began: float) -> tuple[Verdict, float]:
        """Judge an outcome, keep a record of it and tell the hooks."""
        request = call.request
        call.expires += outcome.received / self.settings.min_throughput
        if isinstance(outcome, Response):
            result: int | FailureKind = outcome.status
            asked = (
                parse_retry_after(
                    outcome.headers.get("Retry-After"),
                    now=self.clock.now(),
                    maximum=self.settings.max_retry_after,
                )
                if outcome.status >= 400
                else None
            )
        else:
            result, asked = outcome.failure, None
        verdict = judge(
            request.operation.repeat, result, has_retry_after=asked is not None, unclear_before=call.unclear
        )
        self._inform_governor(request, outcome, asked)
        delay = 0.0
        if verdict is Verdict.RETRY:
            delay = self._delay(call, asked, free=isinstance(outcome, AttemptFailure) and outcome.overloaded)
            call.unclear = call.unclear or result in _UNCLEAR or (result == 503 and asked is None)
            if delay < 0:
                verdict, delay = Verdict.FAIL, 0.0
        self._record(call, outcome, began, delay if verdict is Verdict.RETRY else None)
        return verdict, delay

    def _delay(self, call: _Call, asked: float | None, *, free: bool) -> float:
        """Seconds before the next attempt, or -1 when there must be none.

        A `free` retry waits for this machine, not for the server: it costs nothing, and only the deadline ends it.
        """
        retry = len(call.attempts) + 1
        if not free and retry > self.settings.max_retries:
            return -1
        delay = self._backoff.delay(retry, self.clock.random)
        if asked is not None:
            # A little jitter on top, so that everybody who was told the same time does not come back at once.
            delay = asked + min(delay, 1.0)
        if delay >= call.remaining(self.clock.monotonic()):
            return -1
        return delay if free or self.quota.take() else -1

    def _inform_governor(self, request: Request, outcome: Response | AttemptFailure, asked: float | None) -> None:
        limit = self.governor.limit
        if isinstance(outcome, AttemptFailure):
            if outcome.overloaded:
                limit.pushed_back()
            return
        if outcome.status not in _PUSH_BACK:
            if request.lane is Lane.BULK:
                size = request.body.length if request.body is not None else 0
                limit.succeeded(size, crowded=self.governor.crowded)
            return
        limit.pushed_back()
        if asked is not None:
            self.governor.pause(asked)

    def _record(self, call: _Call, outcome: Response | AttemptFailure, began: float, wait: float | None) -> None:
        now = self.clock.monotonic()
        status = outcome.status if isinstance(outcome, Response) else None
        text = str(status) if isinstance(outcome, Response) else outcome.failure.value
        number = len(call.attempts) + 1
        call.attempts.append(Attempt(number, began - call.started, now - began, text, status, wait or 0.0))
        request = call.request
        if self.hooks:
            event = AttemptEvent(
                operation=request.operation.name,
                method=request.operation.method,
                path=request.path,
                number=number,
                outcome=text,
                status=status,
                duration=now - began,
                wait=wait,
                sent=request.body.length if request.body is not None else 0,
                received=outcome.received,
            )
            self._tell(event)
        if wait is not None:
            logger.info(
                "%s %s: %s, attempt %d, again in %.2f s",
                request.operation.method,
                self._redactor.text(request.path),
                text,
                number,
                wait,
            )
        elif logger.isEnabledFor(logging.DEBUG):
            path = self._redactor.text(request.path)
            logger.debug("%s %s: %s in %.3f s", request.operation.method, path, text, now - began)

    def _tell(self, event: AttemptEvent) -> None:
        for hook in self.hooks:
            try:
                hook(event)
            except Exception:  # an observer's mistake must not lose the answer of a call that may have been billed
                logger.exception("the hook %r raised; the call goes on", hook)

    def details(self, request: Request, response: Response, attempts: Sequence[Attempt] = ()) -> RequestDetails:
        """What an error about this answer should tell, with secrets removed."""
        redact = self._redactor.also(request.secrets)
        headers = kept_headers(response.headers, redact)
        return RequestDetails(
            operation=request.operation.name,
            method=request.operation.method,
            path=redact.text(request.path),
            attempts=tuple(attempts),
            status=response.status,
            reason=redact.line(response.reason),
            request_id=request_id(headers),
            server_message=server_message(response.body, redact),
            headers=headers,
            body=redact.beginning(response.body),
        )

    def _error(self, call: _Call, outcome: Response | AttemptFailure, *, ambiguous: bool) -> Exception:
        if isinstance(outcome, Response):
            return self._status_error(call, outcome, ambiguous=ambiguous)
        if outcome.failure is FailureKind.SOURCE and outcome.error is not None:
            return outcome.error
        operation = call.request.operation
        redact = self._redactor.also(call.request.secrets)
        details = RequestDetails(operation.name, operation.method, redact.text(call.request.path), tuple(call.attempts))
        message = redact.text(outcome.message)
        if ambiguous:
            return errors.OutcomeUnknownError(
                f"{message}; it may or may not have been carried out", details, cause=outcome.failure.value
            )
        return _FAILURE_ERRORS[outcome.failure](message, details)

    def _status_error(self, call: _Call, response: Response, *, ambiguous: bool) -> RequestError:
        details = self.details(call.request, response, call.attempts)
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
            return errors.RedirectError(
                f"the server answered {response.status} (a redirect); none is followed, check api_root",
                details,
            )
        hint = _HINTS.get(response.status, "")
        message = f"{response.status} {details.reason}{said}{hint}"
        return errors.status_error_class(response.status)(message, details)


_UNCLEAR = frozenset({FailureKind.LOST, FailureKind.TRUNCATED, FailureKind.TIMEOUT, 408, 500, 502, 504})
_FAILURE_ERRORS: dict[FailureKind, type[RequestError]] = {
    FailureKind.NOT_SENT: errors.ConnectError,
    FailureKind.QUEUED: errors.RequestTimeoutError,
    FailureKind.CERTIFICATE: errors.CertificateError,
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
}
