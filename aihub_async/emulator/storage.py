"""Files on disk (`Blobs`) and the tree of names over them (`Drive`).

A blob is named by a number, so that no name a client chooses ever reaches the local file system. A folder exists while
a file is in it; a batch is a folder.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import attrs

from aihub_async.emulator.clock import NANOSECONDS
from aihub_async.emulator.database import Database, Row
from aihub_async.emulator.settings import EmulatorSettings
from aihub_async.emulator.wire import ApiError

_BLOBS_PER_FOLDER = 1000
_COPY_CHUNK = 1 << 20
_ALWAYS = 2**62  # nanoseconds
_TABLES_WITH_BLOBS = ("nodes", "parts", "conversation_documents")


class Blobs:
    """Numbered files below one folder."""

    def __init__(self, root: Path, first: int) -> None:
        self._root = str(root)
        self._next = first

    def path(self, blob: int) -> str:
        """Return where a blob is."""
        return f"{self._root}/{blob // _BLOBS_PER_FOLDER}/{blob}"

    async def receive(self, chunks: AsyncIterator[bytes], limit: int | None) -> tuple[int, int]:
        """Write chunks to a new blob as they arrive; return its number and size.

        Raises:
            ApiError: 413, more bytes than `limit`. The blob is removed.
        """
        blob, descriptor = self._create()
        size = 0
        with self.kept_on_success(blob), _closing(descriptor):
            async for chunk in chunks:
                size += len(chunk)
                if limit is not None and size > limit:
                    raise ApiError(413, f"The body is larger than {limit} bytes.")
                _write_all(descriptor, chunk)
        return blob, size

    @contextlib.contextmanager
    def kept_on_success(self, blob: int) -> Iterator[None]:
        """Remove a blob when the block fails."""
        try:
            yield
        except BaseException:
            self.delete(blob)
            raise

    def save(self, content: bytes) -> tuple[int, int]:
        """Write bytes to a new blob; return its number and size."""
        blob, descriptor = self._create()
        with _closing(descriptor):
            _write_all(descriptor, content)
        return blob, len(content)

    def read(self, blob: int) -> bytes:
        """Return the bytes of a blob."""
        return Path(self.path(blob)).read_bytes()

    def reserve(self) -> int:
        """Reserve a new, empty blob for a thread to fill."""
        blob, descriptor = self._create()
        os.close(descriptor)
        return blob

    def join(self, target: int, sources: list[int]) -> None:
        """Concatenate blobs into another one; blocking, for a thread."""
        with Path(self.path(target)).open("wb") as whole:
            for source in sources:
                with Path(self.path(source)).open("rb") as part:
                    while chunk := part.read(_COPY_CHUNK):
                        whole.write(chunk)

    def delete(self, blob: int) -> None:
        """Remove a blob; a missing one is fine."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(blob))  # noqa: PTH108 - hot path: no Path object per upload

    def _create(self) -> tuple[int, int]:
        blob = self._next
        self._next += 1
        path, flags = self.path(blob), os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        try:
            return blob, os.open(path, flags, 0o600)
        except FileNotFoundError:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            return blob, os.open(path, flags, 0o600)


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, chunk: bytes) -> None:
    written = os.write(descriptor, chunk)
    while written < len(chunk):
        written += os.write(descriptor, memoryview(chunk)[written:])


@attrs.frozen
class Node:
    """One file of the drive; `path` has no leading slash, `modified_ns` is Unix time in nanoseconds."""

    path: str
    blob: int
    size: int
    modified_ns: int

    @property
    def modified(self) -> int:
        """When the file was written, in Unix seconds."""
        return self.modified_ns // NANOSECONDS

    @property
    def name(self) -> str:
        """The last segment of the path."""
        return self.path.rpartition("/")[2]


@attrs.frozen
class Child:
    """A name in a folder; `node` is None for a folder. `cursor` continues a listing after it."""

    name: str
    node: Node | None
    cursor: str


