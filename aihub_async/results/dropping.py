"""Removing the rows of some files from a part that was written before, whatever its format."""

import csv
import json
import os
import re
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from aihub_async.results.cells import neutralized
from aihub_async.results.datasets import long_fields
from aihub_async.results.files import sync_folder

_SHEET: Final = "xl/worksheets/sheet1.xml"
_SPACE: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TAG: Final = f"{{{_SPACE}}}"
_NUMBER: Final = re.compile(r"\d+")


def drop_files(path: Path, format: str, files: Collection[str]) -> int:
    """Remove the rows of files from a part, which is replaced as a whole; return how many rows were removed.

    Args:
        path: the part, as `RowFile` wrote it.
        format: its format.
        files: names in the batch, as in the column ``file``.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        dropped = _DROPPERS[format](path, temporary, frozenset(files))
        if dropped:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return dropped


def _drop_lines(path: Path, target: Path, files: frozenset[str]) -> int:
    dropped = 0
    with path.open("rb") as source, target.open("wb") as output:
        for line in source:
            if json.loads(line).get("file") in files:
                dropped += 1
            else:
                output.write(line)
    return dropped


def _drop_records(path: Path, target: Path, files: frozenset[str]) -> int:
    names = files | {neutralized(name) for name in files}
    dropped = 0
    with (
        long_fields(),
        path.open(encoding="utf-8", newline="") as source,
        target.open("w", encoding="utf-8", newline="") as output,
    ):
        reader, writer = csv.reader(source), csv.writer(output)
        header = next(reader)
        place = header.index("file")
        writer.writerow(header)
        for record in reader:
            if record[place] in names:
                dropped += 1
            else:
                writer.writerow(record)
    return dropped


def _drop_from_parquet(path: Path, target: Path, files: frozenset[str]) -> int:
    from aihub_async.results import parquet  # noqa: PLC0415 - the extra is loaded when it is used

    return parquet.drop(path, target, files)


def _drop_from_workbook(path: Path, target: Path, files: frozenset[str]) -> int:
    dropped = 0
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as output:
        for item in source.infolist():
            content = source.read(item)
            if item.filename == _SHEET:
                content, dropped = _without_rows(content, files)
            output.writestr(item, content)
    return dropped


def _without_rows(content: bytes, files: frozenset[str]) -> tuple[bytes, int]:
    """Return the XML of a sheet without the rows of files; those below move up."""
    ET.register_namespace("", _SPACE)
    ET.register_namespace("r", _RELATIONS)
    sheet = ET.fromstring(content)  # noqa: S314 - this package wrote it
    data = sheet.find(f"{_TAG}sheetData")
    rows = [] if data is None else list(data)
    column = next((_letters(cell) for row in rows[:1] for cell in row if _text(cell) == "file"), None)
    dropped = 0
    for row in rows:
        name = next((_text(cell) for cell in row if _letters(cell) == column), None)
        if name in files and row is not rows[0]:
            data.remove(row)  # type: ignore[union-attr]  # there are rows
            dropped += 1
        elif dropped:
            number = str(int(row.attrib["r"]) - dropped)
            for element in (row, *row):
                element.set("r", _NUMBER.sub(number, element.attrib["r"]))
    return ET.tostring(sheet, "utf-8", xml_declaration=True), dropped


def _letters(cell: "ET.Element") -> str:
    return cell.attrib["r"].rstrip("0123456789")


def _text(cell: "ET.Element") -> str:
    return "".join(text.text or "" for text in cell.iter(f"{_TAG}t"))


_DROPPERS: Final[dict[str, Callable[[Path, Path, frozenset[str]], int]]] = {
    "jsonl": _drop_lines,
    "csv": _drop_records,
    "parquet": _drop_from_parquet,
    "xlsx": _drop_from_workbook,
}
