"""The help of a command on a narrow terminal: no boxes, so that no name of an option is cut short."""

import shutil
from typing import Any

from typer.core import TyperCommand

_NARROW = 80
"""Columns below which the tables of the usual help cut names of options."""
_NAMES = 18
"""Columns for the names of options; longer ones have a line of their own."""


class Command(TyperCommand):
    """A command whose help keeps its groups of options but not their boxes where the terminal is narrow."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        if shutil.get_terminal_size().columns < _NARROW:
            self.rich_markup_mode = None
        super().format_help(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and options, in the groups that they belong to."""
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                kind = "Arguments" if param.param_type_name == "argument" else "Options"
                groups.setdefault(getattr(param, "rich_help_panel", None) or kind, []).append(record)
        for title, records in groups.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records, col_max=_NAMES)
