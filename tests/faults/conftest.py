"""What the experiments measured is printed at the end of the run, whatever came of it."""

import os
from collections.abc import Callable
from random import SystemRandom

import pytest

_FIGURES: list[str] = []


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Give a function that keeps a line of figures for the end of the run."""
    name = request.node.name

    def keep(line: str) -> None:
        _FIGURES.append(f"{name}: {line}")

    return keep


@pytest.fixture
def seed(tell: Callable[[str], None]) -> int:
    """Return the seed of what is random: FAULTS_SEED, or a new one, which is told."""
    chosen = int(os.environ.get("FAULTS_SEED") or SystemRandom().randrange(10_000))
    tell(f"FAULTS_SEED={chosen}")
    return chosen


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures."""
    if _FIGURES:
        terminalreporter.section("figures")
        for line in _FIGURES:
            terminalreporter.write_line(line)
