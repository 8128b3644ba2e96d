"""Receive webhooks: they wake waits and call handlers, and prove nothing by themselves."""

import hashlib
import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import anyio
import msgspec
from anyio.abc import TaskStatus

from aihub_async.clock import Clock
from aihub_async.config import header_text
from aihub_async.errors import AIHubError, ConfigurationError, InvalidRequestError, NotFoundError
from aihub_async.models import Run, RunStatus
from aihub_async.policies.polling import TokenBucket
from aihub_async.secrecy import SecretURL, SecretValue, public_url
from aihub_async.webhooks.asgi import ASGIApp, starlette_routes
from aihub_async.webhooks.bus import Bus, LocalBus
from aihub_async.webhooks.handling import Handlers, Remembered, RunHandler
from aihub_async.webhooks.payloads import (
    NotADeliveryError,
    RunIdExtractor,
    WebhookResponse,
    allowed_origin,
    decoded,
    run_ids,
    validation_code,
)

if TYPE_CHECKING:
    from aiohttp.web import Request, Response
    from starlette.routing import Route

logger = logging.getLogger("aihub_async")

SECRET_HEADER = "X-AIHub-Webhook-Secret"  # noqa: S105 - a name
_EVENT_HEADER = "aeg-event-type"
_VALIDATION = "SubscriptionValidation"
MAX_BODY = 1 << 20
"""Largest delivery, in bytes."""
_CONFIRMS_PER_SECOND = 20.0
_CONFIRM_BURST = 100
_SILENT_ENDS = 3
"""Runs that may end without any delivery ever before a warning."""

Handler = TypeVar("Handler", bound=RunHandler)
Read = Callable[[], Awaitable[bytes]]


