"""Bodies of what can be uploaded: bytes, paths, open files and async streams."""

import inspect
import io
import logging
import os
import stat
import threading
import weakref
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any, BinaryIO, ClassVar

import anyio
import anyio.to_thread
import attrs

from aihub_async.errors import InvalidRequestError, SourceChangedError, SourceError
from aihub_async.paths import folded_url
from aihub_async.transport.body import (
    OCTET_STREAM,
    BytesBody,
    ContentBody,
    RandomParts,
    StreamBody,
    Write,
    read_chunks,
)
from aihub_async.transport.file_body import FileBody

Content = bytes | bytearray | memoryview | os.PathLike[str] | BinaryIO
"""Content of one file: bytes, a path object, or an open binary file."""

logger = logging.getLogger("aihub_async")

_READ_SIZE = 4 * 1024 * 1024
"""Bytes per read of a file that is not a plain file of the operating system: each read is a visit to a thread."""


@attrs.frozen
class ByteStream:
    """Bytes of a known length from an async stream.

    Args:
        open: starts the stream; called again when the upload has to be repeated.
        length: number of bytes; more or fewer are an error of this file.

    Example:
        >>> async def copy(client, batch_id, download, size):
        ...     await client.batches.upload(batch_id, [("scan.pdf", ByteStream(download.iter_bytes, size))])
    """

    open: Callable[[], AsyncIterable[bytes]]
    length: int

    def body(self, name: str) -> StreamBody:
        """Return the request body; `name` is used in errors."""
        if self.length < 0:
            raise InvalidRequestError(f"{name}: the length of a stream is a number of bytes, not {self.length}")
        return StreamBody(self.open, self.length, name)


async def to_body(content: Content | ByteStream, name: str) -> ContentBody:
    """Return the request body of a content; `name` is used in errors.

    An open file is sent from its position to its end. It must stay open until it has been sent, and is at the
    same position afterwards. Only plain files (`io.FileIO`, and `io.BufferedReader` on top of one) are read by their
    descriptor; of everything else, such as `gzip.open()` or a member of a zip file, the bytes are those that its
    `read()` returns.

    Raises:
        InvalidRequestError: text, an open file at its end, or something else that has no bytes.
        SourceError: the file cannot be read.
    """
    if isinstance(content, bytes | bytearray | memoryview):
        # A copy of what may change, for a repeated request must send the same.
        return BytesBody(bytes(content))
    if isinstance(content, os.PathLike):
        return _path_body(os.fsdecode(content))
    if isinstance(content, ByteStream):
        return content.body(name)
    file = binary_file(content, name)
    plain = _plain_body(file, name)
    return plain if plain is not None else await anyio.to_thread.run_sync(_measured, file, name)


def _path_body(path: str) -> FileBody:
    url = folded_url(path)
    if url is not None and not os.path.exists(path):  # noqa: PTH110  # a Path costs 10 µs
        raise SourceError(f"{path!r} is no local file; upload() takes URLs, as text: {url!r}", name=path)
    return FileBody.measure(path)


def check_content(content: Content | ByteStream, name: str) -> None:
    """Check a content without reading it, and where that needs a file to seek without moving it.

    Raises:
        InvalidRequestError, SourceError: as `to_body`, as far as that shows before it is read.
    """
    if isinstance(content, bytes | bytearray | memoryview):
        return
    if isinstance(content, os.PathLike):
        check_readable(os.fsdecode(content))
    elif isinstance(content, ByteStream):
        content.body(name)
    else:
        file = binary_file(content, name)
        if _plain_body(file, name) is None and _can_seek(file, name):
            _measured(file, name)


def check_readable(path: str) -> None:
    """Check that a path leads to a regular file that this process may read.

    Raises:
        SourceError: it does not.
    """
    FileBody.measure(path)
    if not os.access(path, os.R_OK):
        raise SourceError(f"cannot read {path!r}: permission denied", name=path)


def _can_seek(file: Any, name: str) -> bool:
    try:
        return _is_seekable(file)
    except Exception as error:
        # As in _measured().
        raise SourceError(f"cannot read {name}: {error}", name=name) from error


def binary_file(content: object, name: str) -> Any:
    """Return the file with a synchronous `read()` that an object is, or has.

    Raises:
        InvalidRequestError: there is none; the message names what to pass instead.
    """
    if isinstance(content, str):
        raise InvalidRequestError(
            f"{name}: a str could be content or a path; pass pathlib.Path(...) for a file, or .encode() for content"
        )
    # FastAPI's UploadFile has its file as `file`, anyio's AsyncFile as `wrapped`.
    for file in (content, getattr(content, "file", None), getattr(content, "wrapped", None)):
        if hasattr(file, "read") and not is_async_file(file):
            return file
    if is_async_file(content) or isinstance(content, AsyncIterable):
        raise InvalidRequestError(
            f"{name}: the length of an async stream must be known before it is sent; "
            "pass aihub_async.ByteStream(open, length), where open() starts the stream"
        )
    if isinstance(content, Iterable):
        raise InvalidRequestError(f"{name}: pass the bytes as one object, such as b''.join(...)")
    raise InvalidRequestError(
        f"{name}: pass bytes, a path, a file opened with 'rb' or a ByteStream, not {type(content).__name__}"
    )


def is_async_file(file: object) -> bool:
    """Whether `read` of a file is a coroutine function."""
    return inspect.iscoroutinefunction(getattr(file, "read", None))


