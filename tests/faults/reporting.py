"""What a session of experiments is told, and the table that it ends with."""

from typing import Any

import pytest
from attrs import asdict

from tests.faults.figures import Figures
from tests.faults.table import Line, table_of

_EXPERIMENT, _FIGURES, _TOLD = "experiment", "figures", "told"
_VERDICTS = {"passed": "holds", "failed": "BROKEN", "error": "error", "skipped": "skipped"}

# What is kept of a test is made of plain values: they come from another process where tests run
# beside one another.
_Properties = list[tuple[str, object]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take what the long runs are told."""
    group = parser.getgroup("faults", "breaking the promises on purpose")
    group.addoption("--long", action="store_true", help="run what takes long too")
    group.addoption("--seed", type=int, help="repeat what was random in a run")
    group.addoption("--minutes", type=float, default=2.0, help="how long the soak takes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long, and let the reports say which experiment a test is."""
    for item in items:
        if (marker := item.get_closest_marker(_EXPERIMENT)) is not None:
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


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print what was told, and what the experiments came to."""
    ended = [
        (verdict, report)
        for category, verdict in _VERDICTS.items()
        for report in terminalreporter.stats.get(category, ())
    ]
    told = [(report, line) for _, report in ended for line in _kept(report, _TOLD)]
    lines = [
        Line(number, title, verdict, [Figures(**one) for one in _kept(report, _FIGURES)])
        for verdict, report in ended
        for number, title in _kept(report, _EXPERIMENT)
    ]
    if told:
        terminalreporter.section("figures")
    for report, line in told:
        terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {line}")
    if lines:
        terminalreporter.section("experiments")
    for row in table_of(lines, whole=not config.option.keyword) if lines else ():
        terminalreporter.write_line(row)


def _kept(report: pytest.TestReport, name: str) -> list[Any]:
    return [value for key, value in report.user_properties if key == name]
