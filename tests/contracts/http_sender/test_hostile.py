"""What others do to every HTTP sender: the cases of ``nox -s hostile``, on every loop."""

from functools import partial
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from tests.hostile.cases import CASES, EXPERIMENTS, REFUSED, Case
from tests.hostile.stages import Stage
from tests.hostile.trying import differences, tried
from tests.support.sending import ENOUGH, SHORT, MakeSender


def as_parameter(case: Case) -> ParameterSet:
    numbers = [number for number, names in EXPERIMENTS.items() if case.name in names]
    marks = [pytest.mark.experiment(number, case.name) for number in numbers]
    return pytest.param(case, marks=marks, id=case.name)


@pytest.mark.parametrize("case", [as_parameter(case) for case in CASES])
async def test_what_others_do_ends_in_time_in_bounds_and_in_its_own_error(
    make_sender: MakeSender, case: Case, tmp_path: Path
) -> None:
    limit = SHORT if case.waits else ENOUGH
    outcome = await tried(case, partial(Stage.sender, make=make_sender), tmp_path, limit)
    assert list(differences(case, outcome, limit)) == []


async def test_nothing_connects_to_where_nothing_may_be_sent(
    make_sender: MakeSender, tmp_path: Path
) -> None:
    made = partial(Stage.sender, make=make_sender)
    wrong = {}
    for case in REFUSED:
        outcome = await tried(case, made, tmp_path, ENOUGH)
        wrong[case.name] = list(differences(case, outcome, ENOUGH))
    assert {name: told for name, told in wrong.items() if told} == {}
