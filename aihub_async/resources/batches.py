"""`client.batches`: batches of files, the input of runs."""

import functools
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from aihub_async import operations as ops
from aihub_async.errors import BadRequestError, InvalidRequestError, UnprocessableError
from aihub_async.limits import MAX_NAME_LENGTH, MULTIPART_THRESHOLD
from aihub_async.models import (
    Batch,
    BatchDeletionJob,
    BatchInfo,
    DeletionJob,
    FileNode,
    JobStatus,
    ListBatches,
    ListBatchFiles,
    MultipartUploadPart,
    MultipartUploadSession,
)
from aihub_async.models.uploads import UploadReport, upload_error, verified
from aihub_async.pagination import Page, Pages, offset_page
from aihub_async.reconcile.named import BatchFinder
from aihub_async.reconcile.once import OncePolicy, send_once
from aihub_async.resources._base import Id, Resource, given
from aihub_async.resources._batch_api import BatchAPI
from aihub_async.transport.messages import Response
from aihub_async.uploads.contents import ByteStream
from aihub_async.uploads.engine import OnError, OnProgress, Options, Uploads, collect, upload_one
from aihub_async.uploads.multipart import UploadResume
from aihub_async.uploads.sources import Content, Feed, Naming, Sources, content_body, open_body
from aihub_async.uploads.walking import Filter

_PAGE = 100
_MOST = 1000


