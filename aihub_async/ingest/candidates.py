"""What of a source is sent, and under which name: the rules for folders and URLs alike."""

import enum
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import attrs

from aihub_async.errors import InvalidRequestError
from aihub_async.ingest.journal.rows import printable
from aihub_async.limits import MAX_FILE_BYTES, MAX_NAME_LENGTH
from aihub_async.operations import encode_segment

_EXTENSIONS = (
    "bmp csv doc docm docx eml gif heic htm html jpe jpeg jpg json md mht mhtml mp4 msg odt pdf png pps ppt pptm pptx "
    "rtf tif tiff tsv txt webp xls xlsm xlsx xml"
)
SUPPORTED = frozenset(_EXTENSIONS.split())
"""Extensions that are sent unless `send_all_types` is set."""
LITTER = "litter"
"""The reason of files that are skipped without being failures, such as ``.DS_Store``."""


class Candidate(NamedTuple):
    """A file that was found.

    `folder` and `base` are its path, `given` the name that the caller chose, else "", `name` its name in the batch,
    `refused` a code and a sentence if it will not be sent, `group` the name of the group that it belongs to.
    """

    folder: str
    base: str
    given: str
    name: str
    size: int = 0
    mtime_ns: int = 0
    refused: tuple[str, str] | None = None
    group: str = ""


GroupOf = Callable[[Path], str]
TOP = "."
"""The group of the files that are directly in the source folder, when each subfolder is a group."""


class Grouping(enum.Enum):
    """How the files of a source belong to groups."""

    NONE = "none"
    FOLDERS = "folders"
    """The files of a group follow each other; a group that comes again, in another source folder, is another batch."""
    SORTED = "sorted"
    """The files of a group follow each other, as the caller promises: what comes later of a group is refused."""
    SCATTERED = "scattered"
    """The files of a group may be anywhere in the source."""


@attrs.frozen
class Rules:
    """What of a source is sent, and under which names and groups; the same for folders and for URLs."""

    send_all_types: bool = False
    group: str | GroupOf | None = None

    def refusal(self, size: int, name: str) -> tuple[str, str] | None:
        """Return why a file is not sent: a code and a sentence."""
        if size == 0:
            return "empty", "the file is empty"
        if size > MAX_FILE_BYTES:
            return "too large", f"{size:,} bytes; AI Hub accepts at most {MAX_FILE_BYTES:,}"
        extension = name.rpartition(".")[2].lower() if "." in name else ""
        if not self.send_all_types and extension not in SUPPORTED:
            return "unsupported", f"files of type {extension or 'unknown'!r} are sent only with send_all_types"
        return None

    def group_of(self, path: str, folder: str | None) -> str:
        """Return the group of a file; `folder` is the first folder below that of the source, if that is known."""
        if self.group is None:
            return ""
        if callable(self.group):
            return printable(self.group(Path(path)))
        return printable(os.path.basename(os.path.split(path)[0]) if folder is None else folder)  # noqa: PTH119 - see scan()

    def litter(self, folder: str, base: str) -> Candidate:
        """Return a file that is skipped."""
        return Candidate(folder, base, "", "", 0, 0, (LITTER, "a file of the operating system or of an office program"))

    def candidate(self, folder: str, base: str, relative: str, size: int, version: int) -> Candidate:
        """Return an object behind a URL; `version` takes the place of the time of a local file."""
        name = shortened(relative.replace("/", "__"))
        try:
            encode_segment("name", name)
        except InvalidRequestError as error:
            return Candidate(printable(folder), printable(base), "", "", 0, 0, ("name", str(error)))
        top, slash, _ = relative.partition("/")
        group = self.group_of(f"{folder}/{base}", top if slash else TOP)
        return Candidate(folder, base, "", name, size, version, self.refusal(size, base), group)


def shortened(name: str) -> str:
    """Return the end of a long name with a digest of the whole, so that names of deep paths stay different."""
    if len(name) <= MAX_NAME_LENGTH:
        return name
    digest = hashlib.blake2b(os.fsencode(name), digest_size=6).hexdigest()
    return f"{digest}~{name[-200:]}"
