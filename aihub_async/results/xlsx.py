"""Excel workbooks, written by XlsxWriter (extra `xlsx`) in constant memory."""

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from aihub_async.errors import ConfigurationError
from aihub_async.results import cells
from aihub_async.results.columns import ColumnSet
from aihub_async.results.extras import load
from aihub_async.results.rows import Row
from aihub_async.results.spool import Spool

# Specifications and limits of Excel (support.microsoft.com, "Excel specifications and limits").
MAX_ROWS: Final = 1_048_576
MAX_COLUMNS: Final = 16_384
MAX_TEXT: Final = 32_767


class Workbook:
    """One sheet with a frozen header; numbers are numbers, and no text is run as a formula or made a link.

    Rows wait in a temporary file until all columns are known.
    """

    def __init__(self, file: io.BufferedWriter, path: Path, columns: ColumnSet) -> None:
        self._xlsxwriter = load("xlsxwriter", extra="xlsx", purpose="format 'xlsx'")
        self._file = file
        self._columns = columns
        self._spool = Spool(path.parent)
        self._rows = 1

    def write(self, rows: list[Row]) -> None:
        """Add rows.

        Raises:
            ConfigurationError: more rows, columns or characters in a cell than Excel can hold.
        """
        self._columns.observe(rows)
        if self._rows + len(rows) > MAX_ROWS:
            raise ConfigurationError(f"an Excel sheet has at most {MAX_ROWS:,} rows; write .parquet or .csv instead")
        if len(self._columns.names) > MAX_COLUMNS:
            raise ConfigurationError(f"an Excel sheet has at most {MAX_COLUMNS:,} columns; write .parquet instead")
        for row in rows:
            _check_texts(self._rows, row)
            self._rows += 1
        self._spool.write(rows)

    def close(self) -> None:
        """Write the workbook."""
        names = self._columns.names
        book = self._xlsxwriter.Workbook(self._file, {"constant_memory": True})
        sheet = book.add_worksheet("results")
        bold = book.add_format({"bold": True})
        for column, name in enumerate(names):
            sheet.write_string(0, column, _encodable(name), bold)
        sheet.freeze_panes(1, 0)
        for number, row in enumerate(self._spool.read(), 1):
            for column, name in enumerate(names):
                _write_cell(sheet, number, column, row.get(name))
        if self._rows > 1 and names:
            sheet.autofilter(0, 0, self._rows - 1, len(names) - 1)
        book.close()

    def discard(self) -> None:
        """Forget the rows."""
        self._spool.discard()


_WRITE: Final[dict[type, Callable[[Any], Callable[[int, int, Any], object]]]] = {
    bool: lambda sheet: sheet.write_boolean,
    int: lambda sheet: sheet.write_number,
    float: lambda sheet: sheet.write_number,
}


def _is_exact(value: int | float) -> bool:  # noqa: PYI041 - mypy takes float for both
    """Return whether Excel, which has floats without NaN and infinities only, holds the number as it is."""
    return math.isfinite(value) if isinstance(value, float) else cells.kind_of(value) in {cells.BOOL, cells.INT}


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _write_cell(sheet: Any, row: int, column: int, value: Any) -> None:
    if value is None or value == "":
        return
    write = _WRITE.get(type(value))
    if write is not None and _is_exact(value):
        write(sheet)(row, column, value)
        return
    sheet.write_string(row, column, _encodable(cells.as_text(value) or ""))


def _check_texts(number: int, row: Row) -> None:
    for name, value in row.items():
        size = len(cells.as_text(value) or "")
        if size > MAX_TEXT:
            raise ConfigurationError(
                f"row {number}, {name!r}: a text of {size:,} characters, but an Excel cell holds {MAX_TEXT:,}; "
                "write .parquet or .csv instead"
            )
