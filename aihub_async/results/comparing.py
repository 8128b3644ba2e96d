"""Two runs side by side, and a run against the truth."""

import csv
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs

from aihub_async.errors import ConfigurationError
from aihub_async.models import ResultFile
from aihub_async.results import cells
from aihub_async.results import fields as facts
from aihub_async.results.columns import ColumnSet
from aihub_async.results.rows import Origin, Row, file_name, flatten
from aihub_async.results.tables import Table

Key: TypeAlias = tuple[str, int]
"""A document: the name of its file, and its number in there."""

_FILE: Final = "file"
_DOCUMENT: Final = "document"


_ALL: Final = "all fields"
"""The name of the sum: "total" is what many people call a field."""


@attrs.frozen
class Difference:
    """A field whose value or error differs. `kind` is ``"value"``, ``"error"``, ``"only left"`` or ``"only right"``."""

    file: str
    document: int
    field: str | None
    kind: str
    left: Any
    right: Any


@attrs.frozen
class Comparison:
    """What differs between two runs, by document; `documents` and `fields` count what both have."""

    documents: int
    fields: int
    differences: list[Difference] = attrs.field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain JSON types."""
        return attrs.asdict(self)

    def table(self) -> Table:
        """Return one row per difference."""
        kinds = {"file": "text", "document": "int", "field": "text", "kind": "text", "left": "any", "right": "any"}
        return Table([attrs.asdict(each) for each in self.differences], ColumnSet(kinds, is_open=False))


def compare(left: Iterable[ResultFile], right: Iterable[ResultFile]) -> Comparison:
    """Compare the results of two runs; documents are matched by the name of their file and their number in it."""
    first, second = _by_document(left), _by_document(right)
    common = [key for key in first if key in second]
    differences = [difference for key in first for difference in _compare_document(key, first, second)]
    differences += [
        Difference(*key, None, "only right", None, _values(second[key])) for key in second if key not in first
    ]
    fields = sum(len(first[key].keys() & second[key].keys()) for key in common)
    return Comparison(len(common), fields, differences)


_Outcomes: TypeAlias = dict[str, tuple[Any, str | None]]


def _by_document(files: Iterable[ResultFile]) -> dict[Key, _Outcomes]:
    return {
        (flat.origin.file, flat.number): {name: facts.value_and_error(field) for name, field in flat.fields.items()}
        for file in files
        for flat in flatten(file, Origin(None, file_name(file)))
        if flat.number is not None
    }


def _values(outcomes: _Outcomes) -> Row:
    return {name: value for name, (value, _) in outcomes.items()}


def _compare_document(key: Key, left: Mapping[Key, _Outcomes], right: Mapping[Key, _Outcomes]) -> Iterator[Difference]:
    if key not in right:
        yield Difference(*key, None, "only left", _values(left[key]), None)
        return
    one, other = left[key], right[key]
    for name, (value, error) in one.items():
        if name not in other:
            yield Difference(*key, name, "only left", value, None)
        elif error != other[name][1]:
            yield Difference(*key, name, "error", error or value, other[name][1] or other[name][0])
        elif not _same(value, other[name][0]):
            yield Difference(*key, name, "value", value, other[name][0])
    for name in other:
        if name not in one:
            yield Difference(*key, name, "only right", None, other[name][0])


def _same(one: Any, other: Any) -> bool:
    # Both mean: not found.
    return (one or None) == (other or None) if "" in (one, other) or None in (one, other) else bool(one == other)


@attrs.frozen
class FieldScore:
    """How well one field was extracted.

    `expected` counts the documents whose truth has a value, `found` those where the run found one, `exact` and
    `normalized` those where both agree. Precision is agreeing / found, recall agreeing / expected; None for 0 / 0.
    """

    field: str
    expected: int
    found: int
    exact: int
    normalized: int

    @property
    def precision(self) -> float | None:
        """Share of the found values that are exactly right."""
        return _share(self.exact, self.found)

    @property
    def recall(self) -> float | None:
        """Share of the expected values that were found exactly."""
        return _share(self.exact, self.expected)

    @property
    def normalized_precision(self) -> float | None:
        """Share of the found values that are right but for case, width and spaces."""
        return _share(self.normalized, self.found)

    @property
    def normalized_recall(self) -> float | None:
        """Share of the expected values that were found but for case, width and spaces."""
        return _share(self.normalized, self.expected)

    def row(self) -> Row:
        """Return counts and shares by name."""
        shares = ("precision", "recall", "normalized_precision", "normalized_recall")
        return attrs.asdict(self) | {name: getattr(self, name) for name in shares}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


@attrs.frozen
class Miss:
    """A value that is not exactly the truth; `normalized` is True when only case, width or spaces differ."""

    file: str
    document: int
    field: str
    expected: str | None
    found: Any
    error: str | None
    normalized: bool


@attrs.frozen
class Score:
    """A run against the truth: per field, in total, each miss, and the files that only one of them has."""

    fields: list[FieldScore]
    misses: list[Miss] = attrs.field(repr=False)
    missing_files: list[str]
    """Files of the truth of which the run has no document; their values count as not found."""
    unscored_files: list[str]
    """Files of the run that the truth does not have."""

    @property
    def total(self) -> FieldScore:
        """The sum over all fields."""
        names = ("expected", "found", "exact", "normalized")
        return FieldScore(_ALL, *(sum(getattr(field, name) for field in self.fields) for name in names))

    def to_dict(self) -> dict[str, Any]:
        """Return the score as plain JSON types."""
        return {
            "total": self.total.row(),
            "fields": [field.row() for field in self.fields],
            "misses": [attrs.asdict(miss) for miss in self.misses],
            "missing_files": self.missing_files,
            "unscored_files": self.unscored_files,
        }

    def table(self) -> Table:
        """Return one row per field, and the total."""
        rows = [field.row() for field in (*self.fields, self.total)]
        return Table(rows, ColumnSet(dict.fromkeys(rows[0], "any") | {"field": "text"}, is_open=False))


def score(files: Iterable[ResultFile], truth: Iterable[Mapping[str, Any]]) -> Score:
    """Compare results with the truth.

    Args:
        files: results of a run.
        truth: rows with ``file`` and either one column per field, or ``field`` and ``value``. A file with several
            documents needs the column ``document`` (from 0). An empty value means: the document has none. Fields
            without a column are not scored.

    Raises:
        ConfigurationError: the truth lacks a column, or leaves open which document it means.
    """
    found = _by_document(files)
    numbers: dict[str, list[int]] = {}
    for file, number in found:
        numbers.setdefault(file, []).append(number)
    expected = _expected(truth, numbers)
    counts: dict[str, list[int]] = {}
    misses: list[Miss] = []
    for key, values in expected.items():
        for name, value in values.items():
            outcome = found.get(key, {}).get(name, (None, None))
            _count(counts.setdefault(name, [0, 0, 0, 0]), misses, (key, name), value, outcome)
    files_of_truth = dict.fromkeys(file for file, _ in expected)
    return Score(
        [FieldScore(name, *numbers_) for name, numbers_ in counts.items()],
        misses,
        [file for file in files_of_truth if file not in numbers],
        [file for file in numbers if file not in files_of_truth],
    )


def read_truth(path: Path) -> list[dict[str, str]]:
    """Read the truth from a CSV file.

    Raises:
        ConfigurationError: it cannot be read, or has no column ``file``.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"cannot read the truth {path}: {error}") from error
    if any(None in row for row in rows):
        raise ConfigurationError(f"{path}: a row has more cells than the header")
    return rows


