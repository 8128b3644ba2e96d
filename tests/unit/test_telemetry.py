"""OpenTelemetry and the hooks that it uses, with in-memory exporters against the emulator."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from yarl import URL

import aihub_sync
from aihub_async import (
    AsyncAIHub,
    ConfigurationError,
    NotFoundError,
    OpenTelemetry,
    RunFailedError,
    Telemetry,
    WebhookReceiver,
)
from aihub_async.emulator import Emulator, Fault


class Exported:
    """What has been exported."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader])

    def telemetry(self, **options: bool) -> OpenTelemetry:
        return OpenTelemetry(tracer_provider=self.tracers, meter_provider=self.meters, **options)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def span(self, name: str) -> ReadableSpan:
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def metrics(self) -> dict[str, list]:
        data = self._reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def exported() -> Exported:
    return Exported()


def connect(hub: Emulator, telemetry: Telemetry, **options: object) -> AsyncAIHub:
    return AsyncAIHub(hub.api_key, api_root=hub.api_root, telemetry=telemetry, **options)


async def test_a_call_is_one_span_with_an_event_for_each_attempt(hub, exported):
    hub.faults.add(Fault(kind="status", status=503, operation="getBatch", times=2))
    async with connect(hub, exported.telemetry()) as client:
        batch = await client.batches.create("very private name")
        with exported.tracers.get_tracer("caller").start_as_current_span("caller"):
            await client.batches.get(batch.id)
    span, caller = exported.span("GET /v2/batches/{batch_id}"), exported.span("caller")
    assert span.kind is SpanKind.CLIENT
    assert span.parent is not None
    assert span.parent.span_id == caller.context.span_id
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes) == {
        "http.request.method": "GET",
        "url.template": "/v2/batches/{batch_id}",
        "server.address": "127.0.0.1",
        "server.port": URL(hub.api_root).port,
        "aihub.operation": "getBatch",
        "http.response.status_code": 200,
        "http.request.resend_count": 2,
        "aihub.queue.duration": 0.0,
    }
    events = [dict(event.attributes) for event in span.events]
    assert [event.get("http.response.status_code") for event in events] == [503, 503, 200]
    assert [event.get("http.request.resend_count") for event in events] == [None, 1, 2]
    assert [event.get("error.type") for event in events] == ["503", "503", None]
    assert [event.timestamp for event in span.events] == sorted(event.timestamp for event in span.events)
    assert span.start_time <= span.events[0].timestamp


async def test_failed_calls_have_an_error_and_no_texts(hub, exported):
    async with connect(hub, exported.telemetry()) as client:
        batch = await client.batches.create("Ann's salaries")
        await client.batches.add_file(batch.id, "Ann's salary.pdf", b"private")
        with pytest.raises(NotFoundError):
            await client.batches.get(404)
    span = exported.span("GET /v2/batches/{batch_id}")
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "NotFoundError"
    assert span.attributes["http.response.status_code"] == 404
    shown = "".join(each.to_json() for each in exported.spans)
    assert "salar" not in shown
    assert "private" not in shown
    assert hub.api_key not in shown


async def test_urls_are_recorded_when_asked_for(hub, exported):
    async with connect(hub, exported.telemetry(include_paths=True)) as client:
        with pytest.raises(NotFoundError):
            await client.batches.get(404)
    span = exported.span("GET /v2/batches/{batch_id}")
    assert span.attributes["url.full"] == f"{hub.api_root}/v2/batches/404"
    assert "404" in span.status.description


@pytest.mark.parametrize("propagate", [True, False])
async def test_the_trace_context_is_sent_only_when_asked_for(hub, exported, propagate):
    async with connect(hub, exported.telemetry(propagate=propagate)) as client:
        sent: list[str | None] = []
        attempt = client._transport.wire.attempt

        async def watch(request, seconds):
            headers = {} if request.headers is None else request.headers.reveal()
            sent.append(headers.get("traceparent"))
            return await attempt(request, seconds)

        client._transport.wire.attempt = watch
        await client.batches.list()
    span = exported.span("GET /v2/batches")
    expected = f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-"
    assert [header and header[:-2] for header in sent] == [expected if propagate else None]


async def test_a_run_is_one_span_to_its_end(hub, exported):
    async with connect(hub, exported.telemetry()) as client:
        batch = await client.batches.create("b")
        await client.batches.add_file(batch.id, "a.txt", b"Total: 7")
        with exported.tracers.get_tracer("caller").start_as_current_span("caller"):
            handle = await client.apps.runs.submit(app_name="Invoices", batch_id=batch.id)
        run = await handle
        await handle.wait()
    span = exported.span("aihub.run")
    assert span.parent.span_id == exported.span("caller").context.span_id
    attributes = dict(span.attributes)
    assert attributes == {"aihub.run.operation": "runApp", "aihub.run.id": run.id, "aihub.run.status": "COMPLETE"}
    assert span.end_time > span.start_time
    (waits,) = exported.metrics()["aihub.wait.duration"]
    assert waits.count == 2


