"""Results for people (a table) and for programs (JSON Lines or CSV)."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table

from aihub_async.cli.common import fail
from aihub_async.results.rows import FieldRow

_MAX_VALUE = 60


def fields_table(rows: Iterable[FieldRow]) -> Table:
    """A table of fields, with a rule between files."""
    table = Table(title="Extracted fields", title_justify="left")
    for column in ("file", "class", "page", "field", "value", "confidence"):
        table.add_column(column, justify="right" if column in {"page", "confidence"} else "left", overflow="fold")
    last: tuple[str, int] | None = None
    for row in rows:
        here = (row.file, row.document)
        if last is not None and here != last:
            table.add_section()
        table.add_row(
            row.file if here != last else "",
            (row.class_name or "") if here != last else "",
            str(row.page or "") if here != last else "",
            row.field,
            f"[red]{row.error}[/]" if row.error else _short(row.value),
            "" if row.confidence is None else f"{row.confidence:.2f}",
        )
        last = here
    return table


def _short(value: object) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    text = text.replace("[", r"\[")
    return text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 1] + "…"


def check_target(path: Path | None) -> None:
    """Refuse an output file of an unknown kind before any work is done."""
    if path is not None and path.suffix not in _WRITERS:
        fail(f"--out {path}: the name must end in {' or '.join(_WRITERS)}")


def write_rows(path: Path, rows: Iterable[FieldRow]) -> None:
    """Write one row per field to a .jsonl or .csv file; the file appears when it is whole."""
    part = path.with_name(path.name + ".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        _WRITERS[path.suffix](file, rows)
    part.replace(path)


def _write_jsonl(file: TextIO, rows: Iterable[FieldRow]) -> None:
    file.writelines(json.dumps(row._asdict(), ensure_ascii=False) + "\n" for row in rows)


def _write_csv(file: TextIO, rows: Iterable[FieldRow]) -> None:
    writer = csv.writer(file)
    writer.writerow(FieldRow._fields)
    writer.writerows(rows)


_WRITERS = {".jsonl": _write_jsonl, ".csv": _write_csv}


def show(console: Console, rows: Iterable[FieldRow]) -> None:
    """Print the table."""
    console.print(fields_table(rows))
