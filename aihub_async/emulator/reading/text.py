"""Plain text: its encoding, and its place on pages."""

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE

from aihub_async.emulator.documents import Fragment, Page

_LINES_PER_PAGE = 60
_LINE_HEIGHT, _CHARACTER_WIDTH, _MARGIN = 12.0, 6.0, 36.0  # points

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (BOM_UTF32_LE, "utf-32"),
    (BOM_UTF32_BE, "utf-32"),
    (BOM_UTF8, "utf-8-sig"),
    (BOM_UTF16_LE, "utf-16"),
    (BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 4096  # bytes that decide whether text is UTF-16 without a mark


class UnreadableFileError(Exception):
    """A file that is damaged, empty or protected; the message says why."""


class NoTextError(Exception):
    """A file that is intact, but that nothing installed can read; `pages` are its pages without text."""

    def __init__(self, message: str, pages: tuple[Page, ...] = (Page(1, ""),)) -> None:
        super().__init__(message)
        self.pages = pages


def decode(content: bytes, declared: str | None = None) -> str:
    """Decode text: by its byte order mark, its declared encoding, as UTF-8, as UTF-16 by its zeros, as Windows-1252.

    Raises:
        UnreadableFileError: it holds NUL characters, as binary files do.
    """
    text = _decode(content, declared)
    if "\0" in text:
        raise UnreadableFileError("The file is not text in a known encoding.")
    return text


def _decode(content: bytes, declared: str | None) -> str:
    marked = next((encoding for mark, encoding in _MARKS if content.startswith(mark)), None)
    for encoding in (marked, declared, _zeros(content), "utf-8", "cp1252"):
        if encoding is None:
            continue
        try:
            return content.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    # Browsers read the five bytes that Windows-1252 leaves undefined as control characters; so does Latin-1.
    return content.decode("latin-1")


def _zeros(content: bytes) -> str | None:
    """Return the byte order of UTF-16 without a mark: every second byte of ASCII text is zero."""
    sample = content[:_SAMPLE]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    enough = max(len(sample) // 4, 1)  # half of the characters are below U+0100
    if odd >= enough and not even:
        return "utf-16-le"
    return "utf-16-be" if even >= enough and not odd else None


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
