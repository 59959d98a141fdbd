"""``python -m tests.benchmarks``: how fast the system is, over what is possible in the same run.

Every scenario starts its system as a user would, with nothing set weaker than its default, and
takes turns with the bare aiohttp client; the clock stops when every row of the log is counted in
the database. ``--list`` names the scenarios; ``--pair REVISION`` measures another commit beside
this tree instead of the bare client.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import figures, machine, pairing, report
from tests.benchmarks.between import between
from tests.benchmarks.figures import Figures
from tests.benchmarks.scenarios import SCENARIOS, Scenario


async def measure(scenario: Scenario, rounds: int, scale: float) -> Figures:
    """Run a scenario's rounds, telling of each."""
    print(f"{scenario.name}: warming up", file=sys.stderr, flush=True)
    done = []
    async with scenario.opened(scale) as running:
        for number in range(1, rounds + 1):
            done.append(await running.round())
            told = ", ".join(f"{name} {value:,.3g}" for name, value in done[-1].items())
            print(f"{scenario.name}: round {number} of {rounds}: {told}", file=sys.stderr)
    return Figures(scenario.name, scenario.title, done, scenario.goals)


async def main(arguments: argparse.Namespace) -> None:
    """Measure what was asked for, print it, and compare it."""
    described = machine.described()
    chosen = [each for each in SCENARIOS if not arguments.only or each.name in arguments.only]
    done = [await measure(each, arguments.rounds, arguments.scale) for each in chosen]
    done += between(done)
    print(report.table(described, done))
    if arguments.json:
        figures.write(arguments.json, described, done)
    if arguments.compare:
        print(f"\nSince {arguments.compare}:")
        print(report.comparison(done, figures.read(arguments.compare)))


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__)
    names = [each.name for each in SCENARIOS]
    parser.add_argument("--list", action="store_true", help="name the scenarios and end")
    parser.add_argument("--only", action="append", choices=names, help="run this one; repeatable")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="a part of the usual load")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    parser.add_argument("--compare", type=Path, help="compare with figures written before")
    parser.add_argument("--pair", metavar="REVISION", help="beside another commit, in one run")
    arguments = parser.parse_args(words)
    if arguments.pair and (arguments.json or arguments.compare):
        parser.error("--pair prints its comparison; --json and --compare are for figures of a run")
    return arguments


if __name__ == "__main__":
    asked = parsed()
    if asked.list:
        for each in SCENARIOS:
            print(f"{each.name:<24}{each.title}")
    elif asked.pair:
        given = (asked.only or (), asked.rounds, asked.scale)
        asyncio.run(pairing.compare(asked.pair, *given))
    else:
        asyncio.run(main(asked))
