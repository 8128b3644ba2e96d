"""Every request goes through `Transport.send`: the only retry loop."""

import asyncio
import logging
from collections.abc import Sequence

import attrs

from aihub_async.clock import Clock
from aihub_async.config import ClientConfig
from aihub_async.errors import RequestDetails
from aihub_async.operations import LIST_BATCHES, Lane
from aihub_async.policies.pacing import RequestRate
from aihub_async.policies.retry import (
    Backoff,
    FailureKind,
    RetryQuota,
    Verdict,
    judge,
    leaves_unclear,
    parse_retry_after,
)
from aihub_async.transport.calls import Call, Tried
from aihub_async.transport.closing import Closing, closed_during
from aihub_async.transport.credentials import Credentials
from aihub_async.transport.events import Hook, record_response
from aihub_async.transport.governor import Governor
from aihub_async.transport.messages import AttemptFailure, Request, Response, Wire, accepted
from aihub_async.transport.observing import ObservedCall, Telemetry
from aihub_async.transport.reporting import Reporter, is_web_page

logger = logging.getLogger("aihub_async")

_PUSH_BACK = frozenset({429, 503})
_ANSWERED = frozenset({FailureKind.TOO_LARGE, FailureKind.PROTOCOL})
"""Failures that show a working server."""
_MAX_STALE = 3
"""Free attempts after connections that the server had closed; on a new connection one is enough."""


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
        credentials: Credentials | None = None,
        telemetry: Telemetry | None = None,
        patient: bool = False,
        closing: Closing | None = None,
    ) -> None:
        self.settings = settings
        self._patient = patient
        if credentials is None and settings.key_source is not None:
            credentials = Credentials(settings.key_source)
        self.credentials = credentials
        self.telemetry = telemetry
        clock = clock or Clock()
        self.closing = closing or Closing(clock.sleep)
        # Whatever sleeps by this clock is ended when the client is closed.
        self.clock = attrs.evolve(clock, sleep=self.closing.sleep) if closing is None else clock
        self.wire = wire
        per_second = settings.max_requests_per_second
        self.governor = governor or Governor(
            settings.max_concurrent_requests,
            settings.max_bytes_in_flight,
            self.clock.monotonic,
            self.clock.sleep,
            self.clock.random,
            rate=None if per_second is None else RequestRate(per_second, self.clock.monotonic),
        )
        self.quota = quota or RetryQuota()
        self.reporter = Reporter(settings, hooks)
        self._backoff = Backoff()

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """Callables that get an event after each attempt."""
        return self.reporter.hooks

    @hooks.setter
    def hooks(self, hooks: Sequence[Hook]) -> None:
        self.reporter.hooks = tuple(hooks)

    def derive(self, settings: ClientConfig | None = None, *, patient: bool = False) -> "Transport":
        """Return a transport with other settings on the same pool.

        With `patient` it is for the requests of an upload, which wait out an outage also when they are few. Many calls
        that fail concurrently show an outage; the last ones of an upload cannot. So before the last retry of a call
        another request is sent, and if that fails, too, it is an outage.
        """
        return Transport(
            settings or self.settings,
            wire=self.wire if settings is None else self.wire.derive(settings),
            clock=self.clock,
            governor=self.governor,
            quota=self.quota,
            hooks=self.hooks,
            credentials=self.credentials,
            telemetry=self.telemetry,
            patient=patient,
            closing=self.closing,
        )

    async def aclose(self) -> None:
        """End all calls with `ClosedClientError`, and close the connections."""
        self.closing.close()
        await self.wire.aclose()

    async def send(self, request: Request) -> Response:
        """Send a request, as often as its repeat class, the quota and the deadline allow.

        Raises:
            RequestError: see the tree in `aihub_async.errors`.
            SourceError: the body's source cannot be read or changed.
            ClosedClientError: the client is closed, or was closed meanwhile.
        """
        guarded = self.closing.enter()
        try:
            return await self._start(request)
        except asyncio.CancelledError:
            if self.closing.explains(guarded):
                raise closed_during(request.operation) from None
            raise
        finally:
            self.closing.leave(guarded)

    async def _start(self, request: Request) -> Response:
        settings, started = self.settings, self.clock.monotonic()
        if self.credentials is not None:
            request = await self.credentials.sign(request)
        transfer = request.body.length / settings.min_throughput if request.body is not None else 0.0
        expires = float("inf") if settings.deadline is None else started + settings.deadline + transfer
        call = Call(request, started, expires, request.unclear)
        timeout = settings.timeout + request.operation.seconds + transfer
        if self.telemetry is None:
            return await self._send(call, timeout)
        observed = ObservedCall(self.telemetry, request, settings.api_root)
        call.request = observed.request
        return await observed.run(self._send(call, timeout), lambda error: call.end(self.clock.monotonic(), error))

    async def _send(self, call: Call, timeout: float) -> Response:
        try:
            while True:
                tried = await self._attempt_in_turn(call, timeout)
                outcome = tried.outcome
                if call.last is not None and tried.result is FailureKind.QUEUED:
                    # The earlier error of the server explains more than the lack of time for another attempt.
                    raise self._error(call, call.last)
                call.last = outcome
                verdict, delay = self._decide(call, tried)
                if verdict is Verdict.RETRY:
                    if delay:
                        await self.clock.sleep(delay)
                    if self._patient:
                        await self._test_for_outage(call, timeout)
                    continue
                if verdict is Verdict.ACCEPT and isinstance(outcome, Response):
                    return self._accept(call, outcome)
                if tried.result == 401 and await self._renew_key(call):
                    continue
                raise self._error(call, outcome, ambiguous=verdict is Verdict.AMBIGUOUS)
        finally:
            self.governor.gates[call.request.lane].breaker.ended(call.number)

    def _accept(self, call: Call, outcome: Response) -> Response:
        response = accepted(outcome, call.attempts)
        record_response(response)
        if not call.request.operation.returns_file and is_web_page(response.headers):
            raise self.reporter.unreadable(call.request, response, "expected an API response")
        return response

    async def _renew_key(self, call: Call) -> bool:
        """Return whether the call may be tried with a newer key, once; a refused request was not carried out."""
        if self.credentials is None or call.renewed:
            return False
        call.renewed = True
        request = await self.credentials.renew(call.request)
        if request is None:
            return False
        call.request = request
        return True

    async def _attempt_in_turn(self, call: Call, timeout: float) -> Tried:
        """Wait for a place, then try once; queueing is charged to the deadline but not to the attempt's timeout."""
        request, governor, monotonic = call.request, self.governor, self.clock.monotonic
        lane, began = request.lane, monotonic()
        size = request.body.held if request.body is not None else 0
        probe = False
        # Most requests need not wait, and then a scope of their own would cost more than their turn.
        if not governor.try_acquire(lane, size):
            turn = await self._queue(call, size)
            queued_from, began = began, monotonic()
            call.queued += began - queued_from
            if turn is None:
                return Tried(AttemptFailure(FailureKind.QUEUED, self._why_queued(call)), began)
            probe = turn
        try:
            remaining = call.remaining(began)
            if remaining <= 0:
                return Tried(AttemptFailure(FailureKind.QUEUED, self._why_queued(call)), began)
            outcome = await self.wire.attempt(request, min(timeout, remaining))
            return Tried(outcome, began, probe)
        finally:
            governor.release(lane, size, probe=probe)

    async def _queue(self, call: Call, size: int) -> bool | None:
        """Wait for a place until the call's deadline.

        Returns:
            Whether the request is a probe; None when the deadline has passed, or a pause lasts longer.
        """
        if self.governor.pause_until >= call.expires:
            return None
        remaining = call.remaining(self.clock.monotonic())
        return await self.governor.acquire_within(call.request.lane, size, remaining)

    def _why_queued(self, call: Call) -> str:
        if self.governor.gates[call.request.lane].breaker.is_open:
            return "the deadline passed while the server failed all requests; this one was not sent"
        return "the deadline passes before it is the request's turn"

    def _decide(self, call: Call, tried: Tried) -> tuple[Verdict, float]:
        """Judge an attempt, record it everywhere, and return the delay before the next one in seconds."""
        outcome, result = tried.outcome, tried.result
        call.expires += outcome.received / self.settings.min_throughput
        asked = self._retry_after(outcome)
        verdict = judge(call.request.operation.repeat, result, unclear_before=call.unclear)
        stale = verdict is Verdict.RETRY and self._is_stale(call, outcome)
        if not stale:
            self._inform_governor(call.request, outcome, asked)
            self._inform_gate(call, tried, verdict, asked)
        delay: float | None = None
        if verdict is Verdict.RETRY:
            call.unclear = call.unclear or leaves_unclear(result)
            delay = 0.0 if stale else self._delay(call, outcome, asked)
            if delay is None:
                verdict = Verdict.FAIL
        self._record(call, tried, delay)
        return verdict, delay or 0.0

    def _retry_after(self, outcome: Response | AttemptFailure) -> float | None:
        if not isinstance(outcome, Response) or outcome.status < 400:
            return None
        value = outcome.headers.get("Retry-After")
        return parse_retry_after(value, now=self.clock.now(), maximum=self.settings.max_retry_after)

    def _is_stale(self, call: Call, outcome: Response | AttemptFailure) -> bool:
        """Whether a kept connection was already closed by the server: another one is tried, free of every limit."""
        if isinstance(outcome, Response) or not outcome.stale or call.stale >= _MAX_STALE:
            return False
        call.stale += 1
        call.request = attrs.evolve(call.request, fresh=True)
        return True

    def _delay(self, call: Call, outcome: Response | AttemptFailure, asked: float | None) -> float | None:
        """Return the seconds before the next attempt, or None when there must be none."""
        remaining = call.remaining(self.clock.monotonic())
        backoff = self._backoff.delay(len(call.attempts) + 1, self.clock.random)
        if isinstance(outcome, AttemptFailure) and outcome.overloaded:
            # It waits for this machine and not for the server: only the deadline ends it.
            return backoff if backoff < remaining else None
        # A little jitter on top, so that the requests that got the same Retry-After do not return together.
        delay = backoff if asked is None else asked + min(backoff, 1.0)
        breaker = self.governor.gates[call.request.lane].breaker
        if breaker.is_open and self.settings.max_retries > 0:
            return 0.0 if remaining > 0 else None
        call.retries += 1
        if call.retries > self.settings.max_retries or delay >= remaining:
            return None
        if self.quota.take():
            return delay
        logger.warning("the retry quota is empty: requests wait until a probe shows that the server recovered")
        breaker.open(asked)
        return 0.0

    async def _test_for_outage(self, call: Call, timeout: float) -> None:
        """Test whether the server is down, before the last retry of a call that fails while no call gets an answer.

        If another request fails, too, the call waits for the server's recovery, and all its retries are left for the
        time after it. If that is answered, failures of this call are its own.
        """
        breaker = self.governor.gates[call.request.lane].breaker
        if call.retries != self.settings.max_retries or not breaker.is_failing(call.number):
            return
        if breaker.is_open:  # Another call has shown the outage.
            call.retries = 0
            return
        request = Request(LIST_BATCHES, LIST_BATCHES.path, "limit=1")
        request = request if self.credentials is None else await self.credentials.sign(request)
        test = Call(request, self.clock.monotonic(), call.expires, unclear=False)
        tried = await self._attempt_in_turn(test, timeout)
        self._decide(test, tried)
        if judge(request.operation.repeat, tried.result, unclear_before=False) is Verdict.RETRY:
            logger.warning("the server does not answer: uploads wait until a probe shows that it recovered")
            breaker.open()
            call.retries = 0

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

    def _inform_gate(self, call: Call, tried: Tried, verdict: Verdict, asked: float | None) -> None:
        gate, outcome = self.governor.gates[call.request.lane], tried.outcome
        failed = (verdict is Verdict.RETRY or verdict is Verdict.AMBIGUOUS) and tried.result not in _ANSWERED
        if failed:
            if isinstance(outcome, AttemptFailure) and outcome.overloaded:
                return
            was_open = gate.breaker.is_open
            gate.failed(call.number, asked)
            if tried.probe:
                gate.breaker.probe_failed()
            elif gate.breaker.is_open and not was_open:
                logger.warning("the server fails all requests: they wait until a probe shows that it recovered")
        elif isinstance(outcome, Response) or tried.result in _ANSWERED:
            if verdict is Verdict.ACCEPT:
                self.quota.give_back()
            if gate.succeeded():
                self.quota.refill()
                logger.warning("the server answers again")

    def _record(self, call: Call, tried: Tried, wait: float | None) -> None:
        now = self.clock.monotonic()
        self.reporter.attempt(call.request, tried.outcome, call.record(tried, now, wait or 0.0), wait, now)

    def details(self, request: Request, response: Response) -> RequestDetails:
        """Describe a request and its answer for an error, with secrets removed."""
        return self.reporter.details(request, response)

    def _error(self, call: Call, outcome: Response | AttemptFailure, *, ambiguous: bool = False) -> Exception:
        if isinstance(outcome, Response):
            record_response(outcome)
        return self.reporter.error(call.request, outcome, call.attempts, ambiguous=ambiguous)
