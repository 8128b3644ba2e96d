"""Reading a source: folders are walked in the order of names, and only the names of open folders are in memory."""

import os
import stat
from collections.abc import Iterable, Iterator

from aihub_async.errors import InvalidRequestError
from aihub_async.ingest.candidates import TOP, Candidate, GroupOf, Rules, shortened
from aihub_async.ingest.journal.rows import printable
from aihub_async.operations import encode_segment
from aihub_async.uploads.walking import FolderWalk, Found, PathFilter

PathLike = str | os.PathLike[str]
Source = PathLike | tuple[str, PathLike]
Sources = PathLike | Iterable[Source]
"""A folder, a file, an fsspec URL, or an iterable of these or of ``(name, path)``, read lazily.

It must yield the same again.
"""


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
    rules = Rules(send_all_types, group)
    reader = _Reader(rules)
    accepted = accepted or PathFilter()
    for source in [sources] if isinstance(sources, str | os.PathLike) else sources:
        if isinstance(source, tuple):
            name, path = source
            yield reader.file(os.fspath(path), name, given=name)
            continue
        path = os.fspath(source)
        if "://" in path:
            from aihub_async.ingest.cloud import scan_url  # noqa: PLC0415 - needed for URLs only

            yield from scan_url(path, accepted, rules)
        elif os.path.isdir(path):  # noqa: PTH112 - a Path object for each of 1,000,000 files costs more than its upload
            for found in FolderWalk(path, accepted, ordered=True, skipped_folders=skip):
                yield reader.found(found)
        else:
            yield reader.file(path, os.path.split(path)[1])


class _Reader:
    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def found(self, found: Found) -> Candidate:
        """Return a file below a folder; its name is the path to it."""
        if found.litter:
            return self._rules.litter(printable(found.folder), printable(found.base))
        if found.error is not None:
            return _refusal(found.path, _reason(found.path), str(found.error))
        top, slash, _ = found.relative.partition("/")
        return self.file(found.path, found.relative.replace("/", "__"), folder=top if slash else TOP)

    def file(self, path: str, name: str, given: str = "", folder: str | None = None) -> Candidate:
        """Return one file, refused if it cannot be sent; `folder` is its group when folders are groups."""
        found = self._file(path, name, given)
        if found.refused is not None or self._rules.group is None:
            return found
        return found._replace(group=self._rules.group_of(path, folder))

    def _file(self, path: str, name: str, given: str) -> Candidate:
        folder, base = os.path.split(path)
        name = name if given else shortened(name)
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
        return self._rules.refusal(found.st_size, name)


def _reason(path: str) -> str:
    """Return the code of why an entry of a folder cannot be sent."""
    if os.path.islink(path):  # noqa: PTH114 - see scan()
        return "link" if os.path.exists(path) else "unreadable"  # noqa: PTH110 - see scan()
    return "unreadable" if os.path.isdir(path) else "not a file"  # noqa: PTH112 - see scan()


def _refusal(path: str, code: str, message: str, given: str = "") -> Candidate:
    folder, base = os.path.split(path)
    return Candidate(printable(folder), printable(base), printable(given), "", 0, 0, (code, printable(message)))
