"""``python -m tests.hostile``: what hostile receivers, names and URLs do to each sender.

Prints one table, and ends with 1 where anything is not as it has to be. ``--only`` takes a part of
a case's name.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop
from attrs import frozen

from notification_adapters.http.aiohttp import AiohttpSender
from notification_adapters.http.native import NativeSender
from tests.hostile.cases import CASES, REFUSED, Case
from tests.hostile.stages import Stage
from tests.hostile.trying import Outcome, differences, tried
from tests.support.network_guard import guarded_network
from tests.support.sending import MakeSender

SENDERS: Mapping[str, MakeSender] = {"native": NativeSender, "aiohttp": AiohttpSender}
LIMIT = timedelta(seconds=1)
HEAD = ("case", "sender", "expected", "happened", "bytes", "seconds", "memory", "verdict")
WIDTHS = (46, 8, 24, 24, 12, 8, 12, 0)


@frozen
class Row:
    """A case as it went with a sender; ``wrong`` is empty if all is as it has to be."""

    case: Case
    sender: str
    outcome: Outcome
    wrong: Sequence[str]

    @property
    def cells(self) -> Sequence[str]:
        """The row as it is printed."""
        return (
            self.case.name,
            self.sender,
            " or ".join(sorted(self.case.expected)),
            self.outcome.what,
            f"{self.outcome.bytes:,}",
            f"{self.outcome.seconds:.2f}",
            f"{self.outcome.memory:,}",
            "; ".join(self.wrong) or "ok",
        )


async def rows(cases: Sequence[Case]) -> Sequence[Row]:
    """Try each case out on each sender, one after the other, and tell of each."""
    done = []
    for case in cases:
        for name, make in SENDERS.items():
            with TemporaryDirectory() as folder:
                made = partial(Stage.sender, make=make)
                outcome = await tried(case, made, Path(folder), LIMIT)
            done.append(Row(case, name, outcome, list(differences(case, outcome, LIMIT))))
            print(written(done[-1].cells), flush=True)
    return done


def written(cells: Sequence[str]) -> str:
    """Return a line of the table."""
    return "  ".join(_cells(cells)).rstrip()


def _cells(cells: Sequence[str]) -> Iterator[str]:
    for cell, width in zip(cells, WIDTHS, strict=True):
        yield f"{cell[: width - 1]}…" if 0 < width < len(cell) else f"{cell:<{width}}"


def main() -> int:
    """Print the table; return 1 where anything is different."""
    parser = argparse.ArgumentParser(prog="nox -s hostile --", description=__doc__)
    parser.add_argument("--only", default="", help="cases whose names hold this")
    only = parser.parse_args().only
    cases = [case for case in (*CASES, *REFUSED) if only in case.name]
    print(written(HEAD))
    with guarded_network(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        done = runner.run(rows(cases))
    wrong = [row for row in done if row.wrong]
    print(f"\n{len(cases)} cases, {len(done)} attempts, {len(wrong)} not as they have to be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
