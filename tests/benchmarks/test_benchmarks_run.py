"""The benchmarks run and print their table; how fast anything is, no test says."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.benchmarks.between import between
from tests.benchmarks.figures import Figures, Goal, read, write
from tests.benchmarks.page import CHARTS, drawn, section, written
from tests.benchmarks.report import comparison, table
from tests.benchmarks.scenarios import SCENARIOS
from tests.conftest import require
from tests.support.postgres_server import HOW_TO_GET_IT, find_programs

# Each sets up something that the others do not.
RUN = ("sqlite-tls", "sqlite-latency", "send", "sqlite-start")
MACHINE = {"cores": "2"}


def bench(*arguments: str) -> str:
    ran = subprocess.run(  # noqa: S603 - this interpreter with our own program
        [sys.executable, "-m", "tests.benchmarks", *arguments],
        capture_output=True,
        text=True,
        check=False,
        # The package of the tests is found where the process was started.
        env={name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_page_says_what_was_recorded() -> None:
    for path, text in written().items():
        assert path.read_text() == text, f"run python -m tests.benchmarks.page: {path}"


def test_all_scenarios_are_listed() -> None:
    listed = bench("--list").splitlines()
    assert [line.split()[0] for line in listed] == [each.name for each in SCENARIOS]


@pytest.mark.long
def test_scenarios_are_run_printed_and_recorded(tmp_path: Path) -> None:
    require(find_programs(), HOW_TO_GET_IT)
    recorded = tmp_path / "figures.json"
    chosen = [word for name in RUN for word in ("--only", name)]
    printed = bench(*chosen, "--rounds", "1", "--scale", "0.001", "--json", str(recorded))
    figures = read(recorded)
    assert list(figures) == list(RUN)
    for each in figures.values():
        assert each.title in printed
        assert all(each.middle(value) > 0 for value in each.values)


class TestReport:
    QUIET = Figures("a", "The first", [{"ratio": 0.5}, {"ratio": 0.52}, {"ratio": 0.51}])

    def test_a_goal_is_reached_or_not(self) -> None:
        goals = (Goal("ratio", at_least=0.6),)
        missed = Figures("a", "The first", self.QUIET.rounds, goals)
        assert "0.51  (0.5 to 0.52)  goal ≥ 0.6: NOT reached" in table(MACHINE, [missed])
        goals = (Goal("ratio", at_most=0.6),)
        met = Figures("a", "The first", self.QUIET.rounds, goals)
        assert "goal ≤ 0.6: reached" in table(MACHINE, [met])

    def test_a_wide_spread_is_confessed(self) -> None:
        loud = Figures("a", "The first", [{"ratio": 0.4}, {"ratio": 0.6}])
        assert "spreads over 40%: the host was not quiet" in table(MACHINE, [loud])
        assert "not quiet" not in table(MACHINE, [self.QUIET])

    def test_what_changed_since_a_recorded_run_is_told_from_noise(self, tmp_path: Path) -> None:
        write(tmp_path / "before.json", MACHINE, [self.QUIET])
        before = read(tmp_path / "before.json")
        slower = Figures("a", "The first", [{"ratio": 0.4}])
        assert "-21.6% CHANGED" in comparison([slower], before)
        assert "+0.0% within the spread" in comparison([self.QUIET], before)
        other = Figures("b", "The second", [{"ratio": 1.0}])
        assert "The second: not in the recorded run" in comparison([other], before)

    def test_a_cost_over_another_is_told_where_both_were_run(self) -> None:
        one = Figures("postgres", "One", [{"cpu ratio": 2.0}, {"cpu ratio": 4.0}])
        many = Figures("postgres-fan-out-100", "Many", [{"cpu ratio": 1.0}, {"cpu ratio": 1.0}])
        (cost,) = between([one, many])
        assert [each["cost ratio"] for each in cost.rounds] == [0.5, 0.25]
        assert list(between([one])) == []

    def test_a_run_becomes_a_table_and_charts(self) -> None:
        goals = (Goal("ratio", at_least=0.6),)
        missed = Figures("a", "The first", self.QUIET.rounds, goals)
        assert "| The first | over raw | 0.51 | 0.5 | 0.52 | ≥ 0.6 | **not reached** |" in section(
            MACHINE, [missed]
        )
        chart = ET.fromstring(drawn(CHARTS[0], [missed, self.QUIET]))  # noqa: S314 - ours
        bars = chart.findall("{http://www.w3.org/2000/svg}rect")
        assert [bar.get("class") for bar in bars] == ["bar missed", "bar"]
