"""`Processed`: a finished run with its results, as rows, tables, files and a page."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs

from aihub_async.models import CaseInfo, ResultFile, Run
from aihub_async.models.reprs import html_card
from aihub_async.models.uploads import UploadReport
from aihub_async.paths import local_path
from aihub_async.results import codegen
from aihub_async.results.binding import Record, bind
from aihub_async.results.columns import ColumnSet
from aihub_async.results.convert import Converter, Rules
from aihub_async.results.field_rows import FieldRow, file_rows
from aihub_async.results.gates import Gate
from aihub_async.results.rows import Origin, Row, Shape, case_columns, case_rows, file_error, file_name
from aihub_async.results.tables import Table
from aihub_async.results.view.page import View, ViewSize
from aihub_async.results.view.sources import SourceFiles

T = TypeVar("T")


@attrs.frozen(repr=False)
class Processed:
    """A finished run with the files of all result pages; iterating returns its fields as rows.

    Attributes:
        run: the run.
        batch_id: the batch that it processed.
        files: the files, each with its documents and their fields.
        upload: the report of the upload; None when an existing batch was processed.
        case_info: the fields of the packet, which consolidate those of its documents; None without a packet.

    Example:
        >>> def totals(processed):
        ...     return {row.file: row.value for row in processed if row.field == "total"}
    """

    run: Run
    batch_id: int | None
    files: list[ResultFile]
    upload: UploadReport | None = None
    case_info: CaseInfo | None = None

    def rows(self) -> Iterator[FieldRow]:
        """Return all fields, one row each.

        Example:
            >>> def totals(processed):
            ...     return {row.file: row.value for row in processed.rows() if row.field == "total"}
        """
        for file in self.files:
            yield from file_rows(file)

    def __iter__(self) -> Iterator[FieldRow]:
        return self.rows()

    @property
    def by_file(self) -> dict[str, ResultFile]:
        """The files by name: ``processed.by_file["a.pdf"]``. Files of the same name are there by their input path."""
        names = [file_name(file) for file in self.files]
        repeated = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
        return {
            file.input_file_path or f"{name}~{number}" if name in repeated else name: file
            for number, (name, file) in enumerate(zip(names, self.files, strict=True))
        }

    def __getitem__(self, name: str) -> ResultFile:
        """Return the file of this name: ``processed["a.pdf"].documents[0]["total"].value``; see `by_file`."""
        files = self.by_file
        if name not in files:
            raise KeyError(f"no file {name!r}; the run has {', '.join(files) or 'no files'}")
        return files[name]

    @property
    def failed(self) -> dict[str, str]:
        """The files from which nothing could be extracted, with the reason."""
        return {name: error for name, file in self.by_file.items() if (error := file_error(file)) is not None}

    def table(
        self,
        rows: str = "document",
        columns: str | None = None,
        include: str | Sequence[str] = (),
        *,
        values: str = "value",
        extra: Mapping[str, str | int | None] | None = None,
    ) -> Table:
        """Return the results as a table: `to_arrow()`, `to_pandas()`, `to_polars()` or `write("x.csv")`.

        A failed field is null, with its message in the column ``errors``. Kinds of columns are inferred from the values
        of the whole result; a text stays a text.

        Args:
            rows: one row per ``"document"`` or one per ``"field"``.
            columns: for documents, ``"wide"`` (one column per field, the default) or ``"long"`` (all values in the
                column ``fields``).
            include: what else to have for each field: ``"error"``, ``"confidence"``, ``"ocr"``, ``"valid"``,
                ``"alerts"``, ``"page"``, ``"boxes"`` or ``"edits"``. In wide tables each is a column per field, such
                as ``total__confidence``. What was not requested with the results is null.
            values: what the cells of a wide table hold: the values, or one of the words of `include`.
            extra: further columns that are the same in all rows, such as the case of a batch.

        Raises:
            ConfigurationError: an unknown word.

        Example:
            >>> def frame(processed):
            ...     return processed.table(include=["confidence"]).to_pandas()
        """
        shape = Shape.of(rows, columns, include, values)
        more = extra or {}
        return Table(list(self._table_rows(shape, more)), ColumnSet.of(shape, more))

    def case_table(self) -> Table:
        """Return the fields of the packet as a table; it is empty without a packet."""
        rows = list(case_rows(self.case_info, batch_id=self.batch_id, run_id=self.run.id))
        return Table(rows, ColumnSet(case_columns(), is_open=False))

    def bind(
        self,
        cls: type[T] | Mapping[str, type[T]],
        *,
        class_name: str | None = None,
        aliases: Mapping[str, str] | None = None,
        date_format: str | Sequence[str] | None = None,
        decimal: str = ".",
        thousands: str | None = None,
        converters: Mapping[Any, Converter] | None = None,
        strict: bool = False,
    ) -> list[Record[T]]:
        """Return each document as an object of a class of yours, with what is wrong in `record.problems`.

        An attribute takes the field of its name; case and underscores may differ. Nothing is guessed from a locale:
        numbers and dates that are not plain (``1234.5``, ISO 8601) need a rule.

        Args:
            cls: an attrs class, dataclass, msgspec Struct, TypedDict or pydantic model; or one for each class of
                document, by its name.
            class_name: only documents of this class.
            aliases: names of fields by attribute; a class may state them itself, as ``metadata={"alias": …}`` (attrs,
                dataclasses), ``name=`` (msgspec) or ``alias=`` (pydantic).
            date_format: `strptime` formats, tried in order.
            decimal: the decimal mark of numbers.
            thousands: the separator of groups of three digits.
            converters: functions by type, or by the name of an attribute or field.
            strict: raise one error that lists all problems, instead of returning records that have them.

        Raises:
            BindingError: with `strict`, there is a problem.
            ConfigurationError: `cls` is of no known kind.

        Example:
            >>> def totals(processed, invoice):
            ...     records = processed.bind(invoice, decimal=",", date_format="%d.%m.%Y")
            ...     return [record.value.total for record in records if not record.problems]
        """
        rules = Rules(date_format=date_format, decimal=decimal, thousands=thousands, converters=converters or {})
        return bind(self.files, cls, rules, aliases=aliases or {}, class_name=class_name, strict=strict)

    def schema(self, style: str = "attrs") -> str:
        """Return Python source with a class for each class of document, for `bind()`.

        Args:
            style: ``"attrs"``, ``"dataclass"``, ``"pydantic"`` or ``"msgspec"``.
        """
        return codegen.schema(self.files, style)

    def view(
        self,
        path: "str | os.PathLike[str]" = "aihub-view.html",
        *,
        source: SourceFiles | None = None,
        gate: Gate | None = None,
        max_pages: int = 500,
        on_size: Callable[[ViewSize], None] | None = None,
    ) -> Path:
        """Write one self-contained HTML page with the documents as pictures and a box around each value.

        Boxes need results with ``include_source_info=True``. Pictures of PDFs and images need the extra `view`; text
        files are shown as text. The page makes no requests, and nothing in a document can run in it.

        Args:
            path: the file to write.
            source: where the original files are: a folder, or paths or contents by name. Files that were uploaded from
                disk are found without it.
            gate: mark what this gate refuses, instead of errors, failed validations and low confidences.
            max_pages: pages to show; a picture takes 15 to 100 KB.
            on_size: called with the estimated size before anything is written.

        Raises:
            ConfigurationError: the extra `view` is not installed, or `source` does not exist.
            InvalidRequestError: `path` or `source` is a URL.

        Example:
            >>> async def look(client):
            ...     processed = await client.process("scans/", app_name="Invoices", include_source_info=True)
            ...     processed.view("invoices.html", on_size=print)
        """
        target = local_path(path, "path")
        page = View(
            self.run,
            self.files,
            self.case_info,
            source=source,
            uploaded=self.sources,
            gate=gate,
            max_pages=max_pages,
        )
        return page.write(target, on_size)

    def _table_rows(self, shape: Shape, extra: Mapping[str, str | int | None]) -> Iterator[Row]:
        sources = self.sources
        for file in self.files:
            name = file_name(file)
            yield from shape.rows_of(file, Origin(sources.get(name), name, self.batch_id, self.run.id, extra))

    @property
    def sources(self) -> dict[str, str]:
        """Where the uploaded files came from, by their name in the batch."""
        return {} if self.upload is None else {record.name: record.source for record in self.upload.records}

    def _repr_html_(self) -> str:
        facts = {
            "status": self.run.status,
            "files": len(self.files),
            "documents": sum(len(file.documents) for file in self.files),
            "failed": len(self.failed) or None,
            "batch": None if self.batch_id is None else str(self.batch_id),
        }
        return html_card(f"Results of run {self.run.id}", facts) + self.table()._repr_html_()

    def __repr__(self) -> str:
        documents = sum(len(file.documents) for file in self.files)
        failed = len(self.failed)
        text = f"{len(self.files):,} files, {documents:,} documents" + (f", {failed:,} failed" if failed else "")
        return f"{type(self).__name__}(run {self.run.id!r} {self.run.status}, {text})"
