"""One file through one or more apps: read, extract, and put into the shape of the API. Blocking."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from aihub_async.emulator.apps import App, extracted_documents
from aihub_async.emulator.documents import Document, ExtractedDocument
from aihub_async.emulator.post_process import post_process_pdfs
from aihub_async.emulator.reading import UnreadableFileError, read_document
from aihub_async.emulator.results import failed_entry, file_entry

logger = logging.getLogger("aihub_async.emulator")


@attrs.frozen(kw_only=True)
class InputFile:
    """One input file.

    Attributes:
        name: Its path below the input folder.
        path: Its path as results report it.
        local_path: Where its bytes are.
        pdf_paths: Return the drive path of a post-process PDF by the number of its document.
        sidecar_path: Where the bytes of the adjacent `NAME.txt` are, if there is one.
    """

    name: str
    path: str
    local_path: str
    pdf_paths: Callable[[int], str] = str
    sidecar_path: str | None = None


@attrs.frozen
class ProcessedFile:
    """One item of `files`, the post-process PDFs by drive path, the units consumed (one per page), and the text."""

    entry: dict[str, Any]
    pdfs: Mapping[str, bytes] = attrs.field(factory=dict)
    units: int = 0
    pages: tuple[str, ...] = ()
    log: tuple[str, ...] = ()


def process_file(
    apps: Sequence[App], file: InputFile, settings: Mapping[str, Any], secrets: Mapping[str, str]
) -> ProcessedFile:
    """Return what apps find in a file; a file that fails has an entry with the reason."""
    try:
        document = read_document(file.local_path, file.name, settings, file.sidecar_path)
        document = attrs.evolve(document, secrets=secrets)
        found = [each for app in apps for each in extracted_documents(app, document)]
    except UnreadableFileError as error:
        return ProcessedFile(failed_entry(file.name, file.path, str(error)))
    except FileNotFoundError:
        return ProcessedFile(failed_entry(file.name, file.path, "The file was deleted before it was processed."))
    # An app is the user's code: an exception fails this one file, and the run continues.
    except Exception as error:
        logger.warning("app %r failed on %r", apps[0].name, file.name, exc_info=error)
        return ProcessedFile(failed_entry(file.name, file.path, f"{type(error).__name__}: {error}"))
    if document.problem and not any(each.fields for each in found):
        return ProcessedFile(failed_entry(file.name, file.path, document.problem))
    return _processed(document, found, file, settings, agent=any(app.agent for app in apps))


def _processed(
    document: Document, found: Sequence[ExtractedDocument], file: InputFile, settings: Mapping[str, Any], *, agent: bool
) -> ProcessedFile:
    pdfs = post_process_pdfs(document, found, settings)
    paths = [file.pdf_paths(number) if pdf else None for number, pdf in enumerate(pdfs, 1)]
    entry = file_entry(document, found, file.path, [path and f"/{path}" for path in paths], agent=agent)
    contents = {path: pdf for path, pdf in zip(paths, pdfs, strict=True) if path and pdf}
    texts = tuple(page.text for page in document.pages)
    return ProcessedFile(entry, contents, len(document.pages), texts, document.log_lines)
