"""Figures as a table that a person reads, and what has changed since another run."""

from collections.abc import Iterator, Mapping, Sequence

from tests.benchmarks.figures import WIDE, Figures

_NAMES = {
    "ratio": "over raw",
    "rate": "a second",
    "raw rate": "raw a second",
    "cpu": "CPU, µs",
    "raw cpu": "raw CPU, µs",
    "cpu ratio": "CPU over raw",
}
_DIMENSIONLESS = 10


def table(machine: Mapping[str, str], all_figures: Sequence[Figures]) -> str:
    """Return the figures of a run, with the host named and wide spreads marked."""
    lines = [", ".join(f"{name} {value}" for name, value in machine.items())]
    for figures in all_figures:
        lines += ["", f"{figures.title}  ({len(figures.rounds)} rounds, medians)"]
        lines += [_row(figures, value) for value in figures.values]
        lines += list(_confessions(figures))
    return "\n".join(lines)


def _row(figures: Figures, value: str) -> str:
    middle, (low, high) = figures.middle(value), figures.range(value)
    row = f"  {words(value):<28}{shown(middle):>12}  ({shown(low)} to {shown(high)})"
    goal = figures.goal_of(value)
    if goal is None:
        return row
    return f"{row}  goal {goal}: {'reached' if goal.is_met(middle) else 'NOT reached'}"


def _confessions(figures: Figures) -> Iterator[str]:
    for value in figures.values:
        is_judged = "ratio" in value or figures.goal_of(value)
        if is_judged and figures.spread(value) > WIDE:
            yield (
                f"  {words(value)} spreads over {figures.spread(value):.0%}: "
                "the host was not quiet, measure again"
            )


def words(value: str) -> str:
    """Return what a value is called where a person reads it."""
    return _NAMES.get(value, value)


def shown(value: float) -> str:
    """Return a number with as many digits as mean something."""
    return f"{value:,.0f}" if abs(value) >= _DIMENSIONLESS * 10 else f"{value:,.3g}"


def comparison(now: Sequence[Figures], before: Mapping[str, Figures]) -> str:
    """Return what has changed since a recorded run, each value by how much of itself."""
    lines = []
    for figures in now:
        recorded = before.get(figures.name)
        if recorded is None:
            lines.append(f"{figures.title}: not in the recorded run")
            continue
        lines.append(figures.title)
        common = [value for value in figures.values if value in recorded.values]
        lines += [_change(value, figures, recorded) for value in common]
    return "\n".join(lines)


def _change(value: str, now: Figures, before: Figures) -> str:
    old, new = before.middle(value), now.middle(value)
    by = (new - old) / old if old else 0.0
    noise = max(now.spread(value), before.spread(value))
    verdict = "within the spread" if abs(by) <= noise else "CHANGED"
    return f"  {words(value):<28}{shown(old):>12} → {shown(new):<12}{by:+.1%} {verdict}"
