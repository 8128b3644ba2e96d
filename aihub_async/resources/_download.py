"""A download that survives broken connections and crashes."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Self

import attrs
import msgspec

from aihub_async.errors import InvalidRequestError
from aihub_async.models import FileMetadata

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@attrs.frozen
class _Origin:
    """What the bytes of a partial file belong to; stored beside it."""

    path: str
    size: int | None
    last_modified: str | None


@attrs.define
class Download:
    """Takes the bytes of one remote file; the sink of a request."""

    target: Path
    origin: _Origin
    _file: BinaryIO
    _received: int = 0

    @classmethod
    def prepare(cls, path: str, to: Path, metadata: FileMetadata, *, resume: bool) -> Self:
        """Open the partial file, and keep its content if it belongs to the same remote file."""
        if metadata.is_folder:
            raise InvalidRequestError(f"{path} is a folder")
        target = to / local_name(path) if to.is_dir() else to
        origin = _Origin(path, metadata.size, metadata.headers.get("Last-Modified"))
        keep = resume and origin.size is not None and _read_origin(target) == origin
        file = _part(target).open("r+b" if keep and _part(target).exists() else "w+b")
        if not keep:
            _note(target).write_bytes(msgspec.json.encode(origin))
        return cls(target, origin, file, file.seek(0, os.SEEK_END))

    @property
    def complete(self) -> bool:
        """True when no byte is missing."""
        return self._received == self.origin.size

    def request_headers(self) -> Mapping[str, str]:
        """Ask for what is missing."""
        return {"Range": f"bytes={self._received}-"} if self._received else {}

    def begin(self, status: int, headers: Mapping[str, str]) -> str | None:
        """Check that the answer continues the file; a whole file starts it anew."""
        if status != 206:
            self._truncate()
            return self._check_total(headers.get("Content-Length") if "Content-Encoding" not in headers else None)
        found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        if found is None or int(found[1]) != self._received:
            return f"asked for bytes from {self._received}, got Content-Range {headers.get('Content-Range')!r}"
        return self._check_total(None if found[2] == "*" else found[2])

    def _check_total(self, total: str | None) -> str | None:
        if total is None or self.origin.size is None or int(total) == self.origin.size:
            return None
        return f"the file changed during the download: it had {self.origin.size} bytes, now {total}"

    def write(self, chunk: bytes) -> None:
        """Append to the partial file."""
        self._file.write(chunk)
        self._received += len(chunk)

    def finish(self) -> Path:
        """Put the complete file in its place."""
        if self.origin.size is not None and not self.complete:
            raise OSError(f"{self.origin.path}: got {self._received} of {self.origin.size} bytes")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        _part(self.target).replace(self.target)
        _note(self.target).unlink(missing_ok=True)
        return self.target

    def _truncate(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._received = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def local_name(path: str) -> str:
    r"""A file name for a server-supplied path that cannot leave its folder.

    Example:
        >>> local_name("/org/fs/../../etc/passwd"), local_name("a/..\\..\\con")
        ('passwd', '_con')
    """
    name = re.split(r"[/\\]", path.rstrip("/\\"))[-1]
    name = re.sub(r'[\x00-\x1f<>:"|?*]', "_", name).rstrip(". ")
    device = re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", name)
    return f"_{name}" if device or not name else name


def _part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _note(target: Path) -> Path:
    return target.with_name(target.name + ".part.json")


def _read_origin(target: Path) -> _Origin | None:
    try:
        return msgspec.json.decode(_note(target).read_bytes(), type=_Origin)
    except (OSError, msgspec.DecodeError):
        return None
