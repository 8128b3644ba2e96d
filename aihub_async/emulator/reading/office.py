"""Office files: docx by python-docx, xlsx by openpyxl, pptx by python-pptx (extra `office`)."""

import importlib
import io
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time
from typing import Any
from zipfile import BadZipFile

from aihub_async.emulator.documents import Page
from aihub_async.emulator.reading.tables import records
from aihub_async.emulator.reading.text import NoTextError, UnreadableFileError, lay_out

MAX_BYTES = 10_000_000
"""Largest spreadsheet (docs: limits)."""

Content = tuple[tuple[Page, ...], tuple[Mapping[str, str], ...]]


def read_office(content: bytes, suffix: str) -> Content:
    """Return the pages, and the records of the first sheet, of an Office file.

    Raises:
        NoTextError: the library for it is not installed.
        UnreadableFileError: damaged, or too large.
    """
    package, read = _READERS[suffix]
    try:
        library = importlib.import_module(package)
    except ImportError:
        hint = "pip install 'aihub-async[office]'"
        raise NoTextError(f"The emulator reads {suffix} files when {package} is installed: {hint}.") from None
    try:
        return read(library, content)
    except UnreadableFileError:
        raise
    except (BadZipFile, KeyError, ValueError, OSError, AttributeError, TypeError) as error:
        raise UnreadableFileError(f"The {suffix} file cannot be read: {type(error).__name__}: {error}") from error
    # For damaged packages these libraries raise their own exceptions, which share no base class.
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in {"docx", "openpyxl", "pptx", "lxml"}:
            raise
        raise UnreadableFileError(f"The {suffix} file cannot be read: {type(error).__name__}: {error}") from error


def _docx(library: Any, content: bytes) -> Content:
    document = library.Document(io.BytesIO(content))
    lines = [line for block in document.iter_inner_content() for line in _block(block)]
    return lay_out("\n".join(lines)), ()


def _block(block: Any) -> Iterator[str]:
    """Yield the lines of a paragraph or a table, in the order of the document."""
    if not hasattr(block, "rows"):
        yield str(block.text).replace("\v", "\n")
        return
    for row in block.rows:
        # A cell that spans several columns is listed once per column.
        cells = list({id(cell._tc): cell for cell in row.cells}.values())
        yield _row([" ".join(str(cell.text).split()) for cell in cells])


def _row(cells: list[str]) -> str:
    return f"{cells[0].rstrip(':')}: {cells[1]}" if len(cells) == 2 else "  ".join(cells)


def _xlsx(library: Any, content: bytes) -> Content:
    if len(content) > MAX_BYTES:
        raise UnreadableFileError(f"The spreadsheet has {len(content)} bytes; {MAX_BYTES} is the most.")
    workbook = library.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    try:
        sheets = [_sheet(sheet) for sheet in workbook.worksheets]
    finally:
        workbook.close()
    filled = [sheet for sheet in sheets if sheet]
    if not filled:
        raise UnreadableFileError("The table has no rows.")
    text = "\f".join("\n".join("  ".join(row) for row in sheet) for sheet in filled)
    return lay_out(text), records(filled[0])


def _sheet(sheet: Any) -> list[list[str]]:
    rows = ([_cell(value) for value in row] for row in sheet.iter_rows(values_only=True))
    table = [row for row in rows if any(row)]
    width = max((index + 1 for row in table for index, value in enumerate(row) if value), default=0)
    return [row[:width] for row in table]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return " ".join(str(value).split())


def _pptx(library: Any, content: bytes) -> Content:
    presentation = library.Presentation(io.BytesIO(content))
    slides = ["\n".join(line for shape in slide.shapes for line in _shape(shape)) for slide in presentation.slides]
    return lay_out("\f".join(slides)), ()


def _shape(shape: Any) -> Iterator[str]:
    if getattr(shape, "has_text_frame", False):
        yield str(shape.text_frame.text).replace("\v", "\n")
    if getattr(shape, "has_table", False):
        for row in shape.table.rows:
            yield _row([" ".join(str(cell.text).split()) for cell in row.cells])
    for inner in getattr(shape, "shapes", ()):  # a group
        yield from _shape(inner)


_READERS: Mapping[str, tuple[str, Callable[[Any, bytes], Content]]] = {
    ".docx": ("docx", _docx),
    ".xlsx": ("openpyxl", _xlsx),
    ".pptx": ("pptx", _pptx),
}
