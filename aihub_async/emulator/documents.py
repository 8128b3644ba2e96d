"""What an app is called with and what it returns: documents, pages, places on them, and extracted fields."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

Glyph = tuple[float, float, float, float]
"""Left, top, right and bottom of one character, in points from the top left corner of the page."""


@attrs.frozen
class Box:
    """A rectangle on a page, in points from the top left corner; `page` counts from 1."""

    page: int
    left: float
    top: float
    right: float
    bottom: float


@attrs.frozen
class Fragment:
    """One line of text with its place on the page, in points from the top left corner.

    `glyphs` holds the place of each character, None where it has none (generated spaces). Without glyphs, characters
    are taken to be equally wide.
    """

    text: str
    left: float
    top: float
    width: float
    height: float
    glyphs: tuple[Glyph | None, ...] = attrs.field(default=(), repr=False)

    def span(self, page: int, start: int, end: int) -> Box:
        """Return the rectangle around the characters from `start` up to, but not including, `end`."""
        glyphs = [glyph for glyph in self.glyphs[start:end] if glyph is not None]
        if glyphs:
            lefts, tops, rights, bottoms = zip(*glyphs, strict=True)
            # Hundredths of a point: PDFium reports no more.
            edges = (min(lefts), min(tops), max(rights), max(bottoms))
            return Box(page, *(round(edge, 2) for edge in edges))
        per_character = self.width / max(len(self.text), 1)
        left = self.left + start * per_character
        return Box(page, left, self.top, self.left + end * per_character, self.top + self.height)


@attrs.frozen
class Page:
    """One page: `number` counts from 1, `width` and `height` are points. `ocr` is the confidence of OCR, if any."""

    number: int
    text: str
    width: float = 612.0
    height: float = 792.0
    fragments: tuple[Fragment, ...] = ()
    ocr: float | None = None

    def find(self, value: str) -> Box | None:
        """Return where a text first occurs on the page; for a text of several lines, its first line."""
        return next(iter(self.find_all(value)), None)

    def find_all(self, value: str) -> list[Box]:
        """Return where a text first occurs on the page, one box per line that it covers."""
        if not value.strip():
            return []
        for fragment in self.fragments:
            if (box := self.box(fragment, value)) is not None:
                return [box]
        return self._across_lines(value)

    def box(self, fragment: Fragment, value: str) -> Box | None:
        """Return where a text first occurs in a line of the page."""
        at = fragment.text.find(value)
        return None if at < 0 or not value else fragment.span(self.number, at, at + len(value))

    def _across_lines(self, value: str) -> list[Box]:
        words = r"\s+".join(map(re.escape, value.split()))
        text = "\n".join(fragment.text for fragment in self.fragments)
        found = re.search(words, text)
        if found is None:
            return []
        boxes, offset = [], 0
        for fragment in self.fragments:
            start, end = max(found.start() - offset, 0), min(found.end() - offset, len(fragment.text))
            if start < end:
                boxes.append(fragment.span(self.number, start, end))
            offset += len(fragment.text) + 1
        return boxes


@attrs.frozen
class Document:
    """One input file as an app sees it.

    `rows` holds the records of a table (CSV, the first sheet of a workbook, a JSON list of objects), each a mapping of
    column to value; it is empty for everything else. `settings` is what the run was started with, `secrets` the values
    of the secrets that its `keys.secret` name. `problem` is the reason, if the file could not be read.

    Example:
        >>> @hub.app("Invoices")
        ... def extract(document: Document) -> dict[str, str]:
        ...     return {"lines": str(len(document.text.splitlines()))}
    """

    name: str
    pages: tuple[Page, ...]
    rows: tuple[Mapping[str, str], ...] = ()
    settings: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    local_path: str = attrs.field(default="", repr=False)
    secrets: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    problem: str | None = None
    _log: list[str] = attrs.field(factory=list, repr=False, eq=False)

    def log(self, message: str) -> None:
        """Write a line to the developer log, which flow runs with `log_to_timeline` keep."""
        self._log.append(message)

    @property
    def log_lines(self) -> tuple[str, ...]:
        """The lines written by `log`."""
        return tuple(self._log)

    @property
    def text(self) -> str:
        """The text of all pages."""
        return "\n".join(page.text for page in self.pages)

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        return Path(self.local_path).read_bytes()

    def find(self, value: str) -> Box | None:
        """Return where a text first occurs in the document."""
        return next(iter(self.find_all(value)), None)

    def find_all(self, value: str, pages: Sequence[int] = ()) -> list[Box]:
        """Return where a text first occurs in the document, or on some of its pages, one box per line it covers."""
        for page in self.pages:
            if (not pages or page.number in pages) and (boxes := page.find_all(value)):
                return boxes
        return []


@attrs.frozen
class Field:
    """One extracted field. Only a name and a value are needed.

    A value that is no text becomes JSON: lists and mappings as such, numbers and booleans as JSON writes them.

    Attributes:
        name: Name in the app; the API converts it to a variable name.
        value: The value; None is "not found".
        type: Type as the API reports it; None derives it from the value (TEXT, NUMBER, BOOLEAN, LIST, TABLE, OBJECT).
        confidence: Model confidence; None for values that were computed.
        box: Place of the value; None looks it up in the text, except in tables.
        error: Makes the field a failed one, whose value the API reports as `ERROR`.
        alerts: Messages of failed validations.
        blocking: Whether these alerts stop the run for human review.
        ocr: OCR confidence; None takes that of the page the value is on.
    """

    name: str
    value: Any
    type: str | None = None
    confidence: float | None = None
    box: Box | None = None
    error: str | None = None
    alerts: tuple[str, ...] = ()
    blocking: bool = False
    ocr: float | None = None


@attrs.frozen
class ExtractedDocument:
    """One document found in a file; `pages` are page numbers counted from 1, all of the file's where empty."""

    fields: Sequence[Field]
    class_name: str | None = None
    confidence: float | None = None
    pages: tuple[int, ...] = ()
