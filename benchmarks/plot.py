"""A bar chart as SVG, without a plotting library."""

from collections.abc import Mapping
from html import escape

_ROW, _GAP, _LEFT, _WIDTH = 18, 34, 210, 760
_COLOURS = {"aihub_async": "#1b6ca8", "official": "#b8860b", "bare": "#7a7a7a", "raw": "#4a9d5b"}


def bars(title: str, groups: Mapping[str, Mapping[str, float]]) -> str:
    """One group of bars per entry, each scaled to its longest bar."""
    lines: list[str] = []
    top = 40
    for name, values in groups.items():
        lines.append(f'<text x="8" y="{top + 13}" font-weight="bold">{escape(name)}</text>')
        top += _ROW + 2
        longest = max(values.values())
        for label, value in values.items():
            width = max(value / longest * (_WIDTH - _LEFT - 90), 1)
            colour = next((shade for start, shade in _COLOURS.items() if label.startswith(start)), "#999999")
            lines.append(f'<text x="{_LEFT - 6}" y="{top + 13}" text-anchor="end">{escape(label)}</text>')
            lines.append(f'<rect x="{_LEFT}" y="{top + 2}" width="{width:.1f}" height="{_ROW - 4}" fill="{colour}"/>')
            lines.append(f'<text x="{_LEFT + width + 6:.1f}" y="{top + 13}">{value:.3g}</text>')
            top += _ROW
        top += _GAP - _ROW
    size = f'width="{_WIDTH}" height="{top}" font-family="sans-serif" font-size="12"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    return "\n".join([head, f'<text x="8" y="22" font-size="15">{escape(title)}</text>', *lines, "</svg>", ""])
