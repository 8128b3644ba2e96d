"""Standard output for results, standard error for everything else; both safe for text that others wrote."""

import contextlib
import io
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

import attrs
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from aihub_async.cli.text import json_text, plain, plain_block, value_text


class SafeConsole(Console):
    """A console on which text is text: no markup, no emoji codes, no highlighting, no control characters."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def render_str(self, text: str, **options: Any) -> Text:
        """Render a string; rich passes each one through here, also those in tables."""
        return super().render_str(plain_block(text), **options)


out = SafeConsole()
"""For results: redirecting it keeps them clean."""
err = SafeConsole(stderr=True)
"""For progress, notes and errors."""


@attrs.define
class _Settings:
    json: bool = False
    quiet: bool = False


_settings = _Settings()


class _LogLines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:
            warn(record.getMessage())
        else:
            err.print(f"{record.levelname.lower()}: {record.getMessage()}")


_logger = logging.getLogger("aihub_async")
_log_lines = _LogLines()
_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


def set_up(*, json: bool, quiet: bool, verbose: int = 0) -> None:
    """Set what the command prints.

    Args:
        json: one JSON document in place of tables.
        quiet: no notes.
        verbose: 1 logs retries on standard error, 2 every request; warnings of the library are always printed.
    """
    _settings.json, _settings.quiet = json, quiet
    level = _LEVELS[min(verbose, 2)]
    _log_lines.setLevel(level)
    _logger.addHandler(_log_lines)
    if verbose:
        _logger.setLevel(level)


@contextlib.contextmanager
def logging_restored() -> Iterator[None]:
    """Undo at the end what `set_up` changes of logging: a program may run commands in its own process."""
    level = _logger.level
    try:
        yield
    finally:
        _logger.removeHandler(_log_lines)
        _logger.setLevel(level)


def is_json() -> bool:
    """Return whether results are to be printed as JSON."""
    return _settings.json


def is_quiet() -> bool:
    """Return whether only results and errors are to be printed."""
    return _settings.quiet


def replace_unencodable() -> None:
    """Let the standard streams replace what their encoding lacks instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace" if stream is sys.stdout else "backslashreplace")


def styled(text: str, style: str) -> Text:
    """Return text of one style, safe to print."""
    return Text(plain(text), style)


def note(*parts: str | Text) -> None:
    """Print for people on standard error, unless `--quiet` is given."""
    if not _settings.quiet:
        err.print(Text.assemble(*(part if isinstance(part, Text) else plain_block(part) for part in parts)))


def warn(message: str) -> None:
    """Print a warning on standard error."""
    err.print(Text.assemble(Text("aihub: warning: ", "yellow"), plain(message)))


def emit(value: Any) -> None:
    """Print one JSON document on standard output."""
    write_line(json_text(value, indent=2, ascii_only=not _is_utf8(sys.stdout)))


def emit_line(value: Any) -> None:
    """Print one JSON document on one line of standard output, for commands that print many."""
    write_line(json_text(value, ascii_only=not _is_utf8(sys.stdout)))


def write_line(text: str) -> None:
    """Print a line on standard output as it is, without wrapping."""
    write_lines([text])


def _is_utf8(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "") == "utf8"


@attrs.frozen
class Column:
    """A column of a table.

    Attributes:
        key: its key in each row, and its name in TSV.
        title: its heading on a terminal.
        right: align to the right.
        keep: 0 for columns that stay on the narrowest terminal; the highest number is the first that is left out.
        width: characters that it needs to be readable.
        style: its style.
    """

    key: str
    title: str
    right: bool = False
    keep: int = 0
    width: int = 10
    style: str = ""


def print_rows(columns: Sequence[Column], rows: Iterable[dict[str, Any]], *, title: str | None = None) -> None:
    """Print rows: a table on a terminal, tab-separated values elsewhere."""
    if not out.is_terminal:
        write_tsv(columns, rows)
        return
    shown = list(rows)
    if shown:
        out.print(table(columns, shown, title=title))


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print names and values, one line each, without those that have no value."""
    known = {name: value for name, value in facts.items() if value not in (None, "", [])}
    if not out.is_terminal:
        write_lines(f"{name}\t{value_text(value)}" for name, value in known.items())
        return
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", min_width=8)
    grid.add_column(overflow="fold")
    for name, value in known.items():
        grid.add_row(name, value_text(value))
    out.print(grid)


def write_lines(lines: Iterable[str]) -> None:
    """Print lines on standard output as they are."""
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def is_interactive() -> bool:
    """Return whether a prompt can be shown."""
    return sys.stdin.isatty() and err.is_terminal


def write_tsv(columns: Sequence[Column], rows: Iterable[dict[str, Any]]) -> None:
    """Print a header and one line per row; tabs, line breaks and control characters are escaped."""
    names = [column.key for column in columns]
    write_lines(["\t".join(names)])
    write_lines("\t".join(value_text(row.get(name)) for name in names) for row in rows)


_NOTHING = (None, "")


def table(columns: Sequence[Column], rows: Sequence[dict[str, Any]], *, title: str | None = None) -> Table:
    """Return a table that fits the terminal: empty columns, and the least important ones, are left out."""
    shown = fitting(
        [column for column in columns if any(row.get(column.key) not in _NOTHING for row in rows)], out.width
    )
    result = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for column in shown:
        result.add_column(
            column.title,
            justify="right" if column.right else "left",
            overflow="fold",
            style=column.style,
            min_width=min(column.width, 12),
        )
    for row in rows:
        result.add_row(*(value_text(row.get(column.key)) for column in shown))
    return result


def fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """Return the columns that fit into the width, without those that matter least."""
    shown = list(columns)
    while sum(column.width + 3 for column in shown) > width:
        least = max(shown, key=lambda column: column.keep)
        if least.keep == 0:
            break
        shown.remove(least)
    return shown
