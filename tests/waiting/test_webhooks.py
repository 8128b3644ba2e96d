import asyncio
import gzip
import hmac
import io
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import aiohttp
import anyio
import attrs
import pytest
import pytest_asyncio
from aiohttp import web

from aihub_async import AsyncAIHub
from aihub_async.clock import Clock
from aihub_async.emulator import Emulator, WebhookPlan
from aihub_async.errors import ConfigurationError, NotFoundError, RequestDetails
from aihub_async.models import Run
from aihub_async.webhooks.bus import Claim, LocalBus
from aihub_async.webhooks.receiver import MAX_BODY, SECRET_HEADER, WebhookReceiver
from aihub_async.webhooks.redis import RedisBus

APP = "key-values"
GOOD = {SECRET_HEADER: "s3cret"}


def payload(run_id: str = "run-1", **more: Any) -> bytes:
    return json.dumps({"status": "OK", "job_id": run_id, **more}).encode()


class AsyncClosing:
    """Closes a bus at the end."""

    def __init__(self, bus: RedisBus) -> None:
        self.bus = bus

    async def __aenter__(self) -> RedisBus:
        return self.bus

    async def __aexit__(self, *_: object) -> None:
        await self.bus.aclose()


class Site:
    """A receiver on a port of this machine."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.answers: list[int] = []

    async def __aenter__(self) -> Self:
        app = web.Application()
        self.runner = web.AppRunner(app, access_log=None)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self.receiver = WebhookReceiver(self.url, **self.options)
        app.router.add_post("/hook", self._serve)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()
        return self

    async def _serve(self, request: web.Request) -> web.Response:
        response = await self.receiver.aiohttp_handler(request)
        self.answers.append(response.status)
        return response

    async def __aexit__(self, *_: object) -> None:
        await self.runner.cleanup()
        await self.receiver.aclose()


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    async with Site(secret="s3cret", body_timeout=0.3) as site:
        yield site


@pytest_asyncio.fixture
async def expects_webhook(hub: Emulator, site: Site, time: Any) -> AsyncIterator[AsyncAIHub]:
    """A client whose clock does not advance: without a webhook none of its waits would ever end."""
    async with AsyncAIHub(
        api_root=hub.api_root, api_key=hub.api_key, clock=time.clock, webhooks=site.receiver
    ) as client:
        yield client


# Waits


async def test_a_delivery_ends_the_wait_without_a_poll(
    hub: Emulator, expects_webhook: AsyncAIHub, batch_id: int
) -> None:
    hub.hold_runs()
    handle = await expects_webhook.apps.runs.submit(app_name=APP, batch_id=batch_id)
    hub.release_runs()
    run = await handle
    assert run.status == "COMPLETE"
    assert hub.requests.count("getRunStatus") == 1, "the delivery is confirmed, nothing else"
    assert hub.runs()[0]["settings"]["webhook_config"]["headers"] == {SECRET_HEADER: "s3cret"}


async def test_a_webhook_of_the_caller_is_left_alone(hub: Emulator, expects_webhook: AsyncAIHub, batch_id: int) -> None:
    own = {"url": "http://127.0.0.1:9/mine"}
    await expects_webhook.apps.runs.submit(app_name=APP, batch_id=batch_id, settings={"webhook_config": own})
    assert hub.runs()[0]["settings"]["webhook_config"] == own


@pytest.mark.parametrize(
    "plan",
    [WebhookPlan(early=True), WebhookPlan(duplicates=8), WebhookPlan(fail_first=2), WebhookPlan(late=0.01)],
    ids=["early", "duplicates", "fail-first", "late"],
)
async def test_deliveries_go_wrong_in_every_way(
    hub: Emulator, expects_webhook: AsyncAIHub, batch_id: int, plan: WebhookPlan, site: Site
) -> None:
    hub.misdeliver(plan)
    handle = await expects_webhook.apps.runs.submit(app_name=APP, batch_id=batch_id)
    assert (await handle).status == "COMPLETE"
    await hub.idle()
    assert set(site.answers) == {200}
    assert hub.requests.count("getRunStatus") <= 2


async def test_reordered_deliveries_reach_their_waits(
    hub: Emulator, expects_webhook: AsyncAIHub, batch_id: int
) -> None:
    hub.misdeliver(WebhookPlan(reorder=3))
    handles = [await expects_webhook.apps.runs.submit(app_name=APP, batch_id=batch_id) for _ in range(3)]
    runs = [await handle for handle in handles]
    assert [run.id for run in runs] == [handle.id for handle in handles]


async def test_lost_deliveries_cost_only_time(
    hub: Emulator, expects_webhook: AsyncAIHub, batch_id: int, time: Any
) -> None:
    hub.misdeliver(WebhookPlan(lost=True))
    async with time.running(expects_webhook):
        handle = await expects_webhook.apps.runs.submit(app_name=APP, batch_id=batch_id)
        assert (await handle).status == "COMPLETE"


async def test_a_deployment_webhook_with_unknown_fields_wakes(
    hub: Emulator, expects_webhook: AsyncAIHub, batch_id: int, site: Site
) -> None:
    hub.hold_runs()
    run = await expects_webhook.apps.runs.create(app_name=APP, batch_id=batch_id, settings={"webhook_config": None})
    task = asyncio.create_task(expects_webhook.apps.runs.wait(run.id))
    while hub.requests.count("getRunStatus") < 1:
        await asyncio.sleep(0.001)
    hub.release_runs()
    while (await expects_webhook.apps.runs.status(run.id)).status == "RUNNING":
        await asyncio.sleep(0.001)
    body = payload(run.id, event={"type": "run.finished"}, review_url="https://elsewhere.example/steal")
    assert await site.receiver.handle(GOOD, body) == 200
    # The first question of the wait was within the same second of virtual time.
    assert (await task).status == "COMPLETE"


async def test_health_is_learned_from_deliveries(hub: Emulator, expects_webhook: AsyncAIHub, batch_id: int) -> None:
    assert not expects_webhook._scheduler.health.good
    await (await expects_webhook.apps.runs.submit(app_name=APP, batch_id=batch_id))
    assert expects_webhook._scheduler.health.good


# Who gets in


@pytest.mark.parametrize(
    "headers",
    [{}, {SECRET_HEADER: ""}, {SECRET_HEADER: "wrong"}, {SECRET_HEADER: "s3cretx"}, {"Authorization": "s3cret"}],
)
async def test_without_the_secret_nobody_gets_in(site: Site, headers: dict[str, str]) -> None:
    assert await site.receiver.handle(headers, payload()) == 401
    async with aiohttp.ClientSession() as session, session.post(site.url, data=payload(), headers=headers) as answer:
        assert answer.status == 401


async def test_the_secret_is_compared_in_constant_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(hmac, "compare_digest", lambda one, other: compared.append((one, other)) or one == other)
    assert await site.receiver.handle({SECRET_HEADER.lower(): "s3cret"}, payload()) == 200
    assert compared == [(b"s3cret", b"s3cret")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[1]",
        b'{"status": "OK"}',
        b'{"job_id": 7}',
        b'{"job_id": "../../etc"}',
        b'{"job_id": ".."}',
        b'{"job_id": "."}',
        b'[{"job_id": ".."}, {"job_id": "run-1"}]',
        b'{"a":' * 100_000,
        b'{"job_id": ""}',
        b'{"job_id": "a\\u0000b"}',
        b"[" * 200_000,
        gzip.compress(payload(), mtime=0),
        b"\xff\xfe",
    ],
)
async def test_what_is_not_a_delivery_is_refused(site: Site, body: bytes) -> None:
    assert await site.receiver.handle(GOOD, body) == 400


async def test_large_bodies_are_refused(site: Site) -> None:
    large = payload(padding="x" * MAX_BODY)
    assert await site.receiver.handle(GOOD, large) == 413
    async with aiohttp.ClientSession() as session:
        async with session.post(site.url, data=io.BytesIO(large), headers=GOOD) as answer:
            assert answer.status == 413
        packed = gzip.compress(b"0" * (10 * MAX_BODY))
        async with session.post(site.url, data=packed, headers={**GOOD, "Content-Encoding": "gzip"}) as answer:
            assert answer.status == 413
        async with session.post(site.url, data=b"not gzip", headers={**GOOD, "Content-Encoding": "gzip"}) as answer:
            assert answer.status == 400


async def test_slow_bodies_are_refused(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    head = f"POST /hook HTTP/1.1\r\nHost: x\r\n{SECRET_HEADER}: s3cret\r\nContent-Length: 100\r\n\r\n"
    writer.write(head.encode() + b'{"job')
    assert (await reader.readline()).split()[1] == b"408"
    writer.close()
    await writer.wait_closed()


async def test_forged_ids_cost_nothing_and_nothing_of_a_payload_is_fetched(
    hub: Emulator, expects_webhook: AsyncAIHub, site: Site
) -> None:
    for number in range(50):
        body = payload(f"forged-{number}", output=f"{hub.api_root}/v2/files/secret", input_dir="/etc/passwd")
        assert await site.receiver.handle(GOOD, body) == 200
    assert hub.requests.counts == {}


async def test_nothing_shows_the_secret(site: Site) -> None:
    assert "s3cret" not in repr(site.receiver)
    assert "token" not in repr(WebhookReceiver("https://me.example/hook?token=1"))
    shown = repr(WebhookReceiver("https://user:pass@me.example:8443/hook"))
    assert shown == "WebhookReceiver('https://me.example:8443/hook')"
    assert len(WebhookReceiver("https://me.example/hook").config()["headers"][SECRET_HEADER]) >= 32


@pytest.mark.parametrize("url", ["", "me.example/hook", "ftp://me.example", "https://", "http://["])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        WebhookReceiver(url, secret="s3cret")
    frames = [frame.frame.f_locals for frame in caught.traceback]
    shown = "".join(repr(value) for variables in frames for value in variables.values() if value is not frames)
    assert "WebhookReceiver('" in shown, "a traceback with locals shows the receiver"


def test_a_secret_that_no_header_can_carry_is_not_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        WebhookReceiver("https://me.example/hook", secret="s3cret\n")
    library = [frame.frame.f_locals for frame in caught.traceback if "aihub_async" in str(frame.path)]
    assert library
    assert not [variables for variables in library if "s3cret\n" in variables.values()]


def test_processes_with_a_bus_need_one_secret() -> None:
    with pytest.raises(ConfigurationError, match="secret"):
        WebhookReceiver("https://me.example/hook", bus=RedisBus("redis://127.0.0.1:1"))


# Handlers


async def test_a_handler_gets_each_run_once(
    hub: Emulator, expects_webhook: AsyncAIHub, batch_id: int, site: Site
) -> None:
    seen: list[tuple[str, str | None]] = []

    @site.receiver.on_run
    async def store(run: Run) -> None:
        await asyncio.sleep(0)
        seen.append((run.id, run.status))

    hub.misdeliver(WebhookPlan(duplicates=8))
    run = await (await expects_webhook.apps.runs.submit(app_name=APP, batch_id=batch_id))
    await hub.idle()
    assert seen == [(run.id, "COMPLETE")]
    async with anyio.create_task_group() as tasks:
        for number in range(7):
            tasks.start_soon(site.receiver.handle, GOOD, payload(run.id, copy=number))
    assert seen == [(run.id, "COMPLETE")], "another body about the same state is no news"


async def test_a_handler_that_fails_is_called_again(
    hub: Emulator, expects_webhook: AsyncAIHub, batch_id: int, site: Site
) -> None:
    failures = [RuntimeError("the disk is full"), RuntimeError("still")]
    stored: list[str] = []

    @site.receiver.on_run
    def store(run: Run) -> None:
        if failures:
            raise failures.pop()
        stored.append(run.id)

    run = await (await expects_webhook.apps.runs.submit(app_name=APP, batch_id=batch_id))
    await hub.idle()
    assert (site.answers, stored) == ([500, 500, 200], [run.id])


async def test_a_handler_sees_confirmed_ends_only() -> None:
    states = {"going": "RUNNING", "review": "STOPPED_AT_CHECKPOINT", "done": "COMPLETE"}
    seen: list[str] = []
    receiver = WebhookReceiver("https://me.example/hook", secret="s3cret")
    receiver.on_run(lambda run: seen.append(run.id))
    assert await receiver.handle(GOOD, payload("done")) == 503, "no client yet"

    async def fetch(run_id: str) -> Run:
        if run_id not in states:
            raise NotFoundError("404", RequestDetails("getRunStatus", "GET", "/"))
        return Run(id=run_id, status=states[run_id])

    receiver.attach(fetch, Clock())
    answers = [await receiver.handle(GOOD, payload(run_id)) for run_id in ("going", "review", "done", "forged")]
    assert answers == [503, 200, 200, 404]
    assert seen == ["review", "done"]


async def test_confirmations_are_rate_limited(time: Any) -> None:
    asked: list[str] = []

    async def fetch(run_id: str) -> Run:
        asked.append(run_id)
        raise NotFoundError("404", RequestDetails("getRunStatus", "GET", "/"))

    receiver = WebhookReceiver("https://me.example/hook", secret="s3cret")
    receiver.on_run(lambda run: None)
    receiver.attach(fetch, time.clock)
    answers = [await receiver.handle(GOOD, payload(f"forged-{number}")) for number in range(500)]
    assert (answers.count(404), answers.count(503)) == (100, 400)
    assert len(asked) == 100


async def test_an_unknown_status_is_reported_and_no_end(caplog: pytest.LogCaptureFixture) -> None:
    async def fetch(run_id: str) -> Run:
        return Run(id=run_id, status="ARCHIVED")

    receiver = WebhookReceiver("https://me.example/hook", secret="s3cret")
    receiver.on_run(lambda run: pytest.fail("not an end"))
    receiver.attach(fetch, Clock())
    assert [await receiver.handle(GOOD, payload("run-1")) for _ in range(3)] == [503, 503, 503]
    assert [record.getMessage().count("'ARCHIVED'") for record in caplog.records] == [1]


# Formats

EVENT = {
    "id": "1",
    "eventType": "Run.Ended",
    "subject": "runs",
    "eventTime": "2026-08-01T00:00:00Z",
    "data": {"job_id": "run-1"},
}
CLOUD = {"specversion": "1.0", "type": "run.ended", "source": "/aihub", "id": "1", "data": {"job_id": "run-1"}}
VALIDATION = {
    **EVENT,
    "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
    "data": {"validationCode": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6", "validationUrl": "https://elsewhere.example/"},
}
HANDSHAKE = {"aeg-event-type": "SubscriptionValidation"}


def without_data(event: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**{key: value for key, value in event.items() if key != "data"}, **more}


async def woken(receiver: WebhookReceiver, body: Any) -> tuple[int, list[str]]:
    """Return the status of a delivery (plain types, or bytes as they are) and the ids that it notifies."""
    ids: list[str] = []
    async with anyio.create_task_group() as tasks:
        await tasks.start(lambda task_status: receiver.listen(ids.append, task_status=task_status))
        status = await receiver.handle(GOOD, body if isinstance(body, bytes) else json.dumps(body).encode())
        tasks.cancel_scope.cancel()
    return status, sorted(ids)


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        ([EVENT], ["run-1"]),
        ([EVENT, {**EVENT, "data": {"run_id": "run-2"}}, EVENT], ["run-1", "run-2"]),
        (without_data(EVENT, data='{"job_id": "run-3"}'), ["run-3"]),
        (CLOUD, ["run-1"]),
        ([CLOUD, {**CLOUD, "data": {"job_id": "run-2"}}], ["run-1", "run-2"]),
        (without_data(CLOUD, data_base64="eyJqb2JfaWQiOiAicnVuLTQifQ=="), ["run-4"]),
        ({"status": "OK", "job_id": "run-5"}, ["run-5"]),
    ],
)
async def test_event_grid_and_cloud_events_are_read(body: Any, ids: list[str]) -> None:
    receiver = WebhookReceiver("https://me.example/hook", secret="s3cret")
    assert await woken(receiver, body) == (200, ids)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"job_id": "run-1", "msg": "caf\\ud83d"}', 200),
        (b'{"job_id": "run-1", "confidence": NaN}', 200),
        (b'\xef\xbb\xbf{"job_id": "run-1"}', 200),
        (b'{"job_id": "run-\\ud83d"}', 400),
    ],
)
async def test_deliveries_are_read_as_by_json_of_python(body: bytes, status: int) -> None:
    receiver = WebhookReceiver("https://me.example/hook", secret="s3cret")
    assert await woken(receiver, body) == (status, ["run-1"] if status == 200 else [])


@pytest.mark.parametrize(
    "body",
    [
        [],
        [[EVENT]],
        [EVENT, {}],
        {**EVENT, "data": 7},
        {**EVENT, "data": "{"},
        without_data(CLOUD, data_base64="!"),
        without_data(CLOUD, data_base64=7),
        [EVENT] * 1001,
    ],
)
async def test_events_without_a_run_are_refused(body: Any) -> None:
    receiver = WebhookReceiver("https://me.example/hook", secret="s3cret")
    assert await woken(receiver, body) == (400, [])


async def test_one_event_to_be_repeated_decides_for_all() -> None:
    states = {"going": "RUNNING", "done": "COMPLETE"}

    async def fetch(run_id: str) -> Run:
        if run_id not in states:
            raise NotFoundError("404", RequestDetails("getRunStatus", "GET", "/"))
        return Run(id=run_id, status=states[run_id])

    receiver = WebhookReceiver("https://me.example/hook", secret="s3cret")
    seen: list[str] = []
    receiver.on_run(lambda run: seen.append(run.id))
    receiver.attach(fetch, Clock())

    async def answer(*ids: str) -> int:
        return await receiver.handle(GOOD, json.dumps([{"job_id": run_id} for run_id in ids]).encode())

    assert [await answer("done", "going"), await answer("done", "gone"), await answer("gone")] == [503, 200, 404]
    assert seen == ["done"]


async def test_the_handshake_of_event_grid_is_answered() -> None:
    receiver = WebhookReceiver("https://me.example/hook", secret="s3cret")
    body = json.dumps([VALIDATION]).encode()
    for headers in (HANDSHAKE, {**HANDSHAKE, **GOOD}):
        answer = await receiver.respond("POST", headers, body)
        assert (answer.status, json.loads(answer.body)) == (
            200,
            {"validationResponse": VALIDATION["data"]["validationCode"]},
        )
    assert (await receiver.respond("POST", {**HANDSHAKE, SECRET_HEADER: "wrong"}, body)).status == 401
    assert (await receiver.respond("POST", HANDSHAKE, json.dumps([EVENT]).encode())).status == 400
    assert (await receiver.respond("POST", {}, body)).status == 401


async def test_the_handshake_of_cloud_events_is_answered() -> None:
    receiver = WebhookReceiver("https://me.example/hook", secret="s3cret")
    asked = {"WebHook-Request-Origin": "eventgrid.azure.net", "WebHook-Request-Rate": "120"}
    answer = await receiver.respond("OPTIONS", asked, b"")
    assert answer.status == 200
    assert answer.headers["WebHook-Allowed-Origin"] == "eventgrid.azure.net"
    assert answer.headers["WebHook-Allowed-Rate"] == "120"
    assert (await receiver.respond("OPTIONS", {}, b"")).status == 405
    assert (await receiver.respond("OPTIONS", {"WebHook-Request-Origin": "a\r\nb"}, b"")).status == 405


@pytest.mark.parametrize(
    ("extract", "expected"),
    [
        (lambda body: body["event"]["run"], (200, ["run-9"])),
        (lambda body: [body["event"]["run"], "run-10"], (200, ["run-10", "run-9"])),
        (lambda body: None, (400, [])),
        (lambda body: "../x", (400, [])),
        (lambda body: [7], (400, [])),
        (lambda body: body["absent"], (400, [])),
    ],
)
async def test_the_user_finds_the_id_in_other_formats(extract: Any, expected: Any) -> None:
    receiver = WebhookReceiver("https://me.example/hook", secret="s3cret", run_id=extract)
    assert await woken(receiver, {"event": {"run": "run-9"}}) == expected


# Silence


async def test_a_route_that_nothing_reaches_is_reported_once(
    hub: Emulator, batch_id: int, time: Any, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = WebhookReceiver("http://127.0.0.1:9/hook")
    async with (
        AsyncAIHub(api_root=hub.api_root, api_key=hub.api_key, clock=time.clock, webhooks=receiver) as client,
        time.running(client),
    ):
        for _ in range(5):
            await (await client.apps.runs.submit(app_name=APP, batch_id=batch_id))
    messages = [record.getMessage() for record in caplog.records if "received nothing" in record.getMessage()]
    assert len(messages) == 1
    assert "127.0.0.1:9/hook" in messages[0]


async def test_a_route_that_works_is_not_reported(
    hub: Emulator, expects_webhook: AsyncAIHub, batch_id: int, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    await (await expects_webhook.apps.runs.submit(app_name=APP, batch_id=batch_id))
    for _ in range(5):
        site.receiver.ended_undelivered()
    assert not [record for record in caplog.records if "received nothing" in record.getMessage()]


# ASGI


async def post(receiver: WebhookReceiver, *bodies: bytes, headers: dict[str, str] = GOOD, method: str = "POST") -> int:
    messages = [
        {"type": "http.request", "body": body, "more_body": index < len(bodies) - 1}
        for index, body in enumerate(bodies)
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not messages:
            await anyio.sleep_forever()
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await receiver.asgi({"type": "http", "method": method, "path": "/", "headers": pairs}, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    return int(sent[0]["status"])


async def test_the_asgi_application(site: Site) -> None:
    receiver, body = site.receiver, payload()
    assert await post(receiver, body[:5], body[5:]) == 200
    assert await post(receiver, body[:5], b"", body[5:]) == 200
    assert await post(receiver, body, headers={}) == 401
    assert await post(receiver, b"{") == 400
    assert await post(receiver, *[b"x" * 100_000] * 20) == 413
    assert await post(receiver, body, method="GET") == 405


async def test_the_asgi_application_does_not_wait_for_slow_bodies(site: Site) -> None:
    waiting = anyio.Event()

    async def receive() -> dict[str, Any]:
        if waiting.is_set():
            await anyio.sleep_forever()
        waiting.set()
        return {"type": "http.request", "body": b"{", "more_body": True}

    statuses: list[int] = []

    async def send(message: dict[str, Any]) -> None:
        statuses.append(message.get("status", 0))

    headers = [(SECRET_HEADER.lower().encode(), b"s3cret")]
    await site.receiver.asgi({"type": "http", "method": "POST", "headers": headers}, receive, send)
    assert statuses[0] == 408


async def test_the_asgi_application_lives_alone_too(site: Site) -> None:
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["type"])

    await site.receiver.asgi({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


# Buses

needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")


@pytest_asyncio.fixture(params=["local", pytest.param("redis", marks=needs_redis)])
async def buses(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Any, Any]]:
    """The same bus as two workers see it."""
    if request.param == "local":
        bus = LocalBus()
        yield bus, bus
        return
    url = request.getfixturevalue("redis_url")
    pair = RedisBus(url, prefix=os.urandom(4).hex()), RedisBus(url, prefix=os.urandom(4).hex())
    pair[1]._prefix = pair[0]._prefix
    yield pair
    for bus in pair:
        await bus.aclose()


async def test_what_one_worker_publishes_the_other_hears(buses: tuple[Any, Any]) -> None:
    here, there = buses
    recently_delivered: list[str] = []
    enough = anyio.Event()

    def wake(run_id: str) -> None:
        recently_delivered.append(run_id)
        if len(recently_delivered) == 2:
            enough.set()

    await here.publish("early")
    async with anyio.create_task_group() as tasks:
        await tasks.start(lambda task_status: there.listen(wake, task_status=task_status))
        await here.publish("one")
        await here.publish("two")
        with anyio.fail_after(5):
            await enough.wait()
        tasks.cancel_scope.cancel()
    assert recently_delivered == ["one", "two"]
    assert await there.recently_delivered(["early", "one", "never"]) == {"early", "one"}


async def test_an_event_is_claimed_once(buses: tuple[Any, Any]) -> None:
    here, there = buses
    assert await here.claim("run:COMPLETE") is Claim.NEW
    assert await there.claim("run:COMPLETE") is Claim.BUSY
    await here.settle("run:COMPLETE", done=False)
    assert await there.claim("run:COMPLETE") is Claim.NEW
    await there.settle("run:COMPLETE", done=True)
    assert await here.claim("run:COMPLETE") is Claim.DONE


async def test_a_local_bus_forgets_the_oldest() -> None:
    bus = LocalBus(remember=2)
    for number in range(5):
        await bus.publish(str(number))
        await bus.claim(str(number))
    assert await bus.recently_delivered("01234") == {"3", "4"}
    assert await bus.claim("0") is Claim.NEW


@needs_redis
async def test_a_delivery_to_another_worker_ends_the_wait(
    hub: Emulator, batch_id: int, redis_url: str, time: Any
) -> None:
    prefix = os.urandom(4).hex()
    waiter = WebhookReceiver("http://127.0.0.1:9/x", secret="s3cret", bus=RedisBus(redis_url, prefix=prefix))
    async with (
        Site(secret="s3cret", bus=RedisBus(redis_url, prefix=prefix)) as other,
        AsyncAIHub(api_root=hub.api_root, api_key=hub.api_key, clock=time.clock, webhooks=waiter) as client,
    ):
        settings = {"webhook_config": other.receiver.config()}
        for early in (True, False):
            hub.misdeliver(WebhookPlan(early=early))
            handle = await client.apps.runs.submit(app_name=APP, batch_id=batch_id, settings=settings)
            with anyio.fail_after(10):
                assert (await handle).status == "COMPLETE"
    await waiter.aclose()


@needs_redis
async def test_once_means_once_after_a_restart(redis_url: str) -> None:
    prefix, seen = os.urandom(4).hex(), []

    async def fetch(run_id: str) -> Run:
        return Run(id=run_id, status="COMPLETE")

    for _ in range(3):
        bus = RedisBus(redis_url, prefix=prefix)
        receiver = WebhookReceiver("https://me.example/hook", secret="s3cret", bus=bus)
        receiver.on_run(lambda run: seen.append(run.id))
        receiver.attach(fetch, Clock())
        assert await receiver.handle(GOOD, payload("run-1")) == 200
        await receiver.aclose()
    assert seen == ["run-1"]


@needs_redis
async def test_many_concurrent_deliveries_are_all_handled_once(redis_url: str) -> None:
    """More of them than an ordinary pool of redis-py has connections."""
    seen: list[str] = []

    async def fetch(run_id: str) -> Run:
        return Run(id=run_id, status="COMPLETE")

    async def store(run: Run) -> None:
        await asyncio.sleep(0.01)
        seen.append(run.id)

    async with AsyncClosing(RedisBus(redis_url, prefix=os.urandom(4).hex(), lease=5)) as bus:
        receiver = WebhookReceiver("https://me.example/hook", secret="s3cret", bus=bus)
        receiver.on_run(store)
        receiver.attach(fetch, attrs.evolve(Clock(), monotonic=itertools.count(0, 1000).__next__))
        answers: list[int] = []

        async def deliver(number: int) -> None:
            answers.append(await receiver.handle(GOOD, payload(f"run-{number}")))

        async with anyio.create_task_group() as tasks:
            for number in range(300):
                tasks.start_soon(deliver, number)
    assert answers == [200] * 300
    assert sorted(seen) == sorted({f"run-{number}" for number in range(300)})


class FailingBus(LocalBus):
    """A bus that fails to record the first ends, and forgets claims as after a lease."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = 1

    async def settle(self, event: str, *, done: bool) -> None:
        if self.failures:
            self.failures -= 1
            self._events.pop(event, None)
            raise ConnectionError("the bus is gone")
        await super().settle(event, done=done)


