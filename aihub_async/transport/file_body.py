"""Bodies of files on disk: read with little memory, and never half of one version and half of another."""

import os
import stat
import weakref
from collections.abc import Mapping

import anyio
import attrs

from aihub_async.errors import SourceChangedError, SourceError
from aihub_async.transport.body import CHUNK, OCTET_STREAM, WHOLE, Write
from aihub_async.transport.descriptors import OpenRetries, is_out_of_descriptors

_SAMPLE = 64
"""Bytes of the beginning of each chunk that are kept while a file is sent."""


class SourceTouchedError(SourceChangedError):
    """The times or the permissions of a file changed while it was sent; its content may be the same.

    The request was aborted. `fresh` measures the file again, to send it once more as a whole.
    """

    def __init__(self, message: str, *, name: str, begin: int, held: "HeldFile") -> None:
        super().__init__(message, name=name)
        self._begin = begin
        self._held = held

    def close(self) -> None:
        """Close the file, after `fresh` was sent."""
        self._held.close()

    def fresh(self) -> "FileBody":
        """Return a new body of the same open file, which may no longer be at its path."""
        return FileBody.of_descriptor(self._held.descriptor, self.name or "", offset=self._begin, held=self._held)


class HeldFile:
    """Keeps a file open for as long as a body needs it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = os.dup(descriptor)
        # Tracebacks and their cycles can keep this object alive for long: whoever is done with it closes it.
        self.close = weakref.finalize(self, os.close, self.descriptor)


@attrs.frozen
class Fingerprint:
    """What shows that a file is still the one that was measured.

    The change time (`ctime_ns`) reveals a rewrite after which the modification time was restored. It also changes
    with a new link, another name or other permissions.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    device: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Fingerprint":
        """Return the fingerprint in the result of `os.stat` or `os.fstat`."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino)

    def is_of(self, status: os.stat_result) -> bool:
        """Whether the result of `os.stat` or `os.fstat` shows the same, untouched file."""
        return (
            status.st_size == self.size
            and status.st_mtime_ns == self.mtime_ns
            and status.st_ctime_ns == self.ctime_ns
            and status.st_ino == self.inode
            and status.st_dev == self.device
        )

    def may_be_of(self, status: os.stat_result) -> bool:
        """Whether it shows the same file with the same size, so that its content may be the same, too."""
        return (status.st_size, status.st_ino, status.st_dev) == (self.size, self.inode, self.device)


@attrs.frozen
class FileBody:
    """A file, or a part of one, read in chunks at every attempt; memory stays flat.

    `path` may be the descriptor of an open file, which stays open and keeps its position. The file is compared with
    its `fingerprint` when it is opened and again before its last chunk is sent. `begin` is the `offset` of the whole
    of which this is a part.
    """

    path: str | int
    fingerprint: Fingerprint
    offset: int
    length: int
    content_type: str = OCTET_STREAM
    name: str = attrs.field(default="", eq=False)
    begin: int = 0
    held_file: HeldFile | None = attrs.field(default=None, eq=False, repr=False)

    @property
    def held(self) -> int:
        """All of it, or one chunk of a large one."""
        return self.length if self.length <= WHOLE else CHUNK

    @property
    def identity(self) -> object:
        """The file, its fingerprint and the range."""
        return (FileBody, self.path, self.fingerprint, self.offset, self.length)

    def part(self, offset: int, length: int) -> "FileBody":
        """Return a part; every part is compared with the same fingerprint."""
        return attrs.evolve(self, offset=self.offset + offset, length=length)

    def parts(self) -> "FileParts":
        """Return a cutter of this body, which keeps the file open."""
        return FileParts(self)

    def opened(self) -> "FileBody":
        """Return a body of the file that its path leads to now, wherever that leads later.

        Raises:
            SourceError: it cannot be opened, or changed since it was measured.
        """
        if isinstance(self.path, int):
            return self
        descriptor, status = open_regular(self.path)
        try:
            self._check(descriptor, status, {})
            held = HeldFile(descriptor)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        finally:
            os.close(descriptor)
        return attrs.evolve(self, path=held.descriptor, held_file=held)

    @classmethod
    def measure(cls, path: str | os.PathLike[str]) -> "FileBody":
        """Return the body of a whole regular file.

        Raises:
            SourceError: it does not exist, or is no regular file.
        """
        name = os.fsdecode(path)
        try:
            status = os.stat(name)  # noqa: PTH116  # a Path costs as much again
        except (OSError, ValueError) as error:
            raise _unreadable(name, error) from None
        if not stat.S_ISREG(status.st_mode):
            raise _not_regular(name)
        return cls(name, Fingerprint.of(status), 0, status.st_size, name=name)

    @classmethod
    def of_descriptor(cls, descriptor: int, name: str, *, offset: int = 0, held: HeldFile | None = None) -> "FileBody":
        """Return the body of an open regular file, from `offset` to its end."""
        status = os.fstat(descriptor)
        length = max(status.st_size - offset, 0)
        return cls(descriptor, Fingerprint.of(status), offset, length, name=name, begin=offset, held_file=held)

    async def read_all(self) -> bytes:
        """Return all bytes, for a file that fits into memory.

        Raises:
            SourceError: it cannot be read, or changed since it was measured.
        """
        descriptor = open_file(self.path)
        try:
            data = self._read(descriptor, self.offset, self.length)
            # Whatever happened since it was measured would show now, too: a look before would be a call more.
            now = os.fstat(descriptor)
            if not self.fingerprint.is_of(now):
                self._check_content(descriptor, now, data)
        finally:
            os.close(descriptor)
        if len(data) != self.length:
            raise self._changed()
        return data

    def _check_content(self, descriptor: int, status: os.stat_result, data: bytes) -> None:
        """Compare what was read with what is there now, which times alone cannot show."""
        if not stat.S_ISREG(status.st_mode):
            raise _not_regular(self.path)
        again = self._read(descriptor, self.offset, self.length)
        if again != data or not self.fingerprint.may_be_of(os.fstat(descriptor)):
            raise self._changed()
        # It may have been touched before it was opened, and then be another version than the parts before this one.
        raise self._touched(descriptor)

    async def write_to(self, write: Write) -> None:
        """Write the bytes between `offset` and `offset + length`."""
        descriptor, status = open_regular(self.path)
        try:
            self._check(descriptor, status, {})
            await self._copy(descriptor, write)
        finally:
            os.close(descriptor)

    async def _copy(self, descriptor: int, write: Write) -> None:
        position, end = self.offset, self.offset + self.length
        samples: dict[int, bytes] = {}
        while position < end:
            chunk = read_at(descriptor, min(CHUNK, end - position), position, self.path)
            if not chunk:
                raise self._changed()
            samples[position] = chunk[:_SAMPLE]
            position += len(chunk)
            if position >= end:
                self._check(descriptor, os.fstat(descriptor), samples)
            await write(chunk)
            # Freed before the next read, whose bytes then take its place: fresh memory costs more than the copy.
            del chunk

    def _read(self, descriptor: int, position: int, size: int) -> bytes:
        """Read until `size` bytes are there or the file ends: network file systems return less than requested."""
        data = read_at(descriptor, size, position, self.path)
        while 0 < len(data) < size:
            more = read_at(descriptor, size - len(data), position + len(data), self.path)
            if not more:
                break
            data += more
        return data

    def _check(self, descriptor: int, status: os.stat_result, samples: Mapping[int, bytes]) -> None:
        if self.fingerprint.is_of(status):
            return
        # Samples cannot show that nothing changed, but a file that is sent again as a whole is consistent anyway.
        if self.fingerprint.may_be_of(status) and all(
            self._read(descriptor, position, len(sample)) == sample for position, sample in samples.items()
        ):
            raise self._touched(descriptor)
        raise self._changed()

    @property
    def _shown(self) -> str:
        return self.name or str(self.path)

    def _changed(self) -> SourceChangedError:
        return SourceChangedError(f"{self._shown} changed while it was uploaded; upload it again", name=self._shown)

    def _touched(self, descriptor: int) -> SourceChangedError:
        try:
            held = HeldFile(descriptor)
        except OSError:
            # No descriptor is left to send it again.
            return self._changed()
        message = f"{self._shown} was modified while it was uploaded, at least in its times or permissions"
        return SourceTouchedError(message, name=self._shown, begin=self.begin, held=held)


class FileParts:
    """Parts of a file that is opened once: a new name of it does not matter after the first part."""

    def __init__(self, whole: FileBody) -> None:
        self._whole = whole
        self._opened: FileBody | None = None

    async def part(self, offset: int, length: int) -> FileBody:
        """Return the body of one part."""
        if self._opened is None:
            self._opened = await self._open()
        return self._opened.part(offset, length)

    async def _open(self) -> FileBody:
        retries = OpenRetries()
        while True:
            try:
                return self._whole.opened()
            except SourceError as error:
                await anyio.sleep(retries.pause_after(error))

    async def aclose(self) -> None:
        """Close the file; none of its parts may be in use any more."""
        opened, self._opened = self._opened, None
        if opened is not None and opened is not self._whole and opened.held_file is not None:
            opened.held_file.close()


def read_at(descriptor: int, size: int, position: int, path: str | int) -> bytes:
    """Read up to `size` bytes of an open file.

    Raises:
        SourceError: the disk fails.
    """
    try:
        return os.pread(descriptor, size, position)
    except OSError as error:
        raise SourceError(f"cannot read {path!r}: {error.strerror}", name=str(path)) from None


def open_regular(path: str | int) -> tuple[int, os.stat_result]:
    """Open a regular file for reading and return its descriptor and status. Never blocks on a FIFO or a device.

    Raises:
        SourceError: it does not exist, is not readable or is no regular file.
    """
    descriptor = open_file(path)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise _not_regular(path)
    return descriptor, status


def open_file(path: str | int) -> int:
    """Open a file of any kind for reading, without waiting for anything.

    Raises:
        SourceError: it does not exist, or is not readable.
    """
    try:
        if isinstance(path, int):
            return os.dup(path)
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        # The transport sees from the cause that waiting will help.
        raise _unreadable(path, error) from (error if is_out_of_descriptors(error) else None)


def _not_regular(path: str | int) -> SourceError:
    return SourceError(f"{path!r} is not a regular file", name=str(path))


def _unreadable(name: str | int, error: OSError | ValueError) -> SourceError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return SourceError(f"cannot read {name!r}: {reason}", name=str(name))
