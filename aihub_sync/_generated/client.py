# Written by `python -m aihub_sync._generate` from aihub_async/client.py. DO NOT EDIT.
"""Sync twins of the classes of `aihub_async.client`."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from aihub_async.client import AsyncAIHub
from aihub_sync._compat import check_old_options
from aihub_sync._facade import Facade, Lease
from aihub_sync._generated.apps import Apps
from aihub_sync._generated.batches import Batches
from aihub_sync._generated.job import IngestJob
from aihub_sync._generated.jobs import Jobs
from aihub_sync._generated.secrets import Secrets
from aihub_sync._pages import Pages

if TYPE_CHECKING:
    import os
    import ssl
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    import aiohttp

    from aihub_async import client
    from aihub_async.clock import Clock
    from aihub_async.config import ClientConfig, KeySource
    from aihub_async.ingest.options import SettingsOf
    from aihub_async.ingest.progress import IngestStatus
    from aihub_async.ingest.scan import Sources as IngestSources
    from aihub_async.models import Run, RunSettings
    from aihub_async.process_each import Groups, ProcessOutcome
    from aihub_async.results.gates import Gate
    from aihub_async.results.processed import Processed
    from aihub_async.transport.events import Hook
    from aihub_async.transport.messages import Response
    from aihub_async.transport.observing import Telemetry
    from aihub_async.types import QueryValue
    from aihub_async.uploads.contents import Content
    from aihub_async.uploads.engine import OnProgress
    from aihub_async.uploads.sources import Naming, Sources
    from aihub_sync._generated.audit import Audit
    from aihub_sync._generated.conversations import Conversations
    from aihub_sync._generated.files import Files
    from aihub_sync._generated.queries import Queries
    from aihub_sync._generated.v1_flows import Flows
    from aihub_sync._generated.v1_legacy import Legacy
    from aihub_sync._webhooks import WebhookReceiver


class AIHub(Facade):
    """A client of AI Hub for scripts, threads, notebooks and workers.

    All clients of a process share one background thread; hooks, callbacks and sources are called there.

    Args:
        api_key: API token (default: AIHUB_API_KEY). Or a function that returns it, for tokens that rotate: it is called
            at the first request, and again once when the server answers 401.
        ib_context: usually the organization id (default: AIHUB_IB_CONTEXT; without it the community account's).
        api_root: URL (default: AIHUB_API_ROOT, else ``https://aihub.instabase.com/api``).
        debug: accepted for the official SDK's scripts; has no effect.
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
        api_token: deprecated name of `api_key` in samples for the official SDK.

    It can be used with or without `with`, by many threads concurrently, inside a running loop, and after a fork.

    Raises:
        ConfigurationError: a setting is missing or cannot be used.

    Example:
        >>> def count_batches():
        ...     with AIHub(api_key="…") as client:
        ...         return len([batch for batch in client.batches.iter()])
    """

    _async: client.AsyncAIHub
    batches: Batches
    """See the class."""
    apps: Apps
    """See the class."""
    jobs: Jobs
    """Jobs that delete, and waiting for them."""
    secrets: Secrets
    """The organization's vault."""

    def __init__(
        self,
        api_key: str | KeySource | None = None,
        ib_context: str | None = None,
        api_root: str | None = None,
        debug: bool | None = None,
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
        connector: aiohttp.BaseConnector | None = None,
        trust_env: bool = False,
        allow_insecure: bool = False,
        hooks: Sequence[Hook] = (),
        telemetry: Telemetry | None = None,
        clock: Clock | None = None,
        webhooks: WebhookReceiver | None = None,
        api_version: str | None = None,
        profile: str | None = None,
        api_token: str | None = None,
    ) -> None:
        """Create a client.

        Args:
            api_key: API token (default: AIHUB_API_KEY). Or a function that returns it, for tokens that rotate: it is
                called at the first request, and again once when the server answers 401.
            ib_context: usually the organization id (default: AIHUB_IB_CONTEXT; without it the community account's).
            api_root: URL (default: AIHUB_API_ROOT, else ``https://aihub.instabase.com/api``).
            debug: accepted for the official SDK's scripts; has no effect.
            timeout: seconds for one attempt, plus the time that its bytes take at 32 KiB/s (default: 60).
            deadline: seconds for one call with all attempts and waits, plus the time of its bytes (default: 300); may
                be infinite.
            max_retries: number of further attempts after the first (default: 4).
            reconcile_for: seconds for which a run, batch or secret whose creation was unclear is looked up before it is
                sent again (default: `timeout`). A server that carries it out even later can still create a duplicate.
            max_concurrent_requests: maximum number of requests in flight (default: 64); fewer where more would gain
                nothing.
            max_requests_per_second: requests per second of all calls together, spaced evenly (default: no limit).
            max_bytes_in_flight: bytes of request bodies held in memory at the same time (default: 64 MiB); files are
                read in chunks.
            headers: names and values sent with every request (default: none).
            ssl_context: TLS settings (default: those of Python with the system's certificates).
            proxy: URL of an HTTP proxy, such as ``http://user:password@proxy.example:3128`` (default: none).
            connector: an aiohttp connector to use, which stays yours to close (default: one of the client's own).
            trust_env: take the proxy from the environment, HTTPS_PROXY and NO_PROXY (default: False); netrc is never
                read.
            allow_insecure: allow an ``http://`` root that is not on this machine, or that is reached through a proxy
                (default: False, or AIHUB_ALLOW_INSECURE).
            hooks: callables that get an `AttemptEvent` after each attempt (default: none).
            telemetry: observes calls, runs and bulk jobs: `OpenTelemetry` (extra `otel`), or a `Telemetry` of yours
                (default: none).
            clock: time, sleep and randomness, for tests (default: those of the system).
            webhooks: a receiver for the webhooks of runs; submitted runs call it at their end, which ends waits early
                (default: none).
            api_version: ``"2024"`` for a server of that time, which names some parameters differently (default:
                current).
            profile: name of settings that `aihub login` saved (default: AIHUB_PROFILE, else ``default`` without a key).
            api_token: deprecated name of `api_key` in samples for the official SDK.

        Raises:
            ConfigurationError: a setting is missing or cannot be used.
        """
        try:
            check_old_options(api_key=api_key is not None, debug=debug is not None, api_token=api_token is not None)
            wrapped = AsyncAIHub(
                api_key if api_token is None else api_token,
                ib_context,
                api_root,
                timeout=timeout,
                deadline=deadline,
                max_retries=max_retries,
                reconcile_for=reconcile_for,
                max_concurrent_requests=max_concurrent_requests,
                max_requests_per_second=max_requests_per_second,
                max_bytes_in_flight=max_bytes_in_flight,
                headers=headers,
                ssl_context=ssl_context,
                proxy=proxy,
                connector=connector,
                trust_env=trust_env,
                allow_insecure=allow_insecure,
                hooks=hooks,
                telemetry=telemetry,
                clock=clock,
                webhooks=None if webhooks is None else webhooks.wrapped,
                api_version=api_version,
                profile=profile,
            )
        finally:
            del api_key, api_root, headers, proxy, api_token
        self._bind(wrapped, Lease(wrapped, webhooks))

    def _bind(self, wrapped: client.AsyncAIHub, lease: Lease) -> None:
        super()._bind(wrapped, lease)
        self.batches = Batches(wrapped.batches, lease)
        self.apps = Apps(wrapped.apps, lease)
        self.jobs = Jobs(wrapped.jobs, lease)
        self.secrets = Secrets(wrapped.secrets, lease)

    @cached_property
    def files(self) -> Files:
        """The files of connected drives."""
        from aihub_sync._generated.files import Files

        return Files(self._async.files, self._lease)

    @cached_property
    def audit(self) -> Audit:
        """The audit log."""
        from aihub_sync._generated.audit import Audit

        return Audit(self._async.audit, self._lease)

    @cached_property
    def legacy(self) -> Legacy:
        """The deprecated endpoints that run apps."""
        from aihub_sync._generated.v1_legacy import Legacy

        return Legacy(self._async.legacy, self._lease)

    @cached_property
    def flows(self) -> Flows:
        """Flows of the older platform."""
        from aihub_sync._generated.v1_flows import Flows

        return Flows(self._async.flows, self._lease)

    @cached_property
    def conversations(self) -> Conversations:
        """Conversations with documents, which left AI Hub in February 2026."""
        from aihub_sync._generated.conversations import Conversations

        return Conversations(self._async.conversations, self._lease)

    @cached_property
    def queries(self) -> Queries:
        """Questions to apps, which left AI Hub in February 2026."""
        from aihub_sync._generated.queries import Queries

        return Queries(self._async.queries, self._lease)

    def process(
        self,
        sources: Sources | None = None,
        *,
        app_name: str | None = None,
        app_id: str | None = None,
        deployment_id: str | None = None,
        batch_id: str | int | None = None,
        batch_name: str | None = None,
        workspace: str | None = None,
        owner: str | None = None,
        version: str | None = None,
        output_workspace: str | None = None,
        output_dir: str | None = None,
        settings: RunSettings | Mapping[str, Any] | None = None,
        dedupe: bool = True,
        timeout: float | None = None,
        through_review: bool = False,
        on_progress: OnProgress | None = None,
        on_update: Callable[[Run], None] | None = None,
        naming: Naming = None,
        include: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        include_confidence_scores: bool = True,
        include_source_info: bool = False,
        include_review_results: bool = False,
        include_validation_results: bool = False,
    ) -> Processed:
        """Upload documents to a new batch, run an app on them, wait, and return all extracted fields.

        Sources, names and arguments are checked before the first request: of bad input nothing is left on the server.
        Then the API is queried for the app; some servers only report an unknown app when the run starts.

        Args:
            sources: what `batches.upload()` takes: paths, folders, ``(name, bytes)`` …; at most 1,000 files.
            app_name: the app to run; this, `app_id` or `deployment_id`.
            app_id: the app to run.
            deployment_id: the deployment to run.
            batch_id: process the files of this batch instead of `sources`.
            batch_name: name of the new batch; one with date and random letters by default.
            workspace: where the new batch is made.
            owner: who made the app: yourself by default, ``instabase`` for published ones.
            version: the latest production version by default.
            output_workspace: as for `apps.runs.create()`.
            output_dir: as for `apps.runs.create()`.
            settings: as for `apps.runs.create()`.
            dedupe: as for `apps.runs.create()`.
            timeout: seconds to wait for the run; as long as it takes by default.
            through_review: wait through a human review instead of raising at its beginning.
            on_progress: called with the state of the upload.
            on_update: called with the run at its start and whenever its status changes.
            naming: as for `batches.upload()`.
            include: as for `batches.upload()`.
            exclude: as for `batches.upload()`.
            include_confidence_scores: as for `apps.runs.results()`; on by default, because it costs nothing.
            include_source_info: as for `apps.runs.results()`.
            include_review_results: as for `apps.runs.results()`.
            include_validation_results: as for `apps.runs.results()`.

        Raises:
            InvalidRequestError: not one app, no files, or more than 1,000.
            UploadError: some files could not be uploaded; no run was started.
            RunFailedError: the run failed; see also `RunCancelledError` and `RunNeedsReviewError`.
            WaitTimeoutError: the timeout expired; the run continues, and its id is in the error.

        Example:
            >>> def totals(client, paths):
            ...     processed = client.process(paths, app_name="Invoices")
            ...     return {row.file: row.value for row in processed.rows() if row.field == "total"}
        """
        try:
            return self._lease.run(
                self._async.process(
                    sources,
                    app_name=app_name,
                    app_id=app_id,
                    deployment_id=deployment_id,
                    batch_id=batch_id,
                    batch_name=batch_name,
                    workspace=workspace,
                    owner=owner,
                    version=version,
                    output_workspace=output_workspace,
                    output_dir=output_dir,
                    settings=settings,
                    dedupe=dedupe,
                    timeout=timeout,
                    through_review=through_review,
                    on_progress=on_progress,
                    on_update=on_update,
                    naming=naming,
                    include=include,
                    exclude=exclude,
                    include_confidence_scores=include_confidence_scores,
                    include_source_info=include_source_info,
                    include_review_results=include_review_results,
                    include_validation_results=include_validation_results,
                )
            )
        finally:
            del settings

    def process_each(
        self,
        groups: Groups,
        *,
        app_name: str | None = None,
        app_id: str | None = None,
        deployment_id: str | None = None,
        workspace: str | None = None,
        owner: str | None = None,
        version: str | None = None,
        output_workspace: str | None = None,
        settings: RunSettings | Mapping[str, Any] | None = None,
        timeout: float | None = None,
        through_review: bool = False,
        max_in_flight: int = 8,
        ordered: bool = False,
        include_confidence_scores: bool = True,
        include_source_info: bool = False,
        include_review_results: bool = False,
        include_validation_results: bool = False,
    ) -> Pages[ProcessOutcome]:
        """Process each group of sources in its own run, several at a time; return the outcomes as each ends.

        It is between `process()` and `ingest()`: any number of groups in flat memory, nothing kept, no journal.
        After an interruption the caller has to know which groups have ended.

        Args:
            groups: an iterable of what `process()` takes: a folder, or a list of sources, for each run.
            app_name: as for `process()`, as all that follows.
            app_id: the app to run.
            deployment_id: the deployment to run.
            workspace: where the batches are made.
            owner: who made the app.
            version: the latest production version by default.
            output_workspace: as for `apps.runs.create()`.
            settings: as for `apps.runs.create()`.
            timeout: seconds to wait for each run.
            through_review: wait through human reviews.
            max_in_flight: groups in progress at a time.
            ordered: return outcomes in the order of the groups; by default as they end.
            include_confidence_scores: as for `apps.runs.results()`.
            include_source_info: as for `apps.runs.results()`.
            include_review_results: as for `apps.runs.results()`.
            include_validation_results: as for `apps.runs.results()`.

        Returns:
            An iterator of `ProcessOutcome`: the group with its `result`, or its `error`.

        Raises:
            InvalidRequestError: not exactly one app or deployment, or `max_in_flight` below 1.

        Example:
            >>> def totals(client, folders):
            ...     for outcome in client.process_each(folders, app_name="Claims"):
            ...         print(outcome.sources, outcome.error or outcome.result.run.id)
        """
        try:
            return Pages(
                self._async.process_each(
                    groups,
                    app_name=app_name,
                    app_id=app_id,
                    deployment_id=deployment_id,
                    workspace=workspace,
                    owner=owner,
                    version=version,
                    output_workspace=output_workspace,
                    settings=settings,
                    timeout=timeout,
                    through_review=through_review,
                    max_in_flight=max_in_flight,
                    ordered=ordered,
                    include_confidence_scores=include_confidence_scores,
                    include_source_info=include_source_info,
                    include_review_results=include_review_results,
                    include_validation_results=include_validation_results,
                ),
                self._lease,
            )
        finally:
            del settings

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, QueryValue] | None = None,
        json: Any = None,
        content: Content | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send any request, with the authorization, retries and errors of this client.

        Args:
            method: HTTP method. POST and PATCH are sent again only when nothing can have happened.
            path: below `api_root`, beginning with a slash, such as ``/v2/batches``.
            params: the query.
            json: the body, as JSON.
            content: the body, as bytes, a path object, or an open binary file.
            headers: more headers.

        Returns:
            The answer: `status`, `headers`, `body`, `json()`.

        Raises:
            InvalidRequestError: the path, a header or the body cannot be sent as it is.
            RequestError: see the tree in `aihub_sync.errors`.

        Example:
            >>> def batches(client):
            ...     return client.request("GET", "/v2/batches", params={"limit": 5}).json()
        """
        try:
            return self._lease.run(
                self._async.request(method, path, params=params, json=json, content=content, headers=headers)
            )
        finally:
            del json, content, headers

    def ingest(
        self,
        sources: IngestSources,
        *,
        app_name: str | None = None,
        app_id: str | None = None,
        deployment_id: str | None = None,
        out: str | os.PathLike[str],
        journal: str | os.PathLike[str] | None = None,
        owner: str | None = None,
        version: str | None = None,
        workspace: str | None = None,
        settings: RunSettings | Mapping[str, Any] | SettingsOf | None = None,
        group: str | Callable[[Path], str] | None = None,
        group_sorted: bool = False,
        on_review: str = "skip",
        gate: Gate | None = None,
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
        on_progress: Callable[[IngestStatus], None] | None = None,
    ) -> IngestJob:
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
                The name is a column of every row. A group of more than 1,000 files is refused. The run of a subfolder
                starts when the next one is read. Those of a callable start when the source has been read, since any
                later file may belong to any group; see `group_sorted`.
            group_sorted: the source has the files of each group of a callable one after the other, so that the run of a
                group starts when the next group begins. A file whose group had ended before is refused: a group never
                becomes two runs.
            on_review: what to do when a run stops for a human review: ``"skip"`` leaves it to a later call of the same
                job, which collects the results; ``"wait"`` waits; ``"export"`` writes the current results, with
                ``review_completed`` false, until a later call replaces them. The API documents results of completed
                runs only: where the server refuses those of a run in review, it is left as with ``"skip"``.
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
            max_runs: maximum number of runs in flight.
            in_flight_grace: seconds to look up what a request of unknown outcome created, before it is sent again.
            outage_patience: seconds that the server may be unreachable before the job stops with an error.
            max_files: files that the job may send over all its resumptions; it continues with a higher limit.
            max_pages: likewise pages: of PDF and TIFF files and images; other files count as one page.
            max_runs_total: likewise runs.
            on_progress: called with the `IngestStatus` about twice a second.

        Raises:
            ConfigurationError: the arguments do not make a job.

        Example:
            >>> def ingest(client):
            ...     job = client.ingest("scans", app_name="invoices", out="results")
            ...     print(job.plan())
            ...     status = job.run()
            ...     return status.complete
        """
        try:
            return IngestJob(
                self._async.ingest(
                    sources,
                    app_name=app_name,
                    app_id=app_id,
                    deployment_id=deployment_id,
                    out=out,
                    journal=journal,
                    owner=owner,
                    version=version,
                    workspace=workspace,
                    settings=settings,
                    group=group,
                    group_sorted=group_sorted,
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
                    on_progress=on_progress,
                ),
                self._lease,
            )
        finally:
            del settings

    @property
    def settings(self) -> ClientConfig:
        """The configuration of this client; frozen."""
        return self._async.settings

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
            >>> def quick_look(client, run_id):
            ...     return client.with_options(timeout=2, max_retries=0).apps.runs.status(run_id)
        """
        try:
            return self._derive(
                self._async.with_options(
                    timeout=timeout,
                    deadline=deadline,
                    max_retries=max_retries,
                    reconcile_for=reconcile_for,
                    headers=headers,
                    ib_context=ib_context,
                )
            )
        finally:
            del headers

    def close(self) -> None:
        """End all calls and waits with `ClosedClientError`, and close the connections.

        A second call does nothing, and so do clients made by `with_options`.
        """
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
