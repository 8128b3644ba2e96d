"""The operations of multipart upload sessions; see `client.batches`."""

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from aihub_async import operations as ops
from aihub_async.errors import InvalidRequestError
from aihub_async.models import MultipartUploadPart, MultipartUploadSession
from aihub_async.resources._base import Resource, as_batch_id
from aihub_async.types import Id
from aihub_async.uploads.contents import Content, to_body


class MultipartSessions(Resource):
    """Uploads in parts, step by step."""

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
            part_num: 1, 2, 3, ...
            part_data: exactly the session's `part_size` bytes, fewer for the last part.
        """
        if part_num < 1:
            raise InvalidRequestError(f"part numbers begin at 1, not {part_num}")
        return await self._fetch(
            MultipartUploadPart,
            ops.UPLOAD_PART,
            body=await to_body(part_data, f"part {part_num}"),
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
            parts: for a commit, all parts in order, as returned by `upload_multipart_part()`.
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
