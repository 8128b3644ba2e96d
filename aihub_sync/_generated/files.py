# Written by `python -m aihub_sync._generate` from aihub_async/resources/files.py. DO NOT EDIT.
"""Sync twins of the classes of `aihub_async.resources.files`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aihub_sync._facade import Facade
from aihub_sync._pages import Pages

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    from aihub_async.models import DeletionJob, FileJob, FileMetadata, FileNode, FolderListing
    from aihub_async.resources import files
    from aihub_async.uploads.contents import Content


class Files(Facade):
    """Files and folders on connected drives, not on this machine."""

    _async: files.Files

    def read(
        self,
        path: str,
        expect_node_type: str = "file",
        range: str | None = None,
        ib_retry_config: str | Mapping[str, int] | None = None,
    ) -> bytes:
        """Read a file into memory; `download()` streams to disk.

        Args:
            path: full path; a leading slash makes no difference.
            expect_node_type: ``"file"``, or ``"folder"`` for the JSON listing of a folder.
            range: one range of bytes with inclusive bounds, such as ``"bytes=0-4"``.
            ib_retry_config: lets the **server** wait for a file that does not exist yet, such as
                ``{"retries": 3, "backoff-seconds": 5}``.

        Raises:
            NotFoundError: there is no such file.
            ProtocolError: the server sent another range.
        """
        return self._lease.run(self._async.read(path, expect_node_type, range, ib_retry_config))

    def download(self, path: str, to: str | os.PathLike[str], *, resume: bool = True) -> Path:
        """Stream a file to disk with little memory.

        The bytes go to ``<to>.part``, which replaces `to` when all are there and on disk. A broken transfer continues
        where it stopped; with `resume`, so does a later call after a crash, unless the remote file has changed.

        Args:
            path: full path of the remote file.
            to: local file, or a folder to put it in under its own name.
            resume: continue what an earlier call left.

        Returns:
            The local path.

        Raises:
            NotFoundError: there is no such file.
            ProtocolError: the server sent another range than requested, or the file changed meanwhile.
            InvalidRequestError: `to` is a URL.
            OSError: the disk is full or not writable, there is no such folder, or ``<to>.part`` is a link (which is
                not followed); an existing `to` is untouched.
        """
        return self._lease.run(self._async.download(path, to, resume=resume))

    def write(self, path: str, data: Content, *, if_none_match: bool = False) -> None:
        """Create or overwrite a file; missing parent folders are created.

        Args:
            path: full path.
            data: bytes, a `pathlib.Path`, or an open binary file; not empty. A str is refused: it could be either.
            if_none_match: fail instead of overwriting.

        Raises:
            PreconditionFailedError: with `if_none_match`, a file exists.
            InvalidRequestError: `data` is text or empty.
        """
        self._lease.run(self._async.write(path, data, if_none_match=if_none_match))

    def get_file_metadata(self, path: str, ib_retry_config: str | Mapping[str, int] | None = None) -> FileMetadata:
        """Return what is known of a file or folder: `is_folder`, `size` (bytes), `last_modified`.

        Raises:
            NotFoundError: there is no such file.
        """
        return self._lease.run(self._async.get_file_metadata(path, ib_retry_config))

    def delete(self, path: str) -> DeletionJob:
        """Delete a file or folder. The API accepts this whether or not it exists.

        Returns:
            The deletion job from the answer's Location header.
        """
        return self._lease.run(self._async.delete(path))

    def list_folder(self, path: str, start_token: str | None = None) -> FolderListing:
        """Return one page of a folder's files and folders; `iter_folder()` returns all of them.

        Unverified: only the node type is in the published specification, the listing is that of Instabase's own tools.

        Args:
            path: full path.
            start_token: `next_page_token` of the page before.

        Raises:
            NotFoundError: there is no such folder.
        """
        return self._lease.run(self._async.list_folder(path, start_token))

    def iter_folder(self, path: str) -> Pages[FileNode]:
        """Return a folder's files and folders, page by page, without the contents of subfolders. Unverified as well.

        Example:
            >>> def names(client, folder):
            ...     return [node.name for node in client.files.iter_folder(folder)]
        """
        return Pages(self._async.iter_folder(path), self._lease)

    def create_folder(self, path: str) -> None:
        """Create an empty folder. Unverified: not in the published specification.

        Args:
            path: full path of the new folder; its parent exists.

        Raises:
            StatusError: it exists already, or its parent does not.
            OutcomeUnknownError: the connection broke and the folder may or may not exist.
        """
        self._lease.run(self._async.create_folder(path))

    def append(self, path: str, data: Content) -> None:
        """Append to a file, 10 MiB at a time. Unverified: not in the published specification.

        Args:
            path: full path of a file that exists.
            data: bytes, a `pathlib.Path`, or an open binary file.

        Raises:
            NotFoundError: there is no such file.
            OutcomeUnknownError: the connection broke and the last piece may or may not be there; compare the file's
                size (`get_file_metadata()`).
        """
        self._lease.run(self._async.append(path, data))

    def copy(self, src_path: str, dst_path: str) -> FileJob:
        """Start copying a file or folder. Unverified: not in the published specification.

        Args:
            src_path: full path of what is there.
            dst_path: full path of the copy.

        Returns:
            The job, for `client.jobs.wait()`, as far as the answer names it.

        Raises:
            NotFoundError: there is no `src_path`.
            OutcomeUnknownError: the connection broke and the job may or may not have started.
        """
        return self._lease.run(self._async.copy(src_path, dst_path))

    def extract(self, src_path: str, dst_path: str) -> FileJob:
        """Start extracting an archive into a folder; otherwise like `copy()`. Unverified, too."""
        return self._lease.run(self._async.extract(src_path, dst_path))

    def mount(self, path: str, mount_point_name: str, mount_details: Mapping[str, Any]) -> None:
        """Connect a drive, by the API of the older platform; AI Hub does it in its user interface.

        Args:
            path: where to mount it, such as ``org/workspace/fs``.
            mount_point_name: the drive's display name.
            mount_details: sent as they are: `client_type` (``"S3"``, ``"Azure"`` …), `prefix`, `bucket_name`,
                `aws_region`, `encryption`, and the credentials of that service, of which no full list is published.
                Values under other names than these five never appear in errors.

        Raises:
            LegacyAPIError: the server refused it.
            OutcomeUnknownError: the connection broke and the drive may or may not be mounted.

        Example:
            >>> def mount(client, keys):
            ...     details = {"client_type": "S3", "bucket_name": "scans", "aws_region": "eu-west-1", **keys}
            ...     client.files.mount("org/workspace/fs", "Scans", details)
        """
        try:
            self._lease.run(self._async.mount(path, mount_point_name, mount_details))
        finally:
            del mount_details
