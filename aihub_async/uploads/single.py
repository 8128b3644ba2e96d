"""One file: sent whole, or in parts when it is large."""

import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import anyio
import anyio.to_thread
import attrs

from aihub_async.errors import SourceError
from aihub_async.models import MultipartUploadSession
from aihub_async.transport.body import CHUNK, Body, BytesBody, StreamBody, Write, is_out_of_descriptors

_PATIENCE = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0)


class BatchUploadAPI(Protocol):
    """The requests of uploads to one batch."""

    async def put(self, name: str, body: Body) -> int:
        """Send a file whole; gives the number of attempts."""
        ...

    async def open_session(self, name: str, size: int) -> MultipartUploadSession:
        """Begin an upload in parts."""
        ...

    async def put_part(self, session_id: str, number: int, body: Body) -> tuple[str, int]:
        """Send a part; gives its id and the number of attempts."""
        ...

    async def commit(self, session_id: str, parts: dict[int, str]) -> None:
        """Put the parts together."""
        ...

    async def abort(self, session_id: str) -> None:
        """Drop the session with its parts."""
        ...

    async def size_of(self, name: str) -> int | None:
        """Size in bytes of a file of the batch, None when there is none."""
        ...


async def digested(body: Body) -> tuple[Body, Callable[[], str]]:
    """A body, and what gives its SHA-256 once it has been sent.

    A stream is hashed on its way. Everything else is read a second time for it, before it is sent: that the file is
    still the same then is what its fingerprint is for.
    """
    if isinstance(body, StreamBody):
        return _hashing(body)
    digest = hashlib.sha256()
    if isinstance(body, BytesBody) and body.length <= CHUNK:
        digest.update(body.data)
    else:

        async def update(chunk: bytes | memoryview) -> None:
            await anyio.to_thread.run_sync(digest.update, chunk)

        await _with_patience(body, update)
    return body, digest.hexdigest


async def _with_patience(body: Body, write: Write) -> None:
    """Read a body, waiting a few seconds for a descriptor while the process has none left."""
    for pause in _PATIENCE:
        try:
            return await body.write_to(write)
        except SourceError as error:
            if not is_out_of_descriptors(error.__cause__):
                raise
        await anyio.sleep(pause)
    return await body.write_to(write)


def _hashing(body: StreamBody) -> tuple[Body, Callable[[], str]]:
    digest = hashlib.sha256()

    async def opened() -> AsyncIterator[bytes]:
        nonlocal digest
        digest = hashlib.sha256()
        async for chunk in body.open():
            digest.update(chunk)
            yield chunk

    def finish() -> str:
        return digest.hexdigest()

    return attrs.evolve(body, open=opened), finish
