"""Another commit beside this tree, in one run.

Three variants take turns: this tree, the revision, and ``null``, which is this tree once more. Two
processes of identical code differ by up to 15 % for as long as they run, so each variant of each
round restarts all: receiver, database and system. CPU per delivery, or per call of the API, is the
evidence; rates stand beside it. Load and receiver are this tree's for all of them.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol, TypeGuard

from tests.benchmarks.figures import Round
from tests.benchmarks.machine import interpreter
from tests.benchmarks.pairs import NULL, THIS, Pair, orders, paired
from tests.benchmarks.products import Product, commit_of, install, wheel_of
from tests.benchmarks.scenarios import SCENARIOS, Scenario

USUAL = ("sqlite", "sqlite-single", "postgres", "postgres-single", "kafka")
"""What is compared where nothing is chosen."""


class Pairable(Protocol):
    """A scenario that knows a product by its command line and its HTTP API alone."""

    name: str
    title: str

    def started(self, scale: float, product: Product) -> AbstractAsyncContextManager["Costly"]:
        """Start everything that is measured with a product, cold, for the length of the block."""


class Costly(Protocol):
    """A scenario that is started, and can say of a round what it cost."""

    async def costs(self) -> Round:
        """Make a round's load; return the CPU of each thing that was done, and the rates."""


def chosen(names: Sequence[str]) -> Sequence[Pairable]:
    """Return the scenarios of these names; end with a sentence where one cannot be compared."""
    by_name = {each.name: each for each in SCENARIOS}
    scenarios = []
    for name in names or USUAL:
        scenario = by_name[name]
        if not _is_pairable(scenario):
            able = ", ".join(each.name for each in SCENARIOS if _is_pairable(each))
            raise SystemExit(
                f"{name} cannot be compared with another commit: it measures something else than "
                "CPU through the command line and the HTTP API, or uses code of this tree that "
                f"another commit may not have. These can: {able}"
            )
        scenarios.append(scenario)
    return scenarios


def _is_pairable(scenario: Scenario | Pairable) -> TypeGuard[Pairable]:
    return hasattr(scenario, "started")


async def compare(revision: str, names: Sequence[str], rounds: int, scale: float) -> None:
    """Measure the scenarios of these names on both commits, and print what differs."""
    scenarios = chosen(names)
    commit = commit_of(revision)
    print(f"{interpreter()}; {THIS} beside {revision} ({commit[:12]})", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        products = _installed(revision, commit, Path(folder))
        for scenario in scenarios:
            print(f"\n{await _measure(scenario, revision, products, rounds, scale)}", flush=True)


def _installed(revision: str, commit: str, folder: Path) -> Mapping[str, Product]:
    _tell(f"building {THIS} and {revision}")
    for name in (THIS, "revision"):
        (folder / name).mkdir()
    this, other = wheel_of(None, folder / THIS), wheel_of(commit, folder / "revision")
    return {
        THIS: install(this, folder / THIS / "venv"),
        revision: install(other, folder / "revision" / "venv"),
        NULL: install(this, folder / NULL),
    }


async def _measure(
    scenario: Pairable, revision: str, products: Mapping[str, Product], rounds: int, scale: float
) -> Pair:
    done: Mapping[str, list[Round]] = {name: [] for name in products}
    for number, order in enumerate(orders(list(products), rounds), 1):
        for name in order:
            figures = await _measure_once(scenario, products[name], scale)
            done[name].append(figures)
            values = ", ".join(f"{value} {found:,.3g}" for value, found in figures.items())
            _tell(f"{scenario.name}: round {number} of {rounds}: {name}: {values}")
    return paired(scenario.title, revision, done)


async def _measure_once(scenario: Pairable, product: Product, scale: float) -> Round:
    """Start a product, warm it up with a round's load, and measure the next round."""
    async with scenario.started(scale, product) as running:
        await running.costs()
        return await running.costs()


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
