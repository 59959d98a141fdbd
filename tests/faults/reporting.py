"""What a session of experiments is told, and the table that it ends with."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest
from attrs import asdict

from tests.faults.figures import Figures
from tests.faults.table import Line, table_of

_EXPERIMENT, _FIGURES, _MUTANT, _TOLD = "experiment", "figures", "mutant", "told"
_VERDICTS = {"passed": "holds", "failed": "BROKEN", "error": "error", "skipped": "skipped"}

# What is kept of a test is made of plain values: they come from another process where tests run
# beside one another.
_Properties = list[tuple[str, object]]
_Ended = Sequence[tuple[str, pytest.TestReport]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take what the long runs are told."""
    group = parser.getgroup("faults", "breaking the promises on purpose")
    group.addoption("--long", action="store_true", help="run what takes long too")
    group.addoption("--seed", type=int, help="repeat what was random in a run")
    group.addoption("--minutes", type=float, default=10.0, help="how long the soak takes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long, and let the reports say which experiment a test is."""
    for item in items:
        for marker in item.iter_markers(_EXPERIMENT):
            item.user_properties.append((_EXPERIMENT, _titled(item, *marker.args)))
    if not config.getoption("--long"):
        long = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if not item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)


def _titled(item: pytest.Item, number: int, title: str) -> tuple[int, str]:
    _, _, parameters = item.name.partition("[")
    return number, f"{title} ({parameters.removesuffix(']')})" if parameters else title


def keep_line(properties: _Properties, line: str) -> None:
    """Keep a line for the end of the session."""
    properties.append((_TOLD, line))


def keep_figures(properties: _Properties, figures: Figures) -> None:
    """Keep what a run came to for the table."""
    properties.append((_FIGURES, asdict(figures)))


def keep_mutant(properties: _Properties, mutant: str, found: str) -> None:
    """Keep what was found out about a mutant for the table of them."""
    properties.append((_MUTANT, (mutant, found)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was told, and what the experiments came to."""
    ended = [
        (verdict, report)
        for category, verdict in _VERDICTS.items()
        for report in terminalreporter.stats.get(category, ())
        if isinstance(report, pytest.TestReport)
    ]
    _print(terminalreporter, "figures", _figures(ended))
    _print(terminalreporter, "mutants", _mutants(ended))
    lines = [
        Line(number, title, verdict, [Figures(**one) for one in _kept(report, _FIGURES)])
        for verdict, report in ended
        for number, title in _kept(report, _EXPERIMENT)
    ]
    _print(terminalreporter, "experiments", table_of(lines) if lines else ())


def _print(terminalreporter: pytest.TerminalReporter, title: str, lines: Iterable[str]) -> None:
    rows = list(lines)
    if rows:
        terminalreporter.section(title)
    for row in rows:
        terminalreporter.write_line(row)


def _figures(ended: _Ended) -> Iterator[str]:
    for _, report in ended:
        for line in _kept(report, _TOLD):
            yield f"{report.nodeid.rpartition('::')[2]}: {line}"


def _mutants(ended: _Ended) -> Iterator[str]:
    for verdict, report in ended:
        for mutant, found in _kept(report, _MUTANT):
            was = "red" if verdict == _VERDICTS["passed"] else "SURVIVED"
            yield f"{mutant.replace('_', ' '):<40}{was:<10}{found}"


def _kept(report: pytest.TestReport, name: str) -> list[Any]:
    return [value for key, value in report.user_properties if key == name]
