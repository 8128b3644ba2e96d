"""Pages of files as pictures or text (extra `view`)."""

import base64
import contextlib
import io
from collections.abc import Iterator
from typing import Any, Final, Protocol

import attrs

from aihub_async.results.extras import load

WIDTH: Final = 1100
"""Width of pictures in pixels: sharp at the size shown, 15 to 100 KB for a page of text."""

_PNG_BYTES: Final = 80_000
_COLORLESS: Final = 12

MAX_TEXT: Final = 100_000
"""Characters of a text file that are shown."""

_PDF: Final = frozenset({"pdf"})
_IMAGES: Final = frozenset({"png", "jpg", "jpeg", "tif", "tiff", "bmp", "gif", "webp"})
_TEXTS: Final = frozenset({"txt", "csv", "tsv", "md", "json", "xml", "html", "htm", "eml", "log", "yaml", "yml"})


@attrs.frozen
class Picture:
    """A page as a picture; `width` and `height` are its pixels, `units` the size of the page in points or pixels."""

    data: bytes
    mime: str
    width: int
    height: int
    units: tuple[float, float]

    @property
    def url(self) -> str:
        """The picture as a data URL."""
        return f"data:{self.mime};base64,{base64.b64encode(self.data).decode()}"


class Pages(Protocol):
    """The pages of one file."""

    count: int

    def picture(self, number: int) -> Picture | None:
        """Return a page, counted from 1, as a picture; None if there is no such page."""


class TextPages:
    """A text file: one page without a picture."""

    def __init__(self, text: str) -> None:
        self.count = 1
        self.text = text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + f"\n[{len(text) - MAX_TEXT:,} more characters]"

    def picture(self, number: int) -> Picture | None:  # noqa: ARG002 - as in `Pages`
        """Return None: a text is shown as text."""
        return None


class UnreadablePages:
    """A file whose pages cannot be shown, and why."""

    def __init__(self, reason: str) -> None:
        self.count = 0
        self.reason = reason

    def picture(self, number: int) -> Picture | None:  # noqa: ARG002 - as in `Pages`
        """Return None."""
        return None


class _PdfPages:
    def __init__(self, document: Any) -> None:
        self._document = document
        self.count = len(document)

    def picture(self, number: int) -> Picture | None:
        if not 1 <= number <= self.count:
            return None
        page = self._document[number - 1]
        with contextlib.closing(page):
            width, height = page.get_size()
            bitmap = page.render(scale=WIDTH / max(width, 1))
            with contextlib.closing(bitmap):
                return _encode(bitmap.to_pil(), (width, height))


class _ImagePages:
    def __init__(self, image: Any) -> None:
        self._image = image
        self.count = getattr(image, "n_frames", 1)

    def picture(self, number: int) -> Picture | None:
        if not 1 <= number <= self.count:
            return None
        self._image.seek(number - 1)
        units = (float(self._image.width), float(self._image.height))
        frame = self._image.convert("RGB")
        frame.thumbnail((WIDTH, WIDTH * 4))
        return _encode(frame, units)


def _encode(image: Any, units: tuple[float, float]) -> Picture:
    image = image.convert("RGB")
    data, mime = _as_png(image), "image/png"
    if data is None or len(data) > _PNG_BYTES:
        smaller, other = _as_photo(image)
        if data is None or len(smaller) < len(data):
            data, mime = smaller, other
    return Picture(data, mime, image.width, image.height, units)


def _as_png(image: Any) -> bytes | None:
    """Return a page without colors as PNG with 16 grays; None for any other.

    A page of text has 15 to 45 KB so, and 100 KB as WebP, which takes longer to make.
    """
    chops = load("PIL.ImageChops", extra="view", purpose="the page to look at")
    red, green, blue = image.split()
    if max(chops.difference(red, green).getextrema()[1], chops.difference(green, blue).getextrema()[1]) > _COLORLESS:
        return None
    buffer = io.BytesIO()
    grays = image.convert("L").point([(value * 15 + 127) // 255 for value in range(256)])
    grays.putpalette([level * 17 for level in range(16) for _ in "rgb"])
    grays.save(buffer, "PNG", bits=4)
    return buffer.getvalue()


def _as_photo(image: Any) -> tuple[bytes, str]:
    features = load("PIL.features", extra="view", purpose="the page to look at")
    buffer = io.BytesIO()
    if features.check("webp"):
        image.save(buffer, "WEBP", quality=80, method=2)
        return buffer.getvalue(), "image/webp"
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue(), "image/jpeg"


@contextlib.contextmanager
def open_pages(name: str, content: bytes | None) -> Iterator[Pages]:
    """Open a file; what cannot be shown is returned with the reason, and does not stop the page.

    Raises:
        ConfigurationError: the extra `view` is not installed.
    """
    if content is None:
        yield UnreadablePages("The original file was not found; pass its folder as the source.")
        return
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    if extension in _TEXTS:
        yield TextPages(_decoded(content))
        return
    if extension not in _PDF | _IMAGES:
        yield UnreadablePages(f"Files of the type .{extension} are not shown." if extension else "The type is unknown.")
        return
    opened = _open_pdf(content) if extension in _PDF else _open_image(content)
    try:
        yield opened
    finally:
        handle = getattr(opened, "_document", None) or getattr(opened, "_image", None)
        if handle is not None:
            handle.close()


def _open_pdf(content: bytes) -> Pages:
    pdfium = load("pypdfium2", extra="view", purpose="the page to look at")
    try:
        return _PdfPages(pdfium.PdfDocument(content))
    except pdfium.PdfiumError as error:
        return UnreadablePages(f"The PDF cannot be opened: {error}")


def _open_image(content: bytes) -> Pages:
    pil = load("PIL.Image", extra="view", purpose="the page to look at")
    try:
        return _ImagePages(pil.open(io.BytesIO(content)))
    # Pillow's plugins raise many kinds of errors for damaged files, and one for pictures that are too large.
    except Exception as error:  # noqa: BLE001
        return UnreadablePages(f"The picture cannot be opened: {error}")


def _decoded(content: bytes) -> str:
    for encoding in ("utf-8-sig", "utf-16") if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else ("utf-8-sig",):
        with contextlib.suppress(UnicodeDecodeError):
            return content.decode(encoding)
    return content.decode("latin-1")