def _expected(
    truth: Iterable[Mapping[str, Any]], numbers: Mapping[str, Sequence[int]]
) -> dict[Key, dict[str, str | None]]:
    expected: dict[Key, dict[str, str | None]] = {}
    for position, row in enumerate(truth, 1):
        if not row.get(_FILE):
            raise ConfigurationError(f"row {position} of the truth: the column 'file' is missing or empty")
        values = expected.setdefault(_key(row, position, numbers), {})
        if {"field", "value"} <= row.keys():
            values[str(row["field"])] = cells.as_text(row["value"])
        else:
            values.update({name: cells.as_text(row[name]) for name in row if name not in {_FILE, _DOCUMENT}})
    return expected


def _key(row: Mapping[str, Any], position: int, numbers: Mapping[str, Sequence[int]]) -> Key:
    file, number = str(row[_FILE]), row.get(_DOCUMENT)
    if number in (None, ""):
        if len(numbers.get(file, ())) > 1:
            raise ConfigurationError(
                f"row {position} of the truth: {file} has {len(numbers[file])} documents; add a column 'document'"
            )
        return file, 0
    try:
        return file, int(str(number))
    except ValueError:
        raise ConfigurationError(f"row {position} of the truth: document {number!r} is not a number") from None


def _count(
    counts: list[int],
    misses: list[Miss],
    where: tuple[Key, str],
    expected: str | None,
    outcome: tuple[Any, str | None],
) -> None:
    value, error = outcome
    text = cells.as_text(value)
    exact = bool(expected) and text == expected
    normalized = bool(expected) and bool(text) and normal(text or "") == normal(expected or "")
    counts[0] += bool(expected)
    counts[1] += bool(text)
    counts[2] += exact
    counts[3] += normalized
    if not exact and (expected or text):
        (file, document), field = where
        misses.append(Miss(file, document, field, expected or None, value, error, normalized))


def normal(text: str) -> str:
    """Return a text without differences of case, width and spaces (NFKC, casefold); digits and marks stay."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
