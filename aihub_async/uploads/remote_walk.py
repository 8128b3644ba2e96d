"""The files behind a URL, found page by page: a bucket of a million keys never becomes a list."""

import itertools
import re
from collections.abc import Generator, Iterator
from typing import Any

import attrs

from aihub_async.errors import SourceError
from aihub_async.uploads.remote import RemoteFile, connect, identity, is_s3, size_of
from aihub_async.uploads.remote_errors import failed
from aihub_async.uploads.walking import PathFilter

_CHUNK = 256
"""Files per visit to a thread."""
_MAGIC = re.compile(r"[*?[]")


class RemoteWalk:
    """The files behind a URL of a file, of a folder with everything below it, or of a pattern such as ``**/*.pdf``.

    The files that are directly in the folder come first, in the order of their names, then those of its subfolders,
    one subfolder after the other. A URL that names a file exactly is that file, also if it looks like a pattern.

    Args:
        url: where the files are.
        accepted: which files of a folder or pattern to visit; folders that it excludes are not entered.
        must_match: raise an error if there are no files.
    """

    def __init__(self, url: str, accepted: PathFilter, *, must_match: bool = False) -> None:
        self.url = url
        self._accepted = accepted
        self._must_match = must_match
        self._files = self._explained()

    def take(self) -> list[RemoteFile]:
        """Return the next few; an empty list at the end. Uses the network: to be called in a thread.

        Raises:
            SourceError: the URL cannot be listed, or nothing matches.
        """
        return list(itertools.islice(self._files, _CHUNK))

    def close(self) -> None:
        """Stop listing; a walk that has ended needs no call."""
        self._files.close()

    def __iter__(self) -> Iterator[RemoteFile]:
        return self._files

    def _explained(self) -> Generator[RemoteFile, None, None]:
        try:
            yield from self._walk()
        except SourceError:
            raise
        # Each file system raises its own exceptions.
        except Exception as error:
            raise failed("list", self.url, error) from error

    def _walk(self) -> Generator[RemoteFile, None, None]:
        plain = self.url.rstrip("/")
        magic = _MAGIC.search(plain)
        exact = look_up(self.url) if magic is None or not self.url.endswith("/") else None
        if exact is not None:
            yield exact
            return
        if magic is None:
            yield from self._selected(plain, _Place.of(plain))
            return
        yield from self._selected(plain, _Place.of_pattern(plain, magic.start()))

    def _selected(self, plain: str, place: "_Place") -> Generator[RemoteFile, None, None]:
        any_found = False
        for info in place.files(self._accepted):
            path = str(info["name"])
            relative = path.removeprefix(place.root.rstrip("/") + "/")
            if not self._accepted.accepts_file(relative):
                continue
            any_found = True
            size = size_of(info)
            url = str(place.system.unstrip_protocol(path))
            litter = self._accepted.skips_as_litter(relative)
            yield RemoteFile(url, size, identity(info, size), relative, litter, place.system, path)
        if self._must_match and not any_found:
            raise SourceError(f"{plain} has no files, or none that match", name=plain)


def look_up(url: str) -> RemoteFile | None:
    """Return the file of a URL; None if it is a folder or a pattern. Uses the network: to be called in a thread.

    Raises:
        SourceError: there is no such file or folder, or it cannot be read.
    """
    try:
        system, path = connect(url)
        info = _s3_first(system, path) if is_s3(system) else system.info(path)
        if info["type"] == "directory" or url.endswith("/"):
            return None
        size = size_of(info)
    except (FileNotFoundError, PermissionError) as error:
        if _MAGIC.search(url) is not None and type(failed("read", url, error)) is SourceError:
            return None
        raise failed("read", url, error) from error
    except SourceError:
        raise
    # Each file system raises its own exceptions.
    except Exception as error:
        raise failed("read", url, error) from error
    return RemoteFile(url, size, identity(info, size), path.rpartition("/")[2], system=system, path=path)


