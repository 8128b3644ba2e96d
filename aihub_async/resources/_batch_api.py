"""The requests that upload files to one batch."""

from collections.abc import Callable

from aihub_async import operations as ops
from aihub_async.clock import Clock
from aihub_async.errors import ProtocolError, RequestDetails
from aihub_async.models import FileNode, MultipartUploadPart, MultipartUploadSession
from aihub_async.operations import encode_segment
from aihub_async.pagination import Pages
from aihub_async.resources._base import build_request, read_answer
from aihub_async.resources._multipart import MultipartSessions
from aihub_async.transport.body import Body
from aihub_async.transport.messages import Request
from aihub_async.transport.transport import Transport
from aihub_async.types import Id


class BatchAPI:
    """The `uploads.single.BatchUploadAPI` of one batch."""

    def __init__(
        self,
        transport: Transport,
        sessions: MultipartSessions,
        list_files: Callable[[Id], Pages[FileNode]],
        batch_id: Id,
    ) -> None:
        self._transport = transport
        self._sessions = sessions
        self._list_files = list_files
        self._batch_id = batch_id
        # All files of a batch have the same path but for its last segment: the rest is put together once.
        self._prefix = ops.ADD_FILE.url_path(batch_id=batch_id, filename="_").removesuffix("_")

    @property
    def clock(self) -> Clock:
        """Time, sleep and randomness of the client."""
        return self._transport.clock

    async def put(self, name: str, body: Body) -> int:
        """Send a file whole and return the number of attempts.

        Raises:
            ProtocolError: the answer is a page of a gateway, which did not pass the file on.
        """
        request = Request(ops.ADD_FILE, self._prefix + encode_segment("filename", name), body=body)
        return len((await self._transport.send(request)).attempts)

    async def open_session(self, name: str, size: int) -> MultipartUploadSession:
        """Begin an upload in parts."""
        session = await self._sessions.create_multipart_upload_session(self._batch_id, name, size)
        if session.part_size < 1:
            operation = ops.CREATE_UPLOAD
            details = RequestDetails(operation.name, operation.method, operation.path)
            raise ProtocolError(f"the server requested parts of {session.part_size} bytes", details)
        return session

    async def put_part(self, session_id: str, number: int, body: Body) -> tuple[str, int]:
        """Send a part and return its id and the number of attempts."""
        request = build_request(ops.UPLOAD_PART, {"session_id": session_id, "part_num": number}, body=body)
        response = await self._transport.send(request)
        part = read_answer(self._transport, MultipartUploadPart, request, response)
        return part.part_id, len(response.attempts)

    async def commit(self, session_id: str, parts: dict[int, str]) -> None:
        """Put the parts together."""
        listed = [MultipartUploadPart(part_num=number, part_id=part_id) for number, part_id in parts.items()]
        await self._sessions.commit_multipart_upload_session(session_id, "commit", listed)

    async def abort(self, session_id: str) -> None:
        """Drop the session with its parts."""
        await self._sessions.commit_multipart_upload_session(session_id, "abort")

    async def size_of(self, name: str) -> int | None:
        """Return the size in bytes of a file of the batch, None when there is none."""
        async for node in self._list_files(self._batch_id):
            if node.name == name:
                return None if node.metadata is None else node.metadata.size
        return None
