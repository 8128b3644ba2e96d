"""Receiving webhooks in programs without an event loop: Flask, Django, any WSGI server."""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.to_thread

from aihub_async.errors import ConfigurationError
from aihub_async.models import Run
from aihub_async.webhooks import receiver
from aihub_async.webhooks.bus import Bus
from aihub_sync._facade import Lease

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

Handler = TypeVar("Handler", bound=Callable[[Run], object])


class WebhookReceiver:
    """Takes the webhooks of runs and wakes those who wait for them; made for one client.

    A delivery is only a hint. The state of the run is asked for with the client before anything happens, nothing else
    of a payload is used, and lost deliveries cost nothing but time: polling goes on.

    Mount `wsgi`, or call `handle()` in a view, at the path of `public_url`. The views must run in the process of the
    client; several processes share a secret and a bus. Servers for asyncio use the receiver of `aihub_async`, on the
    event loop of its client.

    Args:
        public_url: where the server reaches it, such as ``https://me.example/hooks/aihub``.
        secret: what the server sends in the header `X-AIHub-Webhook-Secret`; random by default.
        bus: how deliveries reach the process that waits, if there are several; see `RedisBus`.

    Raises:
        ConfigurationError: the URL is none, or several processes would have a secret of their own each.

    Example:
        >>> receiver = WebhookReceiver("https://me.example/hooks/aihub", secret=os.environ["HOOK_SECRET"])
        >>> client = AIHub(webhooks=receiver)
        >>> @app.post("/hooks/aihub")
        ... def hook():
        ...     return "", receiver.handle(request.headers, request.get_data())
    """

    def __init__(self, public_url: str, *, secret: str | None = None, bus: Bus | None = None) -> None:
        try:
            self.wrapped = receiver.WebhookReceiver(public_url, secret=secret, bus=bus)
        finally:
            # A traceback may show the variables of this frame.
            del secret
        self._lease: Lease | None = None

    def attach(self, lease: Lease) -> None:
        """Work with the client of this lease; the client does this."""
        self._lease = lease

    def config(self) -> dict[str, Any]:
        """`webhook_config` for the settings of a run; it holds the secret."""
        return self.wrapped.config()

    def on_run(self, handler: Handler) -> Handler:
        """Call a function with every run that has ended or waits for review, once for each of these states.

        Also for runs that nobody waits for. It is called in a worker thread, where it may block and use the client.
        When it raises, the delivery is answered 500 and the server sends it again; so it should do its work in one
        transaction. With a `RedisBus` once means once among all processes, else once in this process.

        Example:
            >>> @receiver.on_run
            ... def store(run):
            ...     database.save(run.id, run.status)
        """

        async def call(run: Run) -> None:
            await anyio.to_thread.run_sync(handler, run)

        self.wrapped.on_run(call)
        return handler

    def handle(self, headers: Mapping[str, str], body: bytes) -> int:
        """Take a delivery that has been read, after the handlers have; the status is the answer to give.

        200 taken, 400 not JSON or without a job_id, 401 wrong secret, 404 no such run, 413 larger than 1 MiB,
        500 a handler failed, 503 to be sent again.

        Raises:
            ConfigurationError: no client has been made with this receiver.
            ClosedClientError: the client is closed.
        """
        if self._lease is None:
            raise ConfigurationError("no client takes webhooks with this receiver: AIHub(webhooks=receiver)")
        return self._lease.run(self.wrapped.handle(headers, body))

    def wsgi(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """A WSGI application, which answers whatever the path."""
        status = self._answer(environ)
        start_response(f"{status} {HTTPStatus(status).phrase}", [("Content-Length", "0")])
        return []

    def _answer(self, environ: "WSGIEnvironment") -> int:
        if environ["REQUEST_METHOD"] != "POST":
            return 405
        length = environ.get("CONTENT_LENGTH") or "0"
        if not length.isdecimal():
            return 400
        if int(length) > receiver.MAX_BODY:
            return 413
        headers = {name[5:].replace("_", "-"): text for name, text in environ.items() if name.startswith("HTTP_")}
        return self.handle(headers, environ["wsgi.input"].read(int(length)))

    def close(self) -> None:
        """Close the connections of the bus; closing the client does it too."""
        if self._lease is not None and self._lease.is_open:
            self._lease.run(self.wrapped.aclose())

    def __repr__(self) -> str:
        return repr(self.wrapped)
