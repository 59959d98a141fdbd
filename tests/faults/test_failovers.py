"""A failover loses nothing that was acknowledged."""

import pytest

from tests.faults.experiment import Experiment
from tests.faults.failover import failed_over

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]


@pytest.mark.experiment(37, "a failover to a synchronous standby that was killed before")
async def test_a_failover_loses_no_acknowledged_event(experiment: Experiment) -> None:
    experiment.judge(await failed_over(experiment.folder, ()))
