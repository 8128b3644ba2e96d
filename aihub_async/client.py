"""`AsyncAIHub`: one client, its pool of connections and its resources."""

import functools
import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from aihub_async.clock import Clock
from aihub_async.config import ClientConfig, KeySource, make_settings
from aihub_async.loops import running_loop
from aihub_async.models import RunSettings, conceal_settings
from aihub_async.processing import Processing
from aihub_async.resources._raw import RawRequests
from aihub_async.resources.apps import Apps
from aihub_async.resources.audit import Audit
from aihub_async.resources.batches import Batches
from aihub_async.resources.files import Files
from aihub_async.resources.jobs import Jobs
from aihub_async.resources.removed.conversations import Conversations
from aihub_async.resources.removed.queries import Queries
from aihub_async.resources.secrets import Secrets
from aihub_async.resources.v1.flows import Flows
from aihub_async.resources.v1.legacy import Legacy
from aihub_async.secrecy import SecretValue
from aihub_async.transport.events import Hook
from aihub_async.transport.observing import Telemetry
from aihub_async.transport.transport import Transport
from aihub_async.waiting.inbox import observed
from aihub_async.waiting.scheduler import Scheduler

if TYPE_CHECKING:
    import aiohttp

    from aihub_async.ingest.job import IngestJob
    from aihub_async.ingest.options import SettingsOf
    from aihub_async.ingest.progress import IngestStatus
    from aihub_async.ingest.scan import Sources as IngestSources
    from aihub_async.results.gates import Gate
    from aihub_async.webhooks.receiver import WebhookReceiver


