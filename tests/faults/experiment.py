"""An experiment: what it is given, how it is checked, and what it leaves behind."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from random import Random

from attrs import define

from tests.faults.checker import check
from tests.faults.figures import Figures, figures_of
from tests.faults.files import write_history
from tests.faults.history import History


@define
class Experiment:
    """One run of one experiment.

    What is random in it comes from ``random``; ``tell`` keeps a line for the end of the session,
    ``note`` the figures for its table. Times are ``judged`` only if the host is its own.
    """

    name: str
    folder: Path
    seed: int
    random: Random
    tell: Callable[[str], None]
    note: Callable[[Figures], None]
    judged: bool

    def judge(self, history: History, recovers_within: float | None = None) -> None:
        """Fail where the promise was broken; the folder then has all that is known of it."""
        figures = figures_of(history)
        write_history(self.folder, history)
        (self.folder / "again.sh").write_text(f"{self._again}\n")
        self.note(figures)
        verdict = check(history)
        assert verdict.holds, (
            f"{verdict}\nWhat is known of it: {self.folder}\n"
            f"Look again: python -m tests.faults.checker {self.folder}\nRun again: {self._again}"
        )
        if self.judged and recovers_within is not None and figures.recovery is not None:
            assert figures.recovery <= recovers_within

    @property
    def _again(self) -> str:
        words = " and ".join(re.findall(r"\w+", self.name))
        return f"nox -s faults -- --seed {self.seed} -k {shlex.quote(words)}"
