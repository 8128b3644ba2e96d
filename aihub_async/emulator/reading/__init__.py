"""From the bytes of a file to a `Document`.

Text, CSV, JSON and e-mail are read by the standard library, HTML by lxml, PDF by pypdfium2; Office files by
python-docx, openpyxl and python-pptx, images by Pillow and tesseract, each where it is installed.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import attrs

from aihub_async.emulator.documents import Document, Page
from aihub_async.emulator.reading.json_records import read_json
from aihub_async.emulator.reading.tables import read_table
from aihub_async.emulator.reading.text import NoTextError, UnreadableFileError, decode, lay_out

__all__ = ["NoTextError", "UnreadableFileError", "is_image", "password_of", "read_document"]

_IMAGES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".gif"})

Content = tuple[tuple[Page, ...], tuple[Mapping[str, str], ...]]


def read_document(local_path: str, name: str, settings: Mapping[str, Any], sidecar_path: str | None = None) -> Document:
    """Read one file. Blocking: runs on a worker thread.

    Args:
        local_path: Where its bytes are.
        name: Its name; the suffix decides how it is read.
        settings: Settings of the run, for the passwords of PDFs.
        sidecar_path: Where the text of a file that cannot be read otherwise is, such as `a.png.txt` next to `a.png`.

    Raises:
        UnreadableFileError: empty, damaged, or protected by a password that is missing or wrong.
    """
    content = Path(local_path).read_bytes()
    if not content:
        raise UnreadableFileError("The file is empty.")
    sidecar = None if sidecar_path is None else Path(sidecar_path).read_bytes()
    try:
        pages, rows = _read(content, name, settings, sidecar)
    except NoTextError as error:
        return Document(name, error.pages, settings=settings, local_path=local_path, problem=str(error))
    return Document(name, pages, rows, settings, local_path)


@attrs.frozen
class _Source:
    content: bytes
    suffix: str
    password: str | None
    sidecar: bytes | None


def _read(content: bytes, name: str, settings: Mapping[str, Any], sidecar: bytes | None) -> Content:
    suffix = PurePosixPath(name).suffix.lower()
    source = _Source(content, suffix, password_of(name, settings), sidecar)
    if content.startswith(b"%PDF-"):
        return _pdf(source)
    return _READERS.get(suffix, _unknown)(source)


# Each library is loaded with the first file that needs it.


@contextmanager
def _of_extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        hint = "pip install 'aihub-async[emulator]'"
        raise NoTextError(f"The emulator reads this file when {error.name} is installed: {hint}.") from None


def _pdf(source: _Source) -> Content:
    with _of_extra():
        from aihub_async.emulator.reading.pdf import read_pdf  # noqa: PLC0415

    return read_pdf(source.content, source.password), ()


def _html(source: _Source) -> Content:
    with _of_extra():
        from aihub_async.emulator.reading.html import html_text  # noqa: PLC0415

    return lay_out(html_text(source.content)), ()


def _mail(source: _Source) -> Content:
    with _of_extra():
        from aihub_async.emulator.reading.mail import email_text  # noqa: PLC0415

    return lay_out(email_text(source.content)), ()


def _image(source: _Source) -> Content:
    from aihub_async.emulator.reading.images import read_image  # noqa: PLC0415

    return read_image(source.content, source.sidecar), ()


def _office(source: _Source) -> Content:
    from aihub_async.emulator.reading.office import read_office  # noqa: PLC0415

    return read_office(source.content, source.suffix)


def _text(source: _Source) -> Content:
    return lay_out(decode(source.content)), ()


def _table(source: _Source) -> Content:
    return read_table(decode(source.content))


def _json(source: _Source) -> Content:
    return read_json(source.content)


def _unknown(source: _Source) -> Content:
    if source.sidecar is not None:
        return lay_out(decode(source.sidecar)), ()
    raise NoTextError(f"Files of type {source.suffix} are not supported by the emulator: the app gets no text of them.")


_READERS: Mapping[str, Callable[[_Source], Content]] = {
    ".pdf": _pdf,
    ".csv": _table,
    ".tsv": _table,
    ".json": _json,
    ".eml": _mail,
    **dict.fromkeys((".html", ".htm", ".xhtml"), _html),
    **dict.fromkeys(_IMAGES, _image),
    **dict.fromkeys((".docx", ".xlsx", ".pptx"), _office),
    **dict.fromkeys((".txt", ".md", ".text", ".log", ".rst", ""), _text),
}


def is_image(name: str) -> bool:
    """Return whether a file is an image by its name."""
    return PurePosixPath(name).suffix.lower() in _IMAGES


def password_of(name: str, settings: Mapping[str, Any]) -> str | None:
    """Return the password that the settings of a run hold for a PDF."""
    value: Any = settings
    for key in ("runtime_config", "instabase", "pdf", "passwords", name):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else None
