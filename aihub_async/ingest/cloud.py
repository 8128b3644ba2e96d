"""Sources and results behind fsspec URLs, such as ``s3://bucket/folder/**/*.pdf``."""

import hashlib
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from aihub_async.errors import ConfigurationError, IngestError, SourceError
from aihub_async.ingest.candidates import Candidate, Rules
from aihub_async.ingest.folder import OWN
from aihub_async.ingest.journal import schema
from aihub_async.uploads.remote import check_url
from aihub_async.uploads.walking import PathFilter, is_litter

_MAGIC = re.compile(r"[*?[]")
_IDENTITIES = ("ETag", "etag", "VersionId", "version_id", "generation", "content_md5", "md5Hash", "checksum", "sha256")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "created", "modified")
_TRIES = 4


def is_url(path: object) -> bool:
    """Return whether a source or a results folder is a URL."""
    return isinstance(path, str) and "://" in path


def split_out(out: Any) -> tuple[Path, str | None]:
    """Return the local folder of the results, and the URL to which they are copied, if any.

    Raises:
        ConfigurationError: the URL cannot be written to.
    """
    if not is_url(out):
        return Path(out), None
    url = str(out).rstrip("/")
    try:
        check_url(url)
    except SourceError as error:
        raise ConfigurationError(f"out={out!r}: {error}") from None
    digest = hashlib.blake2b(url.encode(), digest_size=8).hexdigest()
    return Path.home() / ".aihub" / "jobs" / digest, url


def _connect(url: str) -> tuple[Any, str]:
    check_url(url)
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra without types

    # Lists are read once, in order: keeping them would only take memory, and show old ones to the next scan.
    system, path = url_to_fs(url, use_listings_cache=False)
    return system, str(path)


def scan_url(url: str, accepted: PathFilter, rules: Rules) -> Iterator[Candidate]:
    """Find the objects below a URL, folder by folder in the order of their names; a pattern selects among them.

    The identity of an object is its ETag or version with its size, and only without these its time with its size.

    Raises:
        IngestError: the URL cannot be listed.
    """
    plain = url.rstrip("/")
    magic = _MAGIC.search(plain)
    top = plain if magic is None else plain[: magic.start()].rpartition("/")[0]
    try:
        system, root = _connect(top)
        pattern = None if magic is None else _pattern(system, plain)
        if magic is None and not system.isdir(root):
            yield _candidate(system, system.info(root), root.rpartition("/")[2], rules)
            return
        for folder, _folders, files in system.walk(root, detail=True):
            for name in sorted(files):
                path = f"{folder.rstrip('/')}/{name}" if folder else name
                if pattern is not None and not pattern.fullmatch(path):
                    continue
                relative = path.removeprefix(root.rstrip("/") + "/")
                if accepted.accepts_file(relative) and name and not name.endswith("/"):
                    yield _candidate(system, files[name] | {"name": path}, relative, rules)
    except (SourceError, OSError, ValueError) as error:
        raise IngestError(f"cannot list {url}: {error}") from error


def _pattern(system: Any, url: str) -> re.Pattern[str]:
    from fsspec.utils import glob_translate  # type: ignore[import-untyped]  # noqa: PLC0415 - as above

    return re.compile(glob_translate(str(system._strip_protocol(url))))


def _candidate(system: Any, info: dict[str, Any], relative: str, rules: Rules) -> Candidate:
    folder, _, base = str(system.unstrip_protocol(info["name"])).rpartition("/")
    if is_litter(base):
        return rules.litter(folder, base)
    size = int(info.get("size") or 0)
    return rules.candidate(folder, base, relative, size, _identity(info, size))


def _identity(info: dict[str, Any], size: int) -> int:
    """Return a number that changes when the object does; it takes the place of the time of a local file."""
    found = [info[key] for key in _IDENTITIES if info.get(key)] or [info[key] for key in _TIMES if info.get(key)]
    digest = hashlib.blake2b(f"{size} {found}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


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
        system, root = _connect(self._url)
        self._put(system, root, path, self._read())

    def finish(self, journal: Path) -> None:
        """Copy what is missing or different, a copy of the journal too, and remove lists that are empty now.

        Raises:
            IngestError: something cannot be copied.
        """
        try:
            system, root = _connect(self._url)
            self._copy_journal(journal)
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
        except OSError as error:
            raise self._failed(error) from error

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
        for number in range(1, _TRIES + 1):
            try:
                system.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
                system.put_file(str(path), f"{root}/{name}")
                break
            # Each file system raises its own exceptions.
            except Exception as error:
                if number == _TRIES:
                    raise self._failed(error) from error
            time.sleep(0.2 * 4**number)
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
        return IngestError(
            f"cannot copy the results to {self._url}: {error}; they are in {self._out}: when the cause is fixed, run "
            "the same job again"
        )


def _version(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]