class Batches(Resource):
    """Batches hold files; a run processes all files of its batch."""

    async def create(self, name: str, workspace: str | None = None, *, unique_name: bool = False) -> Batch:
        """Create an empty batch.

        Args:
            name: 1 to 255 characters.
            workspace: where to create it; the personal workspace by default. Service accounts must name one.
            unique_name: nobody else creates a batch of this name, such as one with a UUID. If the answer is lost, a
                batch of this name that appears later is then taken for the one that was requested.

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
        if not 1 <= len(name) <= MAX_NAME_LENGTH:
            raise InvalidRequestError(f"a batch name has 1 to {MAX_NAME_LENGTH} characters, not {len(name)}")
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
        """List one page of batches; `iter()` gives them all.

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
        """All batches, page by page; arguments as for `list()`.

        Example:
            >>> async def names(client):
            ...     return [batch.name async for batch in client.batches.iter()]
        """

        async def fetch(cursor: str | int | None) -> Page[BatchInfo]:
            offset = int(cursor or 0)
            answer = await self.list(workspace, username, limit=page_size, offset=offset)
            return offset_page(answer.batches, offset, page_size)

        return Pages(ops.LIST_BATCHES, fetch, key=lambda batch: batch.id)

    async def get(self, batch_id: Id) -> BatchInfo:
        """Describe a batch.

        Raises:
            NotFoundError: it does not exist, or you may not see it.
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

    async def list_files(
        self, batch_id: Id, page_size: int | None = None, start_token: str | None = None
    ) -> ListBatchFiles:
        """List one page of a batch's files; `iter_files()` gives them all.

        Args:
            batch_id: the batch.
            page_size: files per page.
            start_token: `next_page_token` of the page before.
        """
        return await self._fetch(
            ListBatchFiles,
            ops.LIST_FILES,
            query=given(page_size=page_size, start_token=start_token),
            batch_id=batch_id,
        )

    def iter_files(self, batch_id: Id, *, page_size: int | None = None) -> Pages[FileNode]:
        """All files of a batch. Sizes are bytes; `metadata.modified_timestamp` is Unix seconds."""

        async def fetch(cursor: str | int | None) -> Page[FileNode]:
            answer = await self.list_files(batch_id, page_size, None if cursor is None else str(cursor))
            return Page(answer.nodes, answer.next_page_token or None if answer.has_more else None)

        return Pages(ops.LIST_FILES, fetch)

    async def upload(
        self,
        batch_id: Id,
        sources: Sources,
        *,
        max_concurrency: int | None = None,
        on_error: OnError = "raise",
        verify: bool = False,
        on_progress: OnProgress | None = None,
        naming: Naming = None,
        include: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        digest: bool = False,
        multipart_threshold: int = MULTIPART_THRESHOLD,
    ) -> UploadReport:
        """Upload many files at once.

        Files of the batch that have the same name are replaced. Two sources that would get one name, also if they
        differ only in case or Unicode form, are found: the second is an error, and nothing of it is sent. An empty
        file becomes an empty file. A file that changes while it is read is an error, never half a file.

        Args:
            batch_id: the batch.
            sources: a path, a folder with everything below it, ``(name, content)``, an open binary file, an fsspec
                URL such as ``s3://bucket/folder`` (extra ``fsspec``), or an iterable or async iterable of these,
                pulled as fast as they are sent. A str is a path; content is bytes, a path, an open binary file or a
                `ByteStream`.
            max_concurrency: files in flight at once; the client's `max_concurrent_requests` by default.
            on_error: ``"raise"`` starts no more files after the first error, lets those in flight end and raises;
                ``"collect"`` goes on and leaves errors in the report.
            verify: compare names and sizes with the batch's list of files afterwards.
            on_progress: called with an `UploadProgress` at most ten times a second, and at the end.
            naming: how files get their names: the last part of the path (``"name"``, the default), the path below
                the folder joined by ``__`` (``"relative"``), or a callable that is given the path.
            include: only files of folders that match one of these `fnmatch` patterns.
            exclude: no files or folders of folders that match one of these.
            digest: put the SHA-256 of each file into its record.
            multipart_threshold: bytes above which a file is sent in parts.

        Returns:
            One record per source, in the order of the sources.

        Raises:
            UploadError: something failed, with ``on_error="raise"``; its `report` has all records, its cause is the
                first error.
            InvalidRequestError: an argument cannot be used.

        Example:
            >>> async def upload_scans(client, batch_id):
            ...     report = await client.batches.upload(batch_id, "scans/", include="*.pdf")
            ...     return report.files, report.bytes
        """
        if on_error not in {"raise", "collect"}:
            raise InvalidRequestError(f"on_error is 'raise' or 'collect', not {on_error!r}")
        started = time.monotonic()
        options = Options(
            max_concurrency if max_concurrency is not None else self._transport.settings.max_concurrent_requests,
            stop_at_error=on_error == "raise",
            digest=digest,
            multipart_threshold=multipart_threshold,
            on_progress=on_progress,
        )
        steps = self._steps(batch_id)
        records = await collect(steps, Feed(sources, naming, Filter(include, exclude)), options)
        if verify:
            nodes = {node.name: node.metadata async for node in self.iter_files(batch_id)}
            records = verified(records, {name: data.size if data else None for name, data in nodes.items() if name})
        report = UploadReport(records, time.monotonic() - started)
        if on_error == "raise" and not report.ok:
            raise upload_error(report)
        return report

    def iter_upload(
        self,
        batch_id: Id,
        sources: Sources,
        *,
        max_concurrency: int | None = None,
        on_progress: OnProgress | None = None,
        naming: Naming = None,
        include: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        digest: bool = False,
        multipart_threshold: int = MULTIPART_THRESHOLD,
    ) -> Uploads:
        """Upload any number of files in constant memory; gives the outcomes as they happen.

        Arguments are those of `upload()`. Errors are in the records, and the upload goes on. What is kept of each
        source is a 64-bit number, for the detection of equal names. Leaving the loop, or `aclose()`, cancels what is
        in flight.

        Example:
            >>> async def upload_archive(client, batch_id, paths):
            ...     async with client.batches.iter_upload(batch_id, paths) as uploads:
            ...         async for record in uploads:
            ...             print(record.name, record.error or "uploaded")
        """
        options = Options(
            max_concurrency if max_concurrency is not None else self._transport.settings.max_concurrent_requests,
            digest=digest,
            multipart_threshold=multipart_threshold,
            on_progress=on_progress,
        )
        return Uploads(self._steps(batch_id), Feed(sources, naming, Filter(include, exclude)), options)

    async def add_file(self, batch_id: Id, file_name: str, file: Content | ByteStream) -> None:
        """Upload one file, replacing a file of the same name; above 10 MB in parts.

        Args:
            batch_id: the batch.
            file_name: its name in the batch, with extension, at most 255 characters.
            file: bytes, a `pathlib.Path`, an open binary file or a `ByteStream`. A str is refused: it could be content
                or a path.

        Raises:
            InvalidRequestError: the name cannot be used, or `file` is text.
            SourceError: the file cannot be read, or changed while it was sent.
            NotFoundError: the batch does not exist.
        """
        ops.encode_segment("filename", file_name)
        body = open_body(file_name, file)
        await upload_one(self._steps(batch_id), file_name, body, threshold=MULTIPART_THRESHOLD)

    async def add_large_file(
        self,
        batch_id: Id,
        filename: str,
        file_path_or_data: str | Content | ByteStream,
        *,
        max_concurrency: int | None = None,
        resume: UploadResume | None = None,
    ) -> None:
        """Upload one file in parts, several at a time.

        Args:
            batch_id: the batch.
            filename: its name in the batch, with extension, at most 255 characters.
            file_path_or_data: a path (a str is one), bytes, an open binary file or a `ByteStream`.
            max_concurrency: parts in flight at once (12).
            resume: keeps the parts of an upload that breaks, so that the next call with it goes on from there.
                Without it the session is aborted.

        An empty file has no parts, and is sent with one PUT.

        Raises:
            InvalidRequestError: the name cannot be used.
            SourceError: the file cannot be read, or changed while it was sent.
            NotFoundError: the batch does not exist.
        """
        ops.encode_segment("filename", filename)
        if max_concurrency is not None and max_concurrency < 1:
            raise InvalidRequestError(f"max_concurrency must be 1 or more, not {max_concurrency}")
        source = Path(file_path_or_data) if isinstance(file_path_or_data, str) else file_path_or_data
        body = open_body(filename, source)
        await upload_one(self._steps(batch_id), filename, body, threshold=0, concurrency=max_concurrency, resume=resume)

    def _steps(self, batch_id: Id) -> BatchAPI:
        return BatchAPI(self, self._transport, batch_id)

    async def delete_file(self, batch_id: Id, file_name: str) -> DeletionJob:
        """Delete one file of a batch.

        Returns:
            The deletion job from the answer's Location header; None inside if the server named none.

        Raises:
            NotFoundError: the batch does not exist.
        """
        response = await self._send(ops.DELETE_BATCH_FILE, batch_id=batch_id, filename=file_name)
        return DeletionJob.from_location(response.headers.get("Location"))

    async def poll_job(self, job_id: str) -> JobStatus:
        """State of a deletion job; the same as `client.jobs.status()`, which is preferred."""
        return await self._fetch(JobStatus, ops.POLL_BATCHES_JOB, job_id=job_id)

    async def create_multipart_upload_session(
        self, batch_id: Id, filename: str, file_size: int
    ) -> MultipartUploadSession:
        """Start a multipart upload; `add_large_file()` does all its steps.

        Args:
            batch_id: the batch.
            filename: name in the batch, at most 255 characters.
            file_size: bytes.

        Returns:
            The session's id, and the size in bytes that every part but the last must have.
        """
        ops.encode_segment("filename", filename)
        if file_size < 0:
            raise InvalidRequestError(f"file_size is a number of bytes, not {file_size}")
        response = await self._send(
            ops.CREATE_UPLOAD,
            json={"batch_id": as_batch_id(batch_id), "filename": filename, "file_size": file_size},
        )
        session = self._read(MultipartUploadSession, ops.CREATE_UPLOAD, response)
        return attrs.evolve(session, location=response.headers.get("Location"))

    async def upload_multipart_part(self, session_id: str, part_num: int, part_data: Content) -> MultipartUploadPart:
        """Upload one part of a multipart session.

        Args:
            session_id: the session.
            part_num: 1, 2, 3 …
            part_data: exactly the session's `part_size` bytes, fewer for the last part.
        """
        if part_num < 1:
            raise InvalidRequestError(f"part numbers begin at 1, not {part_num}")
        return await self._fetch(
            MultipartUploadPart,
            ops.UPLOAD_PART,
            body=content_body(part_data, f"part {part_num}"),
            session_id=session_id,
            part_num=part_num,
        )

    async def commit_multipart_upload_session(
        self,
        session_id: str,
        action: str,
        parts: Iterable[MultipartUploadPart | Mapping[str, Any]] | None = None,
    ) -> None:
        """Commit or abort a multipart session.

        Args:
            session_id: the session.
            action: ``"commit"`` or ``"abort"``.
            parts: for a commit, all parts in order, as `upload_multipart_part()` gave them.
        """
        if action not in {"commit", "abort"}:
            raise InvalidRequestError(f"action must be 'commit' or 'abort', not {action!r}")
        if action == "abort":
            await self._send(ops.ABORT_UPLOAD, json={"action": "abort"}, session_id=session_id)
            return
        listed = [
            {"part_num": part.part_num, "part_id": part.part_id}
            if isinstance(part, MultipartUploadPart)
            else dict(part)
            for part in parts or ()
        ]
        await self._send(ops.COMMIT_UPLOAD, json={"action": "commit", "parts": listed}, session_id=session_id)


def as_batch_id(batch_id: Id) -> int:
    """The API types batch ids in bodies as integers, though users often hold them as text.

    Raises:
        InvalidRequestError: not a number.
    """
    try:
        return int(batch_id)
    except ValueError:
        raise InvalidRequestError(f"batch_id must be a number, not {batch_id!r}") from None
