# Written by `python -m aihub_sync._generate` from aihub_async/resources/batches.py. DO NOT EDIT.
"""Sync twins of the classes of `aihub_async.resources.batches`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aihub_async.limits import MULTIPART_THRESHOLD
from aihub_sync._compat import renamed
from aihub_sync._facade import Facade
from aihub_sync._pages import Pages

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
    from aihub_async.models.uploads import UploadRecord, UploadReport
    from aihub_async.resources import batches
    from aihub_async.types import Id
    from aihub_async.uploads.contents import ByteStream, Content
    from aihub_async.uploads.engine import OnError, OnProgress
    from aihub_async.uploads.multipart import UploadResume
    from aihub_async.uploads.sources import Naming, SourceReader, Sources


class Batches(Facade):
    """Batches hold files; a run processes all files of its batch."""

    _async: batches.Batches

    def create_multipart_upload_session(self, batch_id: Id, filename: str, file_size: int) -> MultipartUploadSession:
        """Start a multipart upload; `add_large_file()` does all its steps.

        Args:
            batch_id: the batch.
            filename: name in the batch, at most 255 characters.
            file_size: bytes.

        Returns:
            The session's id, and the size in bytes that every part but the last must have.
        """
        return self._lease.run(self._async.create_multipart_upload_session(batch_id, filename, file_size))

    def upload_multipart_part(self, session_id: str, part_num: int, part_data: Content) -> MultipartUploadPart:
        """Upload one part of a multipart session.

        Args:
            session_id: the session.
            part_num: 1, 2, 3, ...
            part_data: exactly the session's `part_size` bytes, fewer for the last part.
        """
        return self._lease.run(self._async.upload_multipart_part(session_id, part_num, part_data))

    def commit_multipart_upload_session(
        self, session_id: str, action: str, parts: Iterable[MultipartUploadPart | Mapping[str, Any]] | None = None
    ) -> None:
        """Commit or abort a multipart session.

        Args:
            session_id: the session.
            action: ``"commit"`` or ``"abort"``.
            parts: for a commit, all parts in order, as returned by `upload_multipart_part()`.
        """
        self._lease.run(self._async.commit_multipart_upload_session(session_id, action, parts))

    @renamed(id="batch_id")
    def list_files(self, batch_id: Id, page_size: int | None = None, start_token: str | None = None) -> ListBatchFiles:
        """List one page of a batch's files; `iter_files()` returns all of them.

        Args:
            batch_id: the batch.
            page_size: files per page.
            start_token: `next_page_token` of the page before.
        """
        return self._lease.run(self._async.list_files(batch_id, page_size, start_token))

    def iter_files(self, batch_id: Id, *, page_size: int | None = None) -> Pages[FileNode]:
        """Return all files of a batch. Sizes are bytes; `metadata.modified_timestamp` is Unix seconds."""
        return Pages(self._async.iter_files(batch_id, page_size=page_size), self._lease)

    def upload(
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
            >>> def upload_scans(client, batch_id):
            ...     report = client.batches.upload(batch_id, "scans/", include="*.pdf")
            ...     return len(report), report.bytes
        """
        return self._lease.run(
            self._async.upload(
                batch_id,
                sources,
                max_concurrency=max_concurrency,
                on_error=on_error,
                verify=verify,
                on_progress=on_progress,
                naming=naming,
                include=include,
                exclude=exclude,
                digest=digest,
                multipart_threshold=multipart_threshold,
            )
        )

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
    ) -> Pages[UploadRecord]:
        """Upload any number of files in constant memory and return the outcomes as they happen.

        Arguments are those of `upload()`. Errors are in the records, and the upload continues. What is kept of each
        source is a 64-bit number, to detect equal names. Leaving the loop, or `close()`, cancels what is in flight.

        Example:
            >>> def upload_archive(client, batch_id, paths):
            ...     with client.batches.iter_upload(batch_id, paths) as uploads:
            ...         for record in uploads:
            ...             print(record.name, record.error or "uploaded")
        """
        return Pages(
            self._async.iter_upload(
                batch_id,
                sources,
                max_concurrency=max_concurrency,
                on_progress=on_progress,
                naming=naming,
                include=include,
                exclude=exclude,
                digest=digest,
                multipart_threshold=multipart_threshold,
            ),
            self._lease,
        )

    @renamed(id="batch_id")
    def add_file(self, batch_id: Id, file_name: str, file: Content | ByteStream) -> None:
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
        self._lease.run(self._async.add_file(batch_id, file_name, file))

    def add_large_file(
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
        self._lease.run(
            self._async.add_large_file(
                batch_id, filename, file_path_or_data, max_concurrency=max_concurrency, resume=resume
            )
        )

    @renamed(id="batch_id")
    def delete_file(self, batch_id: Id, file_name: str) -> DeletionJob:
        """Delete one file of a batch.

        Returns:
            The deletion job from the answer's Location header; its `job_id` is None if the server named none.

        Raises:
            NotFoundError: the batch does not exist.
        """
        return self._lease.run(self._async.delete_file(batch_id, file_name))

    @renamed(workspace_name="workspace")
    def create(self, name: str, workspace: str | None = None, *, unique_name: bool = False) -> Batch:
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
            >>> def new_batch(client):
            ...     batch = client.batches.create("march invoices")
            ...     return batch.id
        """
        return self._lease.run(self._async.create(name, workspace, unique_name=unique_name))

    @renamed(file_offset="offset")
    def list(
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
        return self._lease.run(self._async.list(workspace, username, limit, offset))

    def iter(
        self, workspace: str | None = None, username: str | None = None, *, page_size: int = 100
    ) -> Pages[BatchInfo]:
        """Return all batches, page by page; arguments as for `list()`.

        Example:
            >>> def names(client):
            ...     return [batch.name for batch in client.batches.iter()]
        """
        return Pages(self._async.iter(workspace, username, page_size=page_size), self._lease)

    @renamed(id="batch_id")
    def get(self, batch_id: Id) -> BatchInfo:
        """Return a description of a batch.

        Raises:
            NotFoundError: it does not exist, or you are not allowed to see it.
        """
        return self._lease.run(self._async.get(batch_id))

    @renamed(id="batch_id")
    def delete(self, batch_id: Id) -> BatchDeletionJob:
        """Delete a batch with all its files.

        Returns:
            The job that deletes it. Its id is empty when a repeated request found the batch already gone.

        Raises:
            NotFoundError: it does not exist.
        """
        return self._lease.run(self._async.delete(batch_id))

    @renamed(id="job_id")
    def poll_job(self, job_id: str) -> JobStatus:
        """Return the state of a deletion job; prefer `client.jobs.status()`, which is the same."""
        return self._lease.run(self._async.poll_job(job_id))
