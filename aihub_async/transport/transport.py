"""Every request goes through `Transport.send`: the only retry loop."""

import base64
import logging
import random
import re
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import anyio
import attrs
import msgspec

from aihub_async import errors
from aihub_async.config import Settings
from aihub_async.errors import Attempt, RequestDetails, RequestError
from aihub_async.policies.retry import Backoff, Failure, RetryQuota, Verdict, judge, parse_retry_after
from aihub_async.transport.events import AttemptEvent, Hook, record_response
from aihub_async.transport.governor import Governor
from aihub_async.transport.messages import Failed, Request, Response, Wire

logger = logging.getLogger("aihub_async")

_REQUEST_IDS = frozenset({"x-request-id", "request-id", "x-correlation-id", "x-trace-id"})
_KEPT_HEADERS = frozenset(
    {"content-type", "content-length", "content-range", "date", "location", "retry-after", "server"} | _REQUEST_IDS
)
_KEPT_BODY = 4096
_PUSH_BACK = frozenset({429, 503})


@attrs.frozen
class Clock:
    """Time, sleep and randomness; tests pass their own."""

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    random: Callable[[], float] = random.random


@attrs.define
class _Call:
    """The progress of one `send`: what has been tried, and how long it may still take."""

    request: Request
    started: float
    expires: float | None
    attempts: list[Attempt] = attrs.field(factory=list)
    unclear: bool = False

    def remaining(self, now: float) -> float:
        return float("inf") if self.expires is None else self.expires - now


class Transport:
    """Sends requests for one client; clients made by `with_options` share pool, governor and quota."""

    def __init__(
        self,
        settings: Settings,
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
            settings.max_connections, settings.max_bytes_in_flight, self.clock.monotonic, self.clock.sleep
        )
        self.quota = quota or RetryQuota()
        self.hooks = tuple(hooks)
        self._backoff = Backoff()
        self._redactor = _Redactor(settings.api_key.reveal())

    def derive(self, settings: Settings) -> "Transport":
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
        expires = None if settings.deadline is None else started + settings.deadline + transfer
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
            raise self._error(call, outcome, ambiguous=verdict is Verdict.AMBIGUOUS)

    async def _attempt_in_turn(self, call: _Call, timeout: float) -> Response | Failed:
        """Wait for a place, then try once; queueing is charged to the deadline but not to the attempt's timeout."""
        request, governor = call.request, self.governor
        size = request.body.length if request.body is not None else 0
        with anyio.move_on_after(call.remaining(self.clock.monotonic())) as queue:
            await governor.acquire(request.lane, size)
            # Without this a deadline that passes at the same moment would leak the place.
            queue.deadline = float("inf")
        if queue.cancelled_caught:
            return Failed(Failure.NOT_SENT, "the deadline passed while the request waited for its turn")
        try:
            return await self.wire.attempt(request, min(timeout, call.remaining(self.clock.monotonic())))
        finally:
            governor.release(request.lane, size)

    def _decide(self, call: _Call, outcome: Response | Failed, began: float) -> tuple[Verdict, float]:
        """Judge an outcome, keep a record of it and tell the hooks."""
        request = call.request
        if isinstance(outcome, Response):
            result: int | Failure = outcome.status
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
        self._inform_governor(outcome, asked)
        delay = 0.0
        if verdict is Verdict.RETRY:
            delay = self._delay(call, asked)
            call.unclear = call.unclear or result in _UNCLEAR
            if delay < 0:
                verdict, delay = Verdict.FAIL, 0.0
        self._record(call, outcome, began, delay if verdict is Verdict.RETRY else None)
        return verdict, delay

    def _delay(self, call: _Call, asked: float | None) -> float:
        """Seconds before the next attempt, or -1 when there must be none."""
        retry = len(call.attempts) + 1
        if retry > self.settings.max_retries:
            return -1
        delay = self._backoff.delay(retry, self.clock.random)
        if asked is not None:
            # A little jitter on top, so that everybody who was told the same time does not come back at once.
            delay = asked + min(delay, 1.0)
        if delay >= call.remaining(self.clock.monotonic()) or not self.quota.take():
            return -1
        return delay

    def _inform_governor(self, outcome: Response | Failed, asked: float | None) -> None:
        limit = self.governor.limit
        if isinstance(outcome, Failed):
            if outcome.overloaded:
                limit.pushed_back()
            return
        if outcome.status not in _PUSH_BACK:
            limit.succeeded()
            return
        limit.pushed_back()
        if asked is not None:
            self.governor.pause(asked)

    def _record(self, call: _Call, outcome: Response | Failed, began: float, wait: float | None) -> None:
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
                received=len(outcome.body) if isinstance(outcome, Response) else 0,
            )
            for hook in self.hooks:
                hook(event)
        if wait is not None:
            logger.info(
                "%s %s: %s, attempt %d, again in %.2f s",
                request.operation.method,
                request.path,
                text,
                number,
                wait,
            )
        elif logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s %s: %s in %.3f s", request.operation.method, request.path, text, now - began)

    def details(self, request: Request, response: Response, attempts: Sequence[Attempt] = ()) -> RequestDetails:
        """What an error about this answer should tell, with secrets removed."""
        redact = self._redactor.also(request.secrets)
        headers = {
            name: redact.text(value) for name, value in response.headers.items() if name.lower() in _KEPT_HEADERS
        }
        kept = response.body[:_KEPT_BODY]
        return RequestDetails(
            operation=request.operation.name,
            method=request.operation.method,
            path=redact.text(request.path),
            attempts=tuple(attempts),
            status=response.status,
            reason=redact.text(response.reason),
            request_id=next((headers[name] for name in headers if name.lower() in _REQUEST_IDS), None),
            server_message=redact.text(_server_message(kept)) or None,
            headers=headers,
            body=redact.text(kept.decode("utf-8", "replace")).encode(),
        )

    def _error(self, call: _Call, outcome: Response | Failed, *, ambiguous: bool) -> Exception:
        if isinstance(outcome, Response):
            return self._status_error(call, outcome, ambiguous=ambiguous)
        if outcome.failure is Failure.SOURCE and outcome.error is not None:
            return outcome.error
        operation = call.request.operation
        path = self._redactor.also(call.request.secrets).text(call.request.path)
        details = RequestDetails(operation.name, operation.method, path, tuple(call.attempts))
        if ambiguous:
            return errors.OutcomeUnknownError(
                f"{outcome.message}; it may or may not have been carried out",
                details,
                cause=outcome.failure.value,
            )
        return _FAILURE_ERRORS[outcome.failure](outcome.message, details)

    def _status_error(self, call: _Call, response: Response, *, ambiguous: bool) -> RequestError:
        details = self.details(call.request, response, call.attempts)
        said = f": {details.server_message}" if details.server_message else ""
        if ambiguous:
            return errors.OutcomeUnknownError(
                f"the server answered {response.status}{said}; it may or may not have been carried out",
                details,
                cause=str(response.status),
            )
        if response.status < 400:
            return errors.RedirectError(
                f"the server answered {response.status} (a redirect); none is followed, check api_root",
                details,
            )
        hint = _HINTS.get(response.status, "")
        message = f"{response.status} {details.reason}{said}{hint}"
        return errors.status_error_class(response.status)(message, details)


