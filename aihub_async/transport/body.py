"""Request bodies: they know their length and can be sent again."""

import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Protocol

import attrs

from aihub_async.errors import SourceChangedError, SourceError

CHUNK = 256 * 1024
"""Bytes per read of a file. Measured: 1 MiB chunks are twice as slow over TLS, smaller ones cost more calls."""

Write = Callable[[bytes], Awaitable[None]]


class Body(Protocol):
    """What a request carries. `write_to` writes exactly `length` bytes, the same at every attempt."""

    @property
    def length(self) -> int:
        """Size in bytes."""
        ...

    @property
    def content_type(self) -> str:
        """The Content-Type header."""
        ...

    async def write_to(self, write: Write) -> None:
        """Write the whole body.

        Raises:
            SourceError: the source cannot be read, or changed since it was measured.
        """
        ...


@attrs.frozen
class BytesBody:
    """A body in memory."""

    data: bytes = attrs.field(repr=False)
    content_type: str = "application/octet-stream"

    @property
    def length(self) -> int:
        """Size in bytes."""
        return len(self.data)

    async def write_to(self, write: Write) -> None:
        """Write the bytes at once."""
        await write(self.data)


JSON_TYPE = "application/json"


@attrs.frozen
class Fingerprint:
    """What tells that a file is still the one that was measured.

    The change time (`ctime_ns`) notices a rewrite after which somebody restored the modification time.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    device: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Fingerprint":
        """The fingerprint in the result of `os.stat` or `os.fstat`."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino)


@attrs.frozen
class FileBody:
    """A file, or a part of one, read in chunks at every attempt; memory stays flat.

    The file is compared with its `fingerprint` when it is opened and again before its last chunk is sent.
    """

    path: Path
    fingerprint: Fingerprint
    offset: int
    length: int
    content_type: str = "application/octet-stream"

    @classmethod
    def measure(cls, path: str | os.PathLike[str]) -> "FileBody":
        """The whole of a regular file.

        Raises:
            SourceError: it does not exist, may not be read or is no regular file.
        """
        with os.fdopen(open_regular(path), "rb", buffering=0) as file:
            fingerprint = Fingerprint.of(os.fstat(file.fileno()))
        return cls(Path(path), fingerprint, 0, fingerprint.size)

    async def write_to(self, write: Write) -> None:
        """Write the bytes between `offset` and `offset + length`."""
        descriptor = open_regular(self.path)
        try:
            self._check(descriptor)
            await self._copy(descriptor, write)
        finally:
            os.close(descriptor)

    async def _copy(self, descriptor: int, write: Write) -> None:
        position, end = self.offset, self.offset + self.length
        while position < end:
            chunk = os.pread(descriptor, min(CHUNK, end - position), position)
            if not chunk:
                raise SourceChangedError(f"{self.path} shrank while it was uploaded", name=str(self.path))
            position += len(chunk)
            if position >= end:
                self._check(descriptor)
            await write(chunk)

    def _check(self, descriptor: int) -> None:
        if Fingerprint.of(os.fstat(descriptor)) != self.fingerprint:
            raise SourceChangedError(f"{self.path} changed while it was uploaded; upload it again", name=str(self.path))


def open_regular(path: str | os.PathLike[str]) -> int:
    """Open a regular file for reading and give its descriptor; never blocks on a FIFO or a device.

    Raises:
        SourceError: it does not exist, may not be read or is no regular file.
    """
    name = os.fspath(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise SourceError(f"cannot read {name!r}: {error.strerror}", name=name) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SourceError(f"{name!r} is not a regular file", name=name)
    return descriptor


@attrs.frozen
class StreamBody:
    """Bytes of a known length from an async stream; `open` starts the stream anew at every attempt."""

    open: Callable[[], AsyncIterator[bytes]]
    length: int
    name: str
    content_type: str = "application/octet-stream"

    async def write_to(self, write: Write) -> None:
        """Write the stream, which must give exactly `length` bytes."""
        written = 0
        async for chunk in self.open():
            written += len(chunk)
            if written > self.length:
                break
            await write(chunk)
        if written != self.length:
            raise SourceChangedError(
                f"{self.name} gave {'more' if written > self.length else 'fewer'} than the {self.length} bytes it "
                "was said to have",
                name=self.name,
            )
