"""What looking back on events and deliveries shows, on every storage."""

from datetime import timedelta
from uuid import uuid4

import pytest

from notification_core.errors import DeliveryNotFound, EventGone, EventNotFound
from notification_core.model.delivery import DeliveryState, EndReason, Retry
from notification_core.model.event import MAX_EVENT_BYTES
from notification_core.model.read_models import DeliveryCriteria, EventCriteria, EventPlace
from tests.contracts.harness import TYPE, Harness

A_SECOND = timedelta(seconds=1)


async def test_a_delivery_tells_where_it_stands_and_what_was_tried(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    result = await harness.finish(claimed, Retry(A_SECOND))
    delivery_id = claimed.fence.delivery_id
    record = await harness.storage.history.delivery(harness.environment_id, delivery_id)
    assert (record.delivery_id, record.webhook_id) == (delivery_id, webhook.webhook_id)
    assert (record.event_id, record.event_type) == (claimed.event_id, TYPE)
    assert (record.state, record.attempt) == (DeliveryState.PENDING, 1)
    assert record.next_attempt_at == harness.clock.now() + A_SECOND
    assert [one.log_id for one in record.attempts or ()] == [result.attempt.log_id]


async def test_a_delivery_that_is_being_sent_or_has_ended_waits_for_nothing(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    key = harness.environment_id, claimed.fence.delivery_id
    assert (await harness.storage.history.delivery(*key)).next_attempt_at is None
    await harness.finish(claimed)
    ended = await harness.storage.history.delivery(*key)
    assert (ended.state, ended.next_attempt_at) == (DeliveryState.SUCCEEDED, None)


async def test_a_delivery_is_hidden_from_another_environment(harness: Harness) -> None:
    (delivery_id,) = await harness.publish(await harness.webhook())
    assert await harness.storage.history.environment_of(delivery_id) == harness.environment_id
    with pytest.raises(DeliveryNotFound):
        await harness.storage.history.delivery(harness.other_environment_id, delivery_id)
    with pytest.raises(DeliveryNotFound):
        await harness.storage.history.environment_of(uuid4())


async def test_a_webhooks_deliveries_come_page_by_page_newest_first(harness: Harness) -> None:
    webhook, other = await harness.webhook(), await harness.webhook()
    written = await harness.publish(webhook, 5)
    await harness.publish(other)
    key = harness.environment_id, webhook.webhook_id
    first = await harness.storage.history.of_webhook(*key, limit=3)
    second = await harness.storage.history.of_webhook(*key, limit=3, before=first.after)
    shown = [one.delivery_id for page in (first, second) for one in page.rows]
    assert shown == written[::-1]
    assert second.after is None
    hidden = await harness.storage.history.of_webhook(
        harness.other_environment_id, webhook.webhook_id, limit=3
    )
    assert list(hidden.rows) == []


async def test_deliveries_are_chosen_by_state_type_and_time(harness: Harness) -> None:
    webhook = await harness.webhook()
    done = await harness.begin(webhook)
    await harness.finish(done)
    await harness.clock.advance(10)
    later = harness.clock.now()
    (waiting,) = await harness.publish(webhook)
    for criteria, expected in (
        (DeliveryCriteria(state=DeliveryState.SUCCEEDED), [done.fence.delivery_id]),
        (DeliveryCriteria(state=DeliveryState.PENDING, event_type=TYPE), [waiting]),
        (DeliveryCriteria(event_type="another"), []),
        (DeliveryCriteria(since=later), [waiting]),
        (DeliveryCriteria(until=later), [done.fence.delivery_id]),
    ):
        page = await harness.storage.history.of_webhook(
            harness.environment_id, webhook.webhook_id, limit=10, criteria=criteria
        )
        assert [one.delivery_id for one in page.rows] == expected
        assert page.after is None


async def test_a_look_that_was_bounded_goes_on_where_it_stopped(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for adapter in ("memory", "sql"):
        monkeypatch.setattr(f"notification_adapters.{adapter}.pages.MAX_EXAMINED", 2)
    webhook = await harness.webhook()
    done = await harness.begin(webhook)
    await harness.finish(done)
    await harness.publish(webhook, 3)
    criteria = DeliveryCriteria(state=DeliveryState.SUCCEEDED)
    key = harness.environment_id, webhook.webhook_id
    first = await harness.storage.history.of_webhook(*key, limit=5, criteria=criteria)
    assert list(first.rows) == []
    second = await harness.storage.history.of_webhook(
        *key, limit=5, before=first.after, criteria=criteria
    )
    assert [one.delivery_id for one in second.rows] == [done.fence.delivery_id]


async def test_an_event_shows_its_deliveries_and_why_some_were_skipped(harness: Harness) -> None:
    sent_to, skipping = await harness.webhook(), await harness.webhook()
    event = harness.event("job-7")
    sent = harness.to(sent_to, event)
    skipped = harness.to(
        skipping, event, state=DeliveryState.SKIPPED, reason=EndReason.WEBHOOK_DISABLED
    )
    await harness.ingest([event], [sent, skipped])
    record = await harness.storage.history.event(harness.environment_id, "job-7")
    assert (record.event_type, record.occurred_at) == (TYPE, event.event.occurred_at)
    assert record.stored_at == harness.clock.now()
    page = await harness.storage.history.of_event(harness.environment_id, "job-7", limit=1)
    rest = await harness.storage.history.of_event(
        harness.environment_id, "job-7", limit=1, before=page.after
    )
    (newest,), (oldest,) = page.rows, rest.rows
    assert (newest.delivery_id, newest.reason) == (skipped.delivery_id, EndReason.WEBHOOK_DISABLED)
    assert (oldest.delivery_id, oldest.reason) == (sent.delivery_id, None)
    assert rest.after is None


async def test_an_id_that_no_storage_holds_is_not_found(harness: Harness) -> None:
    with pytest.raises(EventNotFound):
        await harness.storage.history.event(harness.environment_id, "a\0b")


async def test_an_event_is_hidden_from_another_environment(harness: Harness) -> None:
    webhook = await harness.webhook()
    event = harness.event("job-7")
    await harness.ingest([event], [harness.to(webhook, event)])
    with pytest.raises(EventNotFound):
        await harness.storage.history.event(harness.other_environment_id, "job-7")
    page = await harness.storage.history.of_event(harness.other_environment_id, "job-7", limit=9)
    assert list(page.rows) == []


async def test_deliveries_are_chosen_by_what_an_attempt_was_answered(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    await harness.finish(claimed, Retry(timedelta()))
    await harness.finish(next(iter((await harness.claim()).deliveries)))
    await harness.publish(webhook)
    for http_code, expected in ((500, 1), (200, 1), (404, 0)):
        page = await harness.storage.history.of_webhook(
            harness.environment_id,
            webhook.webhook_id,
            limit=10,
            criteria=DeliveryCriteria(http_code=http_code),
        )
        found = [one.delivery_id for one in page.rows]
        assert found == [claimed.fence.delivery_id] * expected


async def test_an_environments_events_come_page_by_page_newest_first(harness: Harness) -> None:
    batch = [harness.event(f"batch-{number}") for number in range(4)]
    await harness.ingest(batch)
    await harness.clock.advance(1)
    await harness.ingest([harness.event("later")])
    await harness.ingest([harness.event("theirs", environment_id=harness.other_environment_id)])
    shown: list[str] = []
    place: EventPlace | None = None
    while True:
        page = await harness.storage.history.events(harness.environment_id, limit=2, before=place)
        shown += [one.event_id for one in page.rows]
        if page.after is None:
            break
        assert len(page.rows) == 2
        place = page.after
    assert shown == ["later", "batch-3", "batch-2", "batch-1", "batch-0"]


async def test_a_listed_event_tells_how_its_deliveries_stand(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.finish(await harness.begin(webhook))
    event, unwanted = harness.event("job-7"), harness.event("unwanted")
    waiting = [harness.to(webhook, event) for _ in range(2)]
    skipped = harness.to(
        webhook, event, state=DeliveryState.SKIPPED, reason=EndReason.WEBHOOK_DISABLED
    )
    await harness.clock.advance(1)
    await harness.ingest([event, unwanted], [*waiting, skipped])
    page = await harness.storage.history.events(harness.environment_id, limit=2)
    of_none, of_three = page.rows
    assert (of_three.event_id, of_three.event_type) == ("job-7", TYPE)
    assert (of_three.occurred_at, of_three.stored_at) == (
        event.event.occurred_at,
        harness.clock.now(),
    )
    none = dict.fromkeys(DeliveryState, 0)
    assert of_three.deliveries == none | {DeliveryState.PENDING: 2, DeliveryState.SKIPPED: 1}
    assert of_none.deliveries == none


async def test_events_are_chosen_by_type_and_time(harness: Harness) -> None:
    await harness.ingest([harness.event("old"), harness.event("other", type="job-created")])
    await harness.clock.advance(1)
    later = harness.clock.now()
    await harness.ingest([harness.event("young")])
    for criteria, expected in (
        (EventCriteria(event_type=TYPE), ["young", "old"]),
        (EventCriteria(event_type="job-created"), ["other"]),
        (EventCriteria(since=later), ["young"]),
        (EventCriteria(until=later, event_type=TYPE), ["old"]),
    ):
        page = await harness.storage.history.events(
            harness.environment_id, limit=9, criteria=criteria
        )
        assert [one.event_id for one in page.rows] == expected
        assert page.after is None


async def test_a_look_at_events_that_was_bounded_goes_on_where_it_stopped(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for adapter in ("memory", "sql"):
        monkeypatch.setattr(f"notification_adapters.{adapter}.pages.MAX_EXAMINED", 2)
    await harness.ingest([harness.event(f"e-{number}") for number in range(3)])
    await harness.clock.advance(1)
    await harness.ingest([harness.event("other", type="job-created")])
    none = EventCriteria(event_type="job-completed")
    first = await harness.storage.history.events(harness.environment_id, 9, None, none)
    assert (list(first.rows), first.after is None) == ([], False)
    second = await harness.storage.history.events(harness.environment_id, 9, first.after, none)
    third = await harness.storage.history.events(harness.environment_id, 9, second.after, none)
    assert (list(third.rows), third.after) == ([], None)


async def test_of_many_events_those_are_known_that_are_stored(harness: Harness) -> None:
    await harness.publish(await harness.webhook(), 2)
    environment_id, other = harness.environment_id, harness.other_environment_id
    page = await harness.storage.history.events(environment_id, 10)
    stored = [(environment_id, event.event_id) for event in page.rows]
    assert len(stored) == 2
    elsewhere = [(other, event_id) for _, event_id in stored]
    strangers = [(environment_id, f"never-{number}") for number in range(2_500)]
    known = await harness.storage.history.known_events([*strangers, *elsewhere, *stored])
    assert set(known) == set(stored)
    assert not await harness.storage.history.known_events([])


class TestBodies:
    async def test_that_of_one_event_is_as_it_was_stored(self, harness: Harness) -> None:
        await harness.ingest([harness.event("a", b'{"n": 1.0,"n":2}')])
        found = await harness.storage.history.body(harness.environment_id, "a")
        assert (found.event_id, found.event_type) == ("a", TYPE)
        assert found.body.endswith(b'"data":{"n": 1.0,"n":2}}')

    async def test_one_that_is_not_stored_is_gone(self, harness: Harness) -> None:
        await harness.ingest([harness.event("no body", whole=False)])
        with pytest.raises(EventGone):
            await harness.storage.history.body(harness.environment_id, "no body")
        for event_id in ("unknown", "no\0thing"):
            with pytest.raises(EventNotFound):
                await harness.storage.history.body(harness.environment_id, event_id)

    async def test_they_are_the_latest_events_of_the_types_and_the_environment(
        self, harness: Harness
    ) -> None:
        for event_id in ("a", "b", "c"):
            await harness.ingest([harness.event(event_id, b'{"n":"%b"}' % event_id.encode())])
            await harness.clock.advance(1)
        await harness.ingest([harness.event("other type", type="job-created")])
        await harness.ingest([harness.event("no body", whole=False)])
        await harness.ingest([harness.event("x", environment_id=harness.other_environment_id)])
        bodies = await harness.storage.history.bodies(harness.environment_id, {TYPE, "y"}, 2)
        assert [(event.event_id, event.event_type) for event in bodies] == [
            ("c", TYPE),
            ("b", TYPE),
        ]
        assert bodies[0].body.endswith(b'"data":{"n":"c"}}')
        assert not await harness.storage.history.bodies(harness.environment_id, (), 2)

    async def test_together_they_are_no_more_than_fits_into_memory(self, harness: Harness) -> None:
        large = b'"%b"' % (b"x" * (MAX_EVENT_BYTES - 1_000))
        for number in range(18):
            await harness.ingest([harness.event(f"{number:02}", large)])
        bodies = await harness.storage.history.bodies(harness.environment_id, [TYPE], 100)
        assert len(bodies) == 16
