"""What a job does on the server, over a client."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from aihub_async import operations as ops
from aihub_async.errors import NotFoundError
from aihub_async.ingest.options import JobOptions
from aihub_async.models import BatchInfo, Run, RunResults
from aihub_async.pagination import Page, Pages

if TYPE_CHECKING:
    from aihub_async.client import AsyncAIHub
    from aihub_async.models.uploads import UploadRecord

_MARGIN = 60
"""Seconds by which the clocks of the server's machines may disagree."""


class Outcomes(Protocol):
    """The outcomes of an upload, a page at a time."""

    async def next_page(self) -> "list[UploadRecord] | None":
        """The next outcomes, or None after the last."""

    async def aclose(self) -> None:
        """Abort what is still being sent."""


class Remote:
    """The server's side of a job: each method is one step."""

    def __init__(self, client: "AsyncAIHub", options: JobOptions) -> None:
        self._client = client
        self._options = options

    async def create_batch(self, name: str) -> int:
        """Create a batch."""
        return (await self._client.batches.create(name, self._options.workspace, unique_name=True)).id

    async def batch_exists(self, batch_id: int) -> bool:
        """Whether the batch is there; raises what any request raises when the server cannot be reached."""
        try:
            await self._client.batches.get(batch_id)
        except NotFoundError:
            return False
        return True

    def upload(self, batch_id: int, files: Iterable[tuple[str, Path]]) -> Outcomes:
        """Send files; their outcomes come a page at a time, as they happen."""
        return self._client.batches.iter_upload(batch_id, files)

    async def submit(self, batch_id: int, tag: str) -> str:
        """Start the run of a batch and return its id."""
        options = self._options
        handle = await self._client.apps.runs.submit(
            app_name=options.app_name,
            app_id=options.app_id,
            batch_id=batch_id,
            owner=options.owner,
            version=options.version,
            output_workspace=options.workspace,
            settings={**options.settings, "tags": [*options.tags, tag]},
        )
        return handle.id

    async def wait(self, run_id: str) -> Run:
        """Wait for a run's end, however long it takes."""
        return await self._client.apps.runs.handle(run_id).wait(timeout=None)

    def results(self, run_id: str) -> Pages[RunResults]:
        """A run's results, page by page as the server gives them."""

        async def fetch(cursor: str | int | None) -> Page[RunResults]:
            offset = int(cursor or 0)
            answer = await self._client.apps.runs.results(
                run_id, offset, include_confidence_scores=self._options.rows == "field"
            )
            return Page([answer], offset + len(answer.files) if answer.has_more else None)

        return Pages(ops.GET_RUN_RESULTS, fetch, start=0)

    async def find_batches(self, prefix: str) -> dict[str, int]:
        """Return the ids of the batches whose names begin with `prefix`, by name."""
        return {batch.name: batch.id for batch in await self._batches(prefix)}

    async def find_runs(self, prefix: str) -> dict[str, str]:
        """Return the ids of the runs that have a tag beginning with `prefix`, by that tag.

        A tag is the name of the run's batch, so no run is older than the oldest of these batches. That is the server's
        own time: the calendar of this machine may be wrong, and bounds nothing.
        """
        created = [batch.created_at_ms or 0 for batch in await self._batches(prefix)]
        since = max(0, min(created, default=0) // 1000 - _MARGIN)
        found: dict[str, str] = {}
        async for run in self._client.apps.runs.iter(from_timestamp=since):
            found.update((tag, run.id) for tag in run.tags or () if tag.startswith(prefix))
        return found

    async def _batches(self, prefix: str) -> list[BatchInfo]:
        pages = self._client.batches.iter(workspace=self._options.workspace)
        return [batch async for batch in pages if batch.name.startswith(prefix)]