async def test_polls_belong_to_no_single_trace(hub, exported):
    async with connect(hub, exported.telemetry()) as client:
        batch = await client.batches.create("b")
        await client.batches.add_file(batch.id, "a.txt", b"Total: 7")
        run = await client.apps.runs.create(app_name="Invoices", batch_id=batch.id)
        with exported.tracers.get_tracer("caller").start_as_current_span("caller"):
            await client.apps.runs.wait(run.id)
    polls = [span for span in exported.spans if span.name == "GET /v2/apps/runs/{run_id}"]
    assert polls
    assert {span.parent for span in polls} == {None}


async def test_a_failed_run_is_an_error_of_its_span(hub, exported):
    @hub.app("Broken")
    def broken(document):
        raise ValueError("no")

    async with connect(hub, exported.telemetry()) as client:
        batch = await client.batches.create("b")
        with pytest.raises(RunFailedError):
            await (await client.apps.runs.submit(app_name="Broken", batch_id=batch.id))
        with pytest.raises(NotFoundError):
            await client.apps.runs.submit(app_name="No such app", batch_id=batch.id)
    failed, refused = [span for span in exported.spans if span.name == "aihub.run"]
    assert (failed.attributes["aihub.run.status"], failed.status.status_code) == ("FAILED", StatusCode.ERROR)
    assert (refused.attributes["error.type"], refused.status.status_code) == ("NotFoundError", StatusCode.ERROR)


async def test_metrics_of_calls(hub, exported):
    hub.faults.add(Fault(kind="status", status=503, operation="listBatches", times=1))
    async with connect(hub, exported.telemetry()) as client:
        batch = await client.batches.create("b")
        await client.batches.add_file(batch.id, "a.txt", b"12345")
        await client.batches.list()
        with pytest.raises(NotFoundError):
            await client.batches.get(404)
    metrics = exported.metrics()

    def of(name: str, operation: str) -> list:
        return [point for point in metrics[name] if point.attributes["aihub.operation"] == operation]

    assert sorted(
        (point.attributes["http.response.status_code"], point.attributes.get("error.type"), point.count)
        for point in of("http.client.request.duration", "listBatches")
    ) == [(200, None, 1), (503, "503", 1)]
    assert [point.count for point in of("aihub.client.call.duration", "listBatches")] == [1]
    assert [point.value for point in of("aihub.client.retries", "listBatches")] == [1]
    assert of("aihub.client.retries", "createBatch") == []
    assert {point.value for point in metrics["aihub.client.active_calls"]} == {0}
    assert [point.sum for point in of("http.client.request.body.size", "addFileToBatch")] == [5]
    (failed,) = of("aihub.client.call.duration", "getBatch")
    assert failed.attributes["error.type"] == "NotFoundError"
    assert all(point.sum > 0 for point in of("http.client.response.body.size", "listBatches"))


