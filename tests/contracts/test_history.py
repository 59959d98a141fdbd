"""What looking back on events and deliveries shows, on every storage."""

from datetime import timedelta
from uuid import uuid4

import pytest

from notification_core.errors import DeliveryNotFound, EventNotFound
from notification_core.model.delivery import DeliveryState, EndReason, Retry
from notification_core.model.read_models import DeliveryCriteria, EventCriteria, EventPlace
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
    assert (record.state, record.attempt) == (DeliveryState.PENDING, 1)
    assert record.next_attempt_at == world.clock.now() + A_SECOND
    assert [one.log_id for one in record.attempts or ()] == [result.attempt.log_id]


async def test_a_delivery_that_is_being_sent_or_has_ended_waits_for_nothing(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    key = world.environment_id, begun.fence.delivery_id
    assert (await world.storage.history.delivery(*key)).next_attempt_at is None
    await world.finish(begun)
    ended = await world.storage.history.delivery(*key)
    assert (ended.state, ended.next_attempt_at) == (DeliveryState.SUCCEEDED, None)


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
    shown = [one.delivery_id for page in (first, second) for one in page.rows]
    assert shown == written[::-1]
    assert second.after is None
    hidden = await world.storage.history.of_webhook(
        world.other_environment_id, webhook.webhook_id, limit=3
    )
    assert list(hidden.rows) == []


async def test_deliveries_are_chosen_by_state_type_and_time(world: World) -> None:
    webhook = await world.webhook()
    done = await world.begin(webhook)
    await world.finish(done)
    await world.clock.advance(10)
    later = world.clock.now()
    (waiting,) = await world.publish(webhook)
    for criteria, expected in (
        (DeliveryCriteria(state=DeliveryState.SUCCEEDED), [done.fence.delivery_id]),
        (DeliveryCriteria(state=DeliveryState.PENDING, event_type=TYPE), [waiting]),
        (DeliveryCriteria(event_type="another"), []),
        (DeliveryCriteria(since=later), [waiting]),
        (DeliveryCriteria(until=later), [done.fence.delivery_id]),
    ):
        page = await world.storage.history.of_webhook(
            world.environment_id, webhook.webhook_id, limit=10, criteria=criteria
        )
        assert [one.delivery_id for one in page.rows] == expected
        assert page.after is None


async def test_a_look_that_was_bounded_goes_on_where_it_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for adapter in ("memory", "sql"):
        monkeypatch.setattr(f"notification_adapters.{adapter}.pages.MOST_LOOKED_AT", 2)
    webhook = await world.webhook()
    done = await world.begin(webhook)
    await world.finish(done)
    await world.publish(webhook, 3)
    criteria = DeliveryCriteria(state=DeliveryState.SUCCEEDED)
    key = world.environment_id, webhook.webhook_id
    first = await world.storage.history.of_webhook(*key, limit=5, criteria=criteria)
    assert list(first.rows) == []
    second = await world.storage.history.of_webhook(
        *key, limit=5, before=first.after, criteria=criteria
    )
    assert [one.delivery_id for one in second.rows] == [done.fence.delivery_id]


async def test_an_event_shows_its_deliveries_and_why_some_were_skipped(world: World) -> None:
    sent_to, skipping = await world.webhook(), await world.webhook()
    event = world.event("job-7")
    sent = world.to(sent_to, event)
    skipped = world.to(
        skipping, event, state=DeliveryState.SKIPPED, reason=EndReason.WEBHOOK_DISABLED
    )
    await world.ingest([event], [sent, skipped])
    record = await world.storage.history.event(world.environment_id, "job-7")
    assert (record.event_type, record.occurred_at) == (TYPE, event.event.occurred_at)
    assert record.stored_at == world.clock.now()
    page = await world.storage.history.of_event(world.environment_id, "job-7", limit=1)
    rest = await world.storage.history.of_event(
        world.environment_id, "job-7", limit=1, before=page.after
    )
    (newest,), (oldest,) = page.rows, rest.rows
    assert (newest.delivery_id, newest.reason) == (skipped.delivery_id, EndReason.WEBHOOK_DISABLED)
    assert (oldest.delivery_id, oldest.reason) == (sent.delivery_id, None)
    assert rest.after is None


async def test_an_id_that_no_storage_holds_is_not_found(world: World) -> None:
    with pytest.raises(EventNotFound):
        await world.storage.history.event(world.environment_id, "a\0b")


async def test_an_event_is_hidden_from_another_environment(world: World) -> None:
    webhook = await world.webhook()
    event = world.event("job-7")
    await world.ingest([event], [world.to(webhook, event)])
    with pytest.raises(EventNotFound):
        await world.storage.history.event(world.other_environment_id, "job-7")
    page = await world.storage.history.of_event(world.other_environment_id, "job-7", limit=9)
    assert list(page.rows) == []


async def test_deliveries_are_chosen_by_what_an_attempt_was_answered(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    await world.finish(begun, Retry(timedelta()))
    await world.finish(next(iter((await world.claim()).deliveries)))
    await world.publish(webhook)
    for http_code, expected in ((500, 1), (200, 1), (404, 0)):
        page = await world.storage.history.of_webhook(
            world.environment_id,
            webhook.webhook_id,
            limit=10,
            criteria=DeliveryCriteria(http_code=http_code),
        )
        found = [one.delivery_id for one in page.rows]
        assert found == [begun.fence.delivery_id] * expected


async def test_an_environments_events_come_page_by_page_newest_first(world: World) -> None:
    batch = [world.event(f"batch-{number}") for number in range(4)]
    await world.ingest(batch)
    await world.clock.advance(1)
    await world.ingest([world.event("later")])
    await world.ingest([world.event("theirs", environment_id=world.other_environment_id)])
    shown: list[str] = []
    place: EventPlace | None = None
    while True:
        page = await world.storage.history.events(world.environment_id, limit=2, before=place)
        shown += [one.event_id for one in page.rows]
        if page.after is None:
            break
        assert len(page.rows) == 2
        place = page.after
    assert shown == ["later", "batch-3", "batch-2", "batch-1", "batch-0"]


async def test_a_listed_event_tells_how_its_deliveries_stand(world: World) -> None:
    webhook = await world.webhook()
    await world.finish(await world.begin(webhook))
    event, unwanted = world.event("job-7"), world.event("unwanted")
    waiting = [world.to(webhook, event) for _ in range(2)]
    skipped = world.to(
        webhook, event, state=DeliveryState.SKIPPED, reason=EndReason.WEBHOOK_DISABLED
    )
    await world.clock.advance(1)
    await world.ingest([event, unwanted], [*waiting, skipped])
    page = await world.storage.history.events(world.environment_id, limit=2)
    of_none, of_three = page.rows
    assert (of_three.event_id, of_three.event_type) == ("job-7", TYPE)
    assert (of_three.occurred_at, of_three.stored_at) == (
        event.event.occurred_at,
        world.clock.now(),
    )
    none = dict.fromkeys(DeliveryState, 0)
    assert of_three.deliveries == none | {DeliveryState.PENDING: 2, DeliveryState.SKIPPED: 1}
    assert of_none.deliveries == none


async def test_events_are_chosen_by_type_and_time(world: World) -> None:
    await world.ingest([world.event("old"), world.event("other", type="job-created")])
    await world.clock.advance(1)
    later = world.clock.now()
    await world.ingest([world.event("young")])
    for criteria, expected in (
        (EventCriteria(event_type=TYPE), ["young", "old"]),
        (EventCriteria(event_type="job-created"), ["other"]),
        (EventCriteria(since=later), ["young"]),
        (EventCriteria(until=later, event_type=TYPE), ["old"]),
    ):
        page = await world.storage.history.events(world.environment_id, limit=9, criteria=criteria)
        assert [one.event_id for one in page.rows] == expected
        assert page.after is None


async def test_a_look_at_events_that_was_bounded_goes_on_where_it_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for adapter in ("memory", "sql"):
        monkeypatch.setattr(f"notification_adapters.{adapter}.pages.MOST_LOOKED_AT", 2)
    await world.ingest([world.event(f"e-{number}") for number in range(3)])
    await world.clock.advance(1)
    await world.ingest([world.event("other", type="job-created")])
    none = EventCriteria(event_type="job-completed")
    first = await world.storage.history.events(world.environment_id, 9, None, none)
    assert (list(first.rows), first.after is None) == ([], False)
    second = await world.storage.history.events(world.environment_id, 9, first.after, none)
    third = await world.storage.history.events(world.environment_id, 9, second.after, none)
    assert (list(third.rows), third.after) == ([], None)
