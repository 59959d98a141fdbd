"""One event many times, and two events under one id."""

import asyncio

import pytest

from tests.faults.experiment import Experiment
from tests.faults.place import Place
from tests.faults.scenarios import on_scene
from tests.faults.stage import TYPE, JsonObject

EVENT = "event"


@pytest.mark.experiment(26, "one event ten times at once, and another under its id")
async def test_of_one_event_ten_times_and_another_under_its_id_one_is_delivered(
    experiment: Experiment, place: Place
) -> None:
    async with on_scene(experiment.folder, place, (), lambda: (0, 200)) as scene:
        await asyncio.gather(*(scene.publish([EVENT]) for _ in range(10)))
        other: JsonObject = {"event_id": EVENT, "event": TYPE, "data": {"name": "another"}}
        assert await scene.api.try_to_publish([other]) == 202
        assert await scene.up.metric("notification_event_conflicts_total") == 1
        history = await scene.rested()
        (request,) = scene.receiver.requests
    assert b"another" not in request.body
    experiment.judge(history)
