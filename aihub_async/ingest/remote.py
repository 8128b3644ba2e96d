"""The server's side of a job, over the resources of a client."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import attrs

from aihub_async import operations as ops
from aihub_async.errors import NotFoundError
from aihub_async.ingest.naming import JOB_NAME
from aihub_async.ingest.options import JobOptions
from aihub_async.models import BatchInfo, Run, RunResults, RunStatus
from aihub_async.models.uploads import UploadRecord
from aihub_async.pagination import Page, Pages
from aihub_async.reconcile.named import find_batches
from aihub_async.reconcile.runs import find_tagged
from aihub_async.resources.apps import Apps
from aihub_async.resources.batches import Batches
from aihub_async.transport.messages import Response
from aihub_async.uploads.remote import RemoteFile
from aihub_async.uploads.sources import SourceReader

_KNOWN_STATUSES = frozenset(RunStatus)


class Resources(Protocol):
    """What a job uses of a client."""

    batches: Batches
    apps: Apps

    async def request(self, method: str, path: str, *, params: Mapping[str, Any] | None = None) -> Response:
        """See `AsyncAIHub.request`."""
        ...


class Outcomes(Protocol):
    """The outcomes of an upload, a page at a time."""

    async def next_page(self) -> list[UploadRecord] | None:
        """Return the next outcomes, or None after the last."""

    async def aclose(self) -> None:
        """Abort what is still being sent."""


@attrs.frozen
class Known:
    """What the server has under the names of a job: ids of batches by name, ids of runs by tag."""

    batches: Mapping[str, int] = attrs.field(factory=dict)
    runs: Mapping[str, str] = attrs.field(factory=dict)


class Remote:
    """The server's side of a job: each method is one step."""

    def __init__(self, resources: Resources, options: JobOptions) -> None:
        self._resources = resources
        self._options = options

    async def create_batch(self, name: str) -> int:
        """Create a batch and return its id."""
        return (await self._resources.batches.create(name, self._options.workspace, unique_name=True)).id

    async def batch_exists(self, batch_id: int) -> bool:
        """Return whether the batch exists; raise what any request raises when the server cannot be reached."""
        try:
            await self._resources.batches.get(batch_id)
        except NotFoundError:
            return False
        return True

    async def file_sizes(self, batch_id: int) -> dict[str, int | None]:
        """Return the files that a batch has, with their sizes in bytes."""
        nodes = self._resources.batches.iter_files(batch_id)
        return {node.name: node.metadata.size if node.metadata else None async for node in nodes if node.name}

    async def jobs(self) -> set[str]:
        """Return the ids of all jobs that the server has batches of."""
        return {match["job"] async for batch in self._batches() if (match := JOB_NAME.fullmatch(batch.name or ""))}

    def upload(self, batch_id: int, files: Iterable[tuple[str, str | RemoteFile]]) -> Outcomes:
        """Send files; their outcomes arrive a page at a time, as they happen."""
        return self._resources.batches.iter_upload(batch_id, SourceReader(files))

    async def submit(self, batch_id: int, tag: str, group: str) -> str:
        """Start the run of a batch and return its id."""
        options = self._options
        settings = options.run_settings(group)
        settings["tags"] = [*(settings.get("tags") or ()), tag]
        if options.deployment_id is not None:
            handle = await self._resources.apps.deployments.runs.submit(
                options.deployment_id,
                batch_id=batch_id,
                version=options.version,
                output_workspace=options.workspace,
                settings=settings,
            )
            return handle.id
        handle = await self._resources.apps.runs.submit(
            app_name=options.app_name,
            app_id=options.app_id,
            batch_id=batch_id,
            owner=options.owner,
            version=options.version,
            output_workspace=options.workspace,
            settings=settings,
        )
        return handle.id

    async def wait(self, run_id: str, on_unknown: "OnUnknown") -> Run:
        """Wait for a run's end, however long it takes.

        Args:
            run_id: the run.
            on_unknown: called when the run has an unknown status.
        """

        def look(run: Run) -> None:
            if run.status not in _KNOWN_STATUSES:
                on_unknown(str(run.status))

        return await self._resources.apps.runs.handle(run_id).wait(
            timeout=None, on_update=look, through_review=self._options.on_review == "wait"
        )

    def results(self, run_id: str) -> Pages[RunResults]:
        """Return a run's results, page by page as the server sends them."""
        options = self._options

        async def fetch(cursor: str | int | None) -> Page[RunResults]:
            offset = int(cursor or 0)
            answer = await self._resources.apps.runs.results(run_id, offset, **options.requested)
            return Page([answer], offset + len(answer.files) if answer.has_more else None)

        return Pages(ops.GET_RUN_RESULTS, fetch, start=0)

    async def raw_results(self, run_id: str, offset: int) -> bytes:
        """Return a page of results as the bytes that the server sends."""
        path = ops.GET_RUN_RESULTS.url_path(run_id=run_id)
        return (await self._resources.request("GET", path, params={"file_offset": offset})).body

    async def known(self, prefix: str) -> Known:
        """Find all batches whose names begin with `prefix`, and the runs with a tag that does."""
        batches = await find_batches(self._batches(), prefix)
        if not batches:
            return Known()
        runs = await find_tagged(self._runs_since, prefix, batches.values())
        return Known({name: batch.id for name, batch in batches.items()}, runs)

    async def find_batch(self, name: str) -> int | None:
        """Find a batch by its unique name."""
        batch = (await find_batches(self._batches(), name)).get(name)
        return None if batch is None else batch.id

    async def find_run(self, tag: str, batch_id: int) -> str | None:
        """Find the run of a batch by its unique tag."""
        batch = await self._resources.batches.get(batch_id)
        return (await find_tagged(self._runs_since, tag, [batch])).get(tag)

    def _batches(self) -> Pages[BatchInfo]:
        return self._resources.batches.iter(workspace=self._options.workspace)

    def _runs_since(self, since: int) -> Pages[Run]:
        return self._resources.apps.runs.iter(from_timestamp=since, sort_by="start_timestamp", order="ASCENDING")


class OnUnknown(Protocol):
    """A callback for unknown statuses."""

    def __call__(self, status: str) -> None:
        """Take the status."""
