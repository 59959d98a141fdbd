"""``python -m tests.benchmarks.page``: the recorded run as a table and charts for the documents.

What stands between the marks of docs/explanation/performance.md, a summary and all figures, is
written again from performance.json beside it, which ``nox -s bench -- --json`` has written.
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
SUMMARY = ("<!-- summary -->", "<!-- end of summary -->")
FIGURES = ("<!-- figures -->", "<!-- end of figures -->")

RATES = {
    "sqlite": "one process, SQLite",
    "sqlite-single": "the same, one event per request",
    "postgres": "one process, PostgreSQL",
    "postgres-single": "the same, one event per request",
    "postgres-fan-out-10": "one process, PostgreSQL, each event to 10 webhooks",
    "postgres-workers-2": "two workers, PostgreSQL",
    "kafka": "one consumer, Kafka → PostgreSQL",
    "kafka-workers-2": "two consumers, Kafka → PostgreSQL",
}
"""What is said of throughput first, by scenario; events come in batches of 100 if not said."""

LATENCIES = {
    "postgres-latency": "one process, PostgreSQL",
    "sqlite-latency": "one process, SQLite",
    "postgres-latency-apart": "published to one process, sent by another, PostgreSQL",
}

PEERS = {
    "WebhookX": ("0.10 to 0.13", "15"),
    "Outpost": ("0.08 to 0.10", "18"),
    "Svix": ("0.06 to 0.09", "28"),
    "a hand-written worker on a job queue in PostgreSQL": ("0.03 to 0.04", ""),
    "Convoy": ("0.014", "120"),
}
"""Measured once, with one event per request, on two cores: over raw, and CPU over raw."""


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
    ]
    return "\n".join(lines)


def summary(by_name: Mapping[str, Figures]) -> str:
    """Return what is asked first: absolute figures, and where peers are."""
    bare, single = by_name["postgres"], by_name["postgres-single"]
    post = by_name["postgres-latency"]
    raw = f"{_rounded(bare.middle('raw rate'))} | {bare.middle('raw cpu'):.0f} µs"
    ours = f"{shown(single.middle('ratio'))} | {shown(single.middle('cpu ratio'))}"
    lines = [
        "| Setup | Deliveries per second | CPU per delivery, ours and the database's |",
        "| --- | ---: | ---: |",
        *(
            f"| {title} | {_rounded(by_name[name].middle('rate'))} | "
            f"{by_name[name].middle('cpu'):,.0f} µs |"
            for name, title in RATES.items()
        ),
        f"| for comparison: a bare aiohttp client that only sends | {raw} |",
        "",
        "| Publish → received, at 200 events per second | p50 | p95 | p99 |",
        "| --- | ---: | ---: | ---: |",
        *(_latency(title, by_name[name], "") for name, title in LATENCIES.items()),
        _latency("for comparison: a bare POST to the same receiver", post, " raw"),
        "",
        "| One event per request, on two cores | Deliveries over raw requests | CPU over raw |",
        "| --- | ---: | ---: |",
        f"| this system, PostgreSQL | {ours} |",
        *(f"| {name} | {rate} | {cpu} |" for name, (rate, cpu) in PEERS.items()),
    ]
    return "\n".join(lines)


def _rounded(rate: float) -> str:
    """Return a rate without the digits that another run would change."""
    return f"{round(rate, -2 if rate >= 1_000 else -1):,.0f}"


def _latency(title: str, figures: Figures, kind: str) -> str:
    times = (figures.middle(f"{part}{kind}, ms") for part in ("p50", "p95", "p99"))
    return f"| {title} | {' | '.join(f'{time:.2g} ms' for time in times)} |"


def replaced(page: str, marks: tuple[str, str], text: str) -> str:
    """Return a page with a text between two marks in place of what stood there."""
    begin, end = marks
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}"


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


def written() -> Mapping[Path, str]:
    """Return what the page and the charts are to say, by file."""
    recorded, page = FOLDER / "performance.json", FOLDER / "performance.md"
    wanted = goals()
    all_figures = [
        Figures(each.name, each.title, each.rounds, wanted.get(each.name, ()))
        for each in read(recorded).values()
    ]
    machine = json.loads(recorded.read_text())["machine"]
    text = replaced(page.read_text(), FIGURES, section(machine, all_figures))
    by_name = {each.name: each for each in all_figures}
    charts = {FOLDER / each.file: drawn(each, all_figures) for each in CHARTS}
    return {page: replaced(text, SUMMARY, summary(by_name)), **charts}


def main() -> None:
    """Write the page's sections and the charts."""
    for path, text in written().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
