"""Small charts as SVG text, for a page that needs nothing from elsewhere."""

import html
from collections.abc import Mapping, Sequence

_WIDTH, _HEIGHT = 720, 220
_LEFT, _BOTTOM, _TOP, _RIGHT = 64, 28, 12, 12
_LABEL = 260


def line_chart(points: Sequence[tuple[float, float]], unit: str) -> str:
    """Values over time; `points` are seconds since the beginning and the value in `unit`."""
    if len(points) < 2:
        return "<p>Too short to draw.</p>"
    end = points[-1][0] or 1.0
    top = max(value for _, value in points) or 1.0
    inner_width, inner_height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    places = " ".join(
        f"{_LEFT + x / end * inner_width:.1f},{_TOP + (1 - y / top) * inner_height:.1f}" for x, y in points
    )
    grid = "".join(_grid_line(share, top, inner_height) for share in (0.0, 0.25, 0.5, 0.75, 1.0))
    ticks = "".join(
        f'<text x="{_LEFT + share * inner_width:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">'
        f"{_short(share * end)} s</text>"
        for share in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    label = f'<text x="{_LEFT}" y="{_TOP - 2}">{html.escape(unit)}</text>'
    return _svg(_HEIGHT, f'{grid}{ticks}{label}<polyline class="line" points="{places}"/>')


def bar_chart(values: Mapping[str, float], unit: str = "") -> str:
    """One bar per label, longest first where the caller ordered them so."""
    if not values:
        return "<p>None.</p>"
    top = max(values.values()) or 1.0
    room = _WIDTH - _LABEL - 110
    bars = []
    for row, (label, value) in enumerate(values.items()):
        y = 4 + row * 22
        bars.append(
            f'<text x="{_LABEL - 8}" y="{y + 13}" text-anchor="end">{html.escape(_clipped(label))}</text>'
            f'<rect x="{_LABEL}" y="{y}" width="{max(value / top * room, 1):.1f}" height="16"/>'
            f'<text x="{_LABEL + value / top * room + 6:.1f}" y="{y + 13}">{_short(value)} {html.escape(unit)}</text>'
        )
    return _svg(len(bars) * 22 + 8, "".join(bars))


def _grid_line(share: float, top: float, inner_height: float) -> str:
    y = _TOP + (1 - share) * inner_height
    return (
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(share * top)}</text>'
    )


def _svg(height: int, content: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img">{content}</svg>'


def _short(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:.3g} M"
    if value >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _clipped(label: str) -> str:
    return label if len(label) <= 40 else label[:39] + "…"
