"""The table that a session of experiments ends with."""

from collections.abc import Iterator, Sequence

from attrs import frozen

from tests.faults.figures import Figures

_COLUMNS = ("#", "experiment", "acknowledged", "delivered", "doubled", "interruptions", "recovery")


@frozen
class Line:
    """One run of an experiment, and what came of it."""

    number: int
    title: str
    verdict: str
    figures: Sequence[Figures] = ()


def table_of(lines: Sequence[Line]) -> Iterator[str]:
    """Yield the lines of the table."""
    rows = [row for line in sorted(lines, key=lambda one: one.number) for row in _rows(line)]
    heading = [*_COLUMNS, "verdict"]
    widths = [max(len(row[column]) for row in [heading, *rows]) for column in range(len(heading))]
    for row in [heading, *rows]:
        yield "  ".join(
            cell.ljust(width) if column in {1, 7} else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()


def _rows(line: Line) -> Iterator[list[str]]:
    """Yield a row for each history that was checked; if that was none, one without figures."""
    for figures in line.figures:
        recovery = "" if figures.recovery is None else f"{figures.recovery:.2f}"
        counts = (figures.acknowledged, figures.delivered, figures.doubled, figures.interruptions)
        yield [str(line.number), line.title, *map(str, counts), recovery, line.verdict]
    if not line.figures:
        yield [str(line.number), line.title, *[""] * 5, line.verdict]
