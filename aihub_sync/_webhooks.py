"""Receive webhooks in programs without an event loop: Flask, Django, any WSGI server."""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.to_thread

from aihub_async.errors import ConfigurationError
from aihub_async.models import Run
from aihub_async.webhooks import receiver
from aihub_async.webhooks.bus import Bus
from aihub_async.webhooks.payloads import RunIdExtractor, WebhookResponse
from aihub_sync._facade import Lease

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

Handler = TypeVar("Handler", bound=Callable[[Run], object])


class WebhookReceiver:
    """Receive the webhooks of runs, and wake those who wait for the runs; made for one client.

    A delivery is only a hint. The state of the run is confirmed with the client before anything happens, and nothing
    else of a payload is used. Lost deliveries cost nothing but time, because polling continues.

    Mount `wsgi`, or call `respond()` in a view, at the path of `public_url`. The views must run in the process of the
    client; several processes share a secret and a bus. Servers for asyncio use the receiver of `aihub_async`, on the
    event loop of its client.

    Args:
        public_url: Where the server reaches it, such as ``https://me.example/hooks/aihub``.
        secret: What the server sends in the header `X-AIHub-Webhook-Secret`; random by default. Processes that serve
            the same URL must share it.
        bus: How deliveries reach the process that waits, if there are several processes; see `RedisBus`.
        run_id: For deliveries in another format: gets the decoded JSON, and returns the run's id, several ids, or None.

    Raises:
        ConfigurationError: The URL cannot be used, or several processes would each have their own secret.

    Example:
        >>> receiver = WebhookReceiver("https://me.example/hooks/aihub", secret=os.environ["HOOK_SECRET"])
        >>> client = AIHub(webhooks=receiver)
        >>> @app.post("/hooks/aihub")
        ... def hook():
        ...     return "", receiver.handle(request.headers, request.get_data())
    """

    def __init__(
        self,
        public_url: str,
        *,
        secret: str | None = None,
        bus: Bus | None = None,
        run_id: RunIdExtractor | None = None,
    ) -> None:
        try:
            self.wrapped = receiver.WebhookReceiver(public_url, secret=secret, bus=bus, run_id=run_id)
        finally:
            # A traceback may show the variables of this frame.
            del public_url, secret
        self._lease: Lease | None = None

    def attach(self, lease: Lease) -> None:
        """Use the client of this lease; the client does this."""
        self._lease = lease

    def config(self) -> dict[str, Any]:
        """Return the `webhook_config` for the settings of a run; it holds the secret."""
        return self.wrapped.config()

    def on_run(self, handler: Handler) -> Handler:
        """Call a function with every run that has ended or waits for review, once for each of these states.

        This includes runs without a wait. The function is called in a worker thread, where it may block and use
        the client. When it raises, the delivery is answered 500 and the server sends it again; so it should do its work
        in one transaction. With a `RedisBus` once means once among all processes, else once in this process.

        Example:
            >>> @receiver.on_run
            ... def store(run):
            ...     database.save(run.id, run.status)
        """

        async def call(run: Run) -> None:
            await anyio.to_thread.run_sync(handler, run)

        self.wrapped.on_run(call)
        return handler

    def respond(self, method: str, headers: Mapping[str, str], body: bytes) -> WebhookResponse:
        """Process a request that has been read, and return the response to send: for views of any framework.

        In addition to the statuses of `handle()` there are 405 for other methods, and the handshakes of Event Grid and
        CloudEvents, whose responses have a body or headers.

        Raises:
            ConfigurationError: No client has been made with this receiver.
            ClosedClientError: The client is closed.

        Example:
            >>> def view(request):  # Django
            ...     answer = receiver.respond(request.method, request.headers, request.body)
            ...     return HttpResponse(answer.body, status=answer.status, headers=answer.headers)
        """
        if self._lease is None:
            raise ConfigurationError("no client receives webhooks with this receiver: AIHub(webhooks=receiver)")
        return self._lease.run(self.wrapped.respond(method, headers, body))

    def handle(self, headers: Mapping[str, str], body: bytes) -> int:
        """Process a POST that has been read, wait for the handlers, and return the HTTP status to answer with.

        200 accepted, 400 not JSON or without a run's id, 401 wrong secret, 404 no such run, 413 larger than 1 MiB,
        500 a handler failed, 503 to be sent again.

        Raises:
            ConfigurationError: No client has been made with this receiver.
            ClosedClientError: The client is closed.
        """
        return self.respond("POST", headers, body).status

    def wsgi(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Serve deliveries as a WSGI application, at any path."""
        answer = self._answer(environ)
        headers = [*answer.headers.items(), ("Content-Length", str(len(answer.body)))]
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", headers)
        return [answer.body] if answer.body else []

    def _answer(self, environ: "WSGIEnvironment") -> WebhookResponse:
        length = environ.get("CONTENT_LENGTH") or ""
        if length and not length.isdecimal():
            return WebhookResponse(400)
        if length and int(length) > receiver.MAX_BODY:
            return WebhookResponse(413)
        # Without a length, a server that ends the input by itself has a chunked body, and any other has none.
        limit = int(length or 0) or (receiver.MAX_BODY + 1 if environ.get("wsgi.input_terminated") else 0)
        body = bytearray()
        while len(body) < limit and (chunk := environ["wsgi.input"].read(limit - len(body))):
            body += chunk
        headers = {name[5:].replace("_", "-"): text for name, text in environ.items() if name.startswith("HTTP_")}
        return self.respond(environ["REQUEST_METHOD"], headers, bytes(body))

    def close(self) -> None:
        """Close the connections of the bus, which closing the client does too."""
        if self._lease is not None and self._lease.is_open:
            self._lease.run(self.wrapped.aclose())

    def __repr__(self) -> str:
        # Tracebacks with locals show a receiver whose construction failed.
        return repr(self.wrapped) if hasattr(self, "wrapped") else f"<{type(self).__name__} that was not made>"
