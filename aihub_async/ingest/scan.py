"""Reading a source: folders are walked in the order of names, and only the names of open folders are in memory."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from aihub_async.errors import InvalidRequestError
from aihub_async.ingest.journal.rows import printable
from aihub_async.limits import MAX_FILE_BYTES, MAX_NAME_LENGTH
from aihub_async.operations import encode_segment
from aihub_async.uploads.walking import FolderWalk, Found, PathFilter

_EXTENSIONS = (
    "bmp csv doc docm docx eml gif heic htm html jpe jpeg jpg json md mht mhtml mp4 msg odt pdf png pps ppt pptm pptx "
    "rtf tif tiff tsv txt webp xls xlsm xlsx xml"
)
SUPPORTED = frozenset(_EXTENSIONS.split())
"""Extensions that are sent unless `send_all_types` is set."""
LITTER = "litter"
"""The reason of files that are skipped without being failures, such as ``.DS_Store``."""

PathLike = str | os.PathLike[str]
Source = PathLike | tuple[str, PathLike]
Sources = PathLike | Iterable[Source]
"""A folder, a file, or an iterable of these or of ``(name, path)``, read lazily. It must yield the same again."""


class Candidate(NamedTuple):
    """A file that was found.

    `folder` and `base` are its path, `given` the name that the caller chose, else "", `name` its name in the batch,
    `refused` a code and a sentence if it will not be sent, `group` the name of the group that it belongs to.
    """

    folder: str
    base: str
    given: str
    name: str
    size: int = 0
    mtime_ns: int = 0
    refused: tuple[str, str] | None = None
    group: str = ""


GroupOf = Callable[[Path], str]
TOP = "."
"""The group of the files that are directly in the source folder, when each subfolder is a group."""


def scan(
    sources: Sources,
    *,
    send_all_types: bool = False,
    accepted: PathFilter | None = None,
    skip: frozenset[str] = frozenset(),
    group: str | GroupOf | None = None,
) -> Iterator[Candidate]:
    """Find all files, folder by folder in the order of their names.

    Symbolic links are followed to files below the same folder and nowhere else.

    Args:
        sources: what to read.
        send_all_types: do not refuse files for their extension.
        accepted: which files of folders to take; all by default.
        skip: real paths of folders to leave out, such as that of the results.
        group: ``"folder"`` makes each subfolder of a source folder a group, with everything below it, and the files
            directly in the source folder another; files that are named singly belong to the folder they are in. A
            callable returns the group of a path.
    """
    reader = _Reader(send_all_types, group)
    accepted = accepted or PathFilter()
    for source in [sources] if isinstance(sources, str | os.PathLike) else sources:
        if isinstance(source, tuple):
            name, path = source
            yield reader.file(os.fspath(path), name, given=name)
            continue
        path = os.fspath(source)
        if os.path.isdir(path):  # noqa: PTH112 - a Path object for each of 1,000,000 files costs more than its upload
            for found in FolderWalk(path, accepted, ordered=True, skipped_folders=skip):
                yield reader.found(found)
        else:
            yield reader.file(path, os.path.split(path)[1])


class _Reader:
    def __init__(self, send_all_types: bool, group: str | GroupOf | None) -> None:
        self._send_all_types = send_all_types
        self._group = group

    def found(self, found: Found) -> Candidate:
        """Return a file below a folder; its name tells the way to it."""
        if found.litter:
            return _refusal(found.path, LITTER, "a file of the operating system or of an office program")
        if found.error is not None:
            return _refusal(found.path, _reason(found.path), str(found.error))
        top, slash, _ = found.relative.partition("/")
        return self.file(found.path, found.relative.replace("/", "__"), folder=top if slash else TOP)

    def file(self, path: str, name: str, given: str = "", folder: str | None = None) -> Candidate:
        """Return one file, refused if it cannot be sent; `folder` is its group when folders are groups."""
        found = self._file(path, name, given)
        if self._group is None or found.refused is not None:
            return found
        if callable(self._group):
            group = self._group(Path(path))
        else:
            group = folder if folder is not None else os.path.basename(os.path.split(path)[0])  # noqa: PTH119 - see scan()
        return found._replace(group=printable(group))

    def _file(self, path: str, name: str, given: str) -> Candidate:
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

    def _refused(self, found: os.stat_result, name: str) -> tuple[str, str] | None:
        if not stat.S_ISREG(found.st_mode):
            return "not a file", "not a regular file (a folder, pipe, socket or device)"
        if found.st_size == 0:
            return "empty", "the file is empty"
        if found.st_size > MAX_FILE_BYTES:
            return "too large", f"{found.st_size:,} bytes; AI Hub accepts at most {MAX_FILE_BYTES:,}"
        extension = name.rpartition(".")[2].lower() if "." in name else ""
        if not self._send_all_types and extension not in SUPPORTED:
            return "unsupported", f"files of type {extension or 'unknown'!r} are sent only with send_all_types"
        return None


def _reason(path: str) -> str:
    """Return the code of why an entry of a folder cannot be sent."""
    if os.path.islink(path):  # noqa: PTH114 - see scan()
        return "link" if os.path.exists(path) else "unreadable"  # noqa: PTH110 - see scan()
    return "unreadable" if os.path.isdir(path) else "not a file"  # noqa: PTH112 - see scan()


def _refusal(path: str, code: str, message: str, given: str = "") -> Candidate:
    folder, base = os.path.split(path)
    return Candidate(printable(folder), printable(base), printable(given), "", 0, 0, (code, printable(message)))


def _shortened(name: str) -> str:
    """Return the end of a long name with a digest of the whole, so that names of deep paths stay different."""
    if len(name) <= MAX_NAME_LENGTH:
        return name
    digest = hashlib.blake2b(os.fsencode(name), digest_size=6).hexdigest()
    return f"{digest}~{name[-200:]}"
