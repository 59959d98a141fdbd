"""Charts as SVG: shapes only, coloured by classes; the words stand around them in HTML.

A chart fills its place, whatever its shape: what it draws is stretched, what is written is not.

Shapes are strings of which all that is not ours is escaped: a list of webhooks has thousands, and
formatting each as markup would take longer than all else that is done for the page.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from attrs import frozen
from markupsafe import Markup, escape

_WIDTH: Final = 720
_HEIGHT: Final = 120
_GAP_SHARE: Final = 0.18
_LEAST_HEIGHT: Final = 1.5
"""What there is one of is to be seen beside what there are thousands of."""


@frozen
class Bar:
    """A bar of a chart: what it is of, and how much of each series there is, from below."""

    label: str
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """How much there is of all series."""
        return sum(self.counts.values())


def stacked_bars(title: str, bars: Sequence[Bar], kind: str = "bars") -> Markup:
    """Return bars beside one another; a series has the class ``series-`` and its name.

    ``kind`` is the class of the chart: ``spark`` for one in a line of a table.
    """
    most = max((bar.total for bar in bars), default=0)
    step = _WIDTH / max(1, len(bars))
    shapes = [
        f"<g><title>{escape(_told(bar))}</title>"
        f"{''.join(_boxes(bar, number * step, step, most))}</g>"
        for number, bar in enumerate(bars)
    ]
    described = ", ".join(
        f"{sum(bar.counts.get(name, 0) for bar in bars):,} {name}"
        for name in (bars[0].counts if bars else ())
    )
    return _svg(kind, title, described or "nothing", shapes)


def line(title: str, values: Sequence[float | None], labels: Sequence[str]) -> Markup:
    """Return a line through values from left to right, with a gap if there is none."""
    known = [value for value in values if value is not None]
    most = max(known, default=0) or 1
    step = _WIDTH / max(1, len(values))
    places = [
        None if value is None else ((n + 0.5) * step, _HEIGHT - 4 - (value / most) * (_HEIGHT - 12))
        for n, value in enumerate(values)
    ]
    shapes = []
    for is_gap, run in groupby(places, lambda place: place is None):
        points = [place for place in run if place is not None]
        if is_gap:
            continue
        if len(points) == 1:
            # A single value is a short dash: of one point there is no line.
            (x, y) = points[0]
            points = [(x - step / 3, y), (x + step / 3, y)]
        written = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        base = f"{points[-1][0]:.1f},{_HEIGHT} {points[0][0]:.1f},{_HEIGHT}"
        shapes += [
            f'<polygon class="area" points="{written} {base}"/>',
            f'<polyline class="line" points="{written}"/>',
        ]
    shapes += [
        f'<rect class="hover" x="{n * step:.1f}" y="0" width="{step:.1f}" height="{_HEIGHT}">'
        f"<title>{escape(label)}</title></rect>"
        for n, label in enumerate(labels)
    ]
    return _svg("lines", title, f"{len(known)} values", shapes)


def _boxes(bar: Bar, left: float, step: float, most: int) -> Iterator[str]:
    gap = step * _GAP_SHARE
    # What is under the pointer has its title all the way up.
    yield f'<rect class="hover" x="{left:.1f}" y="0" width="{step:.1f}" height="{_HEIGHT}"/>'
    top = float(_HEIGHT)
    for name, count in bar.counts.items():
        if not count:
            continue
        height = max(_LEAST_HEIGHT, count / most * (_HEIGHT - 4))
        top -= height
        yield _rect(name, left + gap / 2, top, step - gap, height)


def _rect(series: str, left: float, top: float, width: float, height: float) -> str:
    return (
        f'<rect class="series-{escape(series)}" x="{left:.1f}" y="{top:.1f}" '
        f'width="{width:.1f}" height="{height:.1f}"/>'
    )


def _told(bar: Bar) -> str:
    counted = [f"{count:,} {name}" for name, count in bar.counts.items() if count]
    return f"{bar.label}: {', '.join(counted) or 'nothing'}"


def _svg(kind: str, title: str, description: str, shapes: Iterable[str]) -> Markup:
    return Markup(  # noqa: S704 - the shapes are escaped
        f'<svg class="{escape(kind)}" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" '
        f'role="img"><title>{escape(title)}</title><desc>{escape(description)}</desc>'
        f"{''.join(shapes)}</svg>"
    )


def marks(title: str, places: Sequence[float], labels: Sequence[str]) -> Markup:
    """Return marks on a line from left to right, as far apart as the roots of their places.

    Of places that grow by a factor the first ones would else fall together.
    """
    longest = math.sqrt(max(places, default=0)) or 1
    shapes = []
    for place, label in zip(places, labels, strict=True):
        x = 8 + math.sqrt(place) / longest * (_WIDTH - 16)
        mark = f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="16" y2="{_HEIGHT - 16}"/>'
        shapes.append(f"<g><title>{escape(label)}</title>{mark}</g>")
    middle = _HEIGHT // 2
    axis = f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{middle}" y2="{middle}"/>'
    return _svg("marks", title, ", ".join(labels), [axis, *shapes])


@frozen
class WaterfallBar:
    """Something that lasted: from when on and how long, in milliseconds, of which series."""

    start: float
    length: float
    series: str
    label: str


def waterfall(title: str, spans: Sequence[WaterfallBar]) -> Markup:
    """Return a bar for each span, one below the other, as far to the right as it is late."""
    longest = max((span.start + span.length for span in spans), default=0) or 1
    step = _HEIGHT / max(1, len(spans))
    shapes = []
    for number, span in enumerate(spans):
        left = span.start / longest * (_WIDTH - 6)
        width = max(6.0, span.length / longest * _WIDTH)
        hover = (
            f'<rect class="hover" x="0" y="{number * step:.1f}" width="{_WIDTH}" '
            f'height="{step:.1f}"/>'
        )
        top = number * step + step * 0.2
        bar = _rect(span.series, min(left, _WIDTH - width), top, width, step * 0.6)
        shapes.append(f"<g><title>{escape(span.label)}</title>{hover}{bar}</g>")
    labels = ", ".join(span.label for span in spans)
    return _svg("waterfall", title, labels, shapes)
