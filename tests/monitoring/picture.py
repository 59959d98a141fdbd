"""The dashboard's panels as one SVG, for the documents: readable in light and dark."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from attrs import frozen

_WIDTH, _COLUMNS, _GAP, _HEAD = 1200, 4, 14, 34
_PANEL_HEIGHT: Final = 170
_ROW_HEIGHT: Final = 40
_PLOT_TOP, _PLOT_HEIGHT, _LEFT = 38, 84, 52
_LEGENDS: Final = 4
_COLOURS: Final = (
    "#3b6ea5",
    "#2f8f5b",
    "#c2571a",
    "#8a4fa3",
    "#a3862a",
    "#2a8a99",
    "#b0395f",
    "#5f6b77",
)
_STYLE = """
    .panel { fill: #ffffff; stroke: #d6dbe1 }
    .row { font-size: 17px; font-weight: 600; fill: #16202c }
    .title { font-size: 13px; font-weight: 600; fill: #16202c }
    .more { font-size: 11px; fill: #59636e }
    .axis { stroke: #d6dbe1; stroke-width: 1; fill: none }
    .line { fill: none; stroke-width: 1.6 }
    @media (prefers-color-scheme: dark) {
      .panel { fill: #161b22; stroke: #30363d }
      .row, .title { fill: #f0f4f8 }
      .more { fill: #a9b4bf }
      .axis { stroke: #30363d }
    }
"""


@frozen
class Line:
    """A series: seconds before now, and values."""

    label: str
    points: Sequence[tuple[float, float]]


@frozen
class DrawnPanel:
    """A panel with its series, or a row's title if ``is_row``."""

    title: str
    unit: str
    lines: Sequence[Line]
    is_row: bool = False
    must_have_lines: bool = False


def draw(panels: Sequence[DrawnPanel]) -> str:
    """Return all panels, four side by side."""
    width = (_WIDTH - _GAP * (_COLUMNS + 1)) / _COLUMNS
    drawn: list[str] = []
    top, column = _GAP / 2, 0
    for panel in panels:
        if panel.is_row:
            if column:
                top, column = top + _PANEL_HEIGHT + _GAP, 0
            drawn.append(
                f'<text class="row" x="{_GAP}" y="{top + 26}">{escape(panel.title)}</text>'
            )
            top += _ROW_HEIGHT
            continue
        x = _GAP + column * (width + _GAP)
        drawn.append(
            f'<g transform="translate({x:.0f} {top:.0f})">{"".join(_panel(panel, width))}</g>'
        )
        column += 1
        if column == _COLUMNS:
            top, column = top + _PANEL_HEIGHT + _GAP, 0
    height = top + (_PANEL_HEIGHT + _GAP if column else 0)
    lines = "\n  ".join(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" '
        f'aria-label="Dashboard" font-family="system-ui, sans-serif">\n'
        f"  <style>{_STYLE}  </style>\n  {lines}\n</svg>\n"
    )


def _panel(panel: DrawnPanel, width: float) -> Iterator[str]:
    yield f'<rect class="panel" width="{width:.0f}" height="{_PANEL_HEIGHT}" rx="6"/>'
    yield f'<text class="title" x="12" y="22">{escape(panel.title)}</text>'
    bottom = _PLOT_TOP + _PLOT_HEIGHT
    yield f'<path class="axis" d="M{_LEFT} {_PLOT_TOP}V{bottom}H{width - 12:.0f}"/>'
    if not panel.lines:
        yield f'<text class="more" x="{width / 2:.0f}" y="90" text-anchor="middle">no data</text>'
        return
    most = max(value for line in panel.lines for _, value in line.points) or 1.0
    for value, y in ((most, _PLOT_TOP + 8), (0.0, bottom)):
        yield (
            f'<text class="more" x="{_LEFT - 6}" y="{y}" text-anchor="end">'
            f"{_written(value, panel.unit)}</text>"
        )
    first = min(at for line in panel.lines for at, _ in line.points)
    across, up = (width - 12 - _LEFT) / max(1.0, -first), (_PLOT_HEIGHT - 8) / most
    for number, line in enumerate(panel.lines):
        colour = _COLOURS[number % len(_COLOURS)]
        path = "L".join(
            f"{_LEFT + (at - first) * across:.1f} {bottom - value * up:.1f}"
            for at, value in line.points
        )
        yield f'<path class="line" stroke="{colour}" d="M{path}"/>'
    yield from _legend(panel.lines, bottom + 18, width)


def _legend(lines: Sequence[Line], top: float, width: float) -> Iterator[str]:
    half = (width - 24) / 2
    for number, line in enumerate(lines[:_LEGENDS]):
        x, y = 12 + number % 2 * half, top + number // 2 * 15
        colour = _COLOURS[number % len(_COLOURS)]
        label = line.label if len(line.label) <= 22 else f"{line.label[:21]}…"
        yield f'<rect x="{x:.0f}" y="{y - 8}" width="9" height="9" rx="2" fill="{colour}"/>'
        yield f'<text class="more" x="{x + 14:.0f}" y="{y}">{escape(label)}</text>'
    if len(lines) > _LEGENDS:
        yield (
            f'<text class="more" x="{width - 12:.0f}" y="{top + 15}" text-anchor="end">'
            f"+{len(lines) - _LEGENDS}</text>"
        )


def _written(value: float, unit: str) -> str:
    if unit == "s" and 0 < value < 1:
        return f"{value * 1000:.3g} ms"
    if unit == "percentunit":
        return f"{value:.0%}"
    rounded = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{rounded} s" if unit == "s" else rounded
