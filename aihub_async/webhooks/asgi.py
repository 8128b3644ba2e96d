"""The receiver as an ASGI application."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from aihub_async.webhooks.payloads import WebhookResponse

if TYPE_CHECKING:
    from starlette.routing import Route

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Read = Callable[[], Awaitable[bytes]]
Serve = Callable[[str, Iterable[tuple[str, str]], Read], Awaitable[WebhookResponse]]


class ASGIApp:
    """An ASGI application that serves deliveries at any path.

    It is an object, not a function or a method: Starlette and FastAPI take those for handlers of requests.
    """

    def __init__(self, serve: Serve) -> None:
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await _serve_lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        answer = await self._serve(scope["method"], headers, _Body(receive).read)
        sent = {"content-length": str(len(answer.body)), **answer.headers}
        lines = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": lines})
        await send({"type": "http.response.body", "body": answer.body})

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def starlette_routes(app: ASGIApp, path: str) -> "list[Route]":
    """Return routes for a path with and without a trailing slash."""
    from starlette.routing import Route  # noqa: PLC0415 - installed where it is used

    bare = path.rstrip("/")
    return [Route(each, app, methods=["POST", "OPTIONS"]) for each in (bare, f"{bare}/") if each]


class _Body:
    """Reads the body of a request, message by message; empty at its end."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ended = False

    async def read(self) -> bytes:
        while not self._ended:
            message = await self._receive()
            self._ended = message["type"] == "http.disconnect" or not message.get("more_body", False)
            if message.get("body"):
                return bytes(message["body"])
        return b""


async def _serve_lifespan(receive: Receive, send: Send) -> None:
    """Acknowledge the start and the end of an ASGI server; there is nothing to do for them."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
