"""Charts as SVG, without a plotting library."""

import math
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


def lines(title: str, charts: Mapping[str, Mapping[int, float]]) -> str:
    """One small chart per entry: values over sizes, both axes logarithmic; a level line is linear growth."""
    height, left = 130, 60
    drawn: list[str] = []
    for number, (name, values) in enumerate(charts.items()):
        top = 40 + number * (height + 50)
        sizes, costs = [math.log10(size) for size in values], [math.log10(max(cost, 1e-9)) for cost in values.values()]
        wide, low = max(sizes[-1] - sizes[0], 1e-9), math.floor(min(costs))
        tall = max(math.ceil(max(costs)), low + 1) - low
        points = [
            (
                left + (size - sizes[0]) / wide * (_WIDTH - left - 120),
                top + 20 + height * (1 - (cost - low) / tall),
            )
            for size, cost in zip(sizes, costs, strict=True)
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        drawn.append(f'<text x="8" y="{top + 8}" font-weight="bold">{escape(name)}</text>')
        drawn.append(f'<polyline points="{path}" fill="none" stroke="#1b6ca8" stroke-width="2"/>')
        for (x, y), (size, cost) in zip(points, values.items(), strict=True):
            drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#1b6ca8"/>')
            drawn.append(f'<text x="{x + 5:.1f}" y="{y - 5:.1f}">{size:,}: {cost:.3g}</text>')
    total = 40 + len(charts) * (height + 50)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{total}" font-family="sans-serif"'
    return "\n".join([f'{head} font-size="12">', f'<text x="8" y="22">{escape(title)}</text>', *drawn, "</svg>", ""])
