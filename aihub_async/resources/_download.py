"""A download that survives broken connections and crashes."""

import errno
import hashlib
import os
import re
import stat
import sys
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Self

import attrs
import msgspec

from aihub_async.errors import InvalidRequestError
from aihub_async.models import FileMetadata
from aihub_async.paths import local_path

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-[0-9]{1,19}/([0-9]{1,19}|\*)")
_UNFIT = re.compile(r'[\x00-\x1f\x7f<>:"|?*\ud800-\udfff]')
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)\s*(\..*)?", re.IGNORECASE)
# Links are not followed, and a FIFO does not block; names that a system lacks count as nothing.
_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
# File systems take 255; the partial file and its note need a longer name than the file.
_MAX_NAME_BYTES = 240


@attrs.frozen
class _Origin:
    """What the bytes of a partial file belong to; stored next to it."""

    path: str
    size: int | None
    last_modified: str | None


@attrs.define
class Download:
    """Takes the bytes of one remote file; the sink of a request."""

    target: Path
    origin: _Origin
    _file: BinaryIO
    received: int = 0

    @classmethod
    def prepare(cls, path: str, to: Path, metadata: FileMetadata, *, resume: bool) -> Self:
        """Open the partial file, and keep its content if it belongs to the same remote file."""
        if metadata.is_folder:
            raise InvalidRequestError(f"{path} is a folder")
        target = to / local_name(path) if to.is_dir() else to
        origin = _Origin(path, metadata.size, metadata.headers.get("Last-Modified"))
        file = _open_alone(_part(target))
        download = cls(target, origin, file, file.seek(0, os.SEEK_END))
        if not resume or origin.size is None or _read_origin(target) != origin or download.received > origin.size:
            download._cut(0)
            _write_note(target, origin)
        return download

    @property
    def complete(self) -> bool:
        """True when no byte is missing."""
        return self.received == self.origin.size

    def request_headers(self) -> Mapping[str, str]:
        """Return headers that request what is missing, uncompressed: a range counts the bytes of what is sent."""
        if self.received and self.complete:
            # All bytes came, but not the end of the answer. A range of nothing is an error, so one byte is repeated.
            self._cut(self.received - 1)
        headers = {"Accept-Encoding": "identity"}
        return {**headers, "Range": f"bytes={self.received}-"} if self.received else headers

    def begin(self, status: int, headers: Mapping[str, str]) -> str | None:
        """Check that the answer continues the file; a whole file starts it again."""
        modified = headers.get("Last-Modified")
        if modified is not None and self.origin.last_modified not in {None, modified}:
            return "the file changed during the download"
        if status != HTTPStatus.PARTIAL_CONTENT:
            self._cut(0)
            return self._check_total(headers.get("Content-Length") if "Content-Encoding" not in headers else None)
        found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        if found is None or int(found[1]) != self.received or "Content-Encoding" in headers:
            return f"requested bytes from {self.received}, received Content-Range {headers.get('Content-Range')!r}"
        return self._check_total(None if found[2] == "*" else found[2])

    def _check_total(self, total: str | None) -> str | None:
        if total is None or self.origin.size is None or int(total) == self.origin.size:
            return None
        return f"the file changed during the download: it had {self.origin.size} bytes, now {total}"

    def write(self, chunk: bytes) -> str | None:
        """Append to the partial file."""
        if self.origin.size is not None and self.received + len(chunk) > self.origin.size:
            return f"the server sent more than the {self.origin.size} bytes of the file"
        self._file.write(chunk)
        self.received += len(chunk)
        return None

    def finish(self) -> Path:
        """Put the complete file in its place.

        Raises:
            OSError: it cannot be stored.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        _part(self.target).replace(self.target)
        _note(self.target).unlink(missing_ok=True)
        return self.target

    def _cut(self, length: int) -> None:
        self._file.seek(length)
        self._file.truncate()
        self.received = length

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class Digest:
    """The checksum of an answer, or of anything that is fed to it; the sink of a request."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    @property
    def value(self) -> bytes:
        """The checksum of all bytes so far."""
        return self._hash.digest()

    def request_headers(self) -> Mapping[str, str]:
        """Start again."""
        self._hash = hashlib.sha256()
        return {"Accept-Encoding": "identity"}

    def begin(self, status: int, headers: Mapping[str, str]) -> str | None:  # noqa: ARG002  # the shape of a sink
        """Take any answer."""
        return None

    def write(self, chunk: bytes) -> str | None:
        """Take the next bytes."""
        self._hash.update(chunk)
        return None

    async def feed(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes."""
        self._hash.update(chunk)


def checked_target(to: str | os.PathLike[str]) -> Path:
    """Return where to store a download, checked before anything is sent.

    Raises:
        InvalidRequestError: a URL.
        FileNotFoundError: its folder does not exist.
    """
    target = local_path(to, "to")
    if not target.is_dir() and not target.absolute().parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder to store a download in", str(target.parent))
    return target


def local_name(path: str) -> str:
    r"""Return a file name for a server-supplied path that cannot leave its folder.

    Example:
        >>> local_name("/org/fs/../../etc/passwd"), local_name("a/..\\..\\con")
        ('passwd', '_con')
    """
    name = re.split(r"[/\\]", path.rstrip("/\\"))[-1]
    name = _UNFIT.sub("_", name).rstrip(". ")
    name = f"_{name}" if _DEVICE.fullmatch(name) or not name else name
    stem, dot, suffix = name.rpartition(".")
    while len(name.encode()) > _MAX_NAME_BYTES:
        stem, suffix = (stem[:-1], suffix) if stem else (stem, suffix[:-1])
        name = stem + dot + suffix
    return name


def _open_alone(path: Path) -> BinaryIO:
    """Open a file for this download alone: two that write the same one would mix their bytes.

    Raises:
        BlockingIOError: another download writes it.
        FileExistsError: it is a link, so that the bytes would end up in another file, or no file at all.
    """
    flags = os.O_RDWR | os.O_CREAT | _FLAGS
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _no_partial_file(path) from None
        raise
    status = os.fstat(descriptor)
    if path.is_symlink() or not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(descriptor)
        raise _no_partial_file(path)
    file = os.fdopen(descriptor, "r+b")
    if sys.platform != "win32":
        import fcntl  # noqa: PLC0415  # not on every system

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise BlockingIOError(errno.EAGAIN, "another download writes this file", str(path)) from None
    return file


def _no_partial_file(path: Path) -> FileExistsError:
    return FileExistsError(
        errno.EEXIST, "is a link or not a regular file, and is not overwritten; remove it", str(path)
    )


def _part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _note(target: Path) -> Path:
    return target.with_name(target.name + ".part.json")


def _write_note(target: Path, origin: _Origin) -> None:
    note = _note(target)
    # Removed and created, so that a link of this name is not followed.
    note.unlink(missing_ok=True)
    with os.fdopen(os.open(note, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o666), "wb") as file:
        file.write(msgspec.json.encode(origin))


def _read_origin(target: Path) -> _Origin | None:
    try:
        return msgspec.json.decode(_note(target).read_bytes(), type=_Origin)
    except (OSError, msgspec.DecodeError):
        return None
