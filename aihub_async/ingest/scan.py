"""Reading a source: folders are walked in a fixed order, and nothing is held but one folder's names."""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from aihub_async.errors import InvalidRequestError
from aihub_async.ingest.journal.rows import printable
from aihub_async.limits import MAX_FILE_BYTES, MAX_NAME_LENGTH
from aihub_async.operations import encode_segment

_EXTENSIONS = (
    "bmp csv doc docm docx eml gif heic htm html jpe jpeg jpg json md mht mhtml mp4 msg odt pdf png pps ppt pptm pptx "
    "rtf tif tiff tsv txt webp xls xlsm xlsx xml"
)
SUPPORTED = frozenset(_EXTENSIONS.split())
"""Extensions that are sent unless the job is told to send all."""

PathLike = str | os.PathLike[str]
Source = PathLike | tuple[str, PathLike]
Sources = PathLike | Iterable[Source]
"""A folder, a file, or an iterable of these or of ``(name, path)``, read lazily. It must give the same again."""


class Candidate(NamedTuple):
    """A file that was found.

    `folder` and `base` are its path, `given` the name that the caller gave it, else "", `name` what it will be called
    in its batch, `refused` a code and a sentence if it will not be sent.
    """

    folder: str
    base: str
    given: str
    name: str
    size: int = 0
    mtime_ns: int = 0
    refused: tuple[str, str] | None = None


def scan(sources: Sources, *, send_all_types: bool = False, skip: frozenset[str] = frozenset()) -> Iterator[Candidate]:
    """Find all files, folder by folder in the order of their names.

    Symbolic links are followed to files below the same folder and nowhere else.

    Args:
        sources: what to read.
        send_all_types: do not refuse files for their extension.
        skip: real paths of folders to leave out, such as that of the results.
    """
    reader = _Reader(send_all_types, skip)
    for source in [sources] if isinstance(sources, str | os.PathLike) else sources:
        if isinstance(source, tuple):
            name, path = source
            yield reader.file(os.fspath(path), name, given=name)
            continue
        path = os.fspath(source)
        if os.path.isdir(path):  # noqa: PTH112 - a Path object for each of 1,000,000 files costs more than its upload
            yield from reader.folder(path, "", os.path.realpath(path))
        else:
            yield reader.file(path, os.path.split(path)[1])


class _Reader:
    def __init__(self, send_all_types: bool, skip: frozenset[str]) -> None:
        self._send_all_types = send_all_types
        self._skip = skip

    def folder(self, path: str, prefix: str, root: str) -> Iterator[Candidate]:
        """All files below a folder; `prefix` is its path below `root`, written as part of a name."""
        try:
            with os.scandir(path) as found:
                entries = sorted((entry.name, _kind(entry)) for entry in found)
        except OSError as error:
            yield _refusal(path, "unreadable", f"the folder cannot be read: {error.strerror}")
            return
        for base, kind in entries:
            child = os.path.join(path, base)  # noqa: PTH118 - see scan()
            if kind == "folder":
                if os.path.realpath(child) not in self._skip:
                    yield from self.folder(child, f"{prefix}{base}__", root)
            elif kind == "link":
                yield self._link(child, prefix + base, root)
            else:
                yield self.file(child, prefix + base)

    def file(self, path: str, name: str, given: str = "") -> Candidate:
        """One file, refused if it cannot be sent."""
        folder, base = os.path.split(path)
        name = name if given else _shortened(name)
        try:
            encode_segment("name", name)
        except InvalidRequestError as error:
            return Candidate(printable(folder), printable(base), printable(given), "", 0, 0, ("name", str(error)))
        try:
            found = os.stat(path)  # noqa: PTH116 - see scan()
        except (OSError, ValueError) as error:
            return _refusal(path, "unreadable", f"the file cannot be read: {error}", given)
        refused = self._refused(found, given or base)
        return Candidate(printable(folder), printable(base), given, name, found.st_size, found.st_mtime_ns, refused)

    def _link(self, path: str, name: str, root: str) -> Candidate:
        target = os.path.realpath(path)
        if not target.startswith(root + os.sep):
            return _refusal(path, "link", "a symbolic link that leads out of the folder, or nowhere")
        if os.path.isdir(target):  # noqa: PTH112 - see scan()
            return _refusal(path, "link", "a symbolic link to a folder is not followed")
        return self.file(path, name)

    def _refused(self, found: os.stat_result, name: str) -> tuple[str, str] | None:
        if not stat.S_ISREG(found.st_mode):
            return "not a file", "not a regular file (a folder, pipe, socket or device)"
        if found.st_size == 0:
            return "empty", "the file is empty"
        if found.st_size > MAX_FILE_BYTES:
            return "too large", f"{found.st_size:,} bytes; AI Hub takes {MAX_FILE_BYTES:,} at most"
        extension = name.rpartition(".")[2].lower() if "." in name else ""
        if not self._send_all_types and extension not in SUPPORTED:
            return "unsupported", f"files of type {extension or 'unknown'!r} are not sent unless asked for"
        return None


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        if entry.is_symlink():
            return "link"
        return "folder" if entry.is_dir() else "file"
    except OSError:
        return "file"


def _refusal(path: str, code: str, message: str, given: str = "") -> Candidate:
    folder, base = os.path.split(path)
    return Candidate(printable(folder), printable(base), given, "", 0, 0, (code, message))


def _shortened(name: str) -> str:
    """Names of deep paths keep their end and get a digest of the whole, so that they stay different."""
    if len(name) <= MAX_NAME_LENGTH:
        return name
    digest = hashlib.blake2b(os.fsencode(name), digest_size=6).hexdigest()
    return f"{digest}~{name[-200:]}"
