"""Short representations of results: for a prompt, and as HTML for notebooks."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_CELL = 80
_STYLE = "padding:2px 10px;text-align:left;vertical-align:top;white-space:pre-wrap"


def duration_text(seconds: float) -> str:
    """Return a duration with a unit that suits it; an integer is an estimate and gets no decimals of a second.

    Example:
        >>> duration_text(12.34), duration_text(12), duration_text(100), duration_text(9000)
        ('12.3 s', '12 s', '100 s', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds} s" if isinstance(seconds, int) else f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def size_text(size: float) -> str:
    """Return a number of bytes with a decimal unit.

    Example:
        >>> size_text(999), size_text(1_400_000), size_text(2.5e9)
        ('999 bytes', '1.4 MB', '2.5 GB')
    """
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= limit:
            return f"{size / limit:,.1f} {unit}"
    return f"{size:.0f} bytes"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    Example:
        >>> counted(1, "file"), counted(2000, "file")
        ('1 file', '2,000 files')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def html_card(title: str, facts: Mapping[str, Any]) -> str:
    """Return a title and facts as HTML; facts without a value are left out."""
    shown = {name: value for name, value in facts.items() if value not in (None, "")}
    rows = "".join(f'<tr><th style="{_STYLE}">{_text(name)}</th>{_cell(value)}</tr>' for name, value in shown.items())
    return f"<div><strong>{_text(title)}</strong><table>{rows}</table></div>"


def html_bar(done: float, total: float, text: str) -> str:
    """Return a progress bar with a text as HTML."""
    bar = f'<progress value="{max(done, 0):g}" max="{max(total, done, 1):g}" style="width:16em"></progress>'
    return f"<div>{bar} {_text(text)}</div>"


def html_rows(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], total: int) -> str:
    """Return the first rows of a table of `total` rows as HTML."""
    head = "".join(f'<th style="{_STYLE}">{_text(name)}</th>' for name in columns)
    lines = ["".join(_cell(row.get(name)) for name in columns) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    more = f"<small>{total - len(lines):,} more rows</small>" if total > len(lines) else ""
    return f"<div><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}</div>"


def _cell(value: Any) -> str:
    return f'<td style="{_STYLE}">{_text("" if value is None else value)}</td>'


def _text(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    text = text if len(text) <= _CELL else text[: _CELL - 1] + "…"
    return html.escape(text.encode("utf-8", "replace").decode())
