"""Rows as Arrow tables (extra `parquet`), and tables brought up to date with columns that grew later."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from aihub_async.results import cells
from aihub_async.results.columns import STRUCT, ColumnSet
from aihub_async.results.extras import load
from aihub_async.results.rows import Row

METADATA_KEY: Final = b"aihub:columns"
"""Under this key a Parquet file keeps the kinds of its columns: a column without values has none yet."""


def pyarrow() -> Any:
    """Import pyarrow, which has no type information."""
    return load("pyarrow", extra="parquet", purpose="Arrow and Parquet")


def schema_of(columns: ColumnSet) -> Any:
    """Return the Arrow schema; a column without a value so far is of texts."""
    pa = pyarrow()
    return pa.schema([pa.field(_encodable(name), _type(pa, columns, name)) for name in columns.names])


def table_of(rows: Sequence[Row], columns: ColumnSet) -> Any:
    """Return rows as one Arrow table; `columns` must have observed them."""
    pa = pyarrow()
    arrays = [_array(pa, [row.get(name) for row in rows], columns, name) for name in columns.names]
    return pa.Table.from_arrays(arrays, schema=schema_of(columns))


def widened(table: Any, before: ColumnSet, after: ColumnSet) -> Any:
    """Return a table that was made with the columns `before` with the columns `after`, which include them."""
    pa = pyarrow()
    places = {name: place for place, name in enumerate(before.names)}
    arrays = [
        _widened(pa, table.column(places[name]), before, after, name)
        if name in places
        else pa.nulls(table.num_rows, _type(pa, after, name))
        for name in after.names
    ]
    return pa.Table.from_arrays(arrays, schema=schema_of(after))


def _type(pa: Any, columns: ColumnSet, name: str) -> Any:
    if columns.kind(name) != STRUCT:
        return _TYPES[columns.kind(name)](pa)
    nested = columns.nested[name]
    # Parquet has no struct without members.
    return pa.struct(list(schema_of(nested))) if nested.names else pa.string()


def _box_type(pa: Any) -> Any:
    corners = ("left", "top", "right", "bottom")
    return pa.list_(pa.struct([("page", pa.int64()), *((corner, pa.float64()) for corner in corners)]))


_TYPES: Final[dict[str, Callable[[Any], Any]]] = {
    cells.NULL: lambda pa: pa.string(),
    cells.TEXT: lambda pa: pa.string(),
    cells.BOOL: lambda pa: pa.bool_(),
    cells.INT: lambda pa: pa.int64(),
    cells.BIG: lambda pa: pa.int64(),
    cells.FLOAT: lambda pa: pa.float64(),
    "ints": lambda pa: pa.list_(pa.int64()),
    "texts": lambda pa: pa.list_(pa.string()),
    "map": lambda pa: pa.map_(pa.string(), pa.string()),
    "boxes": _box_type,
}


def _array(pa: Any, values: list[Any], columns: ColumnSet, name: str) -> Any:
    kind = columns.kind(name)
    if kind == STRUCT:
        return _struct(pa, values, columns, name)
    if kind == "map":
        values = [
            None if value is None else [(key, cells.as_text(item)) for key, item in value.items()] for value in values
        ]
    elif kind in _PLAIN:
        values = [value if type(value) in _PLAIN[kind] else cells.as_kind(value, kind) for value in values]
    try:
        return pa.array(values, _TYPES[kind](pa))
    except UnicodeEncodeError:
        # A lone surrogate: as in JSON Lines it becomes its escape, and does not stop the output.
        return pa.array(_encodable(values), _TYPES[kind](pa))


# Values of these types need no conversion: most of them.
_PLAIN: Final[dict[str, frozenset[type]]] = {
    cells.NULL: frozenset({str, type(None)}),
    cells.TEXT: frozenset({str, type(None)}),
    cells.BOOL: frozenset({bool, type(None)}),
    cells.INT: frozenset({int, type(None)}),
    cells.BIG: frozenset({int, type(None)}),
    cells.FLOAT: frozenset({float, type(None)}),
}


def _struct(pa: Any, values: list[Any], columns: ColumnSet, name: str) -> Any:
    nested = columns.nested[name]
    if not nested.names:
        return pa.nulls(len(values), pa.string())
    members = [_array(pa, [(value or {}).get(key) for value in values], nested, key) for key in nested.names]
    return pa.StructArray.from_arrays(members, fields=list(schema_of(nested)))


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list | tuple):
        return type(value)(_encodable(item) for item in value)
    return value


def _widened(pa: Any, column: Any, before: ColumnSet, after: ColumnSet, name: str) -> Any:
    old, new = before.kind(name), after.kind(name)
    if new == STRUCT:
        return _widened_struct(pa, column, before, after, name)
    if old == new or (old, new) == (cells.NULL, cells.TEXT):
        return column
    kind = _TYPES[new](pa)
    if old == cells.NULL:
        # Texts, all of them empty.
        return pa.nulls(len(column), kind)
    if new == cells.TEXT:
        return pa.array([cells.as_text(value) for value in column.to_pylist()], kind)
    return column.cast(kind)


def _widened_struct(pa: Any, column: Any, before: ColumnSet, after: ColumnSet, name: str) -> Any:
    old, new = before.nested[name], after.nested[name]
    if not new.names:
        return column
    if not old.names:
        return pa.nulls(len(column), _type(pa, after, name))
    flat = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    chunks: Iterable[Any] = flat.chunks if hasattr(flat, "chunks") else [flat]
    converted = []
    for chunk in chunks:
        table = pa.Table.from_arrays(chunk.flatten(), schema=schema_of(old))
        members = [_one_array(pa, array) for array in widened(table, old, new).columns]
        converted.append(pa.StructArray.from_arrays(members, fields=list(schema_of(new))))
    return pa.chunked_array(converted, type=_type(pa, after, name))


def _one_array(pa: Any, array: Any) -> Any:
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
