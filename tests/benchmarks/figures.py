"""What a benchmark has measured: values by round, their middle and how far they spread."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

WIDE = 0.15
"""A spread beyond which a middle says little: the host was not quiet."""


@frozen
class Goal:
    """What a value is to be: at least or at most a number."""

    value: str
    at_least: float | None = None
    at_most: float | None = None

    def __str__(self) -> str:
        return f"≥ {self.at_least}" if self.at_least is not None else f"≤ {self.at_most}"

    def is_met(self, reached: float) -> bool:
        """Tell whether a value is good enough."""
        return (self.at_least is None or reached >= self.at_least) and (
            self.at_most is None or reached <= self.at_most
        )


Round = Mapping[str, float]
"""What one round measured, by the value's name; what both were measured in says ``units``."""


@frozen
class Figures:
    """The rounds of one scenario."""

    name: str
    title: str
    rounds: Sequence[Round]
    goals: Sequence[Goal] = ()

    @property
    def values(self) -> Sequence[str]:
        """The names of what was measured."""
        return list(self.rounds[0])

    def middle(self, value: str) -> float:
        """Return the median of a value."""
        return statistics.median(each[value] for each in self.rounds)

    def range(self, value: str) -> tuple[float, float]:
        """Return the smallest and the largest of a value."""
        found = [each[value] for each in self.rounds]
        return min(found), max(found)

    def spread(self, value: str) -> float:
        """Return how far the value spreads, as a part of its median."""
        low, high = self.range(value)
        middle = self.middle(value)
        return (high - low) / middle if middle else 0.0

    def goal_of(self, value: str) -> Goal | None:
        """Return what a value is to be, if anything."""
        return next((goal for goal in self.goals if goal.value == value), None)


def write(path: Path, machine: Mapping[str, str], all_figures: Sequence[Figures]) -> None:
    """Write a run as JSON: the host and every round."""
    scenarios = {
        each.name: {
            "title": each.title,
            "rounds": [dict(one) for one in each.rounds],
            "goals": {goal.value: str(goal) for goal in each.goals},
        }
        for each in all_figures
    }
    path.write_text(json.dumps({"machine": machine, "scenarios": scenarios}, indent=1) + "\n")


def read(path: Path) -> Mapping[str, Figures]:
    """Read the figures of a run that was written before, by the scenarios' names."""
    scenarios: Mapping[str, Any] = json.loads(path.read_text())["scenarios"]
    return {
        name: Figures(name, scenario["title"], scenario["rounds"])
        for name, scenario in scenarios.items()
    }