class Drive:
    """The tree of files."""

    def __init__(self, database: Database, blobs: Blobs, settings: EmulatorSettings) -> None:
        self._db = database
        self.blobs = blobs
        self._settings = settings

    def put(self, path: str, blob: int, size: int, *, modified_ns: int | None = None) -> None:
        """Store a blob under a path, replacing what was there; `modified_ns` defaults to now."""
        replaced = self._db.value("SELECT blob FROM nodes WHERE path = ?", path)
        written = self._settings.clock.time_ns() if modified_ns is None else modified_ns
        self._db.write("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?, ?)", path, blob, size, written)
        if replaced is not None:
            self.blobs.delete(replaced)

    def find(self, path: str) -> Node | None:
        """Return the file at a path."""
        row = self._db.one("SELECT * FROM nodes WHERE path = ?", path)
        return None if row is None else _node(row)

    def is_folder(self, path: str) -> bool:
        """Return whether a file is below a path, a batch is stored there, or it was created as a folder."""
        if self._db.value("SELECT 1 FROM nodes WHERE path > ? AND path < ? LIMIT 1", *_below(path)):
            return True
        if self._db.value("SELECT 1 FROM folders WHERE path >= ? AND path < ? LIMIT 1", *_below(path)):
            return True
        return self._db.value("SELECT 1 FROM batches WHERE folder = ? AND NOT deleted", path) is not None

    def walk(
        self, folder: str, *, after: str = "", limit: int = -1, as_of_ns: int = _ALWAYS, since_ns: int = 0
    ) -> list[Node]:
        """Return the files below a folder at any depth, in order of path, from the one after the path `after`.

        Args:
            folder: The folder.
            after: A path; only those after it are returned.
            limit: Most files; -1 is all.
            as_of_ns: Leave out files written later, in Unix nanoseconds.
            since_ns: Leave out files written earlier, in Unix nanoseconds.
        """
        low, high = _below(folder)
        query = "SELECT * FROM nodes WHERE path > ? AND path < ? AND modified_ns BETWEEN ? AND ? ORDER BY path LIMIT ?"
        return [_node(row) for row in self._db.all(query, max(low, after), high, since_ns, as_of_ns, limit)]

    def count(self, folder: str, most: int) -> int:
        """Return the number of files below a folder, counted up to `most`."""
        query = "SELECT COUNT(*) FROM (SELECT 1 FROM nodes WHERE path > ? AND path < ? LIMIT ?)"
        return int(self._db.value(query, *_below(folder), most))

    def children(self, folder: str, *, after: str = "", limit: int) -> list[Child]:
        """Return what is directly in a folder, from the child after a `cursor`."""
        prefix = f"{folder}/"
        found: list[Child] = []
        while len(found) < limit:
            node = next(iter(self.walk(folder, after=after, limit=1)), None)
            found_paths = [path for path in (node and node.path, self._next_folder(folder, after)) if path]
            if not found_paths:
                break
            following = min(found_paths)
            name, slash, _ = following[len(prefix) :].partition("/")
            # A folder's cursor is greater than every path in it.
            after = f"{prefix}{name}/\U0010ffff" if slash else following
            found.append(Child(name, None if slash else node, after))
        return found

    def make_folder(self, path: str) -> None:
        """Create a folder that exists without a file in it."""
        # With a slash at the end, so that it sorts among the paths of files as its files would.
        self._db.write("INSERT OR IGNORE INTO folders VALUES (?)", f"{path}/")

    def _next_folder(self, folder: str, after: str) -> str | None:
        low, high = _below(folder)
        query = "SELECT path FROM folders WHERE path > ? AND path < ? ORDER BY path LIMIT 1"
        found: str | None = self._db.value(query, max(low, after), high)
        return found

    def remove(self, path: str) -> None:
        """Remove one file; a missing one is fine."""
        blob = self._db.value("SELECT blob FROM nodes WHERE path = ?", path)
        if blob is None:
            return
        self._db.write("DELETE FROM nodes WHERE path = ?", path)
        self.blobs.delete(blob)

    def remove_some(self, folder: str, limit: int = 500) -> int:
        """Remove up to `limit` files below a folder; return how many there were."""
        self._db.write("DELETE FROM folders WHERE path >= ? AND path < ?", *_below(folder))
        nodes = self.walk(folder, limit=limit)
        for node in nodes:
            self._db.write("DELETE FROM nodes WHERE path = ?", node.path)
            self.blobs.delete(node.blob)
        return len(nodes)


def _node(row: Row) -> Node:
    return Node(row["path"], row["blob"], row["size"], row["modified_ns"])


def _below(folder: str) -> tuple[str, str]:
    return f"{folder}/", f"{folder}0"


def first_free_blob(database: Database) -> int:
    """Return the number after every blob in use; leftovers of a killed process are overwritten."""
    used = (database.value(f"SELECT MAX(blob) FROM {table}") for table in _TABLES_WITH_BLOBS)  # noqa: S608 - own names
    return max(blob or 0 for blob in used) + 1


def clean_path(path: str) -> str:
    """Return a path of the API without empty segments and outer slashes.

    Raises:
        ApiError: 400, no path, a `.` or `..` segment, or a NUL.
    """
    segments = [segment for segment in path.split("/") if segment]
    if not segments or "\0" in path or any(segment in {".", ".."} for segment in segments):
        raise ApiError(400, "The path is empty or has a segment that is not a name.")
    return "/".join(segments)


def read_slices(path: str, start: int, length: int, chunk: int = 1 << 18) -> Iterator[bytes]:
    """Yield bytes of a local file in pieces."""
    with Path(path).open("rb") as stream:
        stream.seek(start)
        while length > 0 and (piece := stream.read(min(chunk, length))):
            length -= len(piece)
            yield piece
