"""Files behind fsspec URLs, such as ``s3://bucket/folder``: reading them by ranges, and noticing that they changed."""

import datetime as dt
import hashlib
from typing import Any, cast

import attrs

from aihub_async.errors import SourceChangedError, SourceError
from aihub_async.uploads.contents import ReadBody
from aihub_async.uploads.remote_errors import error_code, failed, repeated

_IDENTITIES = (
    *("ETag", "generation", "version_id", "VersionId", "etag", "content_md5", "md5Hash", "checksum", "sha256"),
    *("mtime", "LastModified", "last_modified", "updated", "modified", "created"),
)
"""Keys in the description of a file, those that identify its content best first."""


@attrs.frozen
class RemoteFile:
    """A file behind a URL.

    `version` is the `identity` of the content that was found; reading another content is an error. `relative` is the
    path below the folder of the source, `litter` marks files that operating systems make. Without `system` the file is
    looked up by its URL when it is read.
    """

    url: str
    size: int
    version: int | None = attrs.field(default=None, repr=False)
    relative: str = ""
    litter: bool = False
    system: Any = attrs.field(default=None, repr=False, eq=False)
    path: str = attrs.field(default="", repr=False)

    def read(self, position: int, size: int) -> bytes:
        """Read a range over the network: to be called in a thread.

        Raises:
            SourceChangedError: the file is not the one that was found.
            SourceError: it cannot be read; see `remote_errors.failed`.
        """
        try:
            return repeated(lambda: self._read(position, size))
        except SourceError:
            raise
        # Each file system raises its own exceptions.
        except Exception as error:
            if error_code(error) == "InvalidRange":
                raise self._changed() from error
            raise failed("read", self.url, error) from error

    def body(self) -> ReadBody:
        """Return the request body."""
        return ReadBody(self.read, 0, self.size, self.url)

    def _read(self, position: int, size: int) -> bytes:
        version: int | None
        system, path = (self.system, self.path) if self.system is not None else connect(self.url)
        if is_s3(system):
            data, version = _read_s3(system, path, position, size)
        else:
            data = system.cat_file(path, start=position, end=position + size)
            is_edge = position == 0 or position + len(data) >= self.size
            version = _version_now(system, path) if is_edge else self.version
        if self.version is not None and version != self.version:
            raise self._changed()
        if len(data) > size:
            raise SourceError(f"cannot read {self.url}: the server ignores that a part was requested", name=self.url)
        return data

    def _changed(self) -> SourceChangedError:
        return SourceChangedError(
            f"{self.url} was replaced after it was found; upload the new content again", name=self.url
        )


def is_s3(system: Any) -> bool:
    """Return whether a file system is that of s3fs, which offers more than fsspec's interface."""
    return type(system).__module__.partition(".")[0] == "s3fs" and hasattr(system, "call_s3")


def _read_s3(system: Any, path: str, position: int, size: int) -> tuple[bytes, int]:
    """Read a range and the identity of the object that it is from, in one request."""
    from fsspec.asyn import sync  # type: ignore[import-untyped]  # noqa: PLC0415  # as in connect()

    bucket, key, version = system.split_path(path)
    versioned = {"VersionId": version} if version else {}
    wanted = f"bytes={position}-{position + size - 1}"
    answer = system.call_s3("get_object", Bucket=bucket, Key=key, Range=wanted, **versioned)
    try:
        data = cast("bytes", sync(system.loop, answer["Body"].read))
    finally:
        answer["Body"].close()
    whole = answer.get("ContentRange", "").rpartition("/")[2]
    return data, identity(answer, int(whole) if whole.isdigit() else len(data))


def _version_now(system: Any, path: str) -> int:
    info = system.info(path)
    return identity(info, size_of(info))


def identity(info: dict[str, Any], size: int) -> int:
    """Return a number that changes when a file does: of its ETag or version and its size, else of its time and size."""
    found = next((info[key] for key in _IDENTITIES if info.get(key)), "")
    if isinstance(found, dt.datetime):
        # One package has it both as a date and as a number.
        found = found.timestamp()
    text = str(found).removeprefix("W/").strip('"')
    digest = hashlib.blake2b(f"{size} {text}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def size_of(info: dict[str, Any]) -> int:
    """Return the size of a file in bytes.

    Raises:
        ValueError: the server does not report it.
    """
    size = info.get("size")
    if size is None:
        raise ValueError("the server does not report the size of the file")
    return int(size)


def check_url(url: str) -> None:
    """Check without any request that files can be read from a URL.

    Raises:
        SourceError: fsspec or the package for this protocol is not installed, or there is no such protocol.
    """
    try:
        from fsspec.core import split_protocol  # type: ignore[import-untyped]  # noqa: PLC0415  # an extra, no types
        from fsspec.registry import get_filesystem_class  # type: ignore[import-untyped]  # noqa: PLC0415  # as above
    except ImportError:
        raise SourceError(f"{url}: pip install 'aihub-async[fsspec]' to upload from URLs", name=url) from None
    try:
        get_filesystem_class(split_protocol(url.rpartition("::")[2])[0])
    except (ImportError, ValueError) as error:
        raise SourceError(f"cannot read {url}: {error}", name=url) from None


def connect(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path there.

    Raises:
        SourceError: as `check_url`.
    """
    check_url(url)
    from fsspec.core import url_to_fs  # noqa: PLC0415  # an extra without types

    # Lists are read once, in order: keeping them would only take memory, and show old ones to the next walk.
    system, path = url_to_fs(url, use_listings_cache=False)
    return system, str(path)