def _plain_body(file: Any, name: str) -> FileBody | None:
    raw = file.raw if type(file) is io.BufferedReader else file
    # A subclass may have its own read(), and the buffer of a file open for writing may not be on disk yet.
    if type(raw) is not io.FileIO:
        return None
    try:
        descriptor = raw.fileno()
        if not raw.readable() or not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        body = FileBody.of_descriptor(descriptor, name, offset=file.tell())
    except (OSError, ValueError) as error:
        raise SourceError(f"cannot read {name}: {error}", name=name) from error
    _check_position(body.offset, body.length, name)
    return body


def _measured(file: Any, name: str) -> ContentBody:
    """Return the body of any other file. Reads it: to be called in a thread."""
    data: Any = None
    shared: SeekableFile | None = None
    try:
        is_text = isinstance(file.read(0), str)
        if not is_text:
            shared = SeekableFile.of(file)
            data = file.read() if shared is None else None
    except Exception as error:
        # Any exception of a foreign file object is this file's error.
        raise SourceError(f"cannot read {name}: {error}", name=name) from error
    if is_text:
        raise InvalidRequestError(f"{name}: the file returns text; open it with 'rb'")
    if shared is not None:
        _check_position(shared.start, shared.length, name)
        return ReadBody(
            shared.read, shared.start, shared.length, name, rewind=shared.rewind, size=shared.start + shared.length
        )
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InvalidRequestError(f"{name}: read() returns {type(data).__name__} instead of bytes")
    return BytesBody(bytes(data))


def _check_position(start: int, left: int, name: str) -> None:
    """Refuse a file at its end: nearly always one that was written and not rewound, uploaded as an empty file."""
    if start > 0 and left == 0:
        raise InvalidRequestError(
            f"{name}: the file is at its end (byte {start}), so that nothing is left to upload; call seek(0) first, "
            "or pass b'' for an empty file"
        )


class SeekableFile:
    """An open file that several bodies may read at the same time: `read` and `rewind` take turns."""

    _in_use: ClassVar["weakref.WeakValueDictionary[int, SeekableFile]"] = weakref.WeakValueDictionary()
    _lock = threading.Lock()

    def __init__(self, file: Any) -> None:
        self._file = file
        self._turn = threading.Lock()
        self.start: int = file.tell()
        end: int = file.seek(0, os.SEEK_END) or file.tell()
        self.length = max(end - self.start, 0)
        file.seek(self.start)

    @classmethod
    def of(cls, file: Any) -> "SeekableFile | None":
        """Return the instance for a file, shared by all who read it at the same time; None if it cannot seek."""
        with cls._lock:
            # An entry keeps its file alive, so that no other file can have this id meanwhile.
            found = cls._in_use.get(id(file))
            if found is None and _is_seekable(file):
                found = cls._in_use[id(file)] = cls(file)
            return found

    def read(self, position: int, size: int) -> bytes:
        """Read at a position."""
        with self._turn:
            self._file.seek(position)
            data: bytes = self._file.read(size)
            return data

    def rewind(self) -> None:
        """Restore the position of the file."""
        with self._turn:
            self._file.seek(self.start)


def _is_seekable(file: Any) -> bool:
    if hasattr(file, "seekable"):
        return bool(file.seekable())
    # mmap.mmap, and temporary files of older Pythons.
    return hasattr(file, "seek") and hasattr(file, "tell")


@attrs.frozen
class ReadBody:
    """A range of something that is read by `read(position, size)`; each read happens in a thread.

    `rewind` restores what a read changes; `size` is where all of it must end, if that can be checked.
    """

    read: Callable[[int, int], bytes] = attrs.field(eq=False)
    offset: int
    length: int
    name: str
    content_type: str = OCTET_STREAM
    rewind: Callable[[], None] | None = attrs.field(default=None, eq=False)
    size: int | None = None

    @property
    def held(self) -> int:
        """One chunk."""
        return min(self.length, _READ_SIZE)

    @property
    def identity(self) -> object:
        """What is read, and the range."""
        return (ReadBody, self.read, self.offset, self.length)

    def part(self, offset: int, length: int) -> "ReadBody":
        """Return a part."""
        return attrs.evolve(self, offset=self.offset + offset, length=length)

    def parts(self) -> RandomParts:
        """Return a cutter of this body."""
        return RandomParts(self.part)

    async def read_all(self) -> bytes:
        """Return the whole range."""
        return await read_chunks(self)

    async def write_to(self, write: Write) -> None:
        """Write the range."""
        position, end = self.offset, self.offset + self.length
        try:
            while position < end:
                chunk = await anyio.to_thread.run_sync(self._read, position, min(_READ_SIZE, end - position))
                if not chunk:
                    raise SourceChangedError(f"{self.name} shrank while it was uploaded", name=self.name)
                position += len(chunk)
                if position == self.size and await anyio.to_thread.run_sync(self._has_more, position):
                    raise SourceChangedError(f"{self.name} grew while it was uploaded", name=self.name)
                await write(chunk)
        finally:
            if self.rewind is not None:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self._rewind, self.rewind)

    def _read(self, position: int, size: int) -> bytes:
        try:
            return self.read(position, size)
        except SourceError:
            raise
        except Exception as error:
            # Any exception of a foreign file object is this file's error.
            raise SourceError(f"cannot read {self.name}: {error}", name=self.name) from error

    def _has_more(self, position: int) -> bool:
        return len(self._read(position, 1)) > 0

    def _rewind(self, rewind: Callable[[], None]) -> None:
        try:
            rewind()
        except (OSError, ValueError) as error:
            # The caller has closed it meanwhile. Either all bytes were read, or a better error is being raised.
            logger.debug("%s could not be rewound: %s", self.name, error)
