"""Results as rows in files: one part per batch, written beside its final name and renamed when it is whole."""

import csv
import importlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, Self

import attrs

from aihub_async.errors import ConfigurationError, IngestError
from aihub_async.ingest.journal.rows import FailedFile
from aihub_async.ingest.journal.schema import sync_folder
from aihub_async.models import Document, ResultFile

FORMATS = ("jsonl", "csv", "parquet")
ROWS = ("document", "field")

Row = dict[str, Any]

# One encoder for all: json.dumps makes a new one for every call with options.
_json = json.JSONEncoder(ensure_ascii=False).encode

_DOCUMENT = ("source", "file", "batch_id", "run_id", "document", "class_name", "pages", "review_completed", "fields")
_FIELD = (
    "source", "file", "batch_id", "run_id", "document", "class_name", "pages",
    "field", "value", "type", "error", "confidence_model", "confidence_ocr",
)  # fmt: skip
_NUMBERS = frozenset({"batch_id", "document"})
_SCORES = frozenset({"confidence_model", "confidence_ocr"})


def columns(rows: str) -> tuple[str, ...]:
    """The columns of every row: ``"document"`` has one row per document, ``"field"`` one per field."""
    return _DOCUMENT if rows == "document" else _FIELD


@attrs.frozen
class Origin:
    """Where a row comes from.

    `source` is the local path, None when the server names a file that was not sent; `file` the name in the batch.
    """

    source: str | None
    file: str
    batch_id: int
    run_id: str


def rows_of(file: ResultFile, origin: Origin, rows: str) -> Iterator[Row]:
    """The rows of one result file; a file without documents, or a document without fields, still has one."""
    start = {
        "source": origin.source,
        "file": origin.file,
        "batch_id": origin.batch_id,
        "run_id": origin.run_id,
    }
    for number, document in enumerate(file.documents):
        head = {**start, "document": number, "class_name": document.class_name, "pages": document.page_numbers}
        yield from [_document_row(head, document)] if rows == "document" else _field_rows(head, document)
    if not file.documents:
        yield dict.fromkeys(columns(rows)) | start


def _document_row(head: Row, document: Document) -> Row:
    fields: dict[str, Any] = {}
    for number, field in enumerate(document.fields):
        name = field.field_name or f"field {number}"
        fields[name if name not in fields else f"{name}~{number}"] = field.value
    return {**head, "review_completed": document.review_completed, "fields": fields}


def _field_rows(head: Row, document: Document) -> Iterator[Row]:
    empty = dict.fromkeys(_FIELD) | head
    for field in document.fields:
        score = field.confidence
        yield empty | {
            "field": field.field_name,
            "value": field.value,
            "type": field.type,
            "error": field.error_msg,
            "confidence_model": None if score is None else score.model,
            "confidence_ocr": None if score is None else score.ocr,
        }
    if not document.fields:
        yield empty


class Writer(Protocol):
    """Turns rows into the bytes of one format."""

    def write(self, rows: list[Row]) -> None:
        """Add rows."""

    def close(self) -> None:
        """Write what is still buffered; the file itself stays open."""


class _JsonLines:
    def __init__(self, file: io.BufferedWriter, _columns: tuple[str, ...]) -> None:
        self._file = file

    def write(self, rows: list[Row]) -> None:
        for row in rows:
            # A lone surrogate becomes its JSON escape: a text that is not valid Unicode must not stop a job.
            self._file.write(_json(row).encode("utf-8", "backslashreplace") + b"\n")

    def close(self) -> None:
        self._file.flush()


class _Csv:
    def __init__(self, file: io.BufferedWriter, names: tuple[str, ...]) -> None:
        self._text = io.TextIOWrapper(file, "utf-8", "backslashreplace", newline="", write_through=True)
        self._csv = csv.DictWriter(self._text, names)
        self._csv.writeheader()

    def write(self, rows: list[Row]) -> None:
        self._csv.writerows({name: _cell(value) for name, value in row.items()} for row in rows)

    def close(self) -> None:
        self._text.flush()
        self._text.detach().flush()


