"""What storage promises of redeliveries."""

import pytest

from notification_core.errors import EventGone, ResponseAlreadyStored
from notification_core.model.delivery import DeliveryOrigin, DeliveryState, Failed
from notification_core.model.read_models import DeliveryView
from notification_core.model.request_records import StoredResponse
from tests.contracts.harness import Harness, ids_of


async def _failed(harness: Harness) -> DeliveryView:
    """Return a delivery that has failed permanently."""
    claimed = await harness.begin(await harness.webhook())
    await harness.finish(claimed, Failed())
    return await harness.storage.history.delivery(harness.environment_id, claimed.fence.delivery_id)


async def test_a_retry_is_one_more_delivery_of_the_same_event_that_is_due_at_once(
    harness: Harness,
) -> None:
    failed = await _failed(harness)
    again = harness.ids()
    await harness.storage.replays.retry(failed, again)
    (claimed,) = (await harness.claim(harness.rival)).deliveries
    assert (claimed.fence.delivery_id, claimed.fence.attempt, claimed.failures) == (again, 1, 0)
    assert (claimed.webhook_id, claimed.event_id) == (failed.webhook_id, failed.event_id)
    assert claimed.body.startswith(b'{"id":"%b"' % failed.event_id.encode())
    await harness.finish(claimed)
    made = await harness.storage.history.delivery(harness.environment_id, again)
    assert (made.origin, made.state, made.created_at) == (
        DeliveryOrigin.RETRY,
        DeliveryState.SUCCEEDED,
        harness.clock.now(),
    )
    first = await harness.storage.history.delivery(harness.environment_id, failed.delivery_id)
    assert (first.origin, first.state, first.attempt) == (None, DeliveryState.FAILED, 1)


async def test_an_event_whose_body_is_gone_cannot_be_resent(harness: Harness) -> None:
    webhook = await harness.webhook()
    event = harness.event("job-7", whole=False)
    await harness.ingest([event], [harness.to(webhook, event, state=DeliveryState.SKIPPED)])
    (skipped,) = (await harness.storage.history.of_event(harness.environment_id, "job-7", 9)).rows
    with pytest.raises(EventGone):
        await harness.storage.replays.retry(skipped, harness.ids())
    assert ids_of(await harness.claim()) == []


async def test_a_retry_that_was_answered_is_not_repeated(harness: Harness) -> None:
    failed = await _failed(harness)
    stored = StoredResponse(
        harness.environment_id, "retry", "asked", b"answer", harness.clock.now()
    )
    once = harness.ids()
    await harness.storage.replays.retry(failed, once, [stored])
    with pytest.raises(ResponseAlreadyStored):
        await harness.rival.replays.retry(failed, harness.ids(), [stored])
    assert ids_of(await harness.claim()) == [once]
