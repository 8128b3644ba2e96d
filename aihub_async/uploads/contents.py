"""Bodies of what can be uploaded besides paths and bytes: open files, streams, remote files."""

import os
import stat
import threading
from collections.abc import AsyncIterable, Callable
from typing import Any, BinaryIO

import anyio.to_thread
import attrs

from aihub_async.errors import InvalidRequestError, SourceChangedError, SourceError
from aihub_async.transport.body import Body, BytesBody, FileBody, Fingerprint, StreamBody, Write

_REMOTE_CHUNK = 4 * 1024 * 1024
"""Bytes per read of a file that is not a file of the operating system: each read is a visit to a thread."""


@attrs.frozen
class ByteStream:
    """Bytes of a known length that come from an async stream.

    Args:
        open: starts the stream; called again when the upload has to be repeated.
        length: bytes it will give; more or fewer are an error of this file.

    Example:
        >>> async def copy(client, batch_id, download, size):
        ...     await client.batches.upload(batch_id, [("scan.pdf", ByteStream(download.iter_bytes, size))])
    """

    open: Callable[[], AsyncIterable[bytes]]
    length: int

    def body(self, name: str) -> StreamBody:
        """The request body."""
        if self.length < 0:
            raise InvalidRequestError(f"{name}: the length of a stream is a number of bytes, not {self.length}")
        return StreamBody(self.open, self.length, name)


@attrs.frozen
class ReadBody:
    """A range of something that `read(position, size)` gives; each read happens in a thread."""

    read: Callable[[int, int], bytes]
    offset: int
    length: int
    name: str
    content_type: str = "application/octet-stream"

    @property
    def held(self) -> int:
        """One chunk."""
        return min(self.length, _REMOTE_CHUNK)

    def part(self, offset: int, length: int) -> "ReadBody":
        """A part of it."""
        return attrs.evolve(self, offset=self.offset + offset, length=length)

    async def write_to(self, write: Write) -> None:
        """Write the range."""
        position, end = self.offset, self.offset + self.length
        while position < end:
            chunk = await anyio.to_thread.run_sync(self._read, position, min(_REMOTE_CHUNK, end - position))
            if not chunk:
                raise SourceChangedError(f"{self.name} shrank while it was uploaded", name=self.name)
            position += len(chunk)
            await write(chunk)

    def _read(self, position: int, size: int) -> bytes:
        try:
            return self.read(position, size)
        except Exception as error:
            # Whatever a foreign file raises is this file's error.
            raise SourceError(f"cannot read {self.name}: {error}", name=self.name) from error


def file_body(file: BinaryIO, name: str) -> Body:
    """The request body of an open file, from its position to its end; it must stay open until it is up.

    Raises:
        InvalidRequestError: it gives text, or cannot be read.
    """
    descriptor = _descriptor(file)
    if descriptor is not None:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            start = file.tell()
            return FileBody(descriptor, Fingerprint.of(status), start, max(status.st_size - start, 0))
    if _is_seekable(file):
        start = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(start)
        if not isinstance(file.read(0), bytes):
            raise InvalidRequestError(f"{name}: the file gives text; open it with 'rb'")
        return ReadBody(_reader(file), start, max(end - start, 0), name)
    data = file.read()
    if not isinstance(data, bytes):
        raise InvalidRequestError(f"{name}: pass bytes, a path, or a file opened with 'rb', not {type(file).__name__}")
    return BytesBody(data)


def _descriptor(file: Any) -> int | None:
    try:
        # A text file has a descriptor too, but its position counts characters.
        return int(file.fileno()) if isinstance(file.read(0), bytes) else None
    except (AttributeError, OSError, ValueError):
        return None


def _is_seekable(file: Any) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(seekable is not None and seekable())


def _reader(file: BinaryIO) -> Callable[[int, int], bytes]:
    lock = threading.Lock()

    def read(position: int, size: int) -> bytes:
        with lock:
            file.seek(position)
            return file.read(size)

    return read


def remote_files(url: str) -> "list[RemoteFile] | RemoteFile":
    """What stands behind an fsspec URL: one file, or those of a folder. Asks the network: to be called in a thread.

    Raises:
        SourceError: fsspec is not installed, or cannot find it.
    """
    try:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]  # noqa: PLC0415  # it has no types, and is an extra
    except ImportError:
        raise SourceError(f"{url}: pip install 'aihub-async[fsspec]' to upload from URLs", name=url) from None
    try:
        system, path = url_to_fs(url)
        if not system.isdir(path):
            return RemoteFile(system, path, url, int(system.size(path)))
        root = path.rstrip("/") + "/"
        return [
            RemoteFile(system, found, system.unstrip_protocol(found), int(info["size"]), found.removeprefix(root))
            for found, info in system.find(path, detail=True).items()
        ]
    except Exception as error:
        # Each file system has exceptions of its own.
        raise SourceError(f"cannot read {url}: {error}", name=url) from error


@attrs.frozen
class RemoteFile:
    """A file behind an fsspec URL; `relative` is its path below the folder that was asked for."""

    system: Any = attrs.field(repr=False)
    path: str
    url: str
    size: int
    relative: str = ""

    def body(self) -> ReadBody:
        """The request body: ranges are read in threads."""

        def read(position: int, size: int) -> bytes:
            data: bytes = self.system.cat_file(self.path, start=position, end=position + size)
            return data

        return ReadBody(read, 0, self.size, self.url)
