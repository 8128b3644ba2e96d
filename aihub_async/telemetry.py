"""OpenTelemetry (extra `otel`): a span for each call, run and batch of a bulk job, and metrics."""

import functools
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aihub_async._version import __version__
from aihub_async.errors import Attempt, ConfigurationError
from aihub_async.transport.observing import ActivityEnded, CallEnd, CallEnded, CallStart, Telemetry

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

_SCOPE = "aihub_async"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Bucket boundaries that the HTTP conventions recommend."""
_LONG = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0)


class OpenTelemetry(Telemetry):
    """Reports a client to OpenTelemetry: ``AsyncAIHub(telemetry=OpenTelemetry())``.

    Spans follow the stable HTTP conventions. Each call is one CLIENT span, named by its method and path template, with
    an event for each attempt; a run is one span ``aihub.run`` from its submission to the end that a handle observes; a
    batch of a bulk job is one span ``aihub.ingest`` around its calls. Metrics are listed in the guide
    ``aihub_async/docs/operating.md``. Names of files, paths, queries and messages of errors are left out.

    Args:
        tracer_provider: where spans go; the global provider by default.
        meter_provider: where metrics go; the global provider by default.
        propagate: send the trace context (``traceparent``, baggage) to the server with every attempt. Uploads then take
            the slower way of requests with headers of their own.
        include_paths: also record the URLs of calls, which hold names of files, and the messages of errors.

    Raises:
        ConfigurationError: the package ``opentelemetry-api`` is not installed.

    Example:
        >>> client = AsyncAIHub(telemetry=OpenTelemetry(propagate=True))
    """

    def __init__(
        self,
        *,
        tracer_provider: "TracerProvider | None" = None,
        meter_provider: "MeterProvider | None" = None,
        propagate: bool = False,
        include_paths: bool = False,
    ) -> None:
        try:
            from opentelemetry import context, metrics, propagate as propagation, trace  # noqa: I001, PLC0415 - an extra
        except ImportError:
            raise ConfigurationError(
                "OpenTelemetry is not installed: pip install 'aihub-async[otel]', or leave out telemetry=..."
            ) from None
        self._context, self._trace, self._inject = context, trace, propagation.inject
        self._propagate = propagate
        self._include_paths = include_paths
        self._tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider)
        meter = metrics.get_meter(_SCOPE, __version__, meter_provider)
        seconds = functools.partial(meter.create_histogram, unit="s", explicit_bucket_boundaries_advisory=_SECONDS)
        long = functools.partial(meter.create_histogram, unit="s", explicit_bucket_boundaries_advisory=_LONG)
        size = functools.partial(meter.create_histogram, unit="By")
        self._requests = seconds("http.client.request.duration", description="Duration of an attempt.")
        self._sent = size("http.client.request.body.size", description="Size of the body of a call.")
        self._received = size("http.client.response.body.size", description="Size of the body of an answer.")
        self._calls = seconds("aihub.client.call.duration", description="Duration of a call with all attempts.")
        self._queued = seconds("aihub.client.queue.duration", description="Time that a call waited for its turn.")
        self._retries = meter.create_counter(
            "aihub.client.retries", unit="{attempt}", description="Attempts after the first."
        )
        self._active = meter.create_up_down_counter(
            "aihub.client.active_calls", unit="{call}", description="Calls in flight or waiting for their turn."
        )
        self._waits = long("aihub.wait.duration", description="Duration of a wait for a run.")
        self._counts = {
            "webhook.delivery": meter.create_counter(
                "aihub.webhook.deliveries", unit="{delivery}", description="Webhooks that arrived."
            ),
            "webhook.miss": meter.create_counter(
                "aihub.webhook.misses", unit="{run}", description="Ends of runs that polling found before a webhook."
            ),
            "journal.commit": meter.create_counter(
                "aihub.ingest.journal.commits", unit="{commit}", description="Durable writes of journals."
            ),
        }

    def call_started(self, call: CallStart) -> CallEnded:
        """Begin the span of a call."""
        common = {**_server(call.api_root), "http.request.method": call.method, "aihub.operation": call.operation}
        span = self._tracer.start_span(
            f"{call.method} {call.template}",
            kind=self._trace.SpanKind.CLIENT,
            attributes={**common, "url.template": call.template, **self._url(call)},
        )
        began = time.time_ns()
        token = self._context.attach(self._trace.set_span_in_context(span))
        self._active.add(1, common)
        if self._propagate:
            self._inject(call.headers)

        def ended(end: CallEnd) -> None:
            self._context.detach(token)
            self._active.add(-1, common)
            self._record(call, end, common)
            if span.is_recording():
                _add_attempts(span, end, began)
                self._fail(span, end.error)
            span.end()

        return ended

    def activity_started(self, name: str, facts: Mapping[str, Any]) -> ActivityEnded:
        """Begin the span of a run, or of a batch of a bulk job."""
        span = self._tracer.start_span(f"aihub.{name}", attributes=_named(name, facts))
        # The calls for a batch are its children; a run ends in whatever task awaits it.
        token = self._context.attach(self._trace.set_span_in_context(span)) if name == "ingest" else None

        def ended(facts: Mapping[str, Any], error: BaseException | None) -> None:
            if token is not None:
                self._context.detach(token)
            span.set_attributes(_named(name, facts))
            if facts.get("status") in {"FAILED", "CANCELLED"}:
                span.set_status(self._trace.StatusCode.ERROR)
            self._fail(span, error)
            span.end()

        return ended

    def measured(self, name: str, value: float, facts: Mapping[str, Any]) -> None:
        """Record a measurement."""
        if name == "wait":
            self._waits.record(value, _named("run", facts))
        elif name in self._counts:
            self._counts[name].add(int(value))

    def _url(self, call: CallStart) -> dict[str, str]:
        return {"url.full": call.api_root + call.path} if self._include_paths else {}

    def _record(self, call: CallStart, end: CallEnd, common: Mapping[str, Any]) -> None:
        for attempt in end.attempts:
            self._requests.record(attempt.duration, {**common, **_outcome(attempt)})
        if len(end.attempts) > 1:
            self._retries.add(len(end.attempts) - 1, common)
        status = {} if end.error is None else {"error.type": type(end.error).__name__}
        self._calls.record(end.duration, {**common, **status})
        self._queued.record(end.queued, common)
        if call.sent:
            self._sent.record(call.sent, common)
        self._received.record(end.received, common)

    def _fail(self, span: "Span", error: BaseException | None) -> None:
        if error is None:
            return
        span.set_attribute("error.type", type(error).__name__)
        # A cancelled task is no fault.
        if isinstance(error, Exception):
            span.set_status(self._trace.StatusCode.ERROR, str(error) if self._include_paths else None)


def _add_attempts(span: "Span", end: CallEnd, began: int) -> None:
    """Add one event for each attempt, at the time of its outcome; `began` is in Unix nanoseconds."""
    for attempt in end.attempts:
        facts: dict[str, Any] = {"aihub.attempt.duration": attempt.duration, "aihub.attempt.outcome": attempt.outcome}
        if attempt.number > 1:
            facts["http.request.resend_count"] = attempt.number - 1
        at = began + int((attempt.started + attempt.duration) * 1e9)
        span.add_event("aihub.attempt", {**facts, **_outcome(attempt)}, timestamp=at)
    if len(end.attempts) > 1:
        span.set_attribute("http.request.resend_count", len(end.attempts) - 1)
    if end.status is not None:
        span.set_attribute("http.response.status_code", end.status)
    span.set_attribute("aihub.queue.duration", end.queued)


def _outcome(attempt: Attempt) -> dict[str, Any]:
    if attempt.status is None:
        return {"error.type": attempt.outcome}
    status = {"http.response.status_code": attempt.status}
    return status if attempt.status < 400 else {**status, "error.type": str(attempt.status)}


def _named(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {f"aihub.{name}.{key}": value for key, value in facts.items() if value is not None}


@functools.cache
def _server(api_root: str) -> dict[str, Any]:
    parts = urlsplit(api_root)
    return {
        "server.address": parts.hostname or "",
        "server.port": parts.port or (443 if parts.scheme == "https" else 80),
    }
