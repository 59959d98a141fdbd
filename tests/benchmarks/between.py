"""What follows from two scenarios of one run: how a cost grows from the one to the other."""

from collections.abc import Iterator, Sequence

from attrs import frozen

from tests.benchmarks.figures import Figures, Goal


@frozen
class Between:
    """A value of one scenario over the same value of another, round by round."""

    name: str
    title: str
    value: str
    over: str
    under: str
    goals: Sequence[Goal] = ()


BETWEEN: Sequence[Between] = (
    Between(
        "postgres-fan-out-cost",
        "CPU a delivery with 100 webhooks an event, over that with one → PostgreSQL",
        "cpu ratio",
        over="postgres-fan-out-100",
        under="postgres",
        goals=(Goal("cost ratio", at_most=0.6),),
    ),
)


def between(done: Sequence[Figures]) -> Iterator[Figures]:
    """Return what follows from the scenarios of a run, where both of them were run."""
    by_name = {figures.name: figures for figures in done}
    for each in BETWEEN:
        if each.over in by_name and each.under in by_name:
            pairs = zip(by_name[each.over].rounds, by_name[each.under].rounds, strict=True)
            rounds = [{"cost ratio": over[each.value] / under[each.value]} for over, under in pairs]
            yield Figures(each.name, each.title, rounds, each.goals)
