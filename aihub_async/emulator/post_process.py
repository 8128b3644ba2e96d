"""Post-process PDFs: one for each document that an app found in a file."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from aihub_async.emulator.documents import Document, ExtractedDocument
from aihub_async.emulator.reading import password_of
from aihub_async.emulator.samples import pdf_bytes

MAX_PAGES = 100
"""Documents of this many pages or more get no post-process PDF (docs: limits)."""


def post_process_pdfs(
    document: Document, found: Sequence[ExtractedDocument], settings: Mapping[str, Any]
) -> list[bytes | None]:
    """Return a PDF of the pages of each document, None where the run requested none or the document is too long."""
    runtime = settings.get("runtime_config")
    wanted = isinstance(runtime, Mapping) and runtime.get("generate_post_process_pdf") is True
    return [_pdf(document, each, settings) if wanted else None for each in found]


def _pdf(document: Document, found: ExtractedDocument, settings: Mapping[str, Any]) -> bytes | None:
    pages = [page for page in document.pages if not found.pages or page.number in found.pages]
    if not 0 < len(pages) < MAX_PAGES:
        return None
    if document.content.startswith(b"%PDF-"):
        return _split(document.content, [page.number for page in pages], password_of(document.name, settings))
    return pdf_bytes([page.text.splitlines() for page in pages])


def _split(content: bytes, numbers: Sequence[int], password: str | None) -> bytes:
    import pypdfium2  # noqa: PLC0415 - loaded with the first PDF

    from aihub_async.emulator.reading.pdf import open_pdf  # noqa: PLC0415 - likewise

    with open_pdf(content, password) as source:
        if len(numbers) == len(source) and password is None:
            return content
        target = pypdfium2.PdfDocument.new()
        target.import_pages(source, [number - 1 for number in numbers])
        stream = io.BytesIO()
        target.save(stream)
        target.close()
        return stream.getvalue()
