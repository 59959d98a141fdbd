"""What every storage says of what waits in it."""

from datetime import timedelta

from notification_core.model.delivery import Retry
from notification_core.model.webhook import FOREVER
from notification_core.ports.backlog import BacklogSize
from tests.contracts.world import World

EMPTY = BacklogSize(0, 0, 0, {}, frozenset())


async def test_nothing_waits_in_an_empty_storage(world: World) -> None:
    assert await world.storage.backlog.size() == EMPTY


async def test_what_waits_is_counted_and_the_oldest_is_told_by_its_age(world: World) -> None:
    one, other = await world.webhook(), await world.webhook()
    await world.publish(one, 3)
    await world.clock.advance(60)
    await world.publish(other, 2)
    await world.clock.advance(5)
    size = await world.storage.backlog.size()
    assert (size.waiting, size.begun, size.webhooks) == (5, 0, 2)
    assert size.oldest_due
    assert size.oldest_due // timedelta(seconds=1) == 65
    ages = {webhook_id: age // timedelta(seconds=1) for webhook_id, age in size.due.items()}
    assert ages == {one.webhook_id: 65, other.webhook_id: 5}


async def test_what_a_worker_has_taken_is_counted_apart_with_the_worker(world: World) -> None:
    webhook = await world.webhook()
    await world.publish(webhook, 3)
    await world.claim(limit=2)
    size = await world.storage.backlog.size()
    assert (size.waiting, size.begun, size.workers) == (1, 2, {world.worker})


async def test_what_is_not_due_yet_waits_and_has_no_age(world: World) -> None:
    begun = await world.begin(await world.webhook())
    await world.finish(begun, Retry(timedelta(hours=1)))
    size = await world.storage.backlog.size()
    assert (size.waiting, size.oldest_due) == (1, None)


async def test_a_webhook_that_is_not_sent_to_makes_nothing_old(world: World) -> None:
    webhook = await world.webhook()
    await world.publish(webhook)
    await world.change(webhook, disabled_until=FOREVER)
    await world.clock.advance(3600)
    size = await world.storage.backlog.size()
    assert (size.waiting, size.webhooks, size.oldest_due) == (1, 1, None)


async def test_what_has_ended_waits_no_more(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    await world.finish(begun)
    assert await world.storage.backlog.size() == EMPTY


async def test_counting_stops_at_its_bounds(world: World) -> None:
    for _ in range(3):
        await world.publish(await world.webhook(), 4)
    size = await world.storage.backlog.size(max_counted=10, max_webhooks=2)
    assert (size.waiting, size.webhooks) == (10, 2)


async def test_the_queues_that_are_longer_than_a_bound_are_found(world: World) -> None:
    long, short = await world.webhook(), await world.webhook()
    disabled = await world.webhook(world.other_environment_id, disabled_until=FOREVER)
    await world.publish(long, 4)
    await world.publish(short, 3)
    await world.publish(disabled, 5)
    backlog = world.storage.backlog
    assert set(await backlog.longer_than(3)) == {long.webhook_id, disabled.webhook_id}
    assert set(await backlog.longer_than(4)) == {disabled.webhook_id}
    assert set(await backlog.longer_than(5)) == set()
    assert set(await backlog.longer_than(12)) == set()


async def test_what_is_being_sent_and_what_has_ended_makes_no_queue_longer(world: World) -> None:
    webhook = await world.webhook()
    await world.publish(webhook, 4)
    begun, *_ = (await world.claim(limit=2)).deliveries
    await world.finish(begun)
    assert set(await world.storage.backlog.longer_than(1)) == {webhook.webhook_id}
    assert set(await world.storage.backlog.longer_than(2)) == set()
