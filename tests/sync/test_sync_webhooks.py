"""The receiver in a threaded WSGI server, with the emulator's own deliveries."""

import asyncio
import io
import json
import threading
from collections.abc import Callable, Iterator
from socketserver import ThreadingMixIn
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import attrs
import pytest

from aihub_async.clock import Clock
from aihub_async.emulator import Emulator
from aihub_async.webhooks.bus import LocalBus
from aihub_sync import AIHub, WebhookReceiver, errors
from aihub_sync.models import Run

HEADER = "X-AIHub-Webhook-Secret"
MAX_BODY = 1 << 20


class Server(ThreadingMixIn, WSGIServer):
    """Threads that end before the server does."""

    daemon_threads = False


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@attrs.frozen
class Site:
    receiver: WebhookReceiver
    client: AIHub
    url: str


async def never(seconds: float) -> None:
    await asyncio.Event().wait()


@pytest.fixture
def site(make_client: Callable[..., AIHub]) -> Iterator[Site]:
    """A client whose waits end by a delivery or not at all: it never polls again."""
    with Server(("127.0.0.1", 0), Quiet) as server:
        url = f"http://127.0.0.1:{server.server_port}/hook"
        receiver = WebhookReceiver(url, secret="s3cret")
        server.set_app(receiver.wsgi)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Site(receiver, make_client(webhooks=receiver, clock=attrs.evolve(Clock(), sleep=never)), url)
        server.shutdown()
        thread.join(20)


def run_of(client: AIHub) -> Run:
    batch = client.batches.create("x")
    client.batches.add_file(batch.id, "a.txt", b"Total: 12.50")
    return client.apps.runs.submit(app_name="key-values", batch_id=batch.id).wait(timeout=20)


def answer(url: str, body: bytes, secret: str = "s3cret", method: str = "POST") -> int:
    try:
        with urlopen(Request(url, body, {HEADER: secret}, method=method), timeout=10) as response:
            return response.status
    except HTTPError as error:
        error.close()
        return error.code


def test_a_delivery_ends_the_wait(site: Site, hub: Emulator) -> None:
    assert run_of(site.client).status == "COMPLETE"
    assert hub.runs()[0]["settings"]["webhook_config"] == site.receiver.config()


def test_a_handler_may_block_and_use_the_client(site: Site) -> None:
    seen: list[tuple[str, int]] = []
    handled = threading.Event()

    @site.receiver.on_run
    def store(run: Run) -> None:
        seen.append((run.id, len(site.client.apps.runs.results(run.id).files)))
        handled.set()

    run = run_of(site.client)
    assert handled.wait(10)
    assert seen == [(run.id, 1)]


def test_a_handler_that_fails_is_called_again(site: Site) -> None:
    failures = [RuntimeError("the disk is full"), RuntimeError("still")]
    handled = threading.Event()

    @site.receiver.on_run
    def store(run: Run) -> None:
        if failures:
            raise failures.pop()
        handled.set()

    run_of(site.client)
    assert handled.wait(10)
    assert failures == []


def test_what_is_not_a_delivery_is_refused(site: Site) -> None:
    assert answer(site.url, b'{"job_id": "run-1"}') == 200
    assert answer(site.url, b'{"job_id": "run-1"}', secret="wrong") == 401
    assert answer(site.url, b"<html>") == 400
    assert answer(site.url, b"{}", method="PUT") == 405


@pytest.mark.parametrize(("length", "status"), [(str(MAX_BODY + 1), 413), ("-1", 400), ("many", 400)])
def test_lengths_that_are_not_read(site: Site, length: str, status: int) -> None:
    environ = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": length}
    started: list[str] = []
    assert list(site.receiver.wsgi(environ, lambda line, headers: started.append(line))) == []  # type: ignore[arg-type]
    assert started[0].split()[0] == str(status)


@pytest.mark.parametrize(
    ("size", "is_terminated", "status"), [(23, True, 200), (23, False, 400), (MAX_BODY + 1, True, 413)]
)
def test_chunked_bodies(make_client: Callable[..., AIHub], size: int, is_terminated: bool, status: int) -> None:
    receiver = WebhookReceiver("https://me.example/hook", secret="s3cret")
    make_client(webhooks=receiver)
    body = b'{"job_id": "run-1"}'.ljust(size)
    environ = {
        "REQUEST_METHOD": "POST",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "HTTP_X_AIHUB_WEBHOOK_SECRET": "s3cret",
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": is_terminated,
    }
    started: list[str] = []
    list(receiver.wsgi(environ, lambda line, headers: started.append(line)))  # type: ignore[arg-type]
    assert started[0].split()[0] == str(status)


def test_the_handshake_of_event_grid(site: Site) -> None:
    event = {"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "c0de"}}
    headers = {"aeg-event-type": "SubscriptionValidation"}
    with urlopen(Request(site.url, json.dumps([event]).encode(), headers), timeout=10) as response:
        assert json.loads(response.read()) == {"validationResponse": "c0de"}


def test_a_receiver_closed_after_its_client(make_client: Callable[..., AIHub]) -> None:
    closed: list[str] = []

    class Bus(LocalBus):
        async def aclose(self) -> None:
            closed.append(threading.current_thread().name)

    receiver = WebhookReceiver("https://me.example/hook", secret="s3cret", bus=Bus())
    client = make_client(webhooks=receiver)
    client.batches.list()
    client.close()
    # The bus has connections of the event loop, so the client closes it while the loop runs.
    assert closed == ["aihub_sync"]
    receiver.close()
    assert closed == ["aihub_sync"]


def test_without_a_client_nothing_can_be_taken(make_client: Callable[..., AIHub]) -> None:
    receiver = WebhookReceiver("https://me.example/hook", secret="s3cret")
    receiver.close()
    with pytest.raises(errors.ConfigurationError, match=r"AIHub\(webhooks=receiver\)"):
        receiver.handle({HEADER: "s3cret"}, b'{"job_id": "run-1"}')
    client = make_client(webhooks=receiver)
    assert receiver.handle({HEADER: "s3cret"}, b'{"job_id": "run-1"}') == 200
    receiver.close()
    client.close()
    with pytest.raises(errors.ClosedClientError):
        receiver.handle({HEADER: "s3cret"}, b'{"job_id": "run-1"}')


def test_nothing_shows_the_secret() -> None:
    assert repr(WebhookReceiver("https://me.example/hook", secret="s3cret")) == (
        "WebhookReceiver('https://me.example/hook')"
    )
