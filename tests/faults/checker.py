"""The checker tells whether anything was lost, duplicated, unsigned, out of order or miscounted.

It checks a run by three accounts alone: what was acknowledged to the producer, what the receivers
saw, and the final state of the storage. ``python -m tests.faults.checker FOLDER`` reads them from
the folder that a run left behind, prints what it found and exits with 1 where the promise is
broken.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import asdict, frozen

from tests.faults import rules
from tests.faults.files import read_history
from tests.faults.history import History

_SHOWN = 10


@frozen
class Verdict:
    """What is wrong with a run, a sentence each; all empty if the promise holds."""

    lost: Sequence[str] = ()
    unlogged: Sequence[str] = ()
    doubled: Sequence[str] = ()
    unsigned: Sequence[str] = ()
    misordered: Sequence[str] = ()
    stuck: Sequence[str] = ()
    ghost: Sequence[str] = ()
    miscounted: Sequence[str] = ()

    @property
    def found(self) -> Mapping[str, Sequence[str]]:
        """Return what is wrong, by kind."""
        kinds: Mapping[str, Sequence[str]] = asdict(self, recurse=False)
        return {kind: sentences for kind, sentences in kinds.items() if sentences}

    @property
    def holds(self) -> bool:
        """Tell whether the promise holds."""
        return not self.found

    def __str__(self) -> str:
        kinds: Mapping[str, Sequence[str]] = asdict(self, recurse=False)
        lines = [f"{name:<12}{len(said):>8}" for name, said in kinds.items()]
        for name, said in kinds.items():
            lines += [f"{name}: {sentence}" for sentence in said[:_SHOWN]]
        return "\n".join(lines)


def check(history: History) -> Verdict:
    """Check a run."""
    run = rules.indexed(history)
    return Verdict(
        lost=sorted(rules.lost(run)),
        unlogged=sorted(rules.unlogged(run)),
        doubled=sorted(rules.doubled(run)),
        unsigned=sorted(rules.unsigned(run)),
        misordered=sorted(rules.misordered(run)),
        stuck=sorted(rules.stuck(run)),
        ghost=sorted(rules.ghosts(run)),
        miscounted=sorted(rules.miscounted(run)),
    )


def main(folder: Path) -> int:
    """Check the run that left its accounts in a folder; return 0 where the promise holds."""
    verdict = check(read_history(folder))
    sys.stdout.write(f"{verdict}\n")
    return 0 if verdict.holds else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
