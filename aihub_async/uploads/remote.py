"""Files behind fsspec URLs, such as ``s3://bucket/folder``."""

from typing import Any

import attrs

from aihub_async.errors import SourceError
from aihub_async.uploads.contents import ReadBody


@attrs.frozen
class RemoteFile:
    """A file behind a URL; `relative` is its path below the folder of the source."""

    system: Any = attrs.field(repr=False, eq=False)
    path: str
    url: str
    size: int
    relative: str = ""
    version: str = attrs.field(default="", repr=False)

    def read(self, position: int, size: int) -> bytes:
        """Read a range over the network: to be called in a thread."""
        data: bytes = self.system.cat_file(self.path, start=position, end=position + size)
        return data

    def body(self) -> ReadBody:
        """Return the request body."""
        return ReadBody(self.read, 0, self.size, self.url)


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


def remote_files(url: str) -> "list[RemoteFile] | RemoteFile":
    """Return the file behind a URL, or those of a folder. Uses the network: to be called in a thread.

    Raises:
        SourceError: fsspec is not installed, or cannot find it.
    """
    check_url(url)
    from fsspec.core import url_to_fs  # noqa: PLC0415  # as in check_url()

    try:
        system, path = url_to_fs(url)
        if not system.isdir(path):
            info = system.info(path)
            return RemoteFile(system, path, url, int(info["size"]), version=str(info))
        root = path.rstrip("/") + "/"
        return [
            RemoteFile(
                system, found, system.unstrip_protocol(found), int(info["size"]), found.removeprefix(root), str(info)
            )
            for found, info in system.find(path, detail=True).items()
        ]
    except Exception as error:
        # Each file system raises its own exceptions.
        raise SourceError(f"cannot read {url}: {error}", name=url) from error