class _Parquet:
    def __init__(self, file: io.BufferedWriter, names: tuple[str, ...]) -> None:
        try:
            # An extra without type information.
            pa: Any = importlib.import_module("pyarrow")
            pq: Any = importlib.import_module("pyarrow.parquet")
        except ImportError as error:
            raise ConfigurationError("format 'parquet' needs pyarrow: pip install 'aihub-async[parquet]'") from error
        kinds = {
            name: pa.int64() if name in _NUMBERS else pa.float64() if name in _SCORES else pa.string() for name in names
        }
        self._pa = pa
        self._schema = pa.schema(list(kinds.items()))
        self._writer = pq.ParquetWriter(file, self._schema)

    def write(self, rows: list[Row]) -> None:
        plain = _NUMBERS | _SCORES
        cells = [{name: value if name in plain else _cell(value) for name, value in row.items()} for row in rows]
        self._writer.write_table(self._pa.Table.from_pylist(cells, self._schema))

    def close(self) -> None:
        self._writer.close()


_WRITERS: dict[str, Callable[[io.BufferedWriter, tuple[str, ...]], Writer]] = {
    "jsonl": _JsonLines,
    "csv": _Csv,
    "parquet": _Parquet,
}


def _cell(value: Any) -> str | None:
    """Lists and objects become JSON; everything else its text. None stays None: an empty cell."""
    if value is None or isinstance(value, str):
        return value
    return _json(value)


class Part:
    """The result file of one batch, invisible under its name until `commit`.

    Example:
        >>> def write(folder, rows):
        ...     with Part(folder / "part-000001.jsonl", "jsonl", columns("field")) as part:
        ...         part.write(rows)
        ...         part.commit()
    """

    def __init__(self, path: Path, format: str, names: tuple[str, ...]) -> None:
        self.path = path
        self.rows = 0
        self.size = 0
        self._temporary = path.with_name(f".{path.name}.tmp")
        self._file: io.BufferedWriter | None = None
        with _explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._temporary.open("wb")
        try:
            with _explained(path):
                self._writer = _WRITERS[format](self._file, names)
        except BaseException:
            self.discard()
            raise

    def write(self, rows: list[Row]) -> None:
        """Add rows."""
        with _explained(self.path):
            self._writer.write(rows)
        self.rows += len(rows)

    def commit(self, crash_hook: Callable[[str], None] = lambda _: None) -> None:
        """Make the file durable and give it its name; one of that name is replaced at that moment."""
        file = self._file
        if file is None:
            raise ValueError("the part is closed")
        with _explained(self.path):
            self._writer.close()
            file.flush()
            os.fsync(file.fileno())
            self.size = file.tell()
            file.close()
            self._file = None
            crash_hook("before rename")
            self._temporary.replace(self.path)
            sync_folder(self.path.parent)
            crash_hook("after rename")

    def discard(self) -> None:
        """Remove what was written, unless it was committed."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.close()
        except OSError:
            # Closing writes the buffer, which fails again on a full disk; the file goes away in any case.
            file.raw.close()
        self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


def part_path(out: Path, number: int, format: str) -> Path:
    """The name of a batch's part."""
    return out / f"part-{number:06d}.{format}"


def write_failures(path: Path, failures: Iterable[FailedFile], crash_hook: Callable[[str], None]) -> int:
    """Write the dead-letter list as JSON Lines; returns how many rows it has."""
    with Part(path, "jsonl", ()) as part:
        for failure in failures:
            part.write([attrs.asdict(failure)])
        part.commit(crash_hook)
        return part.rows


class _explained:  # noqa: N801 - used as a function
    """Turn an error of the file system into the job's own, which says that it can be resumed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, OSError):
            raise IngestError(
                f"cannot write {self._path}: {error.strerror or error}; what is done is kept: when the cause is gone, "
                "run the same job again to resume it"
            ) from error
