"""`client.files`: the AI Hub filesystem.

Paths are those of drives, such as ``/org/workspace/fs/Instabase Drive/a.pdf``.
"""

import contextlib
import functools
import os
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from anyio import to_thread

from aihub_async import operations as ops
from aihub_async.config import header_text
from aihub_async.errors import Attempt, InvalidRequestError, PreconditionFailedError, ProtocolError
from aihub_async.models import DeletionJob, FileJob, FileMetadata, FileNode, FolderListing
from aihub_async.models.decode import encode
from aihub_async.pagination import Page, Pages, listed
from aihub_async.policies.retry import FailureKind
from aihub_async.resources._base import Resource, build_request, given
from aihub_async.resources._download import Digest, Download, checked_target
from aihub_async.resources._filesystem import APPEND_BYTES, PUBLIC_DETAILS, file_job, pieces
from aihub_async.resources.v1._base import refuse_error
from aihub_async.secrecy import SecretValue
from aihub_async.transport.body import ContentBody
from aihub_async.transport.messages import Request, Response
from aihub_async.uploads.contents import Content, to_body
from aihub_async.uploads.single import with_fresh_body

_RANGE = re.compile(r"bytes=([0-9]{1,19})-([0-9]{0,19})")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/")


class Files(Resource):
    """Files and folders on connected drives, not on this machine."""

    async def read(
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
        requested = None if range is None else _RANGE.fullmatch(range)
        if range is not None and requested is None:
            raise InvalidRequestError(f"range must look like 'bytes=0-4', not {range!r}")
        headers = _retry_header(ib_retry_config)
        if range is not None:
            # A range of a compressed file would be of no use.
            headers |= {"Range": range, "Accept-Encoding": "identity"}
        request = build_request(
            ops.READ_FILE, {"path": path}, query={"expect-node-type": str(expect_node_type)}, headers=headers
        )
        response = await self._transport.send(request)
        return response.body if requested is None else self._only(requested, request, response)

    def _only(self, requested: re.Match[str], request: Request, response: Response) -> bytes:
        first, last = int(requested[1]), int(requested[2]) if requested[2] else None
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            return response.body[first : None if last is None else last + 1]
        given = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        if given is None or int(given[1]) != first or int(given[2]) - first + 1 != len(response.body):
            details = self._transport.details(request, response)
            got = details.headers.get("Content-Range")
            raise ProtocolError(f"requested {requested[0]}, received Content-Range {got!r}", details)
        return response.body

    async def download(self, path: str, to: str | os.PathLike[str], *, resume: bool = True) -> Path:
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
        target = checked_target(to)
        metadata = await self.get_file_metadata(path)
        with Download.prepare(path, target, metadata, resume=resume) as download:
            if not download.complete:
                await self._fill(download, path)
            # Waits for the disk.
            return await to_thread.run_sync(download.finish)

    async def _fill(self, download: Download, path: str) -> None:
        request = build_request(ops.READ_FILE, {"path": path}, query={"expect-node-type": "file"}, sink=download)
        while True:
            before = download.received
            response = await self._transport.send(request)
            if download.complete or download.origin.size is None:
                return
            if download.received <= before:
                message = f"received only {download.received} of {download.origin.size} bytes"
                raise ProtocolError(message, self._transport.details(request, response))

    async def write(self, path: str, data: Content, *, if_none_match: bool = False) -> None:
        """Create or overwrite a file; missing parent folders are created.

        Args:
            path: full path.
            data: bytes, a `pathlib.Path`, or an open binary file; not empty. A str is refused: it could be either.
            if_none_match: fail instead of overwriting.

        Raises:
            PreconditionFailedError: with `if_none_match`, a file exists.
            InvalidRequestError: `data` is text or empty.
        """
        body = await to_body(data, path)
        if body.length == 0:
            raise InvalidRequestError(f"{path}: the API does not store empty files")
        await with_fresh_body(functools.partial(self._write, path, if_none_match=if_none_match), body)

    async def _write(self, path: str, body: ContentBody, *, if_none_match: bool) -> None:
        headers = {"If-None-Match": "*"} if if_none_match else None
        try:
            await self._send(ops.WRITE_FILE, body=body, headers=headers, path=path)
        except PreconditionFailedError as error:
            # The file that is there may be what an earlier attempt wrote, whose answer was lost.
            if not _unclear(error.attempts[:-1]) or not await self._holds(path, body):
                raise

    async def _holds(self, path: str, body: ContentBody) -> bool:
        if (await self.get_file_metadata(path)).size != body.length:
            return False
        remote, local = Digest(), Digest()
        await self._send(ops.READ_FILE, query={"expect-node-type": "file"}, sink=remote, path=path)
        await body.write_to(local.feed)
        return remote.value == local.value

    async def get_file_metadata(
        self, path: str, ib_retry_config: str | Mapping[str, int] | None = None
    ) -> FileMetadata:
        """Return what is known of a file or folder: `is_folder`, `size` (bytes), `last_modified`.

        Raises:
            NotFoundError: there is no such file.
        """
        # The length of a compressed answer would not be that of the file.
        headers = {"Accept-Encoding": "identity", **_retry_header(ib_retry_config)}
        response = await self._send(ops.GET_FILE_METADATA, headers=headers, path=path)
        return FileMetadata(response.status, response.headers)

    async def delete(self, path: str) -> DeletionJob:
        """Delete a file or folder. The API accepts this whether or not it exists.

        Returns:
            The deletion job from the answer's Location header.
        """
        response = await self._send(ops.DELETE_FILE, path=path)
        return DeletionJob.from_location(response.headers.get("Location"))

    # What follows is not in the published specification.

    async def list_folder(self, path: str, start_token: str | None = None) -> FolderListing:
        """Return one page of a folder's files and folders; `iter_folder()` returns all of them.

        Unverified: only the node type is in the published specification, the listing is that of Instabase's own tools.

        Args:
            path: full path.
            start_token: `next_page_token` of the page before.

        Raises:
            NotFoundError: there is no such folder.
        """
        query = given(**{"expect-node-type": "folder", "start-token": start_token})
        return await self._fetch(FolderListing, ops.READ_FILE, query=query, path=path)

    def iter_folder(self, path: str) -> Pages[FileNode]:
        """Return a folder's files and folders, page by page, without the contents of subfolders. Unverified as well.

        Example:
            >>> async def names(client, folder):
            ...     return [node.name async for node in client.files.iter_folder(folder)]
        """

        async def fetch(cursor: str | int | None) -> Page[FileNode]:
            answer = await self.list_folder(path, None if cursor is None else str(cursor))
            nodes = listed(ops.READ_FILE, answer, answer.nodes, "nodes", "has_more")
            return Page(nodes, answer.next_page_token or None if answer.has_more else None)

        return Pages(ops.READ_FILE, fetch)

    async def create_folder(self, path: str) -> None:
        """Create an empty folder. Unverified: not in the published specification.

        Args:
            path: full path of the new folder; its parent exists.

        Raises:
            StatusError: it exists already, or its parent does not.
            OutcomeUnknownError: the connection broke and the folder may or may not exist.
        """
        parent, _, name = path.rstrip("/").rpartition("/")
        if not parent.strip("/") or not name:
            raise InvalidRequestError(f"{path!r} has no parent folder to create it in")
        ops.encode_segment("folder name", name)
        await self._send(ops.CREATE_NODE, json={"name": name, "node_type": "folder"}, path=parent)

    async def append(self, path: str, data: Content) -> None:
        """Append to a file, 10 MiB at a time. Unverified: not in the published specification.

        Args:
            path: full path of a file that exists.
            data: bytes, a `pathlib.Path`, or an open binary file.

        Raises:
            NotFoundError: there is no such file.
            OutcomeUnknownError: the connection broke and the last piece may or may not be there; compare the file's
                size (`get_file_metadata()`).
        """
        body = await to_body(data, path)
        async with contextlib.aclosing(pieces(body, APPEND_BYTES)) as parts:
            async for part in parts:
                await self._send(ops.APPEND_FILE, body=part, headers={"IB-Cursor": "-1"}, path=path)

    async def copy(self, src_path: str, dst_path: str) -> FileJob:
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
        return await self._file_job(ops.COPY_FILE, src_path, dst_path)

    async def extract(self, src_path: str, dst_path: str) -> FileJob:
        """Start extracting an archive into a folder; otherwise like `copy()`. Unverified, too."""
        return await self._file_job(ops.EXTRACT_ARCHIVE, src_path, dst_path)

    async def _file_job(self, operation: ops.Operation, src_path: str, dst_path: str) -> FileJob:
        for path in (src_path, dst_path):
            # A path in a body needs the same care as one in a URL.
            ops.READ_FILE.url_path(path=path)
        response = await self._send(operation, json={"src_path": src_path, "dst_path": dst_path})
        return file_job(response)

    async def mount(self, path: str, mount_point_name: str, mount_details: Mapping[str, Any]) -> None:
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
            >>> async def mount(client, keys):
            ...     details = {"client_type": "S3", "bucket_name": "scans", "aws_region": "eu-west-1", **keys}
            ...     await client.files.mount("org/workspace/fs", "Scans", details)
        """
        # They hold credentials, and this frame is part of a traceback.
        details = SecretValue(dict(mount_details))
        del mount_details
        body = SecretValue({"action": "mount", "mount_point_name": mount_point_name, "mount_details": details.reveal()})
        request = build_request(ops.MOUNT_DRIVE, {"path": path}, json=body, secrets=_credentials(details))
        refuse_error(self._transport, request, await self._transport.send(request))


def _credentials(details: SecretValue[dict[str, Any]]) -> SecretValue[tuple[str, ...]]:
    hidden = (value for name, value in details.reveal().items() if name not in PUBLIC_DETAILS)
    return SecretValue(tuple(value for value in hidden if isinstance(value, str)))


def _unclear(attempts: Sequence[Attempt]) -> bool:
    return any(attempt.outcome not in {FailureKind.NOT_SENT.value, "429"} for attempt in attempts)


def _retry_header(config: str | Mapping[str, int] | None) -> dict[str, str]:
    if config is None:
        return {}
    text = config if isinstance(config, str) else encode(dict(config)).decode()
    return {"IB-Retry-Config": header_text("ib_retry_config", SecretValue(text))}
