"""The text layer of PDFs, with the place of every piece of text."""

import io
from typing import Any

from pypdf import PdfReader

from aihub_async.emulator.apps import Fragment, Page
from aihub_async.emulator.extraction import UnreadableFileError

MAX_PAGES = 800
"""Most pages of a file (docs: limits)."""

# The mean advance of a proportional font, in parts of its size: PDFs do not say where a text ends.
_MEAN_ADVANCE = 0.5


def read_pdf(content: bytes, password: str | None) -> tuple[Page, ...]:
    """The pages of a PDF.

    Raises:
        UnreadableFileError: damaged, too long, or the password is missing or wrong.
    """
    try:
        reader = _open(content, password)
        return tuple(_page(number, page) for number, page in enumerate(reader.pages, 1))
    except UnreadableFileError:
        raise
    # A damaged PDF makes the parser fail in any way at all; whichever it is, it concerns this one file.
    except Exception as error:
        raise UnreadableFileError(f"The PDF cannot be read: {type(error).__name__}: {error}") from error


def _open(content: bytes, password: str | None) -> PdfReader:
    reader = PdfReader(io.BytesIO(content))
    if reader.is_encrypted and not reader.decrypt(password or ""):
        problem = "The password is wrong" if password else "The PDF is protected and no password was given"
        raise UnreadableFileError(f"{problem} (settings.runtime_config.instabase.pdf.passwords).")
    if len(reader.pages) > MAX_PAGES:
        raise UnreadableFileError(f"The PDF has {len(reader.pages)} pages; {MAX_PAGES} is the most.")
    return reader


def _page(number: int, page: Any) -> Page:
    width, height = float(page.mediabox.width), float(page.mediabox.height)
    fragments: list[Fragment] = []

    def visit(text: str, cm: list[float], tm: list[float], _font: Any, size: float) -> None:
        stripped = text.strip()
        if not stripped:
            return
        left = tm[4] * cm[0] + tm[5] * cm[2] + cm[4]
        baseline = tm[4] * cm[1] + tm[5] * cm[3] + cm[5]
        points = abs(size * (tm[3] or 1.0) * (cm[3] or 1.0))
        line_width = max(len(line) for line in stripped.splitlines()) * points * _MEAN_ADVANCE
        fragments.append(Fragment(stripped, left, height - baseline - points, line_width, points))

    text = page.extract_text(visitor_text=visit)
    return Page(number, text, width, height, tuple(fragments))
