"""The files below a folder, found little by little: a folder of a million files never becomes a list."""

import fnmatch
import itertools
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

import attrs

from aihub_async.errors import SourceError
from aihub_async.transport.body import is_out_of_descriptors

_CHUNK = 256
"""Entries per visit to the disk."""
_PATIENCE = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds between tries to open a folder while the process is out of descriptors."""


@attrs.frozen
class Found:
    """A file below a folder; `relative` is its path below it, with slashes. `error` says why it is left out."""

    path: str
    relative: str
    error: SourceError | None = None


class Filter:
    """Which files of a folder are wanted.

    Patterns are those of `fnmatch` (``*`` also matches slashes). One with a slash is matched against the path below
    the folder, one without against the last part of it. A file is wanted when it matches `include` (or there is
    none) and does not match `exclude`; a folder that matches `exclude` is not entered.
    """

    def __init__(self, include: str | Sequence[str] | None, exclude: str | Sequence[str] | None) -> None:
        self._include = [_Pattern.of(pattern) for pattern in _listed(include)]
        self._exclude = [_Pattern.of(pattern) for pattern in _listed(exclude)]

    def wants_file(self, relative: str) -> bool:
        """Whether to upload the file."""
        if self._include and not any(pattern.matches(relative) for pattern in self._include):
            return False
        return self.wants_folder(relative)

    def wants_folder(self, relative: str) -> bool:
        """Whether to look into the folder."""
        return not any(pattern.matches(relative) for pattern in self._exclude)


def _listed(patterns: str | Sequence[str] | None) -> Sequence[str]:
    if patterns is None:
        return ()
    return (patterns,) if isinstance(patterns, str) else patterns


@attrs.frozen
class _Pattern:
    regex: re.Pattern[str]
    whole: bool

    @classmethod
    def of(cls, pattern: str) -> "_Pattern":
        return cls(re.compile(fnmatch.translate(pattern.rstrip("/"))), "/" in pattern.rstrip("/"))

    def matches(self, relative: str) -> bool:
        return self.regex.match(relative if self.whole else relative.rpartition("/")[2]) is not None


class Walk:
    """The files below a folder, in the order in which the file system gives them.

    Symbolic links to folders are not followed, nor links to files outside the folder: both are given with an error,
    like everything else that is no regular file.
    """

    def __init__(self, folder: str, wanted: Filter) -> None:
        self._root = os.path.realpath(folder)
        self._entries = self._walk(folder, wanted)

    def take(self) -> list[Found]:
        """The next few; an empty list at the end. Touches the disk: to be called in a thread."""
        return list(itertools.islice(self._entries, _CHUNK))

    def _walk(self, folder: str, wanted: Filter) -> Iterator[Found]:
        pending = [(folder, "")]
        while pending:
            path, prefix = pending.pop()
            try:
                entries = _scan(path)
            except OSError as error:
                yield Found(path, prefix.rstrip("/"), _error(path, f"cannot be listed: {error.strerror}"))
                continue
            with entries as found:
                for entry in found:
                    relative = prefix + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        if wanted.wants_folder(relative):
                            pending.append((entry.path, relative + "/"))
                    elif wanted.wants_file(relative):
                        yield self._look_at(entry, relative)

    def _look_at(self, entry: "os.DirEntry[str]", relative: str) -> Found:
        if entry.is_file(follow_symlinks=False):
            return Found(entry.path, relative)
        if not entry.is_symlink():
            return Found(entry.path, relative, _error(entry.path, "is not a regular file"))
        return Found(entry.path, relative, self._refusal_of_link(entry.path))

    def _refusal_of_link(self, path: str) -> SourceError | None:
        try:
            target = os.path.realpath(path, strict=True)
        except OSError as error:
            return _error(path, f"is a link that leads nowhere: {error.strerror}")
        if os.path.isdir(target):  # noqa: PTH112  # a Path per entry would double the cost of a walk
            return _error(path, "is a link to a folder; links to folders are not followed")
        if os.path.commonpath([self._root, target]) != self._root:
            return _error(path, "is a link to a file outside the folder")
        return None


def _scan(path: str) -> "AbstractContextManager[Iterator[os.DirEntry[str]]]":
    for pause in _PATIENCE:
        try:
            return os.scandir(path)
        except OSError as error:
            if not is_out_of_descriptors(error):
                raise
        time.sleep(pause)
    return os.scandir(path)


def _error(path: str, what: str) -> SourceError:
    return SourceError(f"{path!r} {what}", name=path)
