import asyncio

import pytest_asyncio
from aiohttp import web

from aihub_async.emulator import Emulator, WebhookPlan

NOTE = {"note.txt": b"Order: 7"}


class Receiver:
    def __init__(self):
        self.url = ""
        self.received = []
        self.answers = []
        self.arrived = asyncio.Event()

    async def handle(self, request):
        self.received.append((await request.json(), request.headers))
        self.arrived.set()
        status = self.answers.pop(0) if self.answers else 200
        return web.Response(status=status, headers={"Location": self.url} if status == 302 else {})

    @property
    def jobs(self):
        return [payload["job_id"] for payload, _ in self.received]


@pytest_asyncio.fixture
async def receiver(listen):
    made = Receiver()
    made.url = await listen(made.handle)
    return made


@pytest_asyncio.fixture
async def quick(connect):
    async with Emulator(webhook_delays=(0.0,) * 7) as hub:
        yield await connect(hub)


def target(receiver):
    return {"webhook_config": {"url": receiver.url, "headers": {"X-Token": "t"}}}


async def test_the_end_of_a_run_is_told(quick, receiver):
    run_id = await quick.run(NOTE, settings=target(receiver), output_dir="/acme/out")
    ((payload, headers),) = receiver.received
    assert payload["status"] == "OK"
    assert payload["job_id"] == run_id
    assert payload["output"] == "/acme/out"
    assert payload["input_dir"].startswith("/acme/")
    assert "msg" not in payload
    assert headers["X-Token"] == "t"
    (delivery,) = quick.hub.webhook_deliveries
    assert (delivery.run_id, delivery.attempt, delivery.status) == (run_id, 1, 200)


async def test_a_failure_is_told_with_a_message(quick, receiver):
    quick.hub.app("Fails", outcome="FAILED")(lambda document: {})
    await quick.run(NOTE, app="Fails", settings=target(receiver))
    assert receiver.received[0][0]["status"] == "ERROR"
    assert receiver.received[0][0]["msg"] == "The app failed."


async def test_a_stopped_run_is_told_after_its_review(quick, receiver):
    quick.hub.app("Checked", outcome="STOPPED_AT_CHECKPOINT")(lambda document: {})
    run_id = await quick.run(NOTE, app="Checked", settings=target(receiver))
    assert receiver.received == []
    quick.hub.complete_review(run_id)
    await quick.hub.idle()
    assert receiver.jobs == [run_id]


async def test_anything_but_2xx_is_repeated(quick, receiver):
    receiver.answers = [500, 302, 404, 204]
    run_id = await quick.run(NOTE, settings=target(receiver))
    assert receiver.jobs == [run_id] * 4
    assert [delivery.status for delivery in quick.hub.webhook_deliveries] == [500, 302, 404, 204]


async def test_seven_attempts_and_no_more(quick, receiver):
    receiver.answers = [503] * 20
    await quick.run(NOTE, settings=target(receiver))
    assert len(receiver.received) == 7


async def test_a_receiver_that_is_not_there_is_given_up(quick):
    settings = {"webhook_config": {"url": "http://127.0.0.1:1/hook"}}
    await quick.run(NOTE, settings=settings)
    assert [delivery.status for delivery in quick.hub.webhook_deliveries] == [None] * 7


async def test_a_deployment_has_a_webhook_of_its_own(quick, receiver):
    quick.hub.deployment("daily", app="key-values", webhook=target(receiver)["webhook_config"])
    body = {"batch_id": await quick.batch(NOTE)}
    run_id = (await quick("POST", "/v2/apps/deployments/daily/runs", json=body)).json["id"]
    await quick.hub.idle()
    assert receiver.jobs == [run_id]


async def test_lost(quick, receiver):
    quick.hub.misdeliver(WebhookPlan(lost=True))
    await quick.run(NOTE, settings=target(receiver))
    assert receiver.received == []


async def test_first_attempts_vanish(quick, receiver):
    quick.hub.misdeliver(WebhookPlan(fail_first=2))
    await quick.run(NOTE, settings=target(receiver))
    assert [delivery.status for delivery in quick.hub.webhook_deliveries] == [None, None, 200]


async def test_duplicates(quick, receiver):
    quick.hub.misdeliver(WebhookPlan(duplicates=2))
    run_id = await quick.run(NOTE, settings=target(receiver))
    assert receiver.jobs == [run_id] * 3


async def test_early(quick, receiver):
    quick.hub.misdeliver(WebhookPlan(early=True))
    body = {"app_name": "key-values", "batch_id": await quick.batch(NOTE), "settings": target(receiver)}
    started = await quick("POST", "/v2/apps/runs", json=body)
    assert receiver.jobs == [started.json["id"]]
    assert started.json["status"] == "RUNNING"


async def test_late(quick, receiver):
    quick.hub.misdeliver(WebhookPlan(late=60))
    body = {"app_name": "key-values", "batch_id": await quick.batch(NOTE), "settings": target(receiver)}
    run_id = (await quick("POST", "/v2/apps/runs", json=body)).json["id"]
    while (await quick("GET", f"/v2/apps/runs/{run_id}")).json["status"] == "RUNNING":
        pass
    assert receiver.received == []


async def test_reordered(quick, receiver):
    quick.hub.misdeliver(WebhookPlan(reorder=3))
    run_ids = [await quick.run(NOTE, settings=target(receiver)) for _ in range(3)]
    assert receiver.jobs == run_ids[::-1]
