"""What storage promises of what is delivered again."""

import pytest

from notification_core.errors import AlreadyAnswered, EventGone
from notification_core.model.delivery import DeliveryOrigin, DeliveryState, Failed
from notification_core.model.read_models import DeliveryView
from notification_core.model.request_records import StoredResponse
from tests.contracts.world import World, ids_of


async def _failed(world: World) -> DeliveryView:
    """Return a delivery that has failed for good."""
    begun = await world.begin(await world.webhook())
    await world.finish(begun, Failed())
    return await world.storage.history.delivery(world.environment_id, begun.fence.delivery_id)


async def test_a_retry_is_one_more_delivery_of_the_same_event_that_is_due_at_once(
    world: World,
) -> None:
    failed = await _failed(world)
    again = world.ids()
    await world.storage.replays.retry(failed, again)
    (begun,) = (await world.claim(world.rival)).deliveries
    assert (begun.fence.delivery_id, begun.fence.attempt, begun.failures) == (again, 1, 0)
    assert (begun.webhook_id, begun.event_id) == (failed.webhook_id, failed.event_id)
    assert begun.body.startswith(b'{"id":"%b"' % failed.event_id.encode())
    await world.finish(begun)
    made = await world.storage.history.delivery(world.environment_id, again)
    assert (made.origin, made.state, made.created_at) == (
        DeliveryOrigin.RETRY,
        DeliveryState.SUCCEEDED,
        world.clock.now(),
    )
    first = await world.storage.history.delivery(world.environment_id, failed.delivery_id)
    assert (first.origin, first.state, first.attempt) == (None, DeliveryState.FAILED, 1)


async def test_an_event_whose_body_is_gone_cannot_be_sent_again(world: World) -> None:
    webhook = await world.webhook()
    event = world.event("job-7", whole=False)
    await world.ingest([event], [world.to(webhook, event, state=DeliveryState.SKIPPED)])
    (skipped,) = (await world.storage.history.of_event(world.environment_id, "job-7", 9)).rows
    with pytest.raises(EventGone):
        await world.storage.replays.retry(skipped, world.ids())
    assert ids_of(await world.claim()) == []


async def test_a_retry_that_was_answered_is_not_made_again(world: World) -> None:
    failed = await _failed(world)
    kept = StoredResponse(world.environment_id, "retry", "asked", b"answer", world.clock.now())
    once = world.ids()
    await world.storage.replays.retry(failed, once, [kept])
    with pytest.raises(AlreadyAnswered):
        await world.rival.replays.retry(failed, world.ids(), [kept])
    assert ids_of(await world.claim()) == [once]
