"""What a delivery store promises about deliveries that can no longer be sent."""

from datetime import datetime, timedelta
from uuid import UUID

from notification_core.model.delivery import DeliveryState, EndReason, Retry
from notification_core.model.webhook import FOREVER, DisabledReason
from tests.contracts.harness import Harness, ids_of

HOUR = timedelta(hours=1)


async def _settle(
    harness: Harness, limit: int = 1000, expired_before: datetime | None = None
) -> int:
    before = expired_before or harness.clock.now() - HOUR
    return (await harness.storage.deliveries.cancel_unsendable(limit, before)).count


async def _states(harness: Harness, ids: list[UUID]) -> set[tuple[DeliveryState, EndReason | None]]:
    stored = [await harness.probe(one) for one in ids]
    return {(one.state, one.reason) for one in stored}


async def test_nothing_is_settled_that_can_be_sent(harness: Harness) -> None:
    ids = await harness.publish(await harness.webhook(), 3)
    await harness.clock.advance(2 * HOUR.total_seconds())
    assert await _settle(harness) == 0
    assert ids_of(await harness.claim()) == ids


async def test_what_a_deleted_webhook_left_behind_is_cancelled_in_batches(harness: Harness) -> None:
    webhook = await harness.webhook()
    event = harness.event()
    deliveries = [harness.to(webhook, event) for _ in range(2500)]
    await harness.ingest([event], deliveries)
    await harness.storage.webhooks.delete(
        webhook.environment_id, webhook.webhook_id, harness.clock.now()
    )
    while drain := await _settle(harness, limit=400):
        assert drain <= 400
    ids = [one.delivery_id for one in deliveries]
    assert await _states(harness, ids[:50] + ids[-50:]) == {
        (DeliveryState.CANCELLED, EndReason.WEBHOOK_DELETED)
    }


async def test_what_a_webhook_that_the_system_disabled_left_behind_is_skipped(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    ids = await harness.publish(webhook, 3)
    await harness.change(webhook, disabled_until=FOREVER, disabled_reason=DisabledReason.FAILING)
    assert await _settle(harness, limit=2) == 2
    assert await _settle(harness, limit=2) == 1
    assert await _states(harness, ids) == {(DeliveryState.SKIPPED, EndReason.WEBHOOK_DISABLED)}


async def test_what_a_user_paused_waits_and_expires(harness: Harness) -> None:
    webhook = await harness.webhook()
    old = await harness.publish(webhook, 2)
    retried = await harness.begin(webhook)
    await harness.finish(retried, Retry(timedelta(hours=5)))
    await harness.storage.deliveries.release(
        await harness.storage.deliveries.leased(harness.worker)
    )
    await harness.clock.advance(2 * HOUR.total_seconds())
    young = await harness.publish(webhook, 2)
    await harness.change(webhook, disabled_until=harness.clock.now() + HOUR)
    assert await _settle(harness) == 3
    assert await _states(harness, [*old, retried.fence.delivery_id]) == {
        (DeliveryState.CANCELLED, EndReason.EXPIRED)
    }
    assert await _states(harness, young) == {(DeliveryState.PENDING, None)}
    await harness.clock.advance(HOUR.total_seconds())
    assert ids_of(await harness.claim()) == young


async def test_a_pause_that_is_over_expires_nothing(harness: Harness) -> None:
    webhook = await harness.webhook()
    ids = await harness.publish(webhook, 2)
    await harness.change(webhook, disabled_until=harness.clock.now() + HOUR)
    await harness.clock.advance(2 * HOUR.total_seconds())
    assert await _settle(harness) == 0
    assert ids_of(await harness.claim()) == ids


async def test_what_is_being_attempted_is_left_to_its_worker(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    await harness.change(webhook, disabled_until=FOREVER, disabled_reason=DisabledReason.GONE)
    assert await _settle(harness) == 0
    await harness.finish(claimed, Retry(HOUR))
    assert await _settle(harness) == 1
    assert await _states(harness, [claimed.fence.delivery_id]) == {
        (DeliveryState.SKIPPED, EndReason.WEBHOOK_DISABLED)
    }


async def test_neighbours_are_not_settled(harness: Harness) -> None:
    doomed, well = await harness.webhook(), await harness.webhook()
    await harness.publish(doomed)
    ids = await harness.publish(well)
    await harness.change(doomed, disabled_until=FOREVER, disabled_reason=DisabledReason.GONE)
    assert await _settle(harness) == 1
    assert ids_of(await harness.claim()) == ids


async def test_a_delivery_whose_webhook_is_not_there_at_all_is_cancelled(harness: Harness) -> None:
    webhook = await harness.webhook()
    event = harness.event()
    orphan = harness.to(webhook, event, webhook_id=harness.ids())
    await harness.ingest([event], [orphan])
    assert not (await harness.claim()).deliveries
    assert await _settle(harness) == 1
    assert await _states(harness, [orphan.delivery_id]) == {
        (DeliveryState.CANCELLED, EndReason.WEBHOOK_DELETED)
    }
