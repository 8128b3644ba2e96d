"""Files and folders of the AI Hub filesystem."""

import datetime as dt
from collections.abc import Iterator, Mapping

import attrs

from aihub_async.clock import http_date
from aihub_async.models.base import Model
from aihub_async.models.batches import FileNode


class Headers(Mapping[str, str]):
    """HTTP headers: looked up in any case, listed as the server spelled them."""

    __slots__ = ("_values",)

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._values = {name.lower(): (name, value) for name, value in headers.items()}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()][1]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._values.values())

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self)!r})"


@attrs.frozen
class FileMetadata:
    """The metadata of a file or folder, all of it from headers.

    `data` and `raw_data` are always empty: they are here for code written for the official SDK.
    """

    status_code: int
    headers: Mapping[str, str] = attrs.field(converter=Headers)
    data: None = None
    raw_data: bytes = b""

    @property
    def is_folder(self) -> bool:
        """True for a folder, which the API marks by the content type of JSON."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "application/json"

    @property
    def size(self) -> int | None:
        """Length in bytes; None for a folder, or if the server did not send it."""
        length = self.headers.get("Content-Length", "").strip()
        if self.is_folder or not (length.isascii() and length.isdigit()):
            return None
        return int(length) if len(length) <= _MAX_LENGTH_DIGITS else None

    @property
    def last_modified(self) -> dt.datetime | None:
        """When the file was last modified (aware; from an HTTP date or ISO 8601); None if not sent."""
        text = self.headers.get("Last-Modified", "").strip()
        moment = http_date(text) or _iso_date(text)
        if moment is None or moment.tzinfo is not None:
            return moment
        return moment.replace(tzinfo=dt.UTC)


# 2**63 has 19 digits; what is longer is no file size.
_MAX_LENGTH_DIGITS = 19


def _iso_date(text: str) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        return None


@attrs.frozen
class FolderListing(Model):
    """One page of a folder; `next_page_token` requests the next one while `has_more`."""

    nodes: list[FileNode] = attrs.field(factory=list)
    next_page_token: str | None = None
    has_more: bool | None = None


@attrs.frozen
class FileJob:
    """The job of a copy or an extraction; None where the answer named none, for where it does is not documented."""

    job_id: str | None = None
    location: str | None = None
