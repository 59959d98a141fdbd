"""What looking back on events and deliveries shows, on every storage."""

from datetime import timedelta
from uuid import uuid4

import pytest

from notification_core.deliveries import Reason, Retry, State
from notification_core.errors import DeliveryNotFound, EventNotFound
from notification_core.history import Wanted
from tests.contracts.world import TYPE, World

A_SECOND = timedelta(seconds=1)


async def test_a_delivery_tells_where_it_stands_and_what_was_tried(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    result = await world.finish(begun, Retry(A_SECOND))
    delivery_id = begun.fence.delivery_id
    record = await world.storage.history.delivery(world.environment_id, delivery_id)
    assert (record.delivery_id, record.webhook_id) == (delivery_id, webhook.webhook_id)
    assert (record.event_id, record.event_type) == (begun.event_id, TYPE)
    assert (record.state, record.attempt) == (State.PENDING, 1)
    assert record.next_attempt_at == world.clock.now() + A_SECOND
    assert [one.log_id for one in record.attempts or ()] == [result.attempt.log_id]


async def test_a_delivery_that_is_being_sent_or_has_ended_waits_for_nothing(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    key = world.environment_id, begun.fence.delivery_id
    assert (await world.storage.history.delivery(*key)).next_attempt_at is None
    await world.finish(begun)
    ended = await world.storage.history.delivery(*key)
    assert (ended.state, ended.next_attempt_at) == (State.SUCCEEDED, None)


async def test_a_delivery_is_hidden_from_another_environment(world: World) -> None:
    (delivery_id,) = await world.publish(await world.webhook())
    assert await world.storage.history.environment_of(delivery_id) == world.environment_id
    with pytest.raises(DeliveryNotFound):
        await world.storage.history.delivery(world.other_environment_id, delivery_id)
    with pytest.raises(DeliveryNotFound):
        await world.storage.history.environment_of(uuid4())


async def test_a_webhooks_deliveries_come_page_by_page_newest_first(world: World) -> None:
    webhook, other = await world.webhook(), await world.webhook()
    written = await world.publish(webhook, 5)
    await world.publish(other)
    key = world.environment_id, webhook.webhook_id
    first = await world.storage.history.of_webhook(*key, limit=3)
    second = await world.storage.history.of_webhook(*key, limit=3, before=first.after)
    shown = [one.delivery_id for page in (first, second) for one in page.deliveries]
    assert shown == written[::-1]
    assert second.after is None
    hidden = await world.storage.history.of_webhook(
        world.other_environment_id, webhook.webhook_id, limit=3
    )
    assert list(hidden.deliveries) == []


async def test_deliveries_are_chosen_by_state_type_and_time(world: World) -> None:
    webhook = await world.webhook()
    done = await world.begin(webhook)
    await world.finish(done)
    await world.clock.advance(10)
    later = world.clock.now()
    (waiting,) = await world.publish(webhook)
    for wanted, expected in (
        (Wanted(state=State.SUCCEEDED), [done.fence.delivery_id]),
        (Wanted(state=State.PENDING, event_type=TYPE), [waiting]),
        (Wanted(event_type="another"), []),
        (Wanted(since=later), [waiting]),
        (Wanted(until=later), [done.fence.delivery_id]),
    ):
        page = await world.storage.history.of_webhook(
            world.environment_id, webhook.webhook_id, limit=10, wanted=wanted
        )
        assert [one.delivery_id for one in page.deliveries] == expected
        assert page.after is None


async def test_a_look_that_was_bounded_goes_on_where_it_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for adapter in ("memory", "sql"):
        monkeypatch.setattr(f"notification_adapters.{adapter}.history.MOST_LOOKED_AT", 2)
    webhook = await world.webhook()
    done = await world.begin(webhook)
    await world.finish(done)
    await world.publish(webhook, 3)
    wanted = Wanted(state=State.SUCCEEDED)
    key = world.environment_id, webhook.webhook_id
    first = await world.storage.history.of_webhook(*key, limit=5, wanted=wanted)
    assert list(first.deliveries) == []
    second = await world.storage.history.of_webhook(
        *key, limit=5, before=first.after, wanted=wanted
    )
    assert [one.delivery_id for one in second.deliveries] == [done.fence.delivery_id]


async def test_an_event_shows_its_deliveries_and_why_some_were_skipped(world: World) -> None:
    sent_to, skipping = await world.webhook(), await world.webhook()
    event = world.event("job-7")
    sent = world.to(sent_to, event)
    skipped = world.to(skipping, event, state=State.SKIPPED, reason=Reason.WEBHOOK_DISABLED)
    await world.ingest([event], [sent, skipped])
    record = await world.storage.history.event(world.environment_id, "job-7")
    assert (record.event_type, record.occurred_at) == (TYPE, event.event.occurred_at)
    assert record.stored_at == world.clock.now()
    page = await world.storage.history.of_event(world.environment_id, "job-7", limit=1)
    rest = await world.storage.history.of_event(
        world.environment_id, "job-7", limit=1, before=page.after
    )
    (newest,), (oldest,) = page.deliveries, rest.deliveries
    assert (newest.delivery_id, newest.reason) == (skipped.delivery_id, Reason.WEBHOOK_DISABLED)
    assert (oldest.delivery_id, oldest.reason) == (sent.delivery_id, None)
    assert rest.after is None


async def test_an_event_is_hidden_from_another_environment(world: World) -> None:
    webhook = await world.webhook()
    event = world.event("job-7")
    await world.ingest([event], [world.to(webhook, event)])
    with pytest.raises(EventNotFound):
        await world.storage.history.event(world.other_environment_id, "job-7")
    page = await world.storage.history.of_event(world.other_environment_id, "job-7", limit=9)
    assert list(page.deliveries) == []
