"""`client.files`: the AI Hub filesystem.

Paths are those of drives, such as ``/org/workspace/fs/Instabase Drive/a.pdf``.
"""

import os
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path

from anyio import to_thread

from aihub_async import operations as ops
from aihub_async.config import header_text
from aihub_async.errors import Attempt, InvalidRequestError, PreconditionFailedError, ProtocolError
from aihub_async.models import DeletionJob, FileMetadata
from aihub_async.models.decode import encode
from aihub_async.policies.retry import Failure
from aihub_async.resources._base import Resource, build_request
from aihub_async.resources._download import Digest, Download
from aihub_async.transport.body import Body
from aihub_async.transport.messages import Request, Response
from aihub_async.uploads.sources import Content, content_body

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
            ib_retry_config: lets the **server** look again when there is no such file yet, such as
                ``{"retries": 3, "backoff-seconds": 5}``.

        Raises:
            NotFoundError: there is none.
            ProtocolError: the server sent another range.
        """
        wanted = None if range is None else _RANGE.fullmatch(range)
        if range is not None and wanted is None:
            raise InvalidRequestError(f"range must look like 'bytes=0-4', not {range!r}")
        headers = _retry_header(ib_retry_config)
        if range is not None:
            # A range of a compressed file would be of no use.
            headers |= {"Range": range, "Accept-Encoding": "identity"}
        request = build_request(
            ops.READ_FILE, {"path": path}, query={"expect-node-type": str(expect_node_type)}, headers=headers
        )
        response = await self._transport.send(request)
        return response.body if wanted is None else self._only(wanted, request, response)

    def _only(self, wanted: re.Match[str], request: Request, response: Response) -> bytes:
        first, last = int(wanted[1]), int(wanted[2]) if wanted[2] else None
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            return response.body[first : None if last is None else last + 1]
        given = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        if given is None or int(given[1]) != first or int(given[2]) - first + 1 != len(response.body):
            details = self._transport.details(request, response)
            got = details.headers.get("Content-Range")
            raise ProtocolError(f"asked for {wanted[0]}, got Content-Range {got!r}", details)
        return response.body

    async def download(self, path: str, to: str | os.PathLike[str], *, resume: bool = True) -> Path:
        """Stream a file to disk with little memory.

        The bytes go to ``<to>.part``, which replaces `to` when all are there and on disk. A broken transfer goes on
        where it stopped; with `resume`, so does a later call after a crash, unless the remote file has changed.

        Args:
            path: full path of the remote file.
            to: local file, or a folder to put it in under its own name.
            resume: go on with what an earlier call left.

        Returns:
            The local path.

        Raises:
            NotFoundError: there is no such file.
            ProtocolError: the server sent another range than asked for, or the file changed meanwhile.
            OSError: the disk is full or not writable; an existing `to` is untouched.
        """
        metadata = await self.get_file_metadata(path)
        with Download.prepare(path, Path(to), metadata, resume=resume) as download:
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
                message = f"got {download.received} of {download.origin.size} bytes, and no more"
                raise ProtocolError(message, self._transport.details(request, response))

    async def write(self, path: str, data: Content, *, if_none_match: bool = False) -> None:
        """Create or overwrite a file; missing parent folders are created.

        Args:
            path: full path.
            data: bytes, a `pathlib.Path`, or an open binary file; not empty. A str is refused: it could be either.
            if_none_match: fail instead of overwriting.

        Raises:
            PreconditionFailedError: with `if_none_match`, a file exists.
            InvalidRequestError: text or nothing was given.
        """
        body = content_body(data, path)
        if body.length == 0:
            raise InvalidRequestError(f"{path}: the API does not store empty files")
        headers = {"If-None-Match": "*"} if if_none_match else None
        try:
            await self._send(ops.WRITE_FILE, body=body, headers=headers, path=path)
        except PreconditionFailedError as error:
            # The file that is there may be what an earlier attempt wrote, whose answer was lost.
            if not _unclear(error.attempts[:-1]) or not await self._holds(path, body):
                raise

    async def _holds(self, path: str, body: Body) -> bool:
        if (await self.get_file_metadata(path)).size != body.length:
            return False
        remote, local = Digest(), Digest()
        await self._send(ops.READ_FILE, query={"expect-node-type": "file"}, sink=remote, path=path)
        await body.write_to(local.feed)
        return remote.value == local.value

    async def get_file_metadata(
        self, path: str, ib_retry_config: str | Mapping[str, int] | None = None
    ) -> FileMetadata:
        """Describe a file or folder: `is_folder`, `size` (bytes), `last_modified`.

        Raises:
            NotFoundError: there is none.
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


def _unclear(attempts: Sequence[Attempt]) -> bool:
    return any(attempt.outcome not in {Failure.NOT_SENT.value, "429"} for attempt in attempts)


def _retry_header(config: str | Mapping[str, int] | None) -> dict[str, str]:
    if config is None:
        return {}
    text = config if isinstance(config, str) else encode(dict(config)).decode()
    return {"IB-Retry-Config": header_text("ib_retry_config", text)}
