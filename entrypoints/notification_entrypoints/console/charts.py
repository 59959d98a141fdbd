"""Charts as SVG: shapes only, coloured by classes; the words stand around them in HTML.

A chart fills its place, whatever its shape: what it draws is stretched, what is written is not.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from attrs import frozen
from markupsafe import Markup

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
        Markup("<g><title>{}</title>{}</g>").format(
            _told(bar), Markup().join(_boxes(bar, number * step, step, most))
        )
        for number, bar in enumerate(bars)
    ]
    described = ", ".join(
        f"{sum(bar.counts.get(name, 0) for bar in bars):,} {name}"
        for name in (bars[0].counts if bars else ())
    )
    return _svg(kind, title, described or "nothing", Markup().join(shapes))


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
            Markup('<polygon class="area" points="{} {}"/>').format(written, base),
            Markup('<polyline class="line" points="{}"/>').format(written),
        ]
    shapes += [
        Markup(
            '<rect class="hover" x="{:.1f}" y="0" width="{:.1f}" height="{}">'
            "<title>{}</title></rect>"
        ).format(n * step, step, _HEIGHT, label)
        for n, label in enumerate(labels)
    ]
    return _svg("lines", title, f"{len(known)} values", Markup().join(shapes))


def _boxes(bar: Bar, left: float, step: float, most: int) -> Iterator[Markup]:
    gap = step * _GAP_SHARE
    # What is under the pointer has its title all the way up.
    yield Markup('<rect class="hover" x="{:.1f}" y="0" width="{:.1f}" height="{}"/>').format(
        left, step, _HEIGHT
    )
    top = float(_HEIGHT)
    for name, count in bar.counts.items():
        if not count:
            continue
        height = max(_LEAST_HEIGHT, count / most * (_HEIGHT - 4))
        top -= height
        yield Markup(
            '<rect class="series-{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
        ).format(name, left + gap / 2, top, step - gap, height)


def _told(bar: Bar) -> str:
    counted = [f"{count:,} {name}" for name, count in bar.counts.items() if count]
    return f"{bar.label}: {', '.join(counted) or 'nothing'}"


def _svg(kind: str, title: str, description: str, shapes: Markup) -> Markup:
    return Markup(
        '<svg class="{}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img">'
        "<title>{}</title><desc>{}</desc>{}</svg>"
    ).format(kind, _WIDTH, _HEIGHT, title, description, shapes)


def marks(title: str, places: Sequence[float], labels: Sequence[str]) -> Markup:
    """Return marks on a line from left to right, as far apart as the roots of their places.

    Of places that grow by a factor the first ones would else fall together.
    """
    longest = math.sqrt(max(places, default=0)) or 1
    shapes = []
    for place, label in zip(places, labels, strict=True):
        x = 8 + math.sqrt(place) / longest * (_WIDTH - 16)
        mark = Markup('<line class="mark" x1="{0:.1f}" x2="{0:.1f}" y1="16" y2="{1}"/>')
        shapes.append(
            Markup("<g><title>{}</title>{}</g>").format(label, mark.format(x, _HEIGHT - 16))
        )
    axis = Markup('<line class="axis" x1="0" x2="{}" y1="{}" y2="{}"/>').format(
        _WIDTH, _HEIGHT // 2, _HEIGHT // 2
    )
    return _svg("marks", title, ", ".join(labels), axis + Markup().join(shapes))


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
        hover = Markup('<rect class="hover" x="0" y="{:.1f}" width="{}" height="{:.1f}"/>').format(
            number * step, _WIDTH, step
        )
        bar = Markup(
            '<rect class="series-{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
        ).format(
            span.series, min(left, _WIDTH - width), number * step + step * 0.2, width, step * 0.6
        )
        shapes.append(Markup("<g><title>{}</title>{}{}</g>").format(span.label, hover, bar))
    labels = ", ".join(span.label for span in spans)
    return _svg("waterfall", title, labels, Markup().join(shapes))
