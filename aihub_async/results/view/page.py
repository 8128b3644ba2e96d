"""Writing the page: one self-contained HTML file, with one picture in memory at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from aihub_async.models import CaseInfo, ResultFile, Run
from aihub_async.models.reprs import counted
from aihub_async.results.gates import Gate
from aihub_async.results.rows import file_name
from aihub_async.results.view import markup
from aihub_async.results.view.contents import ShownDocument, shown_case, shown_documents
from aihub_async.results.view.pictures import Pages, open_pages
from aihub_async.results.view.sources import FileFinder, SourceFiles

_SAMPLED: Final = 3
_FIELD_BYTES: Final = 450


@attrs.frozen
class ViewSize:
    """How large a page will be, estimated from its first pictures; `pictures` may be fewer than `pages`."""

    documents: int
    pages: int
    pictures: int
    bytes: int

    def __str__(self) -> str:
        left_out = f", {self.pages - self.pictures:,} without a picture" if self.pictures < self.pages else ""
        counts = f"{counted(self.documents, 'document')}, {counted(self.pages, 'page')}"
        return f"{counts}{left_out}, about {self.bytes / 1e6:,.1f} MB"


class View:
    """The page of a run; see `Processed.view`."""

    def __init__(
        self,
        run: Run,
        files: Sequence[ResultFile],
        case_info: CaseInfo | None,
        *,
        source: SourceFiles | None,
        uploaded: Mapping[str, str],
        gate: Gate | None,
        max_pages: int,
    ) -> None:
        self._run = run
        self._files = files
        self._finder = FileFinder(source, uploaded)
        self._gate = gate
        self._max_pages = max_pages
        self._case = shown_case(case_info, run.id)
        self._by_file = [(file_name(file), list(shown_documents(file, gate))) for file in files]

    def size(self) -> ViewSize:
        """Estimate the size of the page from a few of its pictures."""
        sizes: list[int] = []
        pages, documents, fields = 0, 0, 0
        for name, shown in self._by_file:
            with open_pages(name, self._finder.find(name)) as opened:
                for document in shown:
                    numbers = _numbers(document, len(shown), opened)
                    pages += len(numbers)
                    documents += 1
                    fields += len(document.fields)
                    for number in numbers[: _SAMPLED - len(sizes)]:
                        picture = opened.picture(number)
                        sizes += [] if picture is None else [len(picture.url)]
        pictures = min(pages, self._max_pages) if sizes else 0
        average = sum(sizes) / len(sizes) if sizes else 0
        return ViewSize(documents, pages, pictures, int(20_000 + fields * _FIELD_BYTES + pictures * average))

    def write(self, path: Path, on_size: Callable[[ViewSize], None] | None = None) -> Path:
        """Write the page; it appears whole or not at all.

        Raises:
            ConfigurationError: the extra `view` is not installed.
        """
        if on_size is not None:
            on_size(self.size())
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            with temporary.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(self._markup())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return path

    def _markup(self) -> Iterator[str]:
        documents = [document for _, shown in self._by_file for document in shown]
        classes = sorted({document.class_name for document in documents if document.class_name})
        yield markup.head("AI Hub results", self._run.id, self._facts(documents), classes, self._notices(documents))
        place = 0
        if self._case is not None:
            yield from markup.document(self._case, place, None, ())
            place += 1
        left = self._max_pages
        for name, shown in self._by_file:
            with open_pages(name, self._finder.find(name)) as opened:
                for document in shown:
                    numbers = _numbers(document, len(shown), opened)
                    yield from markup.document(document, place, opened, numbers[:left])
                    left -= len(numbers[:left])
                    place += 1
        yield markup.foot()

    def _facts(self, documents: Sequence[ShownDocument]) -> str:
        everything = [*documents, *([] if self._case is None else [self._case])]
        problems = sum(document.problems for document in everything)
        counts = (
            (len(self._files), "files"),
            (sum(document.number is not None for document in documents), "documents"),
            (sum(len(document.fields) for document in documents), "fields"),
            (problems, "problems"),
        )
        listed = " &middot; ".join(f"<b>{count:,}</b> {what}" for count, what in counts)
        return f"{markup.escaped(self._run.status or '')} &middot; {listed}"

    def _notices(self, documents: Sequence[ShownDocument]) -> Iterator[str]:
        fields = [field for document in documents for field in document.fields]
        if fields and not any(field.boxes for field in fields):
            yield "The results have no coordinates: request them with include_source_info=True to see where values are."
        pages = sum(max(len(document.page_numbers), 1) for document in documents)
        if pages > self._max_pages:
            yield f"Only the first {self._max_pages:,} of {pages:,} pages are shown; max_pages= changes that."


def _numbers(document: ShownDocument, documents: int, pages: Pages) -> tuple[int, ...]:
    """Return the pages to show: those of the document, or all of the file if its pages are unknown."""
    if document.page_numbers or documents > 1:
        return document.page_numbers
    return tuple(range(1, pages.count + 1))
