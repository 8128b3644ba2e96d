"""Folders of parts that readers take for one table."""

import contextlib
import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from aihub_async.results.columns import ColumnSet

Replace = Callable[[Path, Path], None]
"""Puts a new file in the place of a part, durably."""


def unify(paths: Iterable[Path], format: str, replace: Replace) -> int:
    """Make the columns of all parts of a dataset equal; see `parquet.unify`. JSON Lines need nothing.

    Args:
        paths: the parts, in order.
        format: their format.
        replace: puts a new file in the place of a part, durably.

    Returns:
        The number of parts that were written again.
    """
    if format == "parquet":
        from aihub_async.results import parquet  # noqa: PLC0415 - the extra is loaded when it is used

        return parquet.unify(paths, replace)
    return _unify_csv(list(paths), replace) if format == "csv" else 0


def _unify_csv(paths: Sequence[Path], replace: Replace) -> int:
    with long_fields():
        return _unify_headers(paths, replace)


@contextlib.contextmanager
def long_fields() -> Iterator[None]:
    """Read fields of any length: the reader's own limit, of the whole process, is 128 KiB."""
    before = csv.field_size_limit(1 << 30)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _unify_headers(paths: Sequence[Path], replace: Replace) -> int:
    headers = {path: _header(path) for path in paths}
    union = ColumnSet({})
    for header in headers.values():
        union.merge(ColumnSet(dict.fromkeys(header, "text")))
    changed = [path for path, header in headers.items() if header != union.names]
    for path in changed:
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            _rewrite(path, temporary, union.names)
            replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    return len(changed)


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file), [])


def _rewrite(path: Path, target: Path, names: Sequence[str]) -> None:
    with path.open(encoding="utf-8", newline="") as source, target.open("w", encoding="utf-8", newline="") as file:
        reader = csv.reader(source)
        places = {name: place for place, name in enumerate(next(reader, []))}
        order = [places.get(name) for name in names]
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(_reordered(reader, order))
        file.flush()
        os.fsync(file.fileno())


def _reordered(rows: Iterable[list[str]], order: Sequence[int | None]) -> Iterator[list[str]]:
    return ([row[place] if place is not None else "" for place in order] for row in rows)