async def test_what_was_handled_is_not_handled_again_when_the_bus_cannot_record_it() -> None:
    seen: list[str] = []

    async def fetch(run_id: str) -> Run:
        return Run(id=run_id, status="COMPLETE")

    receiver = WebhookReceiver("https://me.example/hook", secret="s3cret", bus=FailingBus())
    receiver.on_run(lambda run: seen.append(run.id))
    receiver.attach(fetch, Clock())
    assert [await receiver.handle(GOOD, payload("run-1", copy=number)) for number in range(3)] == [200, 200, 200]
    assert seen == ["run-1"]


@needs_redis
async def test_the_end_of_a_claim_is_recorded_when_redis_is_back(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = os.urandom(4).hex()
    async with (
        AsyncClosing(RedisBus(redis_url, prefix=prefix)) as bus,
        AsyncClosing(RedisBus(redis_url, prefix=prefix)) as other,
    ):
        assert await bus.claim("run:COMPLETE") is Claim.NEW
        connection, failures = bus._connection(), [ConnectionError("gone"), ConnectionError("gone")]

        async def set_later(*arguments: Any, **options: Any) -> Any:
            if failures:
                raise failures.pop()
            return await type(connection).set(connection, *arguments, **options)

        monkeypatch.setattr(connection, "set", set_later)
        await bus.settle("run:COMPLETE", done=True)
        assert failures == []
        assert await other.claim("run:COMPLETE") is Claim.DONE


@needs_redis
async def test_a_claim_whose_answer_was_lost_is_ours(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncClosing(RedisBus(redis_url, prefix=os.urandom(4).hex())) as bus:
        connection, failures = bus._connection(), [ConnectionError("gone")]

        async def set_and_lose(*arguments: Any, **options: Any) -> Any:
            answer = await type(connection).set(connection, *arguments, **options)
            if failures:
                raise failures.pop()
            return answer

        monkeypatch.setattr(connection, "set", set_and_lose)
        assert await bus.claim("run:COMPLETE") is Claim.NEW
        assert await bus.claim("run:COMPLETE") is Claim.BUSY


async def test_a_receiver_closes_after_its_client(hub: Emulator) -> None:
    receiver = WebhookReceiver("http://127.0.0.1:9/x", secret="s3cret", bus=RedisBus("redis://127.0.0.1:1"))
    async with AsyncAIHub(api_root=hub.api_root, api_key=hub.api_key, webhooks=receiver):
        pass
    await receiver.aclose()
    await receiver.aclose()


async def test_without_its_redis_a_receiver_asks_for_another_delivery(hub: Emulator, batch_id: int, time: Any) -> None:
    receiver = WebhookReceiver("http://127.0.0.1:9/x", secret="s3cret", bus=RedisBus("redis://127.0.0.1:1"))
    async with (
        AsyncAIHub(api_root=hub.api_root, api_key=hub.api_key, clock=time.clock, webhooks=receiver) as client,
        time.running(client),
    ):
        handle = await client.apps.runs.submit(app_name=APP, batch_id=batch_id)
        assert (await handle).status == "COMPLETE", "polling finds it"
        assert await receiver.handle(GOOD, payload(handle.id)) == 503
    await receiver.aclose()


def test_redis_is_loaded_only_when_used() -> None:
    modules = "sys, aihub_async, aihub_async.webhooks.receiver, aihub_async.webhooks.redis"
    code = f"import {modules}; assert 'redis' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], timeout=60)
