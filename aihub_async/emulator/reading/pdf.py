"""The text layer of PDFs with the place of every character, read by pypdfium2."""

import ctypes
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pypdfium2
import pypdfium2.raw as pdfium

from aihub_async.emulator.documents import Fragment, Glyph, Page
from aihub_async.emulator.reading.text import UnreadableFileError

MAX_PAGES = 800
"""Most pages of a file (docs: limits)."""

_SCALE = 100  # device units per point: pdfium maps pages to whole units
_LINE_END = re.compile("[\r\n]")
_SOFT_HYPHEN = "\x02"  # what pdfium writes for a hyphen at the end of a line

# PDFium is not thread-safe: https://pdfium.googlesource.com/pdfium/+/main/README.md
pdfium_lock = threading.Lock()


def read_pdf(content: bytes, password: str | None) -> tuple[Page, ...]:
    """Return the pages of a PDF.

    Raises:
        UnreadableFileError: damaged, too long, or the password is missing or wrong.
    """
    with open_pdf(content, password) as document:
        if len(document) > MAX_PAGES:
            raise UnreadableFileError(f"The PDF has {len(document)} pages; {MAX_PAGES} is the most.")
        try:
            return tuple(_page(document, index) for index in range(len(document)))
        except pypdfium2.PdfiumError as error:
            raise UnreadableFileError(f"The PDF cannot be read: {error}") from error


@contextmanager
def open_pdf(content: bytes, password: str | None) -> Iterator[pypdfium2.PdfDocument]:
    """Open a PDF; no other thread uses PDFium meanwhile.

    Raises:
        UnreadableFileError: damaged, or the password is missing or wrong.
    """
    with pdfium_lock:
        try:
            document = pypdfium2.PdfDocument(content, password=password)
        except pypdfium2.PdfiumError as error:
            raise UnreadableFileError(_problem(error, password)) from error
        try:
            yield document
        finally:
            document.close()


def _problem(error: pypdfium2.PdfiumError, password: str | None) -> str:
    if error.err_code != pdfium.FPDF_ERR_PASSWORD:
        return f"The PDF cannot be read: {error}"
    problem = "The password is wrong" if password else "The PDF is protected and no password was given"
    return f"{problem} (settings.runtime_config.instabase.pdf.passwords)."


def _page(document: pypdfium2.PdfDocument, index: int) -> Page:
    page = document[index]
    try:
        width, height = page.get_size()
        text_page = page.get_textpage()
        text = _text(text_page)
        fragments = tuple(_fragments(text, _glyphs(text_page, text, _Device(page, width, height))))
        text_page.close()
    finally:
        page.close()
    return Page(index + 1, "\n".join(fragment.text for fragment in fragments), width, height, fragments)


def _text(text_page: pypdfium2.PdfTextPage) -> str:
    """Return the characters of a page, exactly one for each index of PDFium."""
    count = text_page.count_chars()
    text = str(text_page.get_text_range(0, count)) if count else ""
    # A character beyond U+FFFF, or one that PDFium leaves out, shifts the rest: then one call for each is needed.
    if len(text) != count or any(character > "\uffff" for character in text):
        text = "".join(chr(pdfium.FPDFText_GetUnicode(text_page, index)) for index in range(count))
    return text


def _glyphs(text_page: pypdfium2.PdfTextPage, text: str, device: "_Device") -> list[Glyph | None]:
    """Return the place of each character on the page as it is shown (rotated and cropped); spaces have none."""
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    places = (ctypes.byref(left), ctypes.byref(right), ctypes.byref(bottom), ctypes.byref(top))
    box_of, glyphs = pdfium.FPDFText_GetCharBox, list[Glyph | None]()
    for index, character in enumerate(text):
        if character.isspace() or not box_of(text_page, index, *places):
            glyphs.append(None)
        else:
            glyphs.append(device.box(left.value, top.value, right.value, bottom.value))
    return glyphs


class _Device:
    """Converts page coordinates to points from the top left corner of the page as it is shown."""

    def __init__(self, page: pypdfium2.PdfPage, width: float, height: float) -> None:
        # The mapping is affine: three points determine it, so only those are requested from PDFium.
        self._page, self._size = page, (round(width * _SCALE), round(height * _SCALE))
        box = page.get_mediabox() or (0.0, 0.0)
        self._origin = (box[0], box[1])
        span = 1000.0
        x, y = self._origin
        self._o = self._ask(x, y)
        along_x, along_y = self._ask(x + span, y), self._ask(x, y + span)
        self._dx = ((along_x[0] - self._o[0]) / span, (along_x[1] - self._o[1]) / span)
        self._dy = ((along_y[0] - self._o[0]) / span, (along_y[1] - self._o[1]) / span)

    def box(self, left: float, top: float, right: float, bottom: float) -> Glyph:
        """Return a box of the page as it is shown."""
        (ox, oy), (xx, xy), (yx, yy) = self._o, self._dx, self._dy
        left, right = left - self._origin[0], right - self._origin[0]
        top, bottom = top - self._origin[1], bottom - self._origin[1]
        x0, x1 = ox + left * xx + top * yx, ox + right * xx + bottom * yx
        y0, y1 = oy + left * xy + top * yy, oy + right * xy + bottom * yy
        return (min(x1, x0), min(y1, y0), max(x0, x1), max(y0, y1))

    def _ask(self, x: float, y: float) -> tuple[float, float]:
        device_x, device_y = ctypes.c_int(), ctypes.c_int()
        pdfium.FPDF_PageToDevice(self._page, 0, 0, *self._size, 0, x, y, ctypes.byref(device_x), ctypes.byref(device_y))
        return device_x.value / _SCALE, device_y.value / _SCALE


def _fragments(text: str, glyphs: list[Glyph | None]) -> Iterator[Fragment]:
    start = 0
    for line in _LINE_END.split(text):
        yield from _fragment(line.replace(_SOFT_HYPHEN, "-"), glyphs[start : start + len(line)])
        # PDFium ends lines with CR and LF, and counts them as two characters.
        start += len(line) + 1


def _fragment(text: str, glyphs: list[Glyph | None]) -> Iterator[Fragment]:
    stripped = text.strip()
    if not stripped:
        return
    start = text.index(stripped)
    kept = tuple(glyphs[start : start + len(stripped)])
    lefts, tops, rights, bottoms = zip(*(glyph for glyph in kept if glyph), strict=True) if any(kept) else ((0.0,),) * 4
    left, top = min(lefts), min(tops)
    yield Fragment(stripped, left, top, max(rights) - left, max(bottoms) - top, kept)
