"""Bars as SVG, for the documentation: readable in light and dark, by people and by browsers."""

from collections.abc import Iterator, Sequence
from html import escape

from attrs import frozen

_WIDTH, _LABELS, _ROW, _TOP, _NUMBER = 760, 330, 30, 44, 50
_STYLE = """
    .name { font-size: 13.5px; fill: #16202c }
    .title { font-size: 16px; font-weight: 600; fill: #16202c }
    .more { font-size: 12.5px; fill: #59636e }
    .bar { fill: #3b6ea5 }
    .missed { fill: #c2571a }
    .goal { stroke: #16202c; stroke-width: 2; stroke-dasharray: 4 3 }
    @media (prefers-color-scheme: dark) {
      .name, .title { fill: #f0f4f8 }
      .more { fill: #a9b4bf }
      .bar { fill: #6ea8e0 }
      .missed { fill: #f0883e }
      .goal { stroke: #f0f4f8 }
    }
"""


@frozen
class Bar:
    """A value; ``goal`` is where it is to reach or to stay, ``met`` whether it did."""

    label: str
    value: float
    goal: float | None = None
    met: bool = True


def chart(title: str, bars: Sequence[Bar]) -> str:
    """Return a chart of horizontal bars; a dashed line in a row is its goal."""
    height = _TOP + _ROW * len(bars) + 8
    largest = max(max(bar.value, bar.goal or 0.0) for bar in bars)
    scale = (_WIDTH - _LABELS - 70) / largest
    drawn = "\n".join(line for n, bar in enumerate(bars) for line in _row(n, bar, scale))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}" font-family="system-ui, sans-serif">\n'
        f"  <style>{_STYLE}  </style>\n"
        f'  <text class="title" x="12" y="24">{escape(title)}</text>\n{drawn}\n</svg>\n'
    )


def _row(number: int, bar: Bar, scale: float) -> Iterator[str]:
    top = _TOP + _ROW * number
    end = _LABELS + bar.value * scale
    goal = None if bar.goal is None else _LABELS + bar.goal * scale
    kind = "bar" if bar.met else "bar missed"
    yield f'  <text class="name" x="12" y="{top + 15}">{escape(bar.label)}</text>'
    yield (
        f'  <rect class="{kind}" x="{_LABELS}" y="{top + 2}" width="{end - _LABELS:.1f}" '
        'height="18" rx="3"/>'
    )
    # The number stands behind its bar, or behind the goal where that would go through it.
    behind = goal if goal is not None and end < goal < end + _NUMBER else end
    yield f'  <text class="more" x="{behind + 8:.1f}" y="{top + 16}">{bar.value:.3g}</text>'
    if goal is not None:
        yield f'  <path class="goal" d="M{goal:.1f} {top - 1}V{top + 23}"/>'
