"""What was measured over time, as charts that a browser shows."""

from collections.abc import Mapping, Sequence
from html import escape

Series = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT, _MARGIN = 720, 180, 70
_COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700")


def chart(title: str, unit: str, lines: Mapping[str, Series], marks: Series = ()) -> str:
    """Return an SVG of lines over seconds; each of the ``marks`` is a moment to be seen."""
    points = [point for line in lines.values() for point in line]
    right = max((x for x, _ in points), default=1) or 1
    top = max((y for _, y in points), default=1) or 1

    def place(x: float, y: float) -> str:
        across = _MARGIN + x / right * (_WIDTH - 2 * _MARGIN)
        return f"{across:.1f},{_HEIGHT - 30 - y / top * (_HEIGHT - 60):.1f}"

    def mark(x: float) -> str:
        (start, end) = place(x, 0).split(","), place(x, top).split(",")
        return _line(start, end, "#bbb")

    def line(number: int, points: Series) -> str:
        path = " ".join(place(x, y) for x, y in points)
        colour = _COLOURS[number % len(_COLOURS)]
        return f'<polyline fill="none" stroke="{colour}" points="{path}"/>'

    drawn = [mark(x) for x, _ in marks]
    drawn += [line(number, points) for number, points in enumerate(lines.values())]
    drawn += [
        _text(_MARGIN + 160 * number, _HEIGHT - 6, name, _COLOURS[number % len(_COLOURS)])
        for number, name in enumerate(lines)
    ]
    drawn += [
        _line(place(0, 0).split(","), place(right, 0).split(","), "#000"),
        _text(_MARGIN, 18, title, "#000"),
        _text(4, 34, f"{top:,.0f} {unit}", "#000"),
        _text(_WIDTH - _MARGIN, _HEIGHT - 18, f"{right:,.0f} s", "#000"),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'font-family="sans-serif" font-size="12">{"".join(drawn)}</svg>\n'
    )


def _line(start: Sequence[str], end: Sequence[str], colour: str) -> str:
    (x1, y1), (x2, y2) = start, end
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}"/>'


def _text(x: float, y: float, words: str, colour: str) -> str:
    return f'<text x="{x}" y="{y}" fill="{colour}">{escape(words)}</text>'
