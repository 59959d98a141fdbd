"""What a comparison of two commits says: each variant's rounds, ratios, and what can be told apart.

Nothing here measures: it turns rounds into ratios, and ratios into a table.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import TypeVar

from attrs import frozen

from tests.benchmarks.figures import Figures
from tests.benchmarks.report import shown, words

THIS = "this tree"
NULL = "null"

_Variant = TypeVar("_Variant")


def orders(variants: Sequence[_Variant], rounds: int) -> Iterator[Sequence[_Variant]]:
    """Return the order of each round.

    As many rounds as there are variants give each variant every place once; as many again go the
    other way round, so that each is also followed by every other.
    """
    count = len(variants)
    for number in range(rounds):
        first = number % count
        turned = [*variants[first:], *variants[:first]]
        yield turned[::-1] if number // count % 2 else turned


def ratio(over: Figures, under: Figures, value: str) -> float:
    """Return the middle of what one is of the other, round by round, so that a drift cancels."""
    return math.exp(median(_logarithms(over, under, value)))


def resolution(first: Figures, second: Figures, value: str) -> float:
    """Return by what part identical code differs: what is less says nothing.

    Which of the two is over the other in a round is chance. This is the largest ratio that the
    rounds could have had in their middle, whichever of them was called the first in each.
    """
    return math.expm1(median(map(abs, _logarithms(first, second, value))))


def is_within(part: float, found: float) -> bool:
    """Tell whether a ratio differs from one by no more than a resolution, up or down."""
    return abs(math.log(found)) <= math.log1p(part) + 1e-12


def _logarithms(over: Figures, under: Figures, value: str) -> list[float]:
    pairs = zip(over.rounds, under.rounds, strict=True)
    return [math.log(one[value] / other[value]) for one, other in pairs]


@frozen
class Pair:
    """One scenario of this tree, of a revision, and of this tree once more."""

    title: str
    this: Figures
    revision: Figures
    null: Figures

    def resolution(self, value: str) -> float:
        """Return by what part of itself a value differs between the two of identical code."""
        return resolution(self.null, self.this, value)

    def differs(self, value: str) -> bool:
        """Tell whether the revision is beyond the resolution of both of them, on the same side.

        Where nothing changed, that happens in one of ten comparisons of five rounds and in one of
        fifty of twelve, if what a round meets is independent of what other rounds meet.
        """
        found = [ratio(self.revision, same, value) for same in (self.this, self.null)]
        is_beyond = not any(is_within(self.resolution(value), each) for each in found)
        return is_beyond and (min(found) > 1 or max(found) < 1)

    def __str__(self) -> str:
        rounds = len(self.this.rounds)
        lines = [f"{self.title}  ({rounds} rounds; medians, the smallest and the largest)"]
        for value in self.this.values:
            verdict = "DIFFERS by more than" if self.differs(value) else "within"
            lines += [
                f"  {words(value)}: resolution {self.resolution(value):.1%}",
                _row(self.this, value),
                f"{_row(self.revision, value)}  {self._ratio(self.revision, value)}: {verdict} it",
                f"{_row(self.null, value)}  {self._ratio(self.null, value)}, of the same code",
            ]
        return "\n".join(line.rstrip() for line in lines)

    def _ratio(self, figures: Figures, value: str) -> str:
        return f"{ratio(figures, self.this, value):.3f} of {THIS}"


def _row(figures: Figures, value: str) -> str:
    low, high = figures.range(value)
    middle = shown(figures.middle(value))
    return f"    {figures.name:<20}{middle:>10}  {f'({shown(low)} to {shown(high)})':<20}"


def paired(title: str, revision: str, rounds: Mapping[str, Sequence[Mapping[str, float]]]) -> Pair:
    """Return a scenario's pair from the rounds of each variant."""
    this, other, null = (Figures(name, title, rounds[name]) for name in (THIS, revision, NULL))
    return Pair(title, this, other, null)