def _s3_first(system: Any, path: str) -> dict[str, Any]:
    """Return what is known of an object or folder, from a list: the answer to HEAD has no code of an error."""
    bucket, key, _ = system.split_path(path)
    if not key:
        return {"type": "directory"}
    try:
        found = system.call_s3("list_objects_v2", Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents")
    except PermissionError as error:
        if type(failed("list", path, error)) is not SourceError:
            raise
        # Objects may be read by those who may not list them.
        info: dict[str, Any] = system.info(path)
        return info
    if not found:
        raise FileNotFoundError(path)
    return _s3_info(bucket, found[0]) if found[0]["Key"] == key else {"type": "directory"}


@attrs.frozen
class _Place:
    """A folder behind a URL, and which paths below it to list."""

    system: Any
    root: str
    prefix: str = ""
    """What all paths begin with, when that is more than the folder."""
    pattern: re.Pattern[str] | None = None
    is_deep: bool = True
    """Whether subfolders can have files."""

    @classmethod
    def of(cls, url: str) -> "_Place":
        system, root = connect(url)
        return cls(system, root)

    @classmethod
    def of_pattern(cls, url: str, magic: int) -> "_Place":
        from fsspec.utils import glob_translate  # type: ignore[import-untyped]  # noqa: PLC0415  # an extra, no types

        top, slash, rest = url[:magic].rpartition("/")
        if top.endswith(":/"):
            top += slash
        system, root = connect(top)
        strip = system._strip_protocol
        pattern = re.compile(glob_translate(str(strip(url))))
        is_deep = "/" in url[magic:] or "**" in url[magic:]
        return cls(system, root, f"{root.rstrip('/')}/{rest}", pattern, is_deep)

    def files(self, accepted: PathFilter) -> Iterator[dict[str, Any]]:
        """List the files, in order."""
        found = self._s3_files() if is_s3(self.system) else self._listed(accepted)
        enters = _Folders(self.root, accepted)
        for info in found:
            path = str(info["name"])
            if self.pattern is not None and not self.pattern.fullmatch(path):
                continue
            # An object of this name stands for a folder in consoles of object stores.
            if not path.endswith("/") and enters.accepts(path.rpartition("/")[0]):
                yield info

    def _listed(self, accepted: PathFilter) -> Iterator[dict[str, Any]]:
        pending = [self.root]
        enters = _Folders(self.root, accepted)
        while pending:
            folder = pending.pop()
            folders: list[str] = []
            for info in sorted(self.system.ls(folder, detail=True), key=lambda info: str(info["name"])):
                path = str(info["name"])
                if path.rstrip("/") == folder.rstrip("/"):
                    continue
                if info["type"] != "directory":
                    yield info
                elif self.is_deep and not info.get("islink") and enters.accepts(path.rstrip("/")):
                    folders.append(path.rstrip("/"))
            pending += reversed(folders)

    def _s3_files(self) -> Iterator[dict[str, Any]]:
        """List with one request for 1,000 keys, whatever the folders."""
        bucket, key, _ = self.system.split_path(self.prefix or self.root)
        if not bucket:
            raise SourceError(f"{self.root or 's3://'}: name the bucket", name=self.root)
        prefix = key if self.prefix or not key else key.rstrip("/") + "/"
        below = len(self.system.split_path(self.root)[1].rstrip("/"))
        has_folders = False
        for page in self._s3_pages(Bucket=bucket, Prefix=prefix, Delimiter="/"):
            has_folders |= bool(page.get("CommonPrefixes"))
            yield from (_s3_info(bucket, item) for item in page.get("Contents", ()))
        if not has_folders or not self.is_deep:
            return
        for page in self._s3_pages(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", ()):
                if "/" in item["Key"][below:].lstrip("/"):
                    yield _s3_info(bucket, item)

    def _s3_pages(self, **request: str) -> Iterator[dict[str, Any]]:
        while True:
            page: dict[str, Any] = self.system.call_s3("list_objects_v2", **request)
            yield page
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]


class _Folders:
    """Which folders below a root a filter accepts, with all that they are in."""

    def __init__(self, root: str, accepted: PathFilter) -> None:
        self._below = len(root.rstrip("/")) + 1
        self._accepted = accepted
        self._last = ("", True)

    def accepts(self, folder: str) -> bool:
        if self._last[0] != folder:
            self._last = (folder, self._accepts(folder[self._below :]))
        return self._last[1]

    def _accepts(self, relative: str) -> bool:
        while relative:
            if not self._accepted.accepts_folder(relative):
                return False
            relative = relative.rpartition("/")[0]
        return True


def _s3_info(bucket: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"name": f"{bucket}/{item['Key']}", "size": item["Size"], "ETag": item.get("ETag"), "type": "file"}
