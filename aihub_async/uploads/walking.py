"""The files below a folder, found little by little: a folder of a million files never becomes a list."""

import fnmatch
import itertools
import os
import re
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from operator import attrgetter

import attrs

from aihub_async.errors import SourceError
from aihub_async.transport.descriptors import OpenRetries

_CHUNK = 256
"""Entries per visit to the disk."""
_LITTER = re.compile(r"\.DS_Store|Thumbs\.db|ehthumbs\.db|desktop\.ini|~\$.*|\._.*", re.IGNORECASE | re.DOTALL)
"""Names of files that operating systems and Office leave in folders."""

_name_of = attrgetter("name")


@attrs.frozen
class Found:
    """A file below a folder.

    `folder` and `base` are its path, `relative` is its path below the folder of the walk, with slashes; `error` is
    why it cannot be uploaded. `litter` marks files that the operating system made, such as ``.DS_Store``.
    """

    folder: str
    base: str
    relative: str
    error: SourceError | None = None
    litter: bool = False

    @property
    def path(self) -> str:
        """The whole path."""
        return os.path.join(self.folder, self.base)  # noqa: PTH118  # a Path costs 10 µs


def is_litter(name: str) -> bool:
    """Whether a file has a name that operating systems or Office use for their own files.

    Example:
        >>> is_litter("Thumbs.db"), is_litter("~$report.docx"), is_litter("report.docx")
        (True, True, False)
    """
    return _LITTER.fullmatch(name) is not None


class PathFilter:
    """Which files of a folder are uploaded.

    Patterns are those of `fnmatch` (``*`` also matches slashes). One with a slash is matched against the path below
    the folder, one without against the last part of it. A file is accepted when it matches `include` (or there is
    none) and does not match `exclude`; a folder that matches `exclude` is not entered. Litter is accepted only when
    it matches a pattern of `include` other than ``*``.
    """

    def __init__(self, include: str | Sequence[str] | None = None, exclude: str | Sequence[str] | None = None) -> None:
        self._include = [_Pattern.of(pattern) for pattern in _listed(include)]
        self._exclude = [_Pattern.of(pattern) for pattern in _listed(exclude)]

    def accepts_file(self, relative: str) -> bool:
        """Whether the patterns accept a file."""
        if self._include and not any(pattern.matches(relative) for pattern in self._include):
            return False
        return self.accepts_folder(relative)

    def accepts_folder(self, relative: str) -> bool:
        """Whether to enter a folder."""
        return not any(pattern.matches(relative) for pattern in self._exclude)

    def skips_as_litter(self, relative: str) -> bool:
        """Whether a file that the patterns accept is skipped, because no pattern is meant for such files."""
        if not is_litter(relative.rpartition("/")[2]):
            return False
        return not any(pattern.is_for_litter and pattern.matches(relative) for pattern in self._include)


def _listed(patterns: str | Sequence[str] | None) -> Sequence[str]:
    if patterns is None:
        return ()
    return (patterns,) if isinstance(patterns, str) else patterns


@attrs.frozen
class _Pattern:
    regex: re.Pattern[str]
    whole: bool
    is_for_litter: bool

    @classmethod
    def of(cls, pattern: str) -> "_Pattern":
        plain = pattern.rstrip("/")
        last = plain.rpartition("/")[2]
        # "*" and "*.db" mean all files that a person would see; ".DS_Store" and "~$*" mean these.
        return cls(re.compile(fnmatch.translate(plain)), "/" in plain, not last.startswith("*"))

    def matches(self, relative: str) -> bool:
        return self.regex.match(relative if self.whole else relative.rpartition("/")[2]) is not None


class FolderWalk:
    """The files below a folder.

    Symbolic links to folders are not followed, nor links to files outside the folder: both have an error, like
    everything else that is no regular file.

    Args:
        folder: where to begin.
        accepted: which files and folders to visit.
        ordered: visit entries in the order of their names, for a walk that must be repeatable; the names of one
            folder are then held in memory. Otherwise they come as the file system returns them.
        skipped_folders: real paths of folders not to enter.
    """

    def __init__(
        self,
        folder: str,
        accepted: PathFilter,
        *,
        ordered: bool = False,
        skipped_folders: frozenset[str] = frozenset(),
    ) -> None:
        self._root = os.path.realpath(folder)
        self._accepted = accepted
        self._ordered = ordered
        self._skipped_folders = skipped_folders
        self._files = self._walk(folder)

    def take(self) -> list[Found]:
        """Return the next few; an empty list at the end. Touches the disk: to be called in a thread."""
        return list(itertools.islice(self._files, _CHUNK))

    def close(self) -> None:
        """Close the folder that is being read; a walk that has ended needs no call."""
        self._files.close()

    def __iter__(self) -> Iterator[Found]:
        return self._files

    def _walk(self, folder: str) -> Generator[Found, None, None]:
        pending = [(folder, "")]
        while pending:
            path, prefix = pending.pop()
            try:
                scanned = _scan(path)
            except OSError as error:
                parent, base = os.path.split(path)
                yield Found(parent, base, prefix.rstrip("/"), _error(path, f"cannot be listed: {error.strerror}"))
                continue
            folders: list[tuple[str, str]] = []
            with scanned as entries:
                for entry in sorted(entries, key=_name_of) if self._ordered else entries:
                    relative = prefix + entry.name
                    if not _is_folder(entry):
                        found = self._file(entry, path, relative)
                        if found is not None:
                            yield found
                    elif self._enters(entry, relative):
                        folders.append((entry.path, relative + "/"))
            pending += reversed(folders)

    def _enters(self, entry: "os.DirEntry[str]", relative: str) -> bool:
        if self._skipped_folders and os.path.realpath(entry.path) in self._skipped_folders:
            return False
        return self._accepted.accepts_folder(relative)

    def _file(self, entry: "os.DirEntry[str]", folder: str, relative: str) -> Found | None:
        if not self._accepted.accepts_file(relative):
            return None
        if self._accepted.skips_as_litter(relative):
            return Found(folder, entry.name, relative, litter=True)
        return Found(folder, entry.name, relative, self._refusal(entry))

    def _refusal(self, entry: "os.DirEntry[str]") -> SourceError | None:
        if entry.is_file(follow_symlinks=False):
            return None
        if not entry.is_symlink():
            return _error(entry.path, "is not a regular file")
        try:
            target = os.path.realpath(entry.path, strict=True)
        except OSError as error:
            return _error(entry.path, f"is a link that leads nowhere: {error.strerror}")
        if os.path.isdir(target):  # noqa: PTH112  # a Path per entry would double the cost of a walk
            return _error(entry.path, "is a link to a folder; links to folders are not followed")
        if os.path.commonpath([self._root, target]) != self._root:
            return _error(entry.path, "is a link to a file outside the folder")
        return None


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        # Removed meanwhile, or unreadable: opening it reports the error.
        return False


def _scan(path: str) -> "AbstractContextManager[Iterator[os.DirEntry[str]]]":
    retries = OpenRetries()
    while True:
        try:
            return os.scandir(path)
        except OSError as error:
            time.sleep(retries.pause_after(error))


def _error(path: str, what: str) -> SourceError:
    return SourceError(f"{path!r} {what}", name=path)
