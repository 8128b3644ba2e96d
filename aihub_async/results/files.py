"""Output files that appear under their name whole or not at all."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Self

from aihub_async.results.columns import ColumnSet
from aihub_async.results.rows import Row
from aihub_async.results.writers import WRITERS, Writer

FORMATS = tuple(WRITERS)
"""The formats of `RowFile`, which are also the extensions of its files."""


def _no_hook(_moment: str) -> None:
    return None


class RowFile:
    """A file of rows, invisible under its name until `commit()`; writes in bounded memory.

    Args:
        path: the file; its folder is created.
        format: one of `FORMATS`.
        columns: the columns of the rows; they grow while rows are written.
        formulas: leave texts in CSV that a spreadsheet would run as a formula as they are.

    Raises:
        OSError: the file cannot be written.
        ConfigurationError: the format needs a package that is not installed.

    Example:
        >>> def write(folder, shape, file, origin):
        ...     with RowFile(folder / "part.parquet", "parquet", ColumnSet.of(shape)) as output:
        ...         output.write(list(shape.rows_of(file, origin)))
        ...         output.commit()
    """

    def __init__(self, path: Path, format: str, columns: ColumnSet, *, formulas: bool = False) -> None:
        self.path = path
        self.rows = 0
        """Rows written so far."""
        self.size = 0
        """Bytes of the file, once it is committed."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = path.with_name(f".{path.name}.tmp")
        self._file: io.BufferedWriter | None = self._temporary.open("wb")
        try:
            self._writer: Writer = WRITERS[format](self._file, self._temporary, columns, formulas)
        except BaseException:
            self.discard()
            raise

    def write(self, rows: list[Row]) -> None:
        """Add rows."""
        self._writer.write(rows)
        self.rows += len(rows)

    def commit(self, hook: Callable[[str], None] = _no_hook) -> None:
        """Make the file durable and rename it to its name, which replaces an existing file atomically.

        Args:
            hook: called with ``"before rename"`` and ``"after rename"``.
        """
        file = self._file
        if file is None:
            raise ValueError("the output is closed")
        self._writer.close()
        file.flush()
        os.fsync(file.fileno())
        self.size = file.tell()
        file.close()
        self._file = None
        hook("before rename")
        self._temporary.replace(self.path)
        sync_folder(self.path.parent)
        hook("after rename")

    def discard(self) -> None:
        """Remove what was written, unless it was committed."""
        file, self._file = self._file, None
        if file is None:
            return
        if hasattr(self, "_writer"):
            self._writer.discard()
        try:
            file.close()
        except OSError:
            # Closing writes the buffer, which fails again on a full disk; the file is removed in any case.
            file.raw.close()
        self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


def sync_folder(folder: Path) -> None:
    """Make a rename in the folder durable, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
