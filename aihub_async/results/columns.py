"""The columns of an output: fixed ones, and those of the app's fields, which grow while rows arrive."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from aihub_async.results import cells
from aihub_async.results.rows import RENAMED, Row, Shape

STRUCT = "struct"
ANY = "any"


class ColumnSet:
    """Names, order and kinds of columns. They only grow and widen; `observe()` adds what rows need.

    A field that appears later is put behind the field that precedes it in its document, so that the order is the
    app's however rows arrive.
    """

    def __init__(
        self,
        fixed: Mapping[str, str],
        fact_kind: Callable[[str], str | None] = lambda _: None,
        *,
        is_open: bool = True,
    ) -> None:
        self.is_open = is_open
        """Whether rows may have further columns."""
        self._fact_kind = fact_kind
        self._kinds: dict[str, str] = {name: cells.NULL if kind == ANY else kind for name, kind in fixed.items()}
        self._inferred = {name for name, kind in fixed.items() if kind == ANY}
        self._order = list(fixed)
        self._fixed = frozenset(fixed)
        self.nested: dict[str, ColumnSet] = {name: ColumnSet({}) for name, kind in fixed.items() if kind == STRUCT}

    @classmethod
    def of(cls, shape: Shape, extra: Iterable[str] = ()) -> Self:
        """Return the columns of a shape before any row; `extra` names the columns of the caller's in the origin."""
        return cls(shape.fixed(extra), shape.kind_of, is_open=shape.is_wide)

    @property
    def names(self) -> list[str]:
        """The names in order."""
        return self._order

    def kind(self, name: str) -> str:
        """Return the kind of a column."""
        return self._kinds[name]

    def observe(self, rows: Iterable[Row]) -> None:
        """Add the columns that the rows need, and widen the kinds of those that are there."""
        for row in rows:
            previous: str | None = None
            for name, value in row.items():
                if name not in self._kinds:
                    self._insert(name, previous, row)
                previous = name
                if name in self._inferred:
                    kind = self._kinds[name]
                    # A text is the widest kind: most values need no second look.
                    if kind != cells.TEXT:
                        self._kinds[name] = cells.join(kind, cells.kind_of(value))
                elif name in self.nested:
                    self.nested[name].observe((value,) if value else ())

    def renamed(self) -> dict[str, str]:
        """Return the columns that could not have their field's name, with that name."""
        fields = [name for name in self._order if name not in self._fixed and self._fact_kind(name) is None]
        return {name: name.removesuffix(RENAMED) for name in fields if name.endswith(RENAMED)}

    def merge(self, other: "ColumnSet") -> None:
        """Take over the columns of another set."""
        previous: str | None = None
        for name in other.names:
            if name not in self._kinds:
                self._insert(name, previous, other.names)
            previous = name
            kind = other.kind(name)
            if kind == STRUCT:
                self.nested.setdefault(name, ColumnSet({})).merge(other.nested[name])
            self._kinds[name] = cells.join(self._kinds[name], kind)

    def copy(self) -> "ColumnSet":
        """Return a copy that grows on its own."""
        copy = ColumnSet({}, self._fact_kind, is_open=self.is_open)
        copy._kinds, copy._order = dict(self._kinds), list(self._order)
        copy._inferred, copy._fixed = set(self._inferred), self._fixed
        copy.nested = {name: nested.copy() for name, nested in self.nested.items()}
        return copy

    def to_json(self) -> str:
        """Return names and kinds as JSON, which `from_json()` reads."""
        return json.dumps(self._plain())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the columns that `to_json()` wrote."""
        columns = cls({})
        columns._load(json.loads(text))
        return columns

    def _plain(self) -> list[Any]:
        return [
            [name, self.nested[name]._plain() if name in self.nested else self._kinds[name]] for name in self._order
        ]

    def _load(self, plain: list[Any]) -> None:
        for name, kind in plain:
            self._order.append(name)
            self._kinds[name] = kind if isinstance(kind, str) else STRUCT
            if not isinstance(kind, str):
                self.nested[name] = ColumnSet({})
                self.nested[name]._load(kind)

    def _insert(self, name: str, previous: str | None, neighbors: Iterable[str]) -> None:
        self._order.insert(self._position(previous, neighbors), name)
        known = self._fact_kind(name)
        self._kinds[name] = known or cells.NULL
        if known is None:
            self._inferred.add(name)

    def _position(self, previous: str | None, neighbors: Iterable[str]) -> int:
        if previous is not None and previous not in self._fixed:
            return self._order.index(previous) + 1
        # The first field of its document: before those that follow it there, or behind the fields of other classes.
        following = (name for name in neighbors if name in self._kinds and name not in self._fixed)
        first = next(following, None)
        return len(self._order) if first is None else self._order.index(first)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ColumnSet) and self._plain() == other._plain()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._order)} columns)"
