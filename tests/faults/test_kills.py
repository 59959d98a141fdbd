"""kill -9 in mid-run, at random moments, and nothing is lost."""

import asyncio

import pytest

from tests.faults.experiment import Experiment
from tests.faults.history import Allowed
from tests.faults.load import under_load
from tests.faults.marks import postgres_when_long
from tests.faults.place import Place, ServerPlace
from tests.faults.stage import running

RECOVERY = 5.0


@postgres_when_long
@pytest.mark.experiment(8, "killed at random under load")
async def test_kills_lose_nothing_and_repeat_no_more_than_was_in_flight(
    experiment: Experiment, place: Place
) -> None:
    is_slow = not isinstance(place, ServerPlace)
    in_flight, slowest, kills = (512, 0.6, 5) if is_slow else (16, 0.06, 3)
    kills = kills if experiment.judged else 2
    settings = {
        "WEBHOOKS_MAX_IN_FLIGHT": str(in_flight),
        "WEBHOOKS_MAX_IN_FLIGHT_PER_WEBHOOK": str(in_flight),
        "WEBHOOKS_RETRY_INTERVAL": "200ms",
    }
    async with (
        running(experiment.folder, place, **settings) as (up, api),
        under_load(api, experiment.random, slowest) as load,
    ):
        for _ in range(kills):
            await asyncio.sleep(experiment.random.uniform(0.1, 1.2))
            await up.kill()
            await up.start()
        await load.ended(place)
        allowed = Allowed(max_in_flight=in_flight, kills=up.kills, probes=True)
        history = load.history(await api.key(), allowed)
        assert await up.terminate() == 0
    # How long a busy machine takes to start a process is not for this test to decide.
    starting = max(ready - start for ready, start in zip(up.readies, up.starts, strict=True))
    experiment.judge(history, recovers_within=RECOVERY + starting.total_seconds())
