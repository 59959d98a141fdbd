"""Migrations: killed during one, and the former version served while it is made and beside it."""

from contextlib import AsyncExitStack

import pytest
from attrs import evolve

from tests.faults.experiment import Experiment
from tests.faults.former import NEWEST_SCHEMA, FormerUp, former_source
from tests.faults.history import Allowed
from tests.faults.load import kills_of, under_load
from tests.faults.place import Place
from tests.faults.producer import Producer, producing
from tests.faults.scenarios import events, on_scene
from tests.faults.stage import Up, api_of
from tests.support.waiting import until

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


IN_FLIGHT = 16
FORMER_BEGUN = 2000 + IN_FLIGHT
"""The former version begins what it only holds in memory, so that its kills interrupt more."""

SETTINGS = {
    "WEBHOOKS_BREAKER_FAILURES": "0",  # the former version has none: plain retries are counted
    "WEBHOOKS_MAX_IN_FLIGHT": str(IN_FLIGHT),
    "WEBHOOKS_MAX_IN_FLIGHT_PER_WEBHOOK": str(IN_FLIGHT),
    "WEBHOOKS_RETRY_INTERVAL": "200ms",
}


_SCHEMA = "SELECT version_num FROM notification_schema"


@pytest.mark.experiment(36, "the former version and this one side by side")
async def test_the_former_version_serves_while_its_database_is_migrated_and_beside_this_one(
    experiment: Experiment, place: Place
) -> None:
    source = former_source(experiment.folder / "source")
    former = FormerUp(experiment.folder / "former", SETTINGS, place=place, source=source)
    present = Up(experiment.folder / "present", SETTINGS, place=place)
    async with AsyncExitStack() as stack:
        for each in (former, present):
            stack.push_async_callback(each.close)
        await former.start()
        former_api = await stack.enter_async_context(api_of(former))
        load = await stack.enter_async_context(under_load(former_api, experiment.random, 0.06))
        await load.has_published(200)
        migrating = Up(experiment.folder / "migrating", {}, "migrate", place=place)
        migrating.tampering = ("--at", "upgrading=kill:3")
        await migrating.spawn()
        assert await migrating.ended() == -9, migrating.said()
        assert await place.count(_SCHEMA) == 1
        await load.has_published(50)
        migrating.tampering = ()
        await migrating.ended_well()
        assert await place.count(_SCHEMA) == NEWEST_SCHEMA
        await load.has_published(50)
        await present.start()
        api = await stack.enter_async_context(api_of(present))
        api = evolve(api, environment=former_api.environment)
        beside = await stack.enter_async_context(producing(api, experiment.random, 50_000))
        for each in (former, present, former):
            await load.has_published(50)
            await each.kill()
            await each.start()
        await load.has_published(50)
        beside.stop()
        await until("the other producer has ended", lambda: _is_idle(beside))
        await load.ended(place)
        allowed = Allowed(max_in_flight=FORMER_BEGUN, kills=kills_of(former, present))
        history = load.history(await api.key(), allowed)
        assert await former.terminate() == 0
        assert await present.terminate() == 0
    # The former version counts nothing.
    stored = evolve(history.stored, counts=None)
    published = [*history.published, *beside.published()]
    experiment.judge(evolve(history, stored=stored, published=published))


async def _is_idle(producer: Producer) -> bool:
    return producer.is_idle
