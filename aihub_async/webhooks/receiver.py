"""Receiving webhooks: they wake waits and call handlers, and prove nothing by themselves."""

import hashlib
import hmac
import inspect
import logging
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import anyio
import msgspec
from anyio.abc import TaskStatus

from aihub_async.clock import Clock
from aihub_async.config import header_text
from aihub_async.errors import AIHubError, ConfigurationError, NotFoundError
from aihub_async.models import Run, RunStatus
from aihub_async.policies.polling import TokenBucket
from aihub_async.secrecy import SecretURL, SecretValue, public_url
from aihub_async.webhooks.bus import Bus, Claim, LocalBus

if TYPE_CHECKING:
    from aiohttp.web import Request, Response

logger = logging.getLogger("aihub_async")

SECRET_HEADER = "X-AIHub-Webhook-Secret"  # noqa: S105 - a name
MAX_BODY = 1 << 20
"""Bytes of a delivery."""
_LONGEST_ID = 255
_CONFIRMS_PER_SECOND = 20.0
_CONFIRM_BURST = 100
_REMEMBERED_BODIES = 10_000

RunHandler = Callable[[Run], Awaitable[None] | None]
Handler = TypeVar("Handler", bound=RunHandler)
Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class WebhookReceiver:
    """Takes the webhooks of runs and wakes those who wait for them; made for one client.

    A delivery is only a hint. The state of the run is asked for with the client before anything happens, nothing else
    of a payload is used, and lost deliveries cost nothing but time: polling goes on.

    Mount one of `asgi` (Starlette, FastAPI, Django), `aiohttp_handler`, or `handle()` in anything else, at the path of
    `public_url`.

    Args:
        public_url: where the server reaches it, such as ``https://me.example/hooks/aihub``.
        secret: what the server sends in the header `X-AIHub-Webhook-Secret`; random by default. Processes that serve
            the same URL must share it. A deployment's own webhook needs the same header.
        bus: how deliveries reach the process that waits, if there are several; see `RedisBus`.
        body_timeout: seconds in which a delivery must have arrived.

    Raises:
        ConfigurationError: the URL is none, or several processes would have a secret of their own each.

    Example:
        >>> receiver = WebhookReceiver("https://me.example/hooks/aihub", secret=os.environ["HOOK_SECRET"])
        >>> client = AsyncAIHub(webhooks=receiver)
        >>> app.mount("/hooks/aihub", receiver.asgi)
    """

    def __init__(
        self, public_url: str, *, secret: str | None = None, bus: Bus | None = None, body_timeout: float = 10.0
    ) -> None:
        # Wrapped before anything can raise, so that no traceback with locals shows them.
        self._url = SecretURL(public_url)
        self._secret = SecretValue(secrets.token_urlsafe(32) if secret is None else secret)
        is_shared = secret is not None
        del public_url, secret
        if not _is_web_url(self._url):
            raise ConfigurationError("public_url must be a URL such as https://me.example/hooks/aihub")
        if not is_shared and bus is not None and not isinstance(bus, LocalBus):
            raise ConfigurationError("processes that share a bus must share a secret: pass secret=…")
        header_text("secret", self._secret)
        self._bus = bus or LocalBus()
        self._body_timeout = body_timeout
        self._handlers: list[RunHandler] = []
        self._fetch: Callable[[str], Awaitable[Run]] | None = None
        self._confirms = TokenBucket(_CONFIRMS_PER_SECOND, _CONFIRM_BURST, Clock().monotonic)
        self._handled: OrderedDict[bytes, None] = OrderedDict()

    def attach(self, fetch: Callable[[str], Awaitable[Run]], clock: Clock) -> None:
        """Confirm deliveries with this call; the client does this."""
        self._fetch = fetch
        self._confirms = TokenBucket(_CONFIRMS_PER_SECOND, _CONFIRM_BURST, clock.monotonic)

    def config(self) -> dict[str, Any]:
        """`webhook_config` for the settings of a run; it holds the secret."""
        return {"url": self._url.reveal(), "headers": {SECRET_HEADER: self._secret.reveal()}}

    def on_run(self, handler: Handler) -> Handler:
        """Call a function with every run that has ended or waits for review, once for each of these states.

        Also for runs that nobody waits for. It gets the run as the API tells it. When it raises, the delivery is
        answered 500 and the server sends it again; so it should do its work in one transaction. With a `RedisBus` once
        means once among all processes, else once in this process.

        Example:
            >>> @receiver.on_run
            ... async def store(run):
            ...     await database.save(run.id, run.status)
        """
        self._handlers.append(handler)
        return handler

    async def handle(self, headers: Mapping[str, str], body: bytes) -> int:
        """Take a delivery that has been read; the status is the answer to give.

        200 taken, 400 not JSON or without a job_id, 401 wrong secret, 404 no such run, 413 larger than 1 MiB,
        500 a handler failed, 503 to be sent again.
        """
        return await self._accept(body) if self._admits(headers.items()) else 401

    async def _accept(self, body: bytes) -> int:
        if len(body) > MAX_BODY:
            return 413
        run_id = _run_id(body)
        if run_id is None:
            return 400
        try:
            await self._bus.publish(run_id)
        except Exception:  # whatever the bus uses may fail in its own ways
            logger.exception("a delivery could not be passed on to other processes; it is asked for again")
            return 503
        return await self._notify(run_id, hashlib.sha256(body).digest()) if self._handlers else 200

    async def aclose(self) -> None:
        """Let go of the connections of the bus."""
        await self._bus.aclose()

    async def listen(self, wake: Callable[[str], None], *, task_status: TaskStatus[None]) -> None:
        """For the scheduler: see `Bus.listen`."""
        await self._bus.listen(wake, task_status=task_status)

    async def recently_delivered(self, ids: Iterable[str]) -> set[str]:
        """For the scheduler: see `Bus.heard`."""
        return await self._bus.recently_delivered(ids)

    def __repr__(self) -> str:
        if not hasattr(self, "_url"):
            # Tracebacks with locals show a receiver whose construction failed.
            return f"<{type(self).__name__} that was not made>"
        return f"{type(self).__name__}({public_url(self._url.reveal())!r})"

    # Handlers

    async def _notify(self, run_id: str, digest: bytes) -> int:
        if digest in self._handled:
            return 200
        run = await self._confirm(run_id)
        if isinstance(run, int):
            return run
        status = await self._handle_once(run)
        if status == 200:
            self._handled[digest] = None
            if len(self._handled) > _REMEMBERED_BODIES:
                self._handled.popitem(last=False)
        return status

    async def _confirm(self, run_id: str) -> Run | int:
        """The run that is spoken of, or the status to answer with."""
        if self._fetch is None or not self._confirms.take():
            return 503
        try:
            run = await self._fetch(run_id)
        except NotFoundError:
            return 404
        except AIHubError as error:
            logger.warning("a delivery could not be confirmed: %s", error)
            return 503
        # One that has not ended was told of too early, or by somebody else than the server.
        return run if run.is_terminal or run.status == RunStatus.STOPPED_AT_CHECKPOINT else 503

    async def _handle_once(self, run: Run) -> int:
        event = f"{run.id}:{run.status}"
        done = False
        try:
            claim = await self._bus.claim(event)
            if claim is not Claim.NEW:
                return 200 if claim is Claim.DONE else 503
            try:
                for handler in self._handlers:
                    result = handler(run)
                    if inspect.isawaitable(result):
                        await result
                done = True
            finally:
                with anyio.CancelScope(shield=True):
                    await self._bus.settle(event, done=done)
        except Exception:  # a handler may raise anything; the server shall send it again
            logger.exception("the delivery about run %s could not be handled; the server is asked to repeat it", run.id)
            return 500
        return 200

    # Ways in

    async def aiohttp_handler(self, request: "Request") -> "Response":
        """For aiohttp.web: ``app.router.add_post("/hooks/aihub", receiver.aiohttp_handler)``."""
        from aiohttp.web import RequestPayloadError, Response  # noqa: PLC0415 - only where it serves

        try:
            status = await self._take(request.headers.items(), request.content.readany)
        except RequestPayloadError:
            # Not in the encoding that its headers promise.
            status = 400
        return Response(status=status)

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application: ``app.mount("/hooks/aihub", receiver.asgi)``."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            return
        status = 405
        if scope["method"] == "POST":
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
            ended = False

            async def read() -> bytes:
                nonlocal ended
                while not ended:
                    message = await receive()
                    ended = message["type"] == "http.disconnect" or not message.get("more_body", False)
                    if message.get("body"):
                        return bytes(message["body"])
                return b""

            status = await self._take(headers, read)
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def _take(self, headers: Iterable[tuple[str, str]], read: Callable[[], Awaitable[bytes]]) -> int:
        """Read a delivery, so far and so long as it may be, and handle it."""
        if not self._admits(headers):
            return 401
        body = bytearray()
        with anyio.move_on_after(self._body_timeout) as limit:
            while len(body) <= MAX_BODY and (chunk := await read()):
                body += chunk
        return 408 if limit.cancelled_caught else await self._accept(bytes(body))

    def _admits(self, headers: Iterable[tuple[str, str]]) -> bool:
        given = [value for name, value in headers if name.lower() == SECRET_HEADER.lower()]
        value = given[0] if len(given) == 1 else ""
        return hmac.compare_digest(value.encode("utf-8", "replace"), self._secret.reveal().encode())


def _is_web_url(url: SecretValue[str]) -> bool:
    try:
        parts = urlsplit(url.reveal())
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except (ValueError, AttributeError):
        return False


def _run_id(body: bytes) -> str | None:
    try:
        payload = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    found = payload.get("job_id") if isinstance(payload, dict) else None
    if not isinstance(found, str) or not found.isprintable():
        return None
    return found if 0 < len(found) <= _LONGEST_ID and not set(found) & set(" /?#%\\") else None


async def _live(receive: Receive, send: Send) -> None:
    """The beginning and end of an ASGI server, for which there is nothing to do."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
