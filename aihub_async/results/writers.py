"""Writers of JSON Lines and CSV, and the table of all formats; each holds a bounded number of rows."""

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from aihub_async.results import cells
from aihub_async.results.columns import ColumnSet
from aihub_async.results.rows import Row
from aihub_async.results.spool import Spool


class Writer(Protocol):
    """Turns rows into the bytes of one format, in a file that the caller opened."""

    def write(self, rows: list[Row]) -> None:
        """Add rows."""

    def close(self) -> None:
        """Write what is still held back; the file itself stays open."""

    def discard(self) -> None:
        """Release temporary files; what was written is discarded."""


WriterFactory: TypeAlias = Callable[[io.BufferedWriter, Path, ColumnSet, bool], Writer]


class JsonLines:
    """One JSON object per line, with exactly the keys that the row has."""

    def __init__(self, file: io.BufferedWriter, _path: Path, _columns: ColumnSet, _formulas: bool) -> None:
        self._file = file

    def write(self, rows: list[Row]) -> None:
        """Add rows."""
        for row in rows:
            # A lone surrogate becomes its JSON escape: a text that is not valid Unicode must not stop a job.
            self._file.write(cells.to_json(row).encode("utf-8", "backslashreplace") + b"\n")

    def close(self) -> None:
        """Write what is buffered."""
        self._file.flush()

    def discard(self) -> None:
        """Do nothing: there is nothing to release."""


class Csv:
    """CSV as in RFC 4180: UTF-8, comma, CRLF, quotes where needed; lists and objects as JSON, None as nothing."""

    def __init__(self, file: io.BufferedWriter, path: Path, columns: ColumnSet, formulas: bool) -> None:
        self._columns = columns
        self._formulas = formulas
        self._text = io.TextIOWrapper(file, "utf-8", "backslashreplace", newline="", write_through=True)
        self._csv = csv.writer(self._text)
        self._spool = Spool(path.parent)
        self._direct = not columns.is_open
        if self._direct:
            self._write_header()

    def write(self, rows: list[Row]) -> None:
        """Add rows."""
        if self._direct:
            self._write(rows)
            return
        self._columns.observe(rows)
        self._spool.write(rows)

    def close(self) -> None:
        """Write the header and the rows, if they had to wait for all columns."""
        if not self._direct:
            self._write_header()
            self._write(self._spool.read())
        self._spool.discard()
        self._text.flush()
        self._text.detach().flush()

    def discard(self) -> None:
        """Release the rows that wait."""
        self._spool.discard()

    def _write_header(self) -> None:
        self._csv.writerow([self._cell(name) for name in self._columns.names])

    def _write(self, rows: "list[Row] | Iterator[Row]") -> None:
        names = self._columns.names
        self._csv.writerows([self._cell(row.get(name)) for name in names] for row in rows)

    def _cell(self, value: Any) -> str | None:
        if isinstance(value, str):
            return value if self._formulas else cells.neutralized(value)
        return cells.as_text(value)


def _parquet(file: io.BufferedWriter, path: Path, columns: ColumnSet, _formulas: bool) -> Writer:
    from aihub_async.results.parquet import Parquet  # noqa: PLC0415 - the extra is loaded when it is used

    return Parquet(file, path, columns)


def _xlsx(file: io.BufferedWriter, path: Path, columns: ColumnSet, _formulas: bool) -> Writer:
    from aihub_async.results.xlsx import Workbook  # noqa: PLC0415 - the extra is loaded when it is used

    return Workbook(file, path, columns)


WRITERS: Final[dict[str, WriterFactory]] = {"jsonl": JsonLines, "csv": Csv, "parquet": _parquet, "xlsx": _xlsx}
"""The writer of each format; the format is also the extension of the file."""
