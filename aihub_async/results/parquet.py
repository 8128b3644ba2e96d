"""Parquet with real columns, written in chunks whose schema may grow, and datasets of several such files."""

import contextlib
import io
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from aihub_async.results import arrow
from aihub_async.results.columns import ColumnSet
from aihub_async.results.extras import load
from aihub_async.results.rows import Row

CHUNK_CELLS: Final = 200_000
"""Values held back before they are written: about 60 MB as Python objects."""


def _pq() -> Any:
    return load("pyarrow.parquet", extra="parquet", purpose="format 'parquet'")


class Parquet:
    """Writes rows in chunks to segments next to the file: one for each schema, joined when the writer closes."""

    def __init__(self, file: io.BufferedWriter, path: Path, columns: ColumnSet) -> None:
        self._pq = _pq()
        self._file = file
        self._path = path
        self._columns = columns
        self._held: list[Row] = []
        self._writer: Any = None
        self._segments: list[tuple[Path, ColumnSet]] = []

    def write(self, rows: list[Row]) -> None:
        """Add rows."""
        self._columns.observe(rows)
        self._held += rows
        if len(self._held) * len(self._columns.names) >= CHUNK_CELLS:
            self._flush()

    def close(self) -> None:
        """Write what is held back, and join the segments."""
        if self._held or not self._segments:
            self._flush()
        self._end_segment()
        if len(self._segments) == 1:
            with self._segments[0][0].open("rb") as segment:
                shutil.copyfileobj(segment, self._file, 1 << 20)
        else:
            self._join()
        self._remove_segments()

    def discard(self) -> None:
        """Remove the segments."""
        # Closing writes what is buffered, which fails again on a full disk; the segment is removed in any case.
        with contextlib.suppress(OSError):
            self._end_segment()
        self._remove_segments()

    def _flush(self) -> None:
        if not self._segments or arrow.schema_of(self._columns) != arrow.schema_of(self._segments[-1][1]):
            self._end_segment()
            path = self._path.with_name(f"{self._path.name}.{len(self._segments)}")
            self._segments.append((path, self._columns.copy()))
            self._writer = self._pq.ParquetWriter(path, arrow.schema_of(self._columns))
        # The kinds of empty columns may have become known without a change of the schema.
        self._segments[-1] = (self._segments[-1][0], self._columns.copy())
        self._writer.write_table(arrow.table_of(self._held, self._columns))
        self._held = []

    def _end_segment(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            _finish(writer, self._segments[-1][1])

    def _join(self) -> None:
        writer = self._pq.ParquetWriter(self._file, arrow.schema_of(self._columns))
        for path, columns in self._segments:
            for table in _row_groups(self._pq, path):
                writer.write_table(arrow.widened(table, columns, self._columns))
        _finish(writer, self._columns)

    def _remove_segments(self) -> None:
        for path, _ in self._segments:
            path.unlink(missing_ok=True)
        self._segments = []


def _finish(writer: Any, columns: ColumnSet) -> None:
    writer.add_key_value_metadata({arrow.METADATA_KEY: columns.to_json().encode()})
    writer.close()


def _row_groups(pq: Any, path: Path) -> Iterator[Any]:
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number)


def columns_of(path: Path) -> ColumnSet | None:
    """Return the columns of a Parquet file that this package wrote; None for any other."""
    metadata = _pq().read_metadata(path).metadata or {}
    text = metadata.get(arrow.METADATA_KEY)
    return None if text is None else ColumnSet.from_json(text.decode())


def unify(paths: Iterable[Path], replace: Callable[[Path, Path], None]) -> int:
    """Make the columns of all parts of a dataset equal, so that any reader can read the folder as one table.

    Only parts that lack columns, or have narrower ones, are written again, one row group at a time; each is replaced
    as a whole. An interrupted call is repeated.

    Args:
        paths: the parts, in order.
        replace: puts a new file in the place of a part, durably.

    Returns:
        The number of parts that were written again.
    """
    known = [(path, columns) for path in paths if (columns := columns_of(path)) is not None]
    union = ColumnSet({})
    for _, columns in known:
        union.merge(columns)
    wanted = arrow.schema_of(union)
    changed = [(path, columns) for path, columns in known if arrow.schema_of(columns) != wanted]
    for path, columns in changed:
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            _rewrite(path, temporary, columns, union)
            replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    return len(changed)


def _rewrite(path: Path, target: Path, before: ColumnSet, after: ColumnSet) -> None:
    pq = _pq()
    with target.open("wb") as file:
        writer = pq.ParquetWriter(file, arrow.schema_of(after))
        for table in _row_groups(pq, path):
            writer.write_table(arrow.widened(table, before, after))
        _finish(writer, after)
        file.flush()
        os.fsync(file.fileno())


def drop(path: Path, target: Path, files: Collection[str]) -> int:
    """Write a part without the rows of files, one row group at a time; return how many rows were left out."""
    pq, compute = _pq(), load("pyarrow.compute", extra="parquet", purpose="format 'parquet'")
    pyarrow = load("pyarrow", extra="parquet", purpose="format 'parquet'")
    columns = columns_of(path)
    dropped = 0
    with target.open("wb") as output:
        writer = pq.ParquetWriter(output, pq.read_schema(path).remove_metadata())
        for table in _row_groups(pq, path):
            kept = table.filter(compute.invert(compute.is_in(table["file"], pyarrow.array(sorted(files)))))
            dropped += table.num_rows - kept.num_rows
            writer.write_table(kept.replace_schema_metadata(None))
        if columns is None:
            writer.close()
        else:
            _finish(writer, columns)
    return dropped
