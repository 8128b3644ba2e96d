"""Tables of text: CSV and its relatives."""

import csv
import io
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice

from aihub_async.emulator.documents import Page
from aihub_async.emulator.reading.text import UnreadableFileError, lay_out

MAX_COLUMNS = 400
"""Most columns of a spreadsheet (docs: limits)."""

_DELIMITERS = ",;\t|"
_SAMPLE_ROWS = 100
_DIRECTIVE = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)
_field_size = threading.Lock()  # the csv module has one limit for the whole process


def read_table(text: str) -> tuple[tuple[Page, ...], tuple[Mapping[str, str], ...]]:
    """Return the pages and records of delimited text.

    Raises:
        UnreadableFileError: no rows, malformed, or too many columns.
    """
    text = text.removeprefix("\ufeff")
    # Excel writes the delimiter into a separate first line.
    directive = _DIRECTIVE.match(text)
    content = text[directive.end() :] if directive else text
    try:
        with _long_cells():
            delimiter = directive[1] if directive else _delimiter(content)
            table = [row for row in _rows(content, delimiter) if any(row)]
    except csv.Error as error:
        raise UnreadableFileError(f"The table cannot be read: {error}.") from error
    return lay_out(content), records(table)


def records(table: Sequence[Sequence[str]]) -> tuple[Mapping[str, str], ...]:
    """Return one mapping per row below the header; every cell is kept.

    Raises:
        UnreadableFileError: no rows or too many columns.
    """
    if not table:
        raise UnreadableFileError("The table has no rows.")
    width = max(map(len, table))
    if width > MAX_COLUMNS:
        raise UnreadableFileError(f"The table has {width} columns; {MAX_COLUMNS} is the most.")
    header = _unique([name.strip() for name in table[0]] + [""] * (width - len(table[0])))
    return tuple(dict(zip(header, [*row, *[""] * (width - len(row))], strict=True)) for row in table[1:])


def _unique(names: list[str]) -> list[str]:
    """Name the columns without a name, and number those whose name repeats."""
    taken: dict[str, None] = {}
    for index, name in enumerate(names, 1):
        base = unique = name or f"column {index}"
        number = 2
        while unique in taken:
            unique, number = f"{base} {number}", number + 1
        taken[unique] = None
    return list(taken)


def _delimiter(text: str) -> str:
    """Return the delimiter by which the most rows have as many cells as the header; of several, the most cells."""
    best, delimiter = (0.0, 0), ","
    for candidate in _DELIMITERS:
        rows = [row for row in islice(_rows(text, candidate), _SAMPLE_ROWS) if any(row)]
        if not rows or len(rows[0]) < 2:
            continue
        score = (sum(len(row) == len(rows[0]) for row in rows) / len(rows), len(rows[0]))
        if score > best:
            best, delimiter = score, candidate
    return delimiter


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)


@contextmanager
def _long_cells() -> Iterator[None]:
    with _field_size:
        limit = csv.field_size_limit(sys.maxsize)
        try:
            yield
        finally:
            csv.field_size_limit(limit)
