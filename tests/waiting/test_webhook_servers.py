"""Deliveries of the emulator to a receiver inside real servers and frameworks."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import anyio
import pytest
import pytest_asyncio

from aihub_async import AsyncAIHub
from aihub_async.emulator import Emulator
from aihub_async.models import Run
from aihub_async.webhooks.receiver import SECRET_HEADER, WebhookReceiver

uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed")
GOOD = {SECRET_HEADER: "s3cret"}
PATH = "/hooks/aihub"


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def receiver(port: int) -> WebhookReceiver:
    return WebhookReceiver(f"http://127.0.0.1:{port}{PATH}", secret="s3cret")


@contextlib.asynccontextmanager
async def serving(app: Any, port: int) -> AsyncIterator[str]:
    """Serve an ASGI application by uvicorn on this event loop."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    with contextlib.ExitStack() as stack:
        # Signals belong to pytest.
        stack.enter_context(pytest.MonkeyPatch.context()).setattr(
            server, "capture_signals", contextlib.nullcontext, raising=True
        )
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            await task


def fastapi_app(receiver: WebhookReceiver) -> Any:
    fastapi = pytest.importorskip("fastapi", reason="FastAPI is not installed")
    app = fastapi.FastAPI()
    app.router.routes.extend(receiver.routes())
    return app


def starlette_app(receiver: WebhookReceiver) -> Any:
    """The ASGI application as an endpoint."""
    applications = pytest.importorskip("starlette.applications", reason="Starlette is not installed")
    routing = pytest.importorskip("starlette.routing")
    return applications.Starlette(routes=[routing.Route(PATH, receiver.asgi), routing.Route(f"{PATH}/", receiver.asgi)])


def django_app(receiver: WebhookReceiver) -> Any:
    pytest.importorskip("django", reason="Django is not installed")
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.http import HttpRequest, HttpResponse
    from django.urls import path, set_urlconf
    from django.views.decorators.csrf import csrf_exempt

    @csrf_exempt
    async def hook(request: HttpRequest) -> HttpResponse:
        answer = await receiver.respond(request.method, request.headers, request.body)
        return HttpResponse(answer.body, status=answer.status, headers=answer.headers)

    urls = type("Urls", (), {"urlpatterns": [path(PATH[1:], hook), path(f"{PATH[1:]}/", hook)]})
    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="x" * 50, ROOT_URLCONF=urls)
    settings.ROOT_URLCONF = urls
    set_urlconf(None)
    return get_asgi_application()


APPS = [fastapi_app, starlette_app, django_app]


@pytest_asyncio.fixture(params=APPS, ids=lambda make: make.__name__)
async def site(request: pytest.FixtureRequest, receiver: WebhookReceiver, port: int) -> AsyncIterator[str]:
    async with serving(request.param(receiver), port) as url:
        yield url


async def test_a_delivery_wakes_a_wait_and_calls_the_handler(
    site: str, receiver: WebhookReceiver, hub: Emulator, batch_id: int, time: Any
) -> None:
    seen: list[str] = []

    @receiver.on_run
    async def store(run: Run) -> None:
        seen.append(run.id)

    # The clock of this client does not advance: without a delivery the wait would never end.
    async with AsyncAIHub(api_root=hub.api_root, api_key=hub.api_key, clock=time.clock, webhooks=receiver) as client:
        handle = await client.apps.runs.submit(app_name="key-values", batch_id=batch_id)
        with anyio.fail_after(20):
            assert (await handle).status == "COMPLETE"
            await hub.idle()
    assert seen == [handle.id]
    assert [(each.status, each.attempt) for each in hub.webhook_deliveries] == [(200, 1)]


@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_path_is_served_with_and_without_a_slash(site: str, slash: str) -> None:
    validation = {
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "data": {"validationCode": "512d38b6"},
    }
    async with aiohttp.ClientSession() as session:

        async def answer(method: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            async with session.request(
                method, f"{site}{PATH}{slash}", data=body, headers=named, allow_redirects=False
            ) as response:
                return response.status, await response.read()

        assert await answer("POST", b'{"job_id": "run-1"}', **GOOD) == (200, b"")
        assert (await answer("POST", b'{"job_id": "run-1"}'))[0] == 401
        assert (await answer("POST", b"[", **GOOD))[0] == 400
        status, body = await answer("POST", json.dumps([validation]).encode(), aeg_event_type="SubscriptionValidation")
        assert (status, json.loads(body)) == (200, {"validationResponse": "512d38b6"})
        assert await answer("OPTIONS", WebHook_Request_Origin="eventgrid.azure.net") == (200, b"")
        assert (await answer("GET"))[0] == 405
