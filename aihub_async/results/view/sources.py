"""The original files of results, in the folder that the caller passes."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from aihub_async.errors import ConfigurationError
from aihub_async.paths import local_path

SourceFiles: TypeAlias = str | os.PathLike[str] | Mapping[str, str | os.PathLike[str] | bytes]
"""A folder, or paths and contents by name of the file."""


class FileFinder:
    """Finds files by their name in the results. A name from the server never leads out of the folder."""

    def __init__(self, source: SourceFiles | None, uploaded: Mapping[str, str]) -> None:
        self._given: Mapping[str, str | os.PathLike[str] | bytes] = source if isinstance(source, Mapping) else {}
        self._uploaded = uploaded
        self._folder = None if source is None or isinstance(source, Mapping) else local_path(source, "source").resolve()
        if self._folder is not None and not self._folder.exists():
            raise ConfigurationError(f"the source {source} does not exist")
        self._by_base: dict[str, list[Path]] | None = None

    def find(self, name: str) -> bytes | None:
        """Return the content of a file; None if it is not there, or if several files have the name."""
        given = self._given.get(name)
        if isinstance(given, bytes):
            return given
        path = self._path(name) if given is None else Path(given)
        try:
            return None if path is None else path.read_bytes()
        except OSError:
            return None

    def _path(self, name: str) -> Path | None:
        if self._folder is not None:
            return self._in_folder(self._folder, name)
        source = self._uploaded.get(name)
        # Sources that are not files have a description instead, such as "<bytes>".
        return Path(source) if source is not None and os.path.isfile(source) else None  # noqa: PTH113 - any text

    def _in_folder(self, folder: Path, name: str) -> Path | None:
        if folder.is_file():
            return folder if folder.name == name else None
        if "\0" in name:
            return None
        path = (folder / name).resolve()
        if path.is_file():
            return path if path.is_relative_to(folder) else None
        found = self._index(folder).get(name.rpartition("/")[2], [])
        return found[0] if len(found) == 1 else None

    def _index(self, folder: Path) -> dict[str, list[Path]]:
        if self._by_base is None:
            self._by_base = {}
            for parent, _, names in os.walk(folder):
                for name in names:
                    path = Path(parent, name)
                    if path.resolve().is_relative_to(folder):
                        self._by_base.setdefault(name, []).append(path)
        return self._by_base
