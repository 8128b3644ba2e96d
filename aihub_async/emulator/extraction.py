"""From the bytes of a file to a `Document`: text, csv, json, html, e-mail; PDFs are in `pdf`."""

import csv
import io
import json
import re
from collections.abc import Mapping
from email import message_from_bytes, policy
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from typing import Any

from aihub_async.emulator.apps import Document, Fragment, Page

MAX_COLUMNS = 400
"""Most columns of a spreadsheet (docs: limits)."""

_TEXT_SUFFIXES = frozenset({".txt", ".md", ".text", ".log", ".rst", ""})
_LINES_PER_PAGE = 60
_LINE_HEIGHT, _CHARACTER_WIDTH, _MARGIN = 12.0, 6.0, 36.0


class UnreadableFileError(Exception):
    """A file that cannot be turned into text; the message tells a person why."""


def read_document(local_path: str, name: str, settings: Mapping[str, Any]) -> Document:
    """Read one file. Blocking: runs on a worker thread.

    Raises:
        UnreadableFileError: empty, of an unknown type, damaged, or protected by a password that was not given.
    """
    suffix = PurePosixPath(name).suffix.lower()
    content = Path(local_path).read_bytes()
    if not content:
        raise UnreadableFileError("The file is empty.")
    rows: tuple[Mapping[str, str], ...] = ()
    if suffix == ".pdf" or content.startswith(b"%PDF-"):
        from aihub_async.emulator.pdf import read_pdf  # noqa: PLC0415 - pypdf is loaded with the first PDF

        pages = read_pdf(content, _password(name, settings))
    elif suffix in {".csv", ".tsv"}:
        pages, rows = _read_table(content)
    elif suffix == ".json":
        pages, rows = _read_json(content)
    elif suffix in {".html", ".htm"}:
        pages = lay_out(html_text(_decode(content)))
    elif suffix == ".eml":
        pages = lay_out(_email_text(content))
    elif suffix in _TEXT_SUFFIXES:
        pages = lay_out(_decode(content))
    else:
        raise UnreadableFileError(f"Files of type {suffix} are not supported by the emulator.")
    return Document(name, pages, rows, settings, local_path)


def lay_out(text: str) -> tuple[Page, ...]:
    """Set plain text on pages of fixed pitch, so that every line has a place."""
    pages: list[Page] = []
    for sheet in text.split("\f"):
        lines = sheet.splitlines() or [""]
        for start in range(0, len(lines), _LINES_PER_PAGE):
            pages.append(_page(len(pages) + 1, lines[start : start + _LINES_PER_PAGE]))
    return tuple(pages)


def _page(number: int, lines: list[str]) -> Page:
    fragments = tuple(
        Fragment(line, _MARGIN, _MARGIN + row * _LINE_HEIGHT, len(line) * _CHARACTER_WIDTH, _LINE_HEIGHT)
        for row, line in enumerate(lines)
        if line.strip()
    )
    return Page(number, "\n".join(lines), fragments=fragments)


def _password(name: str, settings: Mapping[str, Any]) -> str | None:
    value: Any = settings
    for key in ("runtime_config", "instabase", "pdf", "passwords", name):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else None


def _decode(content: bytes) -> str:
    for encoding in ("utf-16",) if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else ("utf-8-sig", "cp1252"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise UnreadableFileError("The file is not text in a known encoding.")


def _read_table(content: bytes) -> tuple[tuple[Page, ...], tuple[Mapping[str, str], ...]]:
    text = _decode(content)
    try:
        dialect: type[csv.Dialect] | csv.Dialect = csv.Sniffer().sniff(text[:8192], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    try:
        table = [row for row in csv.reader(io.StringIO(text, newline=""), dialect) if any(row)]
    except csv.Error as error:
        raise UnreadableFileError(f"The table cannot be read: {error}.") from error
    if not table:
        raise UnreadableFileError("The table has no rows.")
    header = [name.strip() or f"column {index}" for index, name in enumerate(table[0], 1)]
    if len(header) > MAX_COLUMNS:
        raise UnreadableFileError(f"The table has {len(header)} columns; {MAX_COLUMNS} is the most.")
    rows = tuple(dict(zip(header, [*row, *[""] * len(header)], strict=False)) for row in table[1:])
    return lay_out(text), rows


def _read_json(content: bytes) -> tuple[tuple[Page, ...], tuple[Mapping[str, str], ...]]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnreadableFileError(f"The file is not valid JSON: {error}.") from error
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        rows = tuple(dict(_flat("", item)) for item in value)
        text = "\n\n".join("\n".join(f"{key}: {text}" for key, text in row.items()) for row in rows)
        return lay_out(text), rows
    return lay_out("\n".join(f"{key}: {text}" if key else text for key, text in _flat("", value))), ()


def _flat(prefix: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in _flat(f"{prefix}.{key}".lstrip("."), item)]
    if isinstance(value, list):
        return [pair for index, item in enumerate(value) for pair in _flat(f"{prefix}.{index}".lstrip("."), item)]
    return [(prefix, value if isinstance(value, str) else json.dumps(value))]


class _TextOfHtml(HTMLParser):
    _HIDDEN = frozenset({"script", "style", "template", "title"})
    _BREAKS = frozenset(
        {"br", "p", "div", "li", "tr", "table", "h1", "h2", "h3", "h4", "h5", "h6", "dt", "dd", "section"}
    )

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = [""]
        self._cells: list[str] | None = None
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag in self._HIDDEN:
            self._hidden += 1
        elif tag == "tr":
            self._cells = []
        elif tag in {"td", "th"} and self._cells is not None:
            self._cells.append("")
        if tag in self._BREAKS:
            self.lines.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag == "tr" and self._cells is not None:
            # A row of two cells is how a page sets a label beside its value.
            cells = [" ".join(cell.split()).rstrip(":") for cell in self._cells]
            self.lines.append((": " if len(cells) == 2 else "  ").join(cells))
            self._cells = None
        if tag in self._BREAKS:
            self.lines.append("")

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        if self._cells:
            self._cells[-1] += data
        else:
            self.lines[-1] += data


def html_text(markup: str) -> str:
    """The visible text of an HTML page, a line per block."""
    parser = _TextOfHtml()
    parser.feed(markup)
    parser.close()
    lines = (re.sub(r"\s+", " ", line).strip() for line in parser.lines)
    return "\n".join(line for line in lines if line)


def _email_text(content: bytes) -> str:
    message = message_from_bytes(content, policy=policy.default)
    if not message.keys():
        raise UnreadableFileError("The file is not an e-mail.")
    head = [f"{name}: {message[name]}" for name in ("From", "To", "Cc", "Subject", "Date") if message[name]]
    names = [part.get_filename() for part in message.iter_attachments()]
    if names:
        head.append("Attachments: " + ", ".join(name or "unnamed" for name in names))
    body = message.get_body(("plain", "html"))
    if body is None:
        return "\n".join(head)
    text = str(body.get_content())
    return "\n".join([*head, "", html_text(text) if body.get_content_type() == "text/html" else text])
