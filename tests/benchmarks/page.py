"""``python -m tests.benchmarks.page``: the recorded run as a table and charts for the documents.

What stands between the marks of docs/explanation/performance.md is written again from
performance.json beside it, which ``nox -s bench -- --json`` has written.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from tests.benchmarks.between import BETWEEN
from tests.benchmarks.charts import Bar, chart
from tests.benchmarks.figures import WIDE, Figures, Goal, read
from tests.benchmarks.report import shown, words
from tests.benchmarks.scenarios import SCENARIOS

FOLDER = Path("docs/explanation")
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


@frozen
class Chart:
    """A chart of one value of every scenario that has it."""

    file: str
    title: str
    value: str


CHARTS = (
    Chart("performance-rate.svg", "Deliveries a second, over raw requests a second", "ratio"),
    Chart("performance-cpu.svg", "CPU a delivery, over that of a raw request", "cpu ratio"),
    Chart("performance-latency.svg", "Median from publish to received, over a POST", "p50 ratio"),
)


def goals() -> Mapping[str, Sequence[Goal]]:
    """Return the goals of everything that is measured, by name."""
    wanted = {each.name: each.goals for each in SCENARIOS}
    return wanted | {each.name: each.goals for each in BETWEEN}


def section(machine: Mapping[str, str], all_figures: Sequence[Figures]) -> str:
    """Return the table of every value that has a goal or is a ratio, and the charts."""
    lines = [
        BEGIN,
        "",
        f"Measured on: {', '.join(f'{name} {value}' for name, value in machine.items())}.",
        "",
        "A dashed line is a goal; a bar that does not keep to it is orange.",
        "",
        *(f"![{each.title}]({each.file})\n" for each in CHARTS),
        "| scenario | value | median | from | to | goal | |",
        "|---|---|---:|---:|---:|---:|---|",
        *(line for figures in all_figures for line in _rows(figures)),
        "",
        "A spread over 15 % is marked with ±: the host was not quiet then.",
        "",
        END,
    ]
    return "\n".join(lines)


def _rows(figures: Figures) -> Iterator[str]:
    title = figures.title
    for value in figures.values:
        goal = figures.goal_of(value)
        if goal is None and "ratio" not in value:
            continue
        middle, (low, high) = figures.middle(value), figures.range(value)
        verdict = "" if goal is None else "reached" if goal.is_met(middle) else "**not reached**"
        wide = " ±" if figures.spread(value) > WIDE else ""
        yield (
            f"| {title} | {words(value)} | {shown(middle)}{wide} | {shown(low)} | {shown(high)} | "
            f"{goal or ''} | {verdict} |"
        )
        title = ""


def drawn(wanted: Chart, all_figures: Sequence[Figures]) -> str:
    """Return a chart of one value, each scenario a bar."""
    return chart(
        wanted.title,
        [_bar(each, wanted.value) for each in all_figures if wanted.value in each.values],
    )


def _bar(figures: Figures, value: str) -> Bar:
    goal, middle = figures.goal_of(value), figures.middle(value)
    if goal is None:
        return Bar(figures.name, middle)
    limit = goal.at_least if goal.at_least is not None else goal.at_most
    return Bar(figures.name, middle, limit, goal.is_met(middle))


def main() -> None:
    """Write the section and the charts."""
    recorded = FOLDER / "performance.json"
    wanted = goals()
    all_figures = [
        Figures(each.name, each.title, each.rounds, wanted.get(each.name, ()))
        for each in read(recorded).values()
    ]
    machine = json.loads(recorded.read_text())["machine"]
    page = FOLDER / "performance.md"
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(before + section(machine, all_figures) + after)
    for each in CHARTS:
        (FOLDER / each.file).write_text(drawn(each, all_figures))


if __name__ == "__main__":
    main()