class AsyncAIHub(Processing, RawRequests):
    """A client of AI Hub for asyncio programs.

    Args:
        api_key: API token; the environment's AIHUB_API_KEY by default. Or a function that returns it, for tokens that
            rotate: it is called at the first request, and again once when the server answers 401.
        ib_context: usually the organization id; AIHUB_IB_CONTEXT by default.
        api_root: AIHUB_API_ROOT, else ``https://aihub.instabase.com/api``.
        timeout: seconds for one attempt, plus the time that its bytes take at 32 KiB/s (60).
        deadline: seconds for one call with all attempts and waits, plus the time of its bytes (300); may be infinite.
        max_retries: further attempts after the first (4).
        reconcile_for: seconds for which a run, batch or secret whose creation was unclear is looked up before it is
            sent again; `timeout` by default. A server that carries it out even later can still create a duplicate.
        max_concurrent_requests: requests in flight at a time, at most (64); fewer where more would gain nothing.
        max_requests_per_second: requests per second of all calls together, spaced evenly; no limit by default.
        max_bytes_in_flight: bytes of request bodies held in memory at the same time (64 MiB); files are read in chunks.
        headers: sent with every request.
        ssl_context: TLS settings; the system's certificates by default.
        proxy: URL of an HTTP proxy, such as ``http://user:password@proxy.example:3128``.
        connector: an aiohttp connector to use; it stays yours to close.
        trust_env: take the proxy from the environment (HTTPS_PROXY, NO_PROXY …); netrc is never read.
        allow_insecure: allow an ``http://`` root that is not on this machine, or that is reached through a proxy.
        hooks: called with an `AttemptEvent` after each attempt.
        telemetry: observes calls, runs and bulk jobs: `OpenTelemetry` (extra `otel`), or a `Telemetry` of yours.
        clock: time, sleep and randomness, for tests.
        webhooks: a receiver for the webhooks of runs; submitted runs call it at their end, which ends waits early.
        api_version: ``"2024"`` for a server of that time, which names some parameters differently.
        profile: name of settings that `aihub login` saved; AIHUB_PROFILE by default.

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
    files: Files
    """The files of connected drives."""
    secrets: Secrets
    """The organization's vault."""
    audit: Audit
    """The audit log."""
    legacy: Legacy
    """The deprecated endpoints that run apps."""
    flows: Flows
    """Flows of the older platform."""
    conversations: Conversations
    """Conversations with documents, which left AI Hub in February 2026."""
    queries: Queries
    """Questions to apps, which left AI Hub in February 2026."""

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
        transport = Transport(settings, wire=wire, clock=clock, hooks=hooks, telemetry=telemetry)
        self._bind(transport, Scheduler(transport.clock, observed(webhooks, telemetry)), webhooks, owner=True)
        if webhooks is not None:
            webhooks.attach(self.apps.runs.status, transport.clock)

    def _bind(
        self, transport: Transport, scheduler: Scheduler, webhooks: "WebhookReceiver | None", *, owner: bool
    ) -> None:
        self._transport = transport
        self._scheduler = scheduler
        self._webhooks = webhooks
        self._owner = owner
        self.batches = Batches(transport)
        self.apps = Apps(transport, scheduler, webhooks)
        self.jobs = Jobs(transport, scheduler)
        self.files = Files(transport)
        self.secrets = Secrets(transport)
        self.audit = Audit(transport)
        self.legacy = Legacy(transport, scheduler, webhooks)
        self.flows = Flows(transport, scheduler, self.legacy, webhooks)
        self.conversations = Conversations(transport, scheduler)
        self.queries = Queries(transport, scheduler)

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

    def ingest(
        self,
        sources: "IngestSources",
        *,
        app_name: str | None = None,
        app_id: str | None = None,
        deployment_id: str | None = None,
        out: "str | os.PathLike[str]",
        journal: "str | os.PathLike[str] | None" = None,
        owner: str | None = None,
        version: str | None = None,
        workspace: str | None = None,
        settings: "RunSettings | Mapping[str, Any] | SettingsOf | None" = None,
        group: "str | Callable[[Path], str] | None" = None,
        on_review: str = "skip",
        gate: "Gate | None" = None,
        format: str = "jsonl",
        rows: str = "document",
        columns: str | None = None,
        add: str | Sequence[str] = (),
        raw: bool = False,
        formulas: bool = False,
        send_all_types: bool = False,
        include: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        batch_files: int = 1000,
        batch_bytes: int = 1 << 30,
        max_runs: int = 8,
        in_flight_grace: float = 60.0,
        outage_patience: float = 1800.0,
        max_files: int | None = None,
        max_pages: int | None = None,
        max_runs_total: int | None = None,
        on_progress: "Callable[[IngestStatus], None] | None" = None,
    ) -> "IngestJob":
        """Create a resumable bulk-ingestion job.

        Nothing happens before `job.plan()` or `job.run()`. After an interruption of any kind, create the same job again
        and run it: it continues where it stopped, loses nothing, and starts no run twice.

        Args:
            sources: a folder, a file, an fsspec URL such as ``s3://bucket/invoices/**/*.pdf`` (extra `fsspec` and the
                package of the file system), or an iterable of these or of ``(name, path)``, which must yield the same
                again.
            app_name: name of the app; exactly one of this, `app_id` and `deployment_id`.
            app_id: id of the app.
            deployment_id: id of a deployment, from its URL.
            out: folder of the results: one part per batch, and the dead-letter list ``failures.jsonl``. With an fsspec
                URL the parts are written below ``~/.aihub/jobs`` and copied whole, a copy of the journal at the end.
            journal: the job's record, an SQLite file; ``.aihub/job.db`` in `out` by default.
            owner: who made the app.
            version: of the app; the latest production version by default.
            workspace: of the batches and of the runs' output.
            settings: keys, runtime configuration and tags of all runs, or a callable that returns them for the name of
                a group; not kept in the journal.
            group: ``"folder"`` makes one batch and one run of each subfolder of the source with everything below it
                (and one of the files directly in the source, named ``"."``); a callable returns the group of a path.
                The name is a column of every row. A group of more than 1,000 files is refused.
            on_review: what to do when a run stops for a human review: ``"skip"`` leaves it to a later call of the same
                job, which collects the results; ``"wait"`` waits; ``"export"`` writes the results as they stand, if the
                server returns them, until a later call replaces them.
            gate: rules for documents to be used as they are; those that it refuses are listed in ``review.jsonl``.
            format: ``"jsonl"``, ``"csv"``, ``"parquet"`` (extra `parquet`) or ``"xlsx"`` (extra `xlsx`).
            rows: one per ``"document"`` or one per ``"field"``.
            columns: for documents, ``"long"`` (all values in the column ``fields``, the default) or ``"wide"`` (one
                column per field; when the job ends, all parts get the columns of all).
            add: what else to have for each field, as `include` of `Processed.table`: ``"confidence"``, ``"valid"``,
                ``"page"`` …
            raw: keep the server's result pages too, in ``out/raw``.
            formulas: leave texts in CSV that a spreadsheet would run as a formula as they are.
            send_all_types: also send files whose extension AI Hub is not known to accept.
            include: only files of folders that match one of these `fnmatch` patterns.
            exclude: no files or folders of folders that match one of these.
            batch_files: files of a run, at most 1,000.
            batch_bytes: bytes of a batch, about.
            max_runs: runs in flight at once.
            in_flight_grace: seconds to look up what a request of unknown outcome created, before it is sent again.
            outage_patience: seconds that the server may be unreachable before the job stops with an error.
            max_files: files that the job may send over all its resumptions; it continues with a higher limit.
            max_pages: likewise pages: of PDF and TIFF files and images; other files count as one page.
            max_runs_total: likewise runs.
            on_progress: called with the `IngestStatus` about twice a second.

        Raises:
            ConfigurationError: the arguments do not make a job.

        Example:
            >>> async def ingest(client):
            ...     job = client.ingest("scans", app_name="invoices", out="results")
            ...     print(await job.plan())
            ...     status = await job.run()
            ...     return status.complete
        """
        settings = settings if callable(settings) else conceal_settings(settings)
        # SQLite and all of the job's machinery are only needed here.
        from aihub_async.ingest.cloud import split_out  # noqa: PLC0415
        from aihub_async.ingest.folder import default_journal  # noqa: PLC0415
        from aihub_async.ingest.job import IngestJob  # noqa: PLC0415
        from aihub_async.ingest.options import JobOptions  # noqa: PLC0415

        folder, url = split_out(out)
        options = JobOptions(
            out=folder,
            publish_to=url,
            journal=default_journal(folder) if journal is None else journal,
            app_name=app_name,
            app_id=app_id,
            deployment_id=deployment_id,
            owner=owner,
            version=version,
            workspace=workspace,
            settings=settings,
            group=group,
            on_review=on_review,
            gate=gate,
            format=format,
            rows=rows,
            columns=columns,
            add=add,
            raw=raw,
            formulas=formulas,
            send_all_types=send_all_types,
            include=include,
            exclude=exclude,
            batch_files=batch_files,
            batch_bytes=batch_bytes,
            max_runs=max_runs,
            in_flight_grace=in_flight_grace,
            outage_patience=outage_patience,
            max_files=max_files,
            max_pages=max_pages,
            max_runs_total=max_runs_total,
        )
        # Workers of other processes take the API key from their environment.
        root = self.settings.api_root
        connect = functools.partial(type(self), ib_context=self.settings.ib_context, api_root=root)
        job = functools.partial(IngestJob, connect=connect, server=root, telemetry=self._transport.telemetry)
        return job(self, sources, options, on_progress=on_progress)

    async def aclose(self) -> None:
        """Close the connections. A second call does nothing; clients made by `with_options` leave them open."""
        if self._owner:
            await self._scheduler.aclose()
            await self._transport.wire.aclose()

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
