"""Request bodies: they know their length and can be sent again."""

import contextlib
import errno
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Protocol

import attrs

from aihub_async.errors import SourceChangedError, SourceError

CHUNK = 256 * 1024
"""Bytes per read of a file. Measured: 1 MiB chunks are twice as slow over TLS, smaller ones cost more calls."""

JSON_TYPE = "application/json"
OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

Write = Callable[[bytes | memoryview], Awaitable[None]]


class Body(Protocol):
    """What a request carries. `write_to` writes exactly `length` bytes, the same at every attempt."""

    @property
    def length(self) -> int:
        """Size in bytes."""
        ...

    @property
    def held(self) -> int:
        """Bytes of it that are in memory while it is sent; they count against `max_bytes_in_flight`."""
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

    data: bytes | memoryview = attrs.field(repr=False)
    content_type: str = "application/octet-stream"

    @property
    def length(self) -> int:
        """Size in bytes."""
        return len(self.data)

    @property
    def held(self) -> int:
        """All of it."""
        return len(self.data)

    def part(self, offset: int, length: int) -> "BytesBody":
        """A part of it, which shares its memory."""
        return BytesBody(memoryview(self.data)[offset : offset + length], self.content_type)

    async def write_to(self, write: Write) -> None:
        """Write the bytes, many of them in chunks: the transport copies what the network does not take at once."""
        if len(self.data) <= CHUNK:
            await write(self.data)
            return
        view = memoryview(self.data)
        for position in range(0, len(view), CHUNK):
            await write(view[position : position + CHUNK])


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

    def is_of(self, status: os.stat_result) -> bool:
        """Whether the result of `os.stat` or `os.fstat` shows the same, unchanged file."""
        return (
            status.st_size == self.size
            and status.st_mtime_ns == self.mtime_ns
            and status.st_ctime_ns == self.ctime_ns
            and status.st_ino == self.inode
            and status.st_dev == self.device
        )


@attrs.frozen
class FileBody:
    """A file, or a part of one, read in chunks at every attempt; memory stays flat.

    `path` may be the descriptor of an open file, which stays open and keeps its position. The file is compared with
    its `fingerprint` when it is opened and again before its last chunk is sent.
    """

    path: str | int
    fingerprint: Fingerprint
    offset: int
    length: int
    content_type: str = "application/octet-stream"

    @property
    def held(self) -> int:
        """One chunk."""
        return min(self.length, CHUNK)

    def part(self, offset: int, length: int) -> "FileBody":
        """A part of it; every part is compared with the same fingerprint."""
        return FileBody(self.path, self.fingerprint, self.offset + offset, length, self.content_type)

    @classmethod
    def measure(cls, path: str | os.PathLike[str] | int) -> "FileBody":
        """The whole of a regular file.

        Raises:
            SourceError: it does not exist, or is no regular file.
        """
        name = path if isinstance(path, int) else os.fspath(path)
        try:
            status = os.stat(name)  # noqa: PTH116  # works for descriptors too, and a Path costs as much again
        except (OSError, ValueError) as error:
            raise _unreadable(name, error) from None
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{name!r} is not a regular file", name=str(name))
        return cls(name, Fingerprint.of(status), 0, status.st_size)

    def read(self) -> bytes:
        """All of it at once, for a file that fits into memory.

        Raises:
            SourceError: it cannot be read, or changed since it was measured.
        """
        descriptor, status = open_regular(self.path)
        try:
            self._check(status)
            data = read_at(descriptor, self.length, self.offset, self.path)
            self._check(os.fstat(descriptor))
        finally:
            os.close(descriptor)
        if len(data) != self.length:
            raise self._changed()
        return data

    async def write_to(self, write: Write) -> None:
        """Write the bytes between `offset` and `offset + length`."""
        descriptor, status = open_regular(self.path)
        try:
            self._check(status)
            await self._copy(descriptor, write)
        finally:
            os.close(descriptor)

    async def _copy(self, descriptor: int, write: Write) -> None:
        position, end = self.offset, self.offset + self.length
        while position < end:
            chunk = read_at(descriptor, min(CHUNK, end - position), position, self.path)
            if not chunk:
                raise self._changed()
            position += len(chunk)
            if position >= end:
                self._check(os.fstat(descriptor))
            await write(chunk)
            # Freed before the next read, whose bytes then take its place: fresh memory costs more than the copy.
            del chunk

    def _check(self, status: os.stat_result) -> None:
        if not self.fingerprint.is_of(status):
            raise self._changed()

    def _changed(self) -> SourceChangedError:
        return SourceChangedError(f"{self.path} changed while it was uploaded; upload it again", name=str(self.path))


def read_at(descriptor: int, size: int, position: int, path: str | int) -> bytes:
    """Up to `size` bytes of an open file.

    Raises:
        SourceError: the disk fails.
    """
    try:
        return os.pread(descriptor, size, position)
    except OSError as error:
        raise SourceError(f"cannot read {path!r}: {error.strerror}", name=str(path)) from None


def open_regular(path: str | os.PathLike[str] | int) -> tuple[int, os.stat_result]:
    """Open a regular file for reading: its descriptor and status. Never blocks on a FIFO or a device.

    Raises:
        SourceError: it does not exist, may not be read or is no regular file.
    """
    name = path if isinstance(path, int) else os.fspath(path)
    try:
        if isinstance(path, int):
            descriptor = os.dup(path)
        else:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        # The cause tells the transport that waiting will help.
        raise _unreadable(name, error) from (error if is_out_of_descriptors(error) else None)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise SourceError(f"{name!r} is not a regular file", name=str(name))
    return descriptor, status


def _unreadable(name: str | int, error: OSError | ValueError) -> SourceError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return SourceError(f"cannot read {name!r}: {reason}", name=str(name))


def is_out_of_descriptors(error: BaseException | None) -> bool:
    """Whether the process or the machine has no descriptors or buffers left for the moment."""
    return isinstance(error, OSError) and error.errno in OUT_OF_DESCRIPTORS


@attrs.frozen
class StreamBody:
    """Bytes of a known length from an async stream; `open` starts the stream anew at every attempt."""

    open: Callable[[], AsyncIterable[bytes]]
    length: int
    name: str
    content_type: str = "application/octet-stream"

    @property
    def held(self) -> int:
        """One chunk."""
        return min(self.length, CHUNK)

    async def write_to(self, write: Write) -> None:
        """Write the stream, which must give exactly `length` bytes."""
        async with contextlib.aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                await write(chunk)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The chunks of a fresh stream, counted.

        Raises:
            SourceError: the stream fails.
            SourceChangedError: it gives more or fewer bytes than `length`.
        """
        given = 0
        stream = aiter(self.open())
        try:
            while (chunk := await self._next(stream)) is not None:
                given += len(chunk)
                if given > self.length:
                    break
                yield chunk
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()
        if given != self.length:
            raise SourceChangedError(
                f"{self.name} gave {'more' if given > self.length else 'fewer'} than the {self.length} bytes it "
                "was said to have",
                name=self.name,
            )

    async def _next(self, stream: AsyncIterator[bytes]) -> bytes | None:
        try:
            return await anext(stream, None)
        except Exception as error:
            # Whatever a foreign stream raises is this file's error, and not the network's.
            raise SourceError(f"{self.name}: the stream failed: {error}", name=self.name) from error
