"""Results as a table, for Arrow, pandas, Polars, DuckDB and files."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from aihub_async.errors import ConfigurationError
from aihub_async.models.reprs import html_rows
from aihub_async.paths import local_path
from aihub_async.results import arrow, cells
from aihub_async.results.columns import ColumnSet
from aihub_async.results.extras import load
from aihub_async.results.files import FORMATS, RowFile
from aihub_async.results.rows import Row

_SHOWN_ROWS = 10


class Table:
    """Rows with typed columns; iterating returns the rows as dicts.

    Polars, DuckDB and anything else that supports the Arrow C stream interface take a table as it is.

    Attributes:
        renamed: columns whose field has another name, because a fixed column has it already: column to field.

    Example:
        >>> def by_vendor(processed):
        ...     return processed.table().to_pandas().groupby("Vendor").size()
    """

    def __init__(self, rows: Sequence[Row], columns: ColumnSet) -> None:
        columns.observe(rows)
        self._rows = rows
        self._columns = columns
        self.renamed = columns.renamed()

    @classmethod
    def concat(cls, tables: Iterable["Table"]) -> "Table":
        """Return the rows of several tables of one shape as one, with the columns of all.

        Example:
            >>> def write(results):
            ...     Table.concat(processed.table() for processed in results).write("values.csv")
        """
        parts = list(tables)
        if not parts:
            return cls([], ColumnSet({}))
        columns = parts[0]._columns.copy()
        for part in parts[1:]:
            columns.merge(part._columns)
        return cls([row for part in parts for row in part._rows], columns)

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order."""
        return list(self._columns.names)

    def to_arrow(self) -> Any:
        """Return a `pyarrow.Table` (extra `parquet`)."""
        return arrow.table_of(self._rows, self._columns)

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` (extra `tables`); integers and booleans are of the nullable dtypes."""
        pd = load("pandas", extra="tables", purpose="to_pandas()")
        pa = arrow.pyarrow()
        nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
        return self.to_arrow().to_pandas(types_mapper=nullable.get)

    def to_polars(self) -> Any:
        """Return a `polars.DataFrame` (extra `tables`)."""
        return load("polars", extra="tables", purpose="to_polars()").from_arrow(self.to_arrow())

    def write(self, path: str | Path, *, formulas: bool = False) -> Path:
        """Write a .jsonl, .csv, .parquet or .xlsx file; it appears whole or not at all.

        Args:
            path: the file; one of that name is replaced.
            formulas: leave texts in CSV that a spreadsheet would run as a formula (``=…``) as they are; by default
                they get an apostrophe in front.

        Raises:
            ConfigurationError: an unknown extension, or one whose package is not installed.
            InvalidRequestError: a URL.
        """
        path = local_path(path, "path")
        with RowFile(path, format_of(path), self._columns.copy(), formulas=formulas) as output:
            output.write(list(self._rows))
            output.commit()
        return path

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def _repr_html_(self) -> str:
        shown = [{name: cells.as_text(value) for name, value in row.items()} for row in self._rows[:_SHOWN_ROWS]]
        # Columns without any value in what is shown are of no use there.
        names = [name for name in self.columns if any(row.get(name) not in (None, "", "[]", "{}") for row in shown)]
        return html_rows(names, shown, len(self._rows))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._rows):,} rows, {len(self._columns.names)} columns)"


def format_of(path: Path, formats: Iterable[str] = FORMATS) -> str:
    """Return the format that a file's extension names.

    Raises:
        ConfigurationError: it names none.
    """
    suffix = path.suffix.removeprefix(".").lower()
    if suffix not in formats:
        known = ", ".join(f".{name}" for name in formats)
        raise ConfigurationError(f"{path}: the name must end in one of {known}")
    return suffix