class WebhookReceiver:
    """Receive the webhooks of runs, and wake those who wait for the runs; made for one client.

    A delivery is only a hint. The state of the run is confirmed with the client before anything happens, and nothing
    else of a payload is used. Lost deliveries cost nothing but time, because polling continues.

    Serve one of `routes()` or `asgi` (FastAPI, Starlette), `aiohttp_handler` or, in a view of anything else,
    `respond()`, at the path of `public_url`. The service's own format, Azure Event Grid and CloudEvents are understood,
    with the validation handshakes of the latter two.

    Args:
        public_url: Where the server reaches it, such as ``https://me.example/hooks/aihub``.
        secret: What the server sends in the header `X-AIHub-Webhook-Secret`; random by default. Processes that serve
            the same URL must share it. A deployment's own webhook and an Event Grid subscription (delivery properties)
            need the same header.
        bus: How deliveries reach the process that waits, if there are several processes; see `RedisBus`.
        body_timeout: Seconds in which a delivery must have arrived.
        run_id: For deliveries in another format: gets the decoded JSON, and returns the run's id, several ids, or None.

    Raises:
        ConfigurationError: The URL cannot be used, or several processes would each have their own secret.

    Example:
        >>> receiver = WebhookReceiver("https://me.example/hooks/aihub", secret=os.environ["HOOK_SECRET"])
        >>> client = AsyncAIHub(webhooks=receiver)
        >>> app.router.routes.extend(receiver.routes())
    """

    def __init__(
        self,
        public_url: str,
        *,
        secret: str | None = None,
        bus: Bus | None = None,
        body_timeout: float = 10.0,
        run_id: RunIdExtractor | None = None,
    ) -> None:
        # Wrapped before anything can raise, so that no traceback with locals shows them.
        self._url = SecretURL(public_url)
        self._secret = SecretValue(secrets.token_urlsafe(32) if secret is None else secret)
        is_shared = secret is not None
        del public_url, secret
        if not _is_web_url(self._url):
            raise ConfigurationError("public_url must be a URL such as https://me.example/hooks/aihub")
        if not is_shared and bus is not None and not isinstance(bus, LocalBus):
            raise ConfigurationError("processes that share a bus must share a secret: pass secret=...")
        header_text("secret", self._secret)
        self._bus = bus or LocalBus()
        self._body_timeout = body_timeout
        self._extract = run_id
        self._handlers = Handlers(self._bus)
        self._fetch: Callable[[str], Awaitable[Run]] | None = None
        self._confirms = TokenBucket(_CONFIRMS_PER_SECOND, _CONFIRM_BURST, Clock().monotonic)
        self._settled = Remembered()
        self._unknown: set[str | None] = set()
        self._delivered = False
        self._silent_ends = 0
        self.asgi = ASGIApp(self.serve)
        """An ASGI application that serves deliveries at any path."""

    def attach(self, fetch: Callable[[str], Awaitable[Run]], clock: Clock) -> None:
        """Confirm deliveries with this call; the client does this."""
        self._fetch = fetch
        self._confirms = TokenBucket(_CONFIRMS_PER_SECOND, _CONFIRM_BURST, clock.monotonic)

    def config(self) -> dict[str, Any]:
        """Return the `webhook_config` for the settings of a run; it holds the secret."""
        return {"url": self._url.reveal(), "headers": {SECRET_HEADER: self._secret.reveal()}}

    def on_run(self, handler: Handler) -> Handler:
        """Call a function with every run that has ended or waits for review, once for each of these states.

        This includes runs without a wait. The function gets the run as the API returns it. When it raises, the
        delivery is answered 500 and the server sends it again; so it should do its work in one transaction. With a
        `RedisBus` once means once among all processes, else once in this process.

        Example:
            >>> @receiver.on_run
            ... async def store(run):
            ...     await database.save(run.id, run.status)
        """
        self._handlers.add(handler)
        return handler

    async def respond(self, method: str, headers: Mapping[str, str], body: bytes) -> WebhookResponse:
        """Process a request that has been read, and return the response to send: for views of any framework.

        In addition to the statuses of `handle()` there are 405 for other methods, and the handshakes of Event Grid and
        CloudEvents, whose responses have a body or headers.

        Example:
            >>> async def view(request):  # Django
            ...     answer = await receiver.respond(request.method, request.headers, request.body)
            ...     return HttpResponse(answer.body, status=answer.status, headers=answer.headers)
        """
        parts = iter((body,))

        async def read() -> bytes:
            return next(parts, b"")

        return await self.serve(method, headers.items(), read)

    async def handle(self, headers: Mapping[str, str], body: bytes) -> int:
        """Process a POST that has been read, and return the HTTP status to answer with.

        200 accepted, 400 not JSON or without a run's id, 401 wrong secret, 404 no such run, 413 larger than 1 MiB,
        500 a handler failed, 503 to be sent again.
        """
        return (await self.respond("POST", headers, body)).status

    async def serve(self, method: str, headers: Iterable[tuple[str, str]], read: Read) -> WebhookResponse:
        """Serve a request: read its body by `read`, up to its end (empty), and process it."""
        lines = list(headers)
        if method == "OPTIONS" and (permission := allowed_origin(dict(lines))) is not None:
            return permission
        if method != "POST":
            return WebhookResponse(405, headers={"Allow": "POST, OPTIONS"})
        is_handshake = _values(lines, _EVENT_HEADER) == [_VALIDATION]
        # Event Grid's handshake may come without the secret. It has no effect: events without the secret are refused.
        if not (self._admits(lines) or (is_handshake and not _values(lines, SECRET_HEADER))):
            return WebhookResponse(401)
        body = await self._read(read)
        if isinstance(body, int):
            return WebhookResponse(body)
        try:
            return await self._accept(body, is_handshake=is_handshake)
        except NotADeliveryError:
            return WebhookResponse(400)

    def routes(self, path: str | None = None) -> "list[Route]":
        """Return Starlette routes, with and without a trailing slash, for FastAPI or Starlette.

        Args:
            path: Where to serve; the path of `public_url` by default.

        Example:
            >>> app.router.routes.extend(receiver.routes())
        """
        return starlette_routes(self.asgi, urlsplit(self._url.reveal()).path if path is None else path)

    async def aiohttp_handler(self, request: "Request") -> "Response":
        """Serve a request of aiohttp.web: ``app.router.add_route("*", "/hooks/aihub", receiver.aiohttp_handler)``."""
        from aiohttp.web import RequestPayloadError, Response  # noqa: PLC0415 - only where it serves

        try:
            answer = await self.serve(request.method, request.headers.items(), request.content.readany)
        except RequestPayloadError:
            # Not in the encoding that its headers promise.
            answer = WebhookResponse(400)
        return Response(status=answer.status, body=answer.body, headers=answer.headers)

    async def aclose(self) -> None:
        """Close the connections of the bus."""
        await self._bus.aclose()

    def __repr__(self) -> str:
        if not hasattr(self, "_url"):
            # Tracebacks with locals show a receiver whose construction failed.
            return f"<{type(self).__name__} that was not made>"
        return f"{type(self).__name__}({public_url(self._url.reveal())!r})"

    # For the scheduler

    async def listen(self, wake: Callable[[str], None], *, task_status: TaskStatus[None]) -> None:
        """Call `wake` with the id of every delivery, until cancelled; see `Bus.listen`."""

        def delivered(run_id: str) -> None:
            self._delivered = True
            wake(run_id)

        await self._bus.listen(delivered, task_status=task_status)

    async def recently_delivered(self, ids: Iterable[str]) -> set[str]:
        """Return those of the ids that were delivered lately; see `Bus.recently_delivered`."""
        found = await self._bus.recently_delivered(ids)
        self._delivered = self._delivered or bool(found)
        return found

    def ended_undelivered(self) -> None:
        """Note that polling has found the end of a run whose webhook has not arrived; warn if none ever did."""
        if self._delivered:
            return
        self._silent_ends += 1
        if self._silent_ends == _SILENT_ENDS:
            logger.warning(
                "%d runs have ended, and %r has received nothing: is its route reachable from the server, without a "
                "redirect? Polling continues",
                self._silent_ends,
                self,
            )

    # Processing

    def _admits(self, headers: Iterable[tuple[str, str]]) -> bool:
        given = _values(headers, SECRET_HEADER)
        value = given[0] if len(given) == 1 else ""
        return hmac.compare_digest(value.encode("utf-8", "replace"), self._secret.reveal().encode())

    async def _read(self, read: Read) -> bytes | int:
        """Return the body, or the HTTP status to answer with if it is too large or too slow."""
        body = bytearray()
        with anyio.move_on_after(self._body_timeout) as limit:
            while len(body) <= MAX_BODY and (chunk := await read()):
                body += chunk
        if limit.cancelled_caught:
            return 408
        return 413 if len(body) > MAX_BODY else bytes(body)

    async def _accept(self, body: bytes, *, is_handshake: bool) -> WebhookResponse:
        payload = decoded(body)
        if is_handshake:
            code = validation_code(payload)
            if code is None:
                return WebhookResponse(400)
            answer = msgspec.json.encode({"validationResponse": code})
            return WebhookResponse(200, answer, {"Content-Type": "application/json"})
        ids = self._run_ids(payload)
        digest = hashlib.sha256(body).digest()
        statuses: list[int] = []

        async def process(run_id: str) -> None:
            statuses.append(await self._process(run_id, digest))

        async with anyio.create_task_group() as tasks:
            for run_id in ids:
                tasks.start_soon(process, run_id)
        # One that must be sent again decides for all; a run that does not exist decides only if there is no other.
        repeated = [status for status in statuses if status >= 500]
        return WebhookResponse(max(repeated, default=min(statuses)))

    def _run_ids(self, payload: Any) -> list[str]:
        try:
            return run_ids(payload, self._extract)
        except NotADeliveryError:
            raise
        except Exception as error:
            # Only the user's own extractor can raise anything else.
            logger.exception("the run_id function of %r raised; the delivery is answered 400", self)
            raise NotADeliveryError(str(error)) from None

    async def _process(self, run_id: str, digest: bytes) -> int:
        try:
            await self._bus.publish(run_id)
        except Exception as error:  # noqa: BLE001 - the bus may raise any exception
            logger.warning(
                "a delivery could not be passed on to other processes (%s); the server repeats it", type(error).__name__
            )
            return 503
        key = (digest, run_id)
        if not self._handlers or key in self._settled:
            return 200
        run = await self._confirmed(run_id)
        if isinstance(run, int):
            return run
        status = await self._handlers.handle(run)
        if status == 200:
            self._settled.add(key)
        return status

    async def _confirmed(self, run_id: str) -> Run | int:
        """Return the run as the API has it, or the HTTP status to answer with."""
        if self._fetch is None or not self._confirms.take():
            return 503
        try:
            run = await self._fetch(run_id)
        except NotFoundError:
            return 404
        except InvalidRequestError:
            return 400
        except AIHubError as error:
            logger.warning("a delivery could not be confirmed: %s", error)
            return 503
        if run.is_terminal or run.status == RunStatus.STOPPED_AT_CHECKPOINT:
            return run
        if run.status not in set(RunStatus) and run.status not in self._unknown:
            self._unknown.add(run.status)
            logger.warning(
                "run %s has the unknown status %r; handlers are not called",
                run.id,
                run.status,
            )
        # It was reported too early, or not by the server.
        return 503


def _is_web_url(url: SecretValue[str]) -> bool:
    try:
        parts = urlsplit(url.reveal())
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except (ValueError, AttributeError):
        return False


def _values(headers: Iterable[tuple[str, str]], name: str) -> list[str]:
    return [value for key, value in headers if key.lower() == name.lower()]
