"""What a delivery store promises about deliveries that can no longer be sent."""

from datetime import datetime, timedelta
from uuid import UUID

from notification_core.model.delivery import DeliveryState, EndReason, Retry
from notification_core.model.webhook import FOREVER, DisabledReason
from tests.contracts.world import World, ids_of

HOUR = timedelta(hours=1)


async def _settle(world: World, limit: int = 1000, expired_before: datetime | None = None) -> int:
    before = expired_before or world.clock.now() - HOUR
    return await world.storage.deliveries.cancel_unsendable(limit, before)


async def _states(world: World, ids: list[UUID]) -> set[tuple[DeliveryState, EndReason | None]]:
    stored = [await world.probe(one) for one in ids]
    return {(one.state, one.reason) for one in stored}


async def test_nothing_is_settled_that_can_be_sent(world: World) -> None:
    ids = await world.publish(await world.webhook(), 3)
    await world.clock.advance(2 * HOUR.total_seconds())
    assert await _settle(world) == 0
    assert ids_of(await world.claim()) == ids


async def test_what_a_deleted_webhook_left_behind_is_cancelled_in_batches(world: World) -> None:
    webhook = await world.webhook()
    event = world.event()
    deliveries = [world.to(webhook, event) for _ in range(2500)]
    await world.ingest([event], deliveries)
    await world.storage.webhooks.delete(
        webhook.environment_id, webhook.webhook_id, world.clock.now()
    )
    while drain := await _settle(world, limit=400):
        assert drain <= 400
    ids = [one.delivery_id for one in deliveries]
    assert await _states(world, ids[:50] + ids[-50:]) == {
        (DeliveryState.CANCELLED, EndReason.WEBHOOK_DELETED)
    }


async def test_what_a_webhook_that_the_system_disabled_left_behind_is_skipped(
    world: World,
) -> None:
    webhook = await world.webhook()
    ids = await world.publish(webhook, 3)
    await world.change(webhook, disabled_until=FOREVER, disabled_reason=DisabledReason.FAILING)
    assert await _settle(world, limit=2) == 2
    assert await _settle(world, limit=2) == 1
    assert await _states(world, ids) == {(DeliveryState.SKIPPED, EndReason.WEBHOOK_DISABLED)}


async def test_what_a_user_paused_waits_and_expires(world: World) -> None:
    webhook = await world.webhook()
    old = await world.publish(webhook, 2)
    retried = await world.begin(webhook)
    await world.finish(retried, Retry(timedelta(hours=5)))
    await world.storage.deliveries.release(await world.storage.deliveries.leased(world.worker))
    await world.clock.advance(2 * HOUR.total_seconds())
    young = await world.publish(webhook, 2)
    await world.change(webhook, disabled_until=world.clock.now() + HOUR)
    assert await _settle(world) == 3
    assert await _states(world, [*old, retried.fence.delivery_id]) == {
        (DeliveryState.CANCELLED, EndReason.EXPIRED)
    }
    assert await _states(world, young) == {(DeliveryState.PENDING, None)}
    await world.clock.advance(HOUR.total_seconds())
    assert ids_of(await world.claim()) == young


async def test_a_pause_that_is_over_expires_nothing(world: World) -> None:
    webhook = await world.webhook()
    ids = await world.publish(webhook, 2)
    await world.change(webhook, disabled_until=world.clock.now() + HOUR)
    await world.clock.advance(2 * HOUR.total_seconds())
    assert await _settle(world) == 0
    assert ids_of(await world.claim()) == ids


async def test_what_is_being_attempted_is_left_to_its_worker(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    await world.change(webhook, disabled_until=FOREVER, disabled_reason=DisabledReason.GONE)
    assert await _settle(world) == 0
    await world.finish(begun, Retry(HOUR))
    assert await _settle(world) == 1
    assert await _states(world, [begun.fence.delivery_id]) == {
        (DeliveryState.SKIPPED, EndReason.WEBHOOK_DISABLED)
    }


async def test_neighbours_are_not_settled(world: World) -> None:
    doomed, well = await world.webhook(), await world.webhook()
    await world.publish(doomed)
    ids = await world.publish(well)
    await world.change(doomed, disabled_until=FOREVER, disabled_reason=DisabledReason.GONE)
    assert await _settle(world) == 1
    assert ids_of(await world.claim()) == ids


async def test_a_delivery_whose_webhook_is_not_there_at_all_is_cancelled(world: World) -> None:
    webhook = await world.webhook()
    event = world.event()
    orphan = world.to(webhook, event, webhook_id=world.ids())
    await world.ingest([event], [orphan])
    assert not (await world.claim()).deliveries
    assert await _settle(world) == 1
    assert await _states(world, [orphan.delivery_id]) == {
        (DeliveryState.CANCELLED, EndReason.WEBHOOK_DELETED)
    }
