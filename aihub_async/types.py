"""Types of arguments that occur in many calls."""

from collections.abc import Sequence

Id = str | int
"""The id of a batch: the API returns numbers, which are often kept as text."""

QueryValue = str | int | bool | Sequence[str] | None
"""A value in a query string: None leaves it out, a sequence repeats it or joins it, as the operation says."""
