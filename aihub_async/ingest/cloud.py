"""Sources and results behind fsspec URLs, such as ``s3://bucket/folder/**/*.pdf``."""

import contextlib
import hashlib
import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from aihub_async.errors import ConfigurationError, IngestError, SourceError
from aihub_async.ingest.candidates import Candidate, Rules
from aihub_async.ingest.folder import OWN
from aihub_async.ingest.journal import schema
from aihub_async.paths import folded_url, is_url
from aihub_async.uploads.remote import check_url, connect
from aihub_async.uploads.remote_errors import failed, repeated
from aihub_async.uploads.remote_walk import RemoteWalk
from aihub_async.uploads.walking import PathFilter

_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl"})
"""Protocols whose objects appear when they have been written completely."""


def split_out(out: Any) -> tuple[Path, str | None]:
    """Return the local folder of the results, and the URL to which they are copied, if any.

    Raises:
        ConfigurationError: the URL cannot be written to.
    """
    if not isinstance(out, str) or not is_url(out):
        return _local_folder(out), None
    url = out.rstrip("/")
    try:
        check_url(url)
    except SourceError as error:
        raise ConfigurationError(f"out={out!r}: {error}") from None
    digest = hashlib.blake2b(url.encode(), digest_size=8).hexdigest()
    return Path.home() / ".aihub" / "jobs" / digest, url


def _local_folder(out: Any) -> Path:
    folder = Path(out)
    url = folded_url(str(folder))
    if url is not None and not folder.parent.exists():
        raise ConfigurationError(f"out={out!r} is no local folder; pass a URL as text: {url!r}")
    return folder


def scan_url(url: str, accepted: PathFilter, rules: Rules) -> Iterator[Candidate]:
    """Find the objects behind a URL, page by page; see `RemoteWalk`.

    Raises:
        IngestError: the URL cannot be listed.
    """
    try:
        for file in RemoteWalk(url, accepted):
            folder, _, base = file.url.rpartition("/")
            if file.litter:
                yield rules.litter(folder, base)
            else:
                yield rules.candidate(folder, base, file.relative, file.size, file.version or 0)
    except SourceError as error:
        reason = str(error) if str(error).startswith("cannot list") else f"cannot list {url}: {error}"
        raise IngestError(f"{reason}; what is done is kept: run the same job again to resume it") from error


class Publisher:
    """Copies a job's results to a URL: parts as they are written, everything else at the end.

    Objects appear whole. What was copied is recorded next to the results, and compared with what is there.
    """

    def __init__(self, out: Path, url: str) -> None:
        self._out = out
        self._url = url
        self._record = out / OWN / "published.json"

    def put(self, path: Path) -> None:
        """Copy one file.

        Raises:
            IngestError: it cannot be copied.
        """
        try:
            system, root = connect(self._url)
            self._put(system, root, path, self._read())
        # Each file system raises its own exceptions.
        except Exception as error:
            raise self._failed(error) from error

    def finish(self, journal: Path) -> None:
        """Copy what is missing or different, a copy of the journal too, and remove lists that are empty now.

        Raises:
            IngestError: something cannot be copied.
        """
        try:
            system, root = connect(self._url)
            self._copy_journal(journal)
            self._copy_all(system, root)
        # As above.
        except Exception as error:
            raise self._failed(error) from error

    def _copy_all(self, system: Any, root: str) -> None:
        there = self._sizes(system, root)
        done = self._read()
        files = [path for path in sorted(self._out.rglob("*")) if path.is_file() and self._is_published(path)]
        for path in files:
            name = path.relative_to(self._out).as_posix()
            if there.get(name) != path.stat().st_size or done.get(name) != _version(path):
                self._put(system, root, path, done)
        kept = {path.relative_to(self._out).as_posix() for path in files}
        for name in set(done) - kept:
            if name in there:
                system.rm_file(f"{root}/{name}")
            del done[name]
        self._write(done)

    def _is_published(self, path: Path) -> bool:
        below = path.relative_to(self._out).parts
        return not path.name.startswith(".") and (below[0] != OWN or below == (OWN, "journal.db"))

    def _sizes(self, system: Any, root: str) -> dict[str, int]:
        if not system.exists(root):
            return {}
        found = system.find(root, detail=True)
        return {name.removeprefix(root.rstrip("/") + "/"): int(info["size"]) for name, info in found.items()}

    def _copy_journal(self, journal: Path) -> None:
        target = self._out / OWN / "journal.db"
        target.parent.mkdir(parents=True, exist_ok=True)
        with closing(schema.connect_readonly(journal)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)

    def _put(self, system: Any, root: str, path: Path, done: dict[str, list[int]]) -> None:
        name = path.relative_to(self._out).as_posix()
        version = _version(path)
        repeated(lambda: _copy(system, path, f"{root}/{name}"))
        done[name] = version
        self._write(done)

    def _read(self) -> dict[str, list[int]]:
        try:
            found = json.loads(self._record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, done: dict[str, list[int]]) -> None:
        self._record.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._record.with_suffix(".tmp")
        temporary.write_text(json.dumps(done), encoding="utf-8")
        temporary.replace(self._record)

    def _failed(self, error: Exception) -> IngestError:
        explained = error if isinstance(error, SourceError) else failed("write to", self._url, error)
        return IngestError(
            f"{explained}; the results are in {self._out}: when the cause is fixed, run the same job again to copy them"
        )


def _copy(system: Any, path: Path, target: str) -> None:
    """Copy a file, so that it appears whole under its name."""
    folder, _, name = target.rpartition("/")
    system.makedirs(folder, exist_ok=True)
    if _OBJECT_STORES.isdisjoint([system.protocol] if isinstance(system.protocol, str) else system.protocol):
        temporary = f"{folder}/.{name}.{uuid.uuid4().hex[:8]}.tmp"
        try:
            system.put_file(str(path), temporary)
            system.mv(temporary, target)
        except BaseException:
            with contextlib.suppress(Exception):
                system.rm_file(temporary)
            raise
    else:
        system.put_file(str(path), target)


def _version(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]
