"""Extracted fields for people (a table) and for programs (TSV, JSON, and files of rows)."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aihub_async.cli import terminal
from aihub_async.cli.exits import end_partial, usage
from aihub_async.cli.options import Shape, local_path
from aihub_async.cli.terminal import Column
from aihub_async.cli.text import value_text
from aihub_async.errors import ConfigurationError
from aihub_async.models.reprs import counted

if TYPE_CHECKING:
    from aihub_async.results.field_rows import FieldRow
    from aihub_async.results.processed import Processed
    from aihub_async.results.rows import Shape as RowShape

STDOUT = "-"
"""The value of --out that means standard output."""

_KINDS = {
    "file": "text",
    "document": "int",
    "class_name": "text",
    "page": "int",
    "field": "text",
    "value": "any",
    "confidence": "float",
    "error": "text",
    "valid": "bool",
}
_SHOWN = (
    Column("file", "file", width=12),
    Column("class_name", "class", keep=3, width=8),
    Column("page", "page", keep=4, width=4, right=True),
    Column("field", "field", width=14),
    Column("value", "value", width=16),
    Column("error", "error", width=12, style="red"),
    Column("confidence", "conf.", keep=2, width=5, right=True),
)
_PACKET = (
    Column("field", "field", width=14),
    Column("value", "value", width=16),
    Column("error", "error", width=12, style="red"),
    Column("valid", "valid", keep=1, width=5),
)
_TSV = tuple(Column(name, name) for name in _KINDS)
_MAX_VALUE = 80
"""Characters of a value that the table shows; the other outputs have all."""
_PACKAGES = {"parquet": ("pyarrow", "parquet"), "xlsx": ("xlsxwriter", "xlsx")}
_SHOWN_FILES = 10


def check_target(text: str | None) -> Path | None:
    """Refuse an output that cannot be written, before any work; return the file, None for standard output."""
    if text is None or text == STDOUT:
        return None
    from aihub_async.results.files import FORMATS

    path = local_path(text, "--out")
    extension = path.suffix.removeprefix(".").lower()
    if extension not in FORMATS:
        usage(f"--out {text}: the name must end in {', '.join(f'.{name}' for name in FORMATS)}, or be - for TSV")
    _check_package(extension, text)
    check_writable(path, "--out")
    return path


def check_writable(path: Path, option: str) -> None:
    """Refuse a file that cannot be written; a folder that is missing is created with it."""
    try:
        if path.is_dir():
            usage(f"{option} {path}: this is a folder; name a file in it")
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        allowed = os.access(folder, os.W_OK | os.X_OK) and (not path.exists() or os.access(path, os.W_OK))
        is_folder = folder.is_dir()
    except (OSError, ValueError) as error:
        usage(f"{option} {path}: {getattr(error, 'strerror', None) or error}")
    if not is_folder:
        usage(f"{option} {path}: {folder} is not a folder")
    if not allowed:
        usage(f"{option} {path}: no permission to write in {folder}")


def _check_package(extension: str, text: str) -> None:
    import importlib.util

    package, extra = _PACKAGES.get(extension, (None, None))
    if package is not None and importlib.util.find_spec(package) is None:
        usage(f"--out {text} needs {package}: pip install 'aihub-async[{extra}]'")


def check_shape(shape: Shape, target: str | None) -> "RowShape":
    """Refuse options about rows that do not go together, before any work; return the shape of the rows."""
    from aihub_async.results.fields import FACTS
    from aihub_async.results.rows import Shape as RowShape

    if shape.add and not shape.wide:
        usage("--add needs --wide")
    if shape.wide and target in {None, STDOUT}:
        usage("--wide needs --out FILE")
    try:
        return RowShape.of("document" if shape.wide else "field", include=shape.add or ())
    except ConfigurationError:
        words = ", ".join(sorted(FACTS))
        usage(f"--add {' --add '.join(shape.add or ())}: the words are {words}")


def present(processed: "Processed", target: str | None, shape: Shape) -> None:
    """Show or write what a run found; end with code 3 if there are files from which nothing could be extracted."""
    path = None if target in {None, STDOUT} else Path(str(target))
    rows = list(processed.rows())
    if path is not None:
        terminal.note(_write(processed, rows, path, shape))
    if terminal.is_json():
        terminal.emit(_document(processed, rows, path))
    elif target == STDOUT:
        terminal.write_tsv(_TSV, (row._asdict() for row in rows))
    elif path is None:
        show(rows)
        _show_packet(processed)
    _report_failed(processed)


def _write(processed: "Processed", rows: "Sequence[FieldRow]", path: Path, shape: Shape) -> str:
    """Write the output file; return the message about it."""
    if not shape.wide:
        write_rows(path, rows, formulas=shape.keep_formulas)
        return f"{counted(len(rows), 'field')} written to {path}"
    table = processed.table(include=shape.add or ())
    table.write(path, formulas=shape.keep_formulas)
    said = f"{counted(len(table), 'document')} written to {path}"
    renamed = "; ".join(f"the field {field} is the column {column}" for column, field in table.renamed.items())
    return f"{said}; {renamed}" if renamed else said


def _show_packet(processed: "Processed") -> None:
    """Print the fields of the packet, on a terminal; the other outputs of rows hold the fields of documents."""
    packet = [{**row, "value": shortened(row["value"])} for row in processed.case_table()]
    if packet and terminal.out.is_terminal:
        terminal.out.print(terminal.table(_PACKET, packet, title="Packet fields"))


def _report_failed(processed: "Processed") -> None:
    failed = processed.failed
    if not failed:
        return
    for name, error in list(failed.items())[:_SHOWN_FILES]:
        terminal.err.print(f"failed {name}: {error}")
    message = f"nothing could be extracted from {len(failed):,} of {counted(len(processed.files), 'file')}"
    end_partial(message)


def _document(processed: "Processed", rows: "Sequence[FieldRow]", path: Path | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "run": processed.run.to_dict(),
        "batch_id": processed.batch_id,
        "files": len(processed.files),
        "failed": [{"file": name, "error": error} for name, error in processed.failed.items()],
        "packet": list(processed.case_table()),
    }
    if path is None:
        document["fields"] = [row._asdict() for row in rows]
    else:
        document["out"] = str(path)
    return document


def show(rows: "Iterable[FieldRow]") -> None:
    """Print fields: a table on a terminal, tab-separated values elsewhere."""
    if not terminal.out.is_terminal:
        terminal.write_tsv(_TSV, (row._asdict() for row in rows))
        return
    found = list(rows)
    if found:
        print_table(found)
    else:
        terminal.note("no fields were found")


def print_table(rows: "Sequence[FieldRow]", *, title: str = "Extracted fields") -> None:
    """Print the table of fields; what repeats from row to row is shown once."""
    last: tuple[str, int] | None = None
    shown = []
    for row in rows:
        cells = row._asdict()
        cells["confidence"] = None if row.confidence is None else f"{row.confidence:.2f}"
        cells["value"] = shortened(row.value)
        if (row.file, row.document) == last:
            cells["file"] = cells["class_name"] = cells["page"] = None
        last = (row.file, row.document)
        shown.append(cells)
    terminal.out.print(terminal.table(_SHOWN, shown, title=title))


def shortened(value: object) -> str:
    """Return a value as one line that is short enough for a table."""
    text = value_text(value)
    return text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 1] + "…"


def write_rows(path: Path, rows: "Iterable[FieldRow]", *, formulas: bool = False) -> None:
    """Write one row per field; the file appears when it is complete, in the format that its extension names."""
    from aihub_async.results.columns import ColumnSet
    from aihub_async.results.files import RowFile

    columns = ColumnSet(_KINDS, is_open=False)
    with RowFile(path, path.suffix.removeprefix(".").lower(), columns, formulas=formulas) as output:
        plain = [row._asdict() for row in rows]
        columns.observe(plain)
        output.write(plain)
        output.commit()