_UNCLEAR = frozenset({Failure.LOST, Failure.TRUNCATED, Failure.TIMEOUT, 408, 500, 502, 504})
_FAILURE_ERRORS: dict[Failure, type[RequestError]] = {
    Failure.NOT_SENT: errors.ConnectError,
    Failure.CERTIFICATE: errors.CertificateError,
    Failure.LOST: errors.ConnectionLostError,
    Failure.TRUNCATED: errors.ConnectionLostError,
    Failure.TIMEOUT: errors.RequestTimeoutError,
    Failure.TOO_LARGE: errors.ResponseTooLargeError,
    Failure.PROTOCOL: errors.ProtocolError,
    Failure.SOURCE: errors.ProtocolError,
}
_HINTS = {
    401: " (check api_key and ib_context, and that they may do this)",
    403: " (the organization may be out of consumption units)",
}


def _server_message(body: bytes) -> str:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return ""
    if not isinstance(answer, dict):
        return ""
    message = answer.get("message") or answer.get("msg") or ""
    return message if isinstance(message, str) else ""


class _Redactor:
    """Removes secrets from texts of the server, also where they are base64- or URL-encoded."""

    def __init__(self, *secrets: str) -> None:
        self._secrets = secrets
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def also(self, secrets: Sequence[str]) -> "_Redactor":
        return _Redactor(*self._secrets, *secrets) if secrets else self

    def text(self, text: str) -> str:
        return self._pattern.sub("***", text) if self._pattern else text


def _forms(secret: str) -> set[str]:
    raw = secret.encode("utf-8", "surrogatepass")
    encoded = set()
    for shift in range(3):
        # Base64 of a text that contains the secret at any offset: the middle characters depend on the secret only.
        whole = base64.b64encode(b"\0" * shift + raw).decode()
        encoded.add(whole[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6])
    encoded |= {form.replace("+", "-").replace("/", "_") for form in encoded}
    quoted = urllib.parse.quote(raw, safe="")
    return {secret, quoted, urllib.parse.quote_plus(raw), *(form for form in encoded if len(form) >= 6)}
