"""Killed amid a migration: nothing of it is there, and the next one is whole."""

import pytest

from tests.faults.experiment import Experiment
from tests.faults.place import Place
from tests.faults.scenarios import events, on_scene
from tests.faults.stage import Up

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.mark.experiment(36, "a migration killed midway")
async def test_a_migration_that_is_killed_is_done_again_and_all_is_delivered(
    experiment: Experiment, place: Place
) -> None:
    migrating = Up(experiment.folder, {}, "migrate", place=place)
    migrating.tampering = ("--at", "migrating=kill:20")
    await migrating.spawn()
    assert await migrating.ended() == -9, migrating.said()
    migrating.tampering = ()
    await migrating.ended_well()
    assert await place.count("SELECT count(*) FROM events") == 0
    async with on_scene(experiment.folder, place, (), lambda: (0, 200)) as scene:
        await scene.publish(events(5))
        history = await scene.rested()
    experiment.judge(history)
