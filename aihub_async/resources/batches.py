"""`client.batches`: batches of files, the input of runs."""

import functools

from aihub_async import operations as ops
from aihub_async.errors import BadRequestError, InvalidRequestError, UnprocessableError
from aihub_async.limits import MAX_NAME_LENGTH
from aihub_async.models import (
    Batch,
    BatchDeletionJob,
    BatchInfo,
    JobStatus,
    ListBatches,
)
from aihub_async.pagination import Page, Pages, listed, offset_page
from aihub_async.reconcile.named import BatchFinder
from aihub_async.reconcile.once import OncePolicy, send_once
from aihub_async.resources._base import given
from aihub_async.resources.batch_files import BatchFiles
from aihub_async.transport.messages import Response
from aihub_async.types import Id

_PAGE = 100
_MOST = 1000


class Batches(BatchFiles):
    """Batches hold files; a run processes all files of its batch."""

    async def create(self, name: str, workspace: str | None = None, *, unique_name: bool = False) -> Batch:
        """Create an empty batch.

        Args:
            name: 1 to 255 characters.
            workspace: where to create it; the personal workspace by default. Service accounts must name one.
            unique_name: assert that nothing else creates a batch of this name, such as one with a UUID. If the
                answer is lost, a batch of this name that appears later is then taken for the one that was requested.

        Returns:
            The batch's id; nothing else is echoed.

        Raises:
            InvalidRequestError: the name is empty or too long.
            OutcomeUnknownError: the connection broke, and it could not be determined whether the batch exists. It is
                looked up by its name, so another batch of the same name may make that impossible.

        Example:
            >>> async def new_batch(client):
            ...     batch = await client.batches.create("march invoices")
            ...     return batch.id
        """
        check_batch_name(name)
        settings, clock = self._transport.settings, self._transport.clock
        page = functools.partial(self._page, workspace)
        finder = BatchFinder(page, name, clock.monotonic(), clock, unique_name)

        async def send() -> Batch:
            finder.resent()
            return await self._fetch(Batch, ops.CREATE_BATCH, json=given(name=name, workspace=workspace))

        return await send_once(send, finder, OncePolicy.of(settings, clock))

    async def _page(self, workspace: str | None, offset: int) -> Response:
        try:
            return await self._send(ops.LIST_BATCHES, query=given(workspace=workspace, limit=_MOST, offset=offset))
        except (BadRequestError, UnprocessableError):
            return await self._send(ops.LIST_BATCHES, query=given(workspace=workspace, limit=_PAGE, offset=offset))

    async def list(
        self,
        workspace: str | None = None,
        username: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> ListBatches:
        """List one page of batches; `iter()` returns all of them.

        Args:
            workspace: only batches of this workspace.
            username: only batches created by this user id, such as ``john.doe_acme.com``.
            limit: how many at most; the server's default and maximum are not documented.
            offset: how many to skip.
        """
        return await self._fetch(
            ListBatches,
            ops.LIST_BATCHES,
            query=given(workspace=workspace, username=username, limit=limit, offset=offset),
        )

    def iter(
        self, workspace: str | None = None, username: str | None = None, *, page_size: int = _PAGE
    ) -> Pages[BatchInfo]:
        """Return all batches, page by page; arguments as for `list()`.

        Example:
            >>> async def names(client):
            ...     return [batch.name async for batch in client.batches.iter()]
        """

        async def fetch(cursor: str | int | None) -> Page[BatchInfo]:
            offset = int(cursor or 0)
            answer = await self.list(workspace, username, limit=page_size, offset=offset)
            return offset_page(listed(ops.LIST_BATCHES, answer, answer.batches, "batches"), offset, page_size)

        return Pages(ops.LIST_BATCHES, fetch, key=lambda batch: batch.id)

    async def get(self, batch_id: Id) -> BatchInfo:
        """Return a description of a batch.

        Raises:
            NotFoundError: it does not exist, or you are not allowed to see it.
        """
        return await self._fetch(BatchInfo, ops.GET_BATCH, batch_id=batch_id)

    async def delete(self, batch_id: Id) -> BatchDeletionJob:
        """Delete a batch with all its files.

        Returns:
            The job that deletes it. Its id is empty when a repeated request found the batch already gone.

        Raises:
            NotFoundError: it does not exist.
        """
        response = await self._send(ops.DELETE_BATCH, batch_id=batch_id)
        if response.settled:
            return BatchDeletionJob(job_id="")
        return self._read(BatchDeletionJob, ops.DELETE_BATCH, response, batch_id=batch_id)

    async def poll_job(self, job_id: str) -> JobStatus:
        """Return the state of a deletion job; prefer `client.jobs.status()`, which is the same."""
        return await self._fetch(JobStatus, ops.POLL_BATCHES_JOB, job_id=job_id)


def check_batch_name(name: str) -> None:
    """Refuse a name that the API would refuse.

    Raises:
        InvalidRequestError: it is empty or too long.
    """
    if not 1 <= len(name) <= MAX_NAME_LENGTH:
        raise InvalidRequestError(f"a batch name has 1 to {MAX_NAME_LENGTH} characters, not {len(name)}")
