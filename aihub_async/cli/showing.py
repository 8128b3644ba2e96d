"""Lists and single objects of the API, as tables, facts, TSV or JSON."""

import datetime as dt
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from aihub_async.cli import terminal
from aihub_async.cli.terminal import Column

T = TypeVar("T")


class Plain(Protocol):
    """An object that can be printed as JSON, such as every model."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        ...


P = TypeVar("P", bound=Plain)


async def first(items: AsyncIterable[T], limit: int) -> list[T]:
    """Return the first items, at most `limit`; no page is requested that they do not need."""
    found: list[T] = []
    async for each in items:
        found.append(each)
        if len(found) == limit:
            break
    return found


def show_list(
    columns: Sequence[Column], found: Sequence[P], row: Callable[[P], dict[str, Any]], *, nothing: str
) -> None:
    """Print a list.

    Args:
        columns: of the table and of the TSV.
        found: what to print.
        row: returns the cells of one of them, by the keys of the columns.
        nothing: the note for people if the list is empty.
    """
    if terminal.is_json():
        terminal.emit([each.to_dict() for each in found])
        return
    terminal.print_rows(columns, [row(each) for each in found])
    if not found:
        terminal.note(nothing)


def show_one(document: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Print one object: its JSON document, or facts about it."""
    if terminal.is_json():
        terminal.emit(document)
    else:
        terminal.print_facts(facts)


def cells_of(columns: Sequence[Column], each: object) -> dict[str, Any]:
    """Return the attributes of an object that have a column."""
    return {column.key: getattr(each, column.key, None) for column in columns}


def moment(when: dt.datetime | float | None) -> str | None:
    """Return a moment, or Unix seconds, as text in UTC to the minute; None for 0, and for what no calendar has."""
    if not when:
        return None
    try:
        return f"{when if isinstance(when, dt.datetime) else dt.datetime.fromtimestamp(when, dt.UTC):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return None
