"""Rows that wait on disk until all columns are known."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from aihub_async.results.rows import Row


class Spool:
    """Rows in an unnamed temporary file, for formats whose first line names columns that the last row may add."""

    def __init__(self, folder: Path) -> None:
        self._file: IO[str] = tempfile.TemporaryFile("w+", encoding="ascii", dir=folder)  # noqa: SIM115 - closed below

    def write(self, rows: list[Row]) -> None:
        """Add rows."""
        self._file.writelines(json.dumps(row, default=str) + "\n" for row in rows)

    def read(self) -> Iterator[Row]:
        """Return all rows again, and forget them."""
        self._file.seek(0)
        yield from map(json.loads, self._file)
        self._file.close()

    def discard(self) -> None:
        """Forget the rows."""
        self._file.close()
