"""Upload one file as a whole, and once again if it was touched meanwhile."""

import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

import anyio
import anyio.to_thread
import attrs

from aihub_async.clock import Clock
from aihub_async.errors import SourceError
from aihub_async.models import MultipartUploadSession
from aihub_async.transport.body import Body, ContentBody, StreamBody, Write
from aihub_async.transport.descriptors import OpenRetries
from aihub_async.transport.file_body import SourceTouchedError

T = TypeVar("T")

_SMALL = 64 * 1024
"""Bytes that are hashed in less time than a visit to a thread takes."""


class BatchUploadAPI(Protocol):
    """The requests of uploads to one batch."""

    @property
    def clock(self) -> Clock:
        """Time, sleep and randomness."""
        ...

    async def put(self, name: str, body: ContentBody) -> int:
        """Send a file whole and return the number of attempts."""
        ...

    async def open_session(self, name: str, size: int) -> MultipartUploadSession:
        """Begin an upload in parts."""
        ...

    async def put_part(self, session_id: str, number: int, body: Body) -> tuple[str, int]:
        """Send a part and return its id and the number of attempts."""
        ...

    async def commit(self, session_id: str, parts: dict[int, str]) -> None:
        """Put the parts together."""
        ...

    async def abort(self, session_id: str) -> None:
        """Drop the session with its parts."""
        ...

    async def size_of(self, name: str) -> int | None:
        """Return the size in bytes of a file of the batch, None when there is none."""
        ...


async def with_fresh_body(send: Callable[[ContentBody], Awaitable[T]], body: ContentBody) -> T:
    """Send a file, and once again from its beginning if it was touched meanwhile.

    A new link, another name or other permissions change no content; what is sent the second time is consistent, also
    if the content did change.

    Raises:
        SourceChangedError: it changed in size or content, or was touched again.
    """
    try:
        return await send(body)
    except SourceTouchedError as error:
        touched = error
    with contextlib.closing(touched):
        try:
            return await send(touched.fresh())
        except SourceTouchedError as again:
            # It may be kept in a report, and must not keep the file open.
            again.close()
            raise


async def digested(body: ContentBody) -> tuple[ContentBody, Callable[[], str]]:
    """Return a body, and what returns its SHA-256 once it has been sent.

    A stream is hashed on its way. Everything else is read a second time for it, before it is sent: its fingerprint
    shows whether the file is still the same then.
    """
    if isinstance(body, StreamBody):
        return _hashing(body)
    digest = hashlib.sha256()

    async def update(chunk: bytes | memoryview) -> None:
        if len(chunk) <= _SMALL:
            digest.update(chunk)
        else:
            await anyio.to_thread.run_sync(digest.update, chunk)

    await _read_patiently(body, update)
    return body, digest.hexdigest


async def _read_patiently(body: ContentBody, write: Write) -> None:
    """Read a body, waiting a few seconds for a descriptor while the process has none left."""
    retries = OpenRetries()
    while True:
        try:
            return await body.write_to(write)
        except SourceError as error:
            await anyio.sleep(retries.pause_after(error))


def _hashing(body: StreamBody) -> tuple[ContentBody, Callable[[], str]]:
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
