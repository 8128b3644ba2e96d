"""The docstrings of the client and its constructor, with the options that only the sync client has."""

import re
import textwrap
from collections.abc import Iterator

from aihub_sync._generate.docstrings import UnknownError
from aihub_sync._generate.layout import WIDTH
from aihub_sync._generate.rules import OLD_OPTIONS, Rules

_INDENT = 8
"""Columns before the docstring of a method."""


def class_doc(doc: str, rules: Rules) -> str:
    """Return the docstring of the client with the options for scripts of the official SDK.

    Raises:
        UnknownError: It has no arguments, or not the one that an option follows.
    """
    for name, option in OLD_OPTIONS.items():
        rules.used.add(name)
        entry = f"    {name}: {option.text}\n"
        # Behind the option before it and the lines that continue its text, else at the end of the arguments.
        place = rf"^    {option.after}:.*\n(     .*\n)*" if option.after else r"^Args:\n(    .*\n)+"
        found = re.search(place, doc, re.MULTILINE)
        if found is None:
            raise UnknownError(f"the docstring of the client has no place for {name}")
        doc = doc[: found.end()] + entry + doc[found.end() :]
    return doc


def constructor_doc(doc: str) -> str:
    """Return the docstring of the constructor: the arguments and errors that the class describes."""
    sections = [section for section in doc.split("\n\n") if section.startswith(("Args:", "Raises:"))]
    return "\n\n".join(["Create a client.", *("\n".join(_wrapped(section)) for section in sections)])


def _wrapped(section: str) -> Iterator[str]:
    """Yield the lines of a docstring section, wrapped for the indentation of a method."""
    head, *entries = re.split(r"\n    (?! )", section)
    yield head
    for entry in entries:
        words = " ".join(entry.split())
        yield from textwrap.wrap(
            words, WIDTH - _INDENT, initial_indent=" " * 4, subsequent_indent=" " * 8, break_on_hyphens=False
        )
