"""`AsyncAIHub`: one client, its pool of connections and its resources."""

import functools
import ssl
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self

from aihub_async.bulk import BulkJobs
from aihub_async.clock import Clock
from aihub_async.config import ClientConfig, KeySource, make_settings
from aihub_async.loops import running_loop
from aihub_async.processing import Processing
from aihub_async.resources.apps import Apps
from aihub_async.resources.batches import Batches
from aihub_async.resources.jobs import Jobs
from aihub_async.resources.secrets import Secrets
from aihub_async.secrecy import SecretValue
from aihub_async.transport.events import Hook
from aihub_async.transport.observing import Telemetry
from aihub_async.transport.transport import Transport
from aihub_async.waiting.inbox import observed
from aihub_async.waiting.scheduler import Scheduler

if TYPE_CHECKING:
    import aiohttp

    from aihub_async.resources.audit import Audit
    from aihub_async.resources.files import Files
    from aihub_async.resources.removed.conversations import Conversations
    from aihub_async.resources.removed.queries import Queries
    from aihub_async.resources.v1.flows import Flows
    from aihub_async.resources.v1.legacy import Legacy
    from aihub_async.webhooks.receiver import WebhookReceiver


class AsyncAIHub(Processing, BulkJobs):
    """A client of AI Hub for asyncio programs.

    Args:
        api_key: API token (default: AIHUB_API_KEY). Or a function that returns it, for tokens that rotate: it is called
            at the first request, and again once when the server answers 401.
        ib_context: usually the organization id (default: AIHUB_IB_CONTEXT; without it the community account's).
        api_root: URL (default: AIHUB_API_ROOT, else ``https://aihub.instabase.com/api``).
        timeout: seconds for one attempt, plus the time that its bytes take at 32 KiB/s (default: 60).
        deadline: seconds for one call with all attempts and waits, plus the time of its bytes (default: 300); may be
            infinite.
        max_retries: number of further attempts after the first (default: 4).
        reconcile_for: seconds for which a run, batch or secret whose creation was unclear is looked up before it is
            sent again (default: `timeout`). A server that carries it out even later can still create a duplicate.
        max_concurrent_requests: maximum number of requests in flight (default: 64); fewer where more would gain
            nothing.
        max_requests_per_second: requests per second of all calls together, spaced evenly (default: no limit).
        max_bytes_in_flight: bytes of request bodies held in memory at the same time (default: 64 MiB); files are read
            in chunks.
        headers: names and values sent with every request (default: none).
        ssl_context: TLS settings (default: those of Python with the system's certificates).
        proxy: URL of an HTTP proxy, such as ``http://user:password@proxy.example:3128`` (default: none).
        connector: an aiohttp connector to use, which stays yours to close (default: one of the client's own).
        trust_env: take the proxy from the environment, HTTPS_PROXY and NO_PROXY (default: False); netrc is never read.
        allow_insecure: allow an ``http://`` root that is not on this machine, or that is reached through a proxy
            (default: False, or AIHUB_ALLOW_INSECURE).
        hooks: callables that get an `AttemptEvent` after each attempt (default: none).
        telemetry: observes calls, runs and bulk jobs: `OpenTelemetry` (extra `otel`), or a `Telemetry` of yours
            (default: none).
        clock: time, sleep and randomness, for tests (default: those of the system).
        webhooks: a receiver for the webhooks of runs; submitted runs call it at their end, which ends waits early
            (default: none).
        api_version: ``"2024"`` for a server of that time, which names some parameters differently (default: current).
        profile: name of settings that `aihub login` saved (default: AIHUB_PROFILE, else ``default`` without a key).

    It can be used with or without `async with`, and by several `asyncio.run()` calls after each other.

    Raises:
        ConfigurationError: a setting is missing or cannot be used.

    Example:
        >>> async def count_batches():
        ...     async with AsyncAIHub(api_key="…") as client:
        ...         return len([batch async for batch in client.batches.iter()])
    """

    jobs: Jobs
    """Jobs that delete, and waiting for them."""
    secrets: Secrets
    """The organization's vault."""

    def __init__(
        self,
        api_key: "str | KeySource | None" = None,
        ib_context: str | None = None,
        api_root: str | None = None,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
        max_retries: int | None = None,
        reconcile_for: float | None = None,
        max_concurrent_requests: int | None = None,
        max_requests_per_second: float | None = None,
        max_bytes_in_flight: int | None = None,
        headers: Mapping[str, str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        proxy: str | None = None,
        connector: "aiohttp.BaseConnector | None" = None,
        trust_env: bool = False,
        allow_insecure: bool = False,
        hooks: Sequence[Hook] = (),
        telemetry: Telemetry | None = None,
        clock: Clock | None = None,
        webhooks: "WebhookReceiver | None" = None,
        api_version: str | None = None,
        profile: str | None = None,
    ) -> None:
        """Create a client; `help(AsyncAIHub)` explains every option."""
        # Wrapped before anything can raise, so that no traceback with locals shows a secret.
        arguments = SecretValue(
            {
                "api_key": api_key,
                "ib_context": ib_context,
                "api_root": api_root,
                "timeout": timeout,
                "deadline": deadline,
                "max_retries": max_retries,
                "reconcile_for": reconcile_for,
                "max_concurrent_requests": max_concurrent_requests,
                "max_requests_per_second": max_requests_per_second,
                "max_bytes_in_flight": max_bytes_in_flight,
                "headers": headers,
                "ssl_context": ssl_context,
                "proxy": proxy,
                "trust_env": trust_env,
                "api_version": api_version,
                "profile": profile,
            }
        )
        del api_key, api_root, headers, proxy
        settings = make_settings(arguments, allow_insecure=allow_insecure)
        # aiohttp takes half of the time of an import, and is not needed before there is a client.
        from aihub_async.transport.http import open_wire  # noqa: PLC0415

        wire = open_wire(settings, connector)
        clock = clock or Clock()
        transport = Transport(settings, wire=wire, clock=clock, hooks=hooks, telemetry=telemetry)
        self._bind(transport, Scheduler(clock, observed(webhooks, telemetry)), webhooks, owner=True)
        if webhooks is not None:
            webhooks.attach(self.apps.runs.status, transport.clock)

    def _bind(
        self, transport: Transport, scheduler: Scheduler, webhooks: "WebhookReceiver | None", *, owner: bool
    ) -> None:
        self._transport = transport
        self._scheduler = scheduler
        self._webhooks = webhooks
        self._owner = owner
        # Workers of other processes take the API key from their environment.
        settings = transport.settings
        self._connect = functools.partial(type(self), ib_context=settings.ib_context, api_root=settings.api_root)
        self.batches = Batches(transport)
        self.apps = Apps(transport, scheduler, webhooks)
        self.jobs = Jobs(transport, scheduler)
        self.secrets = Secrets(transport)

    # Few programs need all of these: what they stand on is imported with the first use.

    @cached_property
    def files(self) -> "Files":
        """The files of connected drives."""
        from aihub_async.resources.files import Files  # noqa: PLC0415

        return Files(self._transport)

    @cached_property
    def audit(self) -> "Audit":
        """The audit log."""
        from aihub_async.resources.audit import Audit  # noqa: PLC0415

        return Audit(self._transport)

    @cached_property
    def legacy(self) -> "Legacy":
        """The deprecated endpoints that run apps."""
        from aihub_async.resources.v1.legacy import Legacy  # noqa: PLC0415

        return Legacy(self._transport, self._scheduler, self._webhooks)

    @cached_property
    def flows(self) -> "Flows":
        """Flows of the older platform."""
        from aihub_async.resources.v1.flows import Flows  # noqa: PLC0415

        return Flows(self._transport, self._scheduler, self.legacy, self._webhooks)

    @cached_property
    def conversations(self) -> "Conversations":
        """Conversations with documents, which left AI Hub in February 2026."""
        from aihub_async.resources.removed.conversations import Conversations  # noqa: PLC0415

        return Conversations(self._transport, self._scheduler)

    @cached_property
    def queries(self) -> "Queries":
        """Questions to apps, which left AI Hub in February 2026."""
        from aihub_async.resources.removed.queries import Queries  # noqa: PLC0415

        return Queries(self._transport, self._scheduler)

    @property
    def settings(self) -> ClientConfig:
        """The configuration of this client; frozen."""
        return self._transport.settings

    def with_options(
        self,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
        max_retries: int | None = None,
        reconcile_for: float | None = None,
        headers: Mapping[str, str] | None = None,
        ib_context: str | None = None,
    ) -> Self:
        """Return a client with other settings on the same pool of connections; closing it leaves the pool open.

        Example:
            >>> async def quick_look(client, run_id):
            ...     return await client.with_options(timeout=2, max_retries=0).apps.runs.status(run_id)
        """
        given = None if headers is None else SecretValue(headers)
        del headers
        times = {"timeout": timeout, "deadline": deadline, "reconcile_for": reconcile_for}
        settings = self.settings.evolve(**times, max_retries=max_retries, headers=given, ib_context=ib_context)
        derived = type(self).__new__(type(self))
        derived._bind(self._transport.derive(settings), self._scheduler, self._webhooks, owner=False)
        return derived

    async def aclose(self) -> None:
        """End all calls and waits with `ClosedClientError`, and close the connections.

        A second call does nothing, and so do clients made by `with_options`.
        """
        if self._owner:
            await self._scheduler.aclose()
            await self._transport.aclose()

    async def __aenter__(self) -> Self:
        running_loop()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        if not hasattr(self, "_transport"):
            # Tracebacks with locals show a client whose construction failed.
            return f"<{type(self).__name__} that was not made>"
        return f"{type(self).__name__}(api_root={self.settings.api_root!r}, ib_context={self.settings.ib_context!r})"
