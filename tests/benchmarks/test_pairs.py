"""Two commits beside each other: whose turn it is, and what of a difference is noise."""

import math
import os
import subprocess
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_core.version import VERSION
from tests.benchmarks.figures import Figures
from tests.benchmarks.pairing import USUAL, chosen
from tests.benchmarks.pairs import NULL, THIS, Pair, is_within, orders, paired, ratio, resolution
from tests.benchmarks.products import commit_of, install, wheel_of
from tests.benchmarks.scenarios import SCENARIOS

VARIANTS = (THIS, "before", NULL)


def figures(*values: float) -> Figures:
    return Figures("a", "The first", [{"cpu": value} for value in values])


def pair(this: Sequence[float], before: Sequence[float], null: Sequence[float]) -> Pair:
    rounds = {
        name: [{"cpu": value} for value in values]
        for name, values in zip(VARIANTS, (this, before, null), strict=True)
    }
    return paired("The first", "before", rounds)


class TestOrders:
    def test_each_variant_takes_each_place_and_follows_each_other(self) -> None:
        found = [tuple(order) for order in orders(VARIANTS, 6)]
        assert len(set(found)) == 6
        assert all(sorted(order) == sorted(VARIANTS) for order in found)
        for place in range(3):
            assert {order[place] for order in found[:3]} == set(VARIANTS)
        followers = {both for order in found for both in pairwise(order)}
        assert len(followers) == 6

    def test_it_changes_from_round_to_round(self) -> None:
        assert all(one != other for one, other in pairwise(orders(VARIANTS, 20)))


class TestRatios:
    def test_a_drift_of_the_host_cancels(self) -> None:
        assert ratio(figures(110, 220, 55), figures(100, 200, 50), "cpu") == pytest.approx(1.1)

    def test_the_resolution_is_what_identical_code_differs_by_either_way(self) -> None:
        first, second = figures(110, 100, 100), figures(100, 110, 101)
        assert resolution(first, second, "cpu") == pytest.approx(0.1)
        assert resolution(second, first, "cpu") == pytest.approx(0.1)

    def test_a_ratio_is_within_a_resolution_up_and_down(self) -> None:
        assert is_within(0.1, 1.1)
        assert is_within(0.1, 1 / 1.1)
        assert not is_within(0.1, 1.11)
        assert not is_within(0.1, 1 / 1.11)

    @given(st.lists(st.floats(-1, 1), min_size=1, max_size=12))
    def test_identical_code_is_always_within_its_resolution(self, logarithms: list[float]) -> None:
        this, null = figures(*[1.0] * len(logarithms)), figures(*map(math.exp, logarithms))
        assert is_within(resolution(null, this, "cpu"), ratio(null, this, "cpu"))
        assert resolution(null, this, "cpu") == pytest.approx(
            math.expm1(median(map(abs, logarithms)))
        )


class TestPair:
    def test_what_identical_code_shows_too_is_no_difference(self) -> None:
        noisy = pair([100, 100, 100], [108, 108, 108], [110, 90, 110])
        assert not noisy.differs("cpu")
        assert "1.080 of this tree: within it" in str(noisy)

    def test_what_is_beyond_both_of_identical_code_differs(self) -> None:
        clear = pair([100, 101, 100], [120, 121, 122], [101, 100, 102])
        assert clear.differs("cpu")
        assert "1.200 of this tree: DIFFERS by more than it" in str(clear)

    def test_what_is_beyond_only_one_of_them_does_not(self) -> None:
        assert not pair([100, 100, 100], [107, 107, 107], [104, 104, 104]).differs("cpu")

    def test_it_tells_the_middle_and_the_spread_of_each(self) -> None:
        printed = str(pair([400, 410, 420], [500, 510, 520], [401, 411, 421]))
        assert "The first  (3 rounds" in printed
        for name, row in zip(VARIANTS, ("410", "510", "411"), strict=True):
            (line,) = [line for line in printed.splitlines() if line.strip().startswith(name)]
            assert row in line
        assert "(400 to 420)" in printed


class TestWhatIsCompared:
    def test_the_usual_scenarios_can_be_compared(self) -> None:
        assert [each.name for each in chosen(())] == list(USUAL)

    @pytest.mark.parametrize("name", ["send", "sqlite-latency", "sqlite-start"])
    def test_what_another_commit_may_not_have_is_refused(self, name: str) -> None:
        assert name in {each.name for each in SCENARIOS}
        with pytest.raises(SystemExit, match=f"^{name} cannot be compared .* These can: sqlite, "):
            chosen([name])

    def test_a_revision_that_is_not_there_is_named(self) -> None:
        with pytest.raises(SystemExit, match="no commit 'nonsense'"):
            commit_of("nonsense")


@pytest.mark.long  # each comparison installs so, and it is not about what users get
def test_this_tree_is_installed_apart_from_the_environment_that_measures(tmp_path: Path) -> None:
    product = install(wheel_of(None, tmp_path), tmp_path / "venv")
    assert product.command.is_relative_to(tmp_path)
    ran = subprocess.run(  # noqa: S603 - what was just installed
        [product.command, "--version"],
        env={**os.environ, **product.variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert VERSION in ran.stdout
