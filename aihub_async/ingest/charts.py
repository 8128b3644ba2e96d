"""Small charts as HTML and SVG text, for a page that needs nothing from elsewhere; colors come from its style sheet."""

import html
import math
from collections.abc import Mapping, Sequence

_WIDTH, _HEIGHT = 720, 230
_LEFT, _BOTTOM, _TOP, _RIGHT = 56, 30, 14, 56
_FEWEST = 10
"""A curve through fewer samples would show the sampling, not the job."""
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def timeline(points: Sequence[tuple[float, float, float]], total: float) -> str:
    """Draw files uploaded and files done over time.

    Args:
        points: seconds of work, files uploaded, files done.
        total: files of the plan.
    """
    if len(points) < _FEWEST:
        return "<p>Too short to draw a timeline.</p>"
    end, top = points[-1][0] or 1.0, max(total, 1.0)
    inner_width, inner_height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(seconds: float) -> float:
        return _LEFT + seconds / end * inner_width

    def y(files: float) -> float:
        return _TOP + (1 - files / top) * inner_height

    unit, name = next((size, name) for size, name in _UNITS if end >= 2 * size or size == 1)
    parts = []
    for value in round_ticks(top):
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{short(value)}</text>')
    parts += [
        f'<text x="{x(value * unit):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{short(value)} {name}</text>'
        for value in round_ticks(end / unit)
    ]
    for index, label in ((1, "uploaded"), (2, "done")):
        places = " ".join(f"{x(point[0]):.1f},{y(min(point[index], top)):.1f}" for point in points)
        parts.append(f'<polyline class="{label}" points="{places}"/>')
    legend = '<p class="legend"><span class="uploaded">uploaded</span> <span class="done">results written</span></p>'
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Files uploaded and done over time">'
        f"{''.join(parts)}</svg>{legend}"
    )


def bars(values: Mapping[str, float], unit: str = "", top: float | None = None) -> str:
    """Draw one bar per label; labels of any length are wrapped, never clipped."""
    if not values:
        return "<p>None.</p>"
    most = top or max(values.values()) or 1.0
    rows = "".join(
        f'<tr><th scope="row">{html.escape(label)}</th><td><span class="bar" style="width:{value / most * 100:.1f}%">'
        f"</span></td><td>{short(value)} {html.escape(unit)}</td></tr>"
        for label, value in values.items()
    )
    return f'<table class="bars">{rows}</table>'


def round_ticks(top: float, count: int = 4) -> list[float]:
    """Return about `count` round numbers from 0 to `top`.

    Example:
        >>> round_ticks(1234)
        [0.0, 500.0, 1000.0]
    """
    if top <= 0:
        return [0.0]
    rough = top / count
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(magnitude * factor for factor in _STEPS if magnitude * factor >= rough)
    return [step * number for number in range(int(top / step + 1e-9) + 1)]


def short(value: float) -> str:
    """Return a number of few characters."""
    if value >= 1e6:
        return f"{value / 1e6:.3g} M"
    if value >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"