async def test_queue_time_is_measured(hub, exported):
    import anyio

    hub.faults.add(Fault(kind="latency", seconds=0.05, operation="listBatches"))
    async with (
        connect(hub, exported.telemetry(), max_concurrent_requests=1) as client,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(3):
            tasks.start_soon(client.batches.list)
    (point,) = exported.metrics()["aihub.client.queue.duration"]
    assert point.count == 3
    assert point.min == 0
    assert point.max >= 0.05


async def test_webhooks_are_counted(hub, exported):
    from aiohttp import web

    async def hook(request: web.Request) -> web.StreamResponse:
        return await receiver.aiohttp_handler(request)

    app = web.Application()
    app.router.add_route("*", "/hook", hook)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    receiver = WebhookReceiver(f"http://127.0.0.1:{port}/hook")
    async with connect(hub, exported.telemetry(), webhooks=receiver) as client:
        batch = await client.batches.create("b")
        await client.batches.add_file(batch.id, "a.txt", b"Total: 7")
        await (await client.apps.runs.submit(app_name="Invoices", batch_id=batch.id))
    await runner.cleanup()
    metrics = exported.metrics()
    counted = [
        sum(point.value for point in metrics.get(f"aihub.webhook.{name}", ())) for name in ("deliveries", "misses")
    ]
    assert sum(counted) == 1


async def test_bulk_jobs_have_a_span_for_each_batch(hub, exported, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for number in range(3):
        (source / f"{number}.txt").write_text("Total: 7")
    async with connect(hub, exported.telemetry()) as client:
        status = await client.ingest(source, app_name="Invoices", out=tmp_path / "out", batch_files=2).run()
    assert status.complete
    spans = [span for span in exported.spans if span.name == "aihub.ingest"]
    assert sorted(span.attributes["aihub.ingest.files"] for span in spans) == [1, 2]
    assert {span.attributes["aihub.ingest.state"] for span in spans} == {"EXPORTED"}
    uploads = [span for span in exported.spans if span.attributes.get("aihub.operation") == "addFileToBatch"]
    assert len(uploads) == 3
    assert {span.parent.span_id for span in uploads} == {span.context.span_id for span in spans}
    (commits,) = exported.metrics()["aihub.ingest.journal.commits"]
    assert commits.value >= 4


@pytest.fixture
def threaded() -> Iterator[Emulator]:
    with Emulator().in_thread() as hub:
        yield hub


def test_the_sync_client_reports_the_same(threaded, exported):
    with aihub_sync.AIHub(threaded.api_key, api_root=threaded.api_root, telemetry=exported.telemetry()) as client:
        with exported.tracers.get_tracer("caller").start_as_current_span("caller"):
            batch = client.batches.create("b")
        client.batches.add_file(batch.id, "a.txt", b"Total: 7")
        client.apps.runs.submit(app_name="Invoices", batch_id=batch.id).wait()
    span = exported.span("POST /v2/batches")
    assert span.parent is not None
    assert span.parent.span_id == exported.span("caller").context.span_id
    assert exported.span("aihub.run").attributes["aihub.run.status"] == "COMPLETE"


class Recording(Telemetry):
    def __init__(self) -> None:
        self.ends: list = []

    def call_started(self, call):
        call.headers["X-Trace"] = "t1"
        return self.ends.append


async def test_hooks_see_the_start_and_the_end_of_calls(hub):
    recording = Recording()
    async with connect(hub, recording) as client:
        await client.batches.list()
        with pytest.raises(NotFoundError) as caught:
            await client.with_options(timeout=5).batches.get(404)
    good, bad = recording.ends
    assert (good.status, good.error, good.received > 0, len(good.attempts)) == (200, None, True, 1)
    assert (bad.status, bad.error) == (404, caught.value)
    assert bad.duration >= bad.attempts[0].duration


class Faulty(Telemetry):
    def call_started(self, call):
        call.headers["X-Bad"] = "a\r\nb"
        return lambda end: 1 / 0

    def activity_started(self, name, facts):
        raise ValueError("no")

    def measured(self, name, value, facts):
        raise ValueError("no")


async def test_what_hooks_raise_is_logged_and_changes_nothing(hub, caplog):
    async with connect(hub, Faulty()) as client:
        batch = await client.batches.create("b")
        await client.batches.add_file(batch.id, "a.txt", b"Total: 7")
        run = await (await client.apps.runs.submit(app_name="Invoices", batch_id=batch.id))
    assert run.status == "COMPLETE"
    raised = {record.exc_info[0] for record in caplog.records if record.exc_info}
    assert raised == {ConfigurationError, ZeroDivisionError, ValueError}


async def test_log_records_carry_fields(hub, caplog):
    caplog.set_level(logging.DEBUG, "aihub_async")
    hub.faults.add(Fault(kind="status", status=503, operation="listBatches", times=1))
    async with AsyncAIHub(hub.api_key, api_root=hub.api_root) as client:
        await client.batches.list()
    retry, call = [record for record in caplog.records if hasattr(record, "aihub_operation")]
    assert (retry.levelname, retry.aihub_status, retry.aihub_attempt, retry.aihub_wait > 0) == ("INFO", 503, 1, True)
    assert (call.levelname, call.aihub_status, call.aihub_attempt, call.aihub_wait) == ("DEBUG", 200, 2, None)
    assert (call.aihub_operation, call.aihub_method, call.aihub_path) == ("listBatches", "GET", "/v2/batches")
    assert call.aihub_duration > 0


def test_opentelemetry_is_not_imported_before_it_is_used():
    code = (
        "import sys, aihub_async, aihub_sync\n"
        "aihub_sync.AIHub('key', api_root='http://127.0.0.1:1').close()\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
        "sys.modules['opentelemetry'] = None\n"
        "try: aihub_async.OpenTelemetry()\n"
        "except aihub_async.ConfigurationError as error: assert 'aihub-async[otel]' in str(error)\n"
        "else: raise SystemExit('no error')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent, timeout=60)


def test_the_global_providers_are_the_default():
    telemetry = OpenTelemetry()
    assert isinstance(telemetry, Telemetry)
    assert trace.get_current_span().get_span_context().is_valid is False
