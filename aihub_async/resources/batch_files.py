"""The files of batches: uploading, listing and deleting them; see `client.batches`."""

import time
from collections.abc import Sequence
from pathlib import Path

import attrs

from aihub_async import operations as ops
from aihub_async.errors import InvalidRequestError
from aihub_async.limits import MULTIPART_THRESHOLD
from aihub_async.models import DeletionJob, FileNode, ListBatchFiles
from aihub_async.models.uploads import UploadReport
from aihub_async.pagination import Page, Pages, listed
from aihub_async.resources._base import given
from aihub_async.resources._batch_api import BatchAPI
from aihub_async.resources._multipart import MultipartSessions
from aihub_async.transport.body import ContentBody
from aihub_async.types import Id
from aihub_async.uploads.contents import ByteStream, Content, to_body
from aihub_async.uploads.engine import (
    OnError,
    OnProgress,
    UploadOptions,
    Uploads,
    collect,
    is_error_of_all,
    upload_one,
)
from aihub_async.uploads.multipart import UploadResume
from aihub_async.uploads.report import upload_error, verified
from aihub_async.uploads.single import with_fresh_body
from aihub_async.uploads.sources import Naming, SourceReader, Sources
from aihub_async.uploads.walking import PathFilter


class BatchFiles(MultipartSessions):
    """The files of batches."""

    async def list_files(
        self, batch_id: Id, page_size: int | None = None, start_token: str | None = None
    ) -> ListBatchFiles:
        """List one page of a batch's files; `iter_files()` returns all of them.

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
        """Return all files of a batch. Sizes are bytes; `metadata.modified_timestamp` is Unix seconds."""

        async def fetch(cursor: str | int | None) -> Page[FileNode]:
            answer = await self.list_files(batch_id, page_size, None if cursor is None else str(cursor))
            nodes = listed(ops.LIST_FILES, answer, answer.nodes, "nodes", "has_more")
            return Page(nodes, answer.next_page_token or None if answer.has_more else None)

        return Pages(ops.LIST_FILES, fetch)

    async def upload(
        self,
        batch_id: Id,
        sources: Sources | SourceReader,
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
        """Upload many files concurrently.

        Files of the batch that have the same name are replaced. Two sources that would get one name, also if they
        differ only in case or Unicode form, are found: the second is an error, and nothing of it is sent. An empty
        file becomes an empty file. A file that changes while it is read is an error, never half a file.

        Args:
            batch_id: the batch.
            sources: a path, a folder with everything below it, ``(name, content)``, an open binary file, an fsspec
                URL such as ``s3://bucket/folder`` (extra ``fsspec``), a dict of contents by name, or an iterable or
                async iterable of these, pulled as fast as they are sent. A str is a path; content is bytes, a path,
                an open binary file or a `ByteStream`. Open files are sent from their position to their end; one that
                is at its end is an error. Two paths in a tuple are two files.
            max_concurrency: files in flight at the same time; the client's `max_concurrent_requests` by default.
            on_error: ``"raise"`` starts no more files after the first error, lets those in flight end and raises;
                ``"collect"`` continues and leaves errors in the report.
            verify: compare names and sizes with the batch's list of files afterwards.
            on_progress: called with an `UploadProgress` at most ten times a second, and at the end.
            naming: how files get their names: the last part of the path (``"name"``, the default), the path below
                the folder joined by ``__`` (``"relative"``), or a callable that takes the path.
            include: only files of folders that match one of these `fnmatch` patterns.
            exclude: no files or folders of folders that match one of these.
            digest: put the SHA-256 of each file into its record.
            multipart_threshold: bytes above which a file is sent in parts.

        Returns:
            One record per source, in the order of the sources. Files that operating systems and Office leave in
            folders, such as ``.DS_Store``, are not uploaded but listed in `skipped`, unless a pattern of `include`
            names them.

        Raises:
            UploadError: something failed, with ``on_error="raise"``; its `report` has all records, its cause is the
                first error.
            NotFoundError: there is no such batch. Like AuthenticationError and ForbiddenError, which every file would
                meet, it is raised once, also with ``on_error="collect"``, when nothing was uploaded.
            InvalidRequestError: an argument cannot be used.

        Example:
            >>> async def upload_scans(client, batch_id):
            ...     report = await client.batches.upload(batch_id, "scans/", include="*.pdf")
            ...     return len(report), report.bytes
        """
        if on_error not in {"raise", "collect"}:
            raise InvalidRequestError(f"on_error is 'raise' or 'collect', not {on_error!r}")
        started = time.monotonic()
        reader = _reader(sources, naming, include, exclude)
        options = self._options(max_concurrency, digest, multipart_threshold, on_progress)
        stops = is_error_of_all if on_error == "collect" else _any_error
        records = await collect(self._patient_api(batch_id), reader, attrs.evolve(options, stops=stops))
        if verify:
            nodes = {node.name: node.metadata async for node in self.iter_files(batch_id)}
            records = verified(records, {name: data.size if data else None for name, data in nodes.items() if name})
        report = UploadReport(records, time.monotonic() - started, tuple(reader.skipped))
        common = next((record.error for record in report.failed if is_error_of_all(record.error)), None)
        if common is not None and not report.files:
            raise common
        if common is not None or (on_error == "raise" and not report.ok):
            raise upload_error(report)
        return report

    def iter_upload(
        self,
        batch_id: Id,
        sources: Sources | SourceReader,
        *,
        max_concurrency: int | None = None,
        on_progress: OnProgress | None = None,
        naming: Naming = None,
        include: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        digest: bool = False,
        multipart_threshold: int = MULTIPART_THRESHOLD,
    ) -> Uploads:
        """Upload any number of files in constant memory and return the outcomes as they happen.

        Arguments are those of `upload()`. Errors are in the records, and the upload continues. What is kept of each
        source is a 64-bit number, to detect equal names. Leaving the loop, or `aclose()`, cancels what is in flight.

        Example:
            >>> async def upload_archive(client, batch_id, paths):
            ...     async with client.batches.iter_upload(batch_id, paths) as uploads:
            ...         async for record in uploads:
            ...             print(record.name, record.error or "uploaded")
        """
        options = self._options(max_concurrency, digest, multipart_threshold, on_progress)
        return Uploads(self._patient_api(batch_id), _reader(sources, naming, include, exclude), options)

    def _options(
        self, max_concurrency: int | None, digest: bool, multipart_threshold: int, on_progress: OnProgress | None
    ) -> UploadOptions:
        return UploadOptions(
            max_concurrency if max_concurrency is not None else self._transport.settings.max_concurrent_requests,
            digest=digest,
            multipart_threshold=multipart_threshold,
            on_progress=on_progress,
        )

    async def add_file(self, batch_id: Id, file_name: str, file: Content | ByteStream) -> None:
        """Upload one file, replacing a file of the same name; above 10 MB in parts.

        Args:
            batch_id: the batch.
            file_name: its name in the batch, with extension, at most 255 characters.
            file: bytes, a `pathlib.Path`, an open binary file or a `ByteStream`. A str is refused: it could be content
                or a path.

        Raises:
            InvalidRequestError: the name cannot be used, or `file` is text or an open file at its end.
            SourceError: the file cannot be read, or changed while it was sent.
            NotFoundError: the batch does not exist.
        """
        ops.encode_segment("filename", file_name)

        async def send(body: ContentBody) -> int:
            return await upload_one(self._api(batch_id), file_name, body, threshold=MULTIPART_THRESHOLD)

        await with_fresh_body(send, await to_body(file, file_name))

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

        An empty file has no parts, and is sent with one PUT.

        Args:
            batch_id: the batch.
            filename: its name in the batch, with extension, at most 255 characters.
            file_path_or_data: a path (a str is one), bytes, an open binary file or a `ByteStream`.
            max_concurrency: parts in flight at the same time (12).
            resume: keeps the parts of an upload that breaks, so that the next call with it continues from there.
                Without it the session is aborted.

        Raises:
            InvalidRequestError: the name cannot be used.
            SourceError: the file cannot be read, or changed while it was sent.
            NotFoundError: the batch does not exist.
        """
        ops.encode_segment("filename", filename)
        if max_concurrency is not None and max_concurrency < 1:
            raise InvalidRequestError(f"max_concurrency must be 1 or more, not {max_concurrency}")
        source = Path(file_path_or_data) if isinstance(file_path_or_data, str) else file_path_or_data

        async def send(body: ContentBody) -> int:
            api = self._api(batch_id)
            return await upload_one(api, filename, body, threshold=0, concurrency=max_concurrency, resume=resume)

        await with_fresh_body(send, await to_body(source, filename))

    def _patient_api(self, batch_id: Id) -> BatchAPI:
        return type(self)(self._transport.derive(patient=True))._api(batch_id)

    def _api(self, batch_id: Id) -> BatchAPI:
        return BatchAPI(self._transport, self, self.iter_files, batch_id)

    async def delete_file(self, batch_id: Id, file_name: str) -> DeletionJob:
        """Delete one file of a batch.

        Returns:
            The deletion job from the answer's Location header; its `job_id` is None if the server named none.

        Raises:
            NotFoundError: the batch does not exist.
        """
        response = await self._send(ops.DELETE_BATCH_FILE, batch_id=batch_id, filename=file_name)
        return DeletionJob.from_location(response.headers.get("Location"))


def _reader(
    sources: Sources | SourceReader,
    naming: Naming,
    include: str | Sequence[str] | None,
    exclude: str | Sequence[str] | None,
) -> SourceReader:
    if isinstance(sources, SourceReader):
        return sources
    return SourceReader(sources, naming, PathFilter(include, exclude))


def _any_error(error: Exception) -> bool:  # noqa: ARG001  # the shape of UploadOptions.stops
    return True
