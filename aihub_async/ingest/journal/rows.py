"""What a journal holds: files, batches and their states, as rows with a checksum."""

import enum
import os
import zlib
from typing import Any, NamedTuple

import attrs


class FileState(enum.IntEnum):
    """The state of a file. It is done when it is UPLOADED and its batch is EXPORTED."""

    PLANNED = 0
    UPLOADED = 1
    FAILED = 2
    """Could not be uploaded; recorded among the failures, and `retry_failed` plans it again."""
    REFUSED = 3
    """Never sent: empty, too large, of an unsupported type, not a regular file; recorded among the failures."""
    REPLACED = 4
    """Planned again as another row."""
    NO_RESULT = 5
    """Uploaded, but its run failed or could not read it; recorded among the failures as FAILED is."""
    RETRIED = 6
    """Was NO_RESULT and is planned again as another row; what its run returned may still be in a part."""
    SUPERSEDED = 7
    """Was RETRIED, and the results of the later row are written: the part of this one must not have it any more."""


LIVE = (FileState.PLANNED, FileState.UPLOADED, FileState.FAILED, FileState.NO_RESULT)
"""The states of files that belong to the job's plan."""
WITH_FAILURE = (FileState.FAILED, FileState.REFUSED, FileState.NO_RESULT)
"""The states of files that have a row among the failures."""
RETRYABLE = (FileState.FAILED, FileState.NO_RESULT)
"""The states that `retry_failed` plans again."""


class BatchState(enum.IntEnum):
    """The progress of a batch. CREATING and SUBMITTING are intents: the request may or may not have been sent."""

    FILLING = 0
    PLANNED = 1
    CREATING = 2
    UPLOADING = 3
    UPLOADED = 4
    SUBMITTING = 5
    RUNNING = 6
    REVIEW = 7
    """The run waits for a person; the next call of the job checks it again."""
    COMPLETE = 8
    EXPORTED = 9
    FAILED = 10

    @property
    def is_settled(self) -> bool:
        """True when nothing is left to do."""
        return self in {BatchState.EXPORTED, BatchState.FAILED}


_FILE_TEXT = "\x1f".join(["%s"] * 9)
"""The text of a file's row: two thirds of the time of `str.join`."""


class FileRow(NamedTuple):
    """One file of a job; a row is never deleted.

    `folder` is the id of its folder, `base` its name there, `given` the name that the caller chose, else "".
    `name` is its name in the batch, "" when that is `base`. `batch` is 0 for a refused file. `size` is bytes.
    """

    id: int
    folder: int
    base: str
    given: str
    name: str
    size: int
    mtime_ns: int
    batch: int
    state: int

    @property
    def upload_name(self) -> str:
        """Its name in the batch."""
        return self.name or self.base

    def checksum(self) -> int:
        """Return the CRC-32 of all columns, by which opening the journal detects a flipped bit."""
        return zlib.crc32((_FILE_TEXT % self).encode())

    def stored(self) -> tuple[Any, ...]:
        """Return the columns with their checksum."""
        return (*self, self.checksum())


def storable(text: str) -> str:
    """Return a text that SQLite can store: lone surrogates become escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


@attrs.frozen
class BatchRow:
    """One batch of a job: its files have ids from `first` to `last`. Times are Unix seconds, 0 for not yet."""

    no: int
    first: int
    last: int
    files: int
    bytes: int
    state: BatchState = attrs.field(default=BatchState.FILLING, converter=BatchState)
    generation: int = 1
    """Counts up when the batch was deleted on the server and is created again."""
    batch_id: int = 0
    run_id: str = ""
    created_at: float = 0.0
    uploaded_at: float = 0.0
    submitted_at: float = 0.0
    complete_at: float = 0.0
    exported_at: float = 0.0
    rows: int = 0
    part_bytes: int = 0
    note: str = attrs.field(default="", converter=storable)
    group: str = ""
    """The group of files, such as a case folder, that this batch was made for; "" without grouping."""
    pages: int = 0
    """Pages of its files, counted only where a job limits them."""
    gated: int = 0
    """Documents that the gate refused."""

    def checksum(self) -> int:
        """Return the CRC-32 of all columns."""
        return zlib.crc32("\x1f".join(map(_text, attrs.astuple(self))).encode())

    def stored(self) -> tuple[Any, ...]:
        """Return the columns with their checksum."""
        return (*attrs.astuple(self), self.checksum())


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, BatchState) else str(value)


BATCH_COLUMNS = tuple(field.name for field in attrs.fields(BatchRow))


@attrs.frozen
class FailedFile:
    """A row of the dead-letter list: why a file has no result.

    `reason` is a short code such as ``"empty"`` or an exception's name, `message` a sentence. `run_id` is "" for a
    file that was not in a run.
    """

    source: str
    name: str
    batch: int
    size: int
    reason: str
    message: str
    group: str = ""
    run_id: str = ""


def failure_checksum(file: int, reason: str, message: str) -> int:
    """Return the CRC-32 of a row of the dead-letter list."""
    return zlib.crc32(f"{file}\x1f{reason}\x1f{message}".encode())


def folder_checksum(number: int, path: str) -> int:
    """Return the CRC-32 of a folder's row."""
    return zlib.crc32(f"{number}\x1f{path}".encode())


def printable(path: str) -> str:
    """Return a path as text that can be stored: bytes that are not UTF-8 become escapes."""
    if path.isascii():
        return path
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    return path
