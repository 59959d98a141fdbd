"""What every storage promises of letting go of what is old."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from notification_core.errors import DeliveryNotFound, EventGone, EventNotFound, WebhookNotFound
from notification_core.maintenance.retention_sweeper import (
    EVENTS_AT_ONCE,
    RetentionRules,
)
from notification_core.model.api_key import ApiKey
from notification_core.model.caller import Scope
from notification_core.model.delivery import ClaimedDelivery, DeliveryState, Retry
from notification_core.model.message import DeadLetter, Message
from notification_core.model.request_records import AuditEntry
from notification_core.model.webhook import Webhook
from notification_core.ports.retention import EventMark
from tests.contracts.world import DELAY, World, ids_of
from tests.support.assembly import App

DAY = timedelta(days=1)
RULES = RetentionRules(logs=10 * DAY, audit=15 * DAY, events=20 * DAY)


async def _forget(world: World) -> None:
    """Go round until nothing more is too old."""
    app = App(storage=world.storage, clock=world.clock, retention_rules=RULES)
    for _ in range(1000):
        if not await app.retention_sweeper.sweep_batch():
            return
    pytest.fail("the round does not end")


async def _done(world: World, webhook: Webhook) -> ClaimedDelivery:
    """Make one delivery that has arrived."""
    begun = await world.begin(webhook)
    await world.finish(begun)
    return begun


async def _exists(world: World, begun: ClaimedDelivery) -> bool:
    try:
        await world.storage.history.delivery(world.environment_id, begun.fence.delivery_id)
        await world.storage.history.event(world.environment_id, begun.event_id)
    except (DeliveryNotFound, EventNotFound):
        return False
    return True


async def test_what_is_young_is_kept(world: World) -> None:
    webhook = await world.webhook()
    begun = await _done(world, webhook)
    await world.clock.advance(9 * DAY.total_seconds())
    await _forget(world)
    assert await _exists(world, begun)
    assert len(await world.log(webhook)) == 1


async def test_the_log_goes_first_and_later_the_event_with_its_deliveries(world: World) -> None:
    webhook = await world.webhook()
    old = await _done(world, webhook)
    await world.clock.advance(11 * DAY.total_seconds())
    young = await _done(world, webhook)
    await _forget(world)
    assert [one.delivery_id for one in await world.log(webhook)] == [young.fence.delivery_id]
    assert await _exists(world, old)
    await world.clock.advance(10 * DAY.total_seconds())
    await _forget(world)
    assert not await _exists(world, old)
    assert await _exists(world, young)


async def test_an_event_that_was_forgotten_is_new_again(world: World) -> None:
    event = world.event("e-1")
    await world.ingest([event])
    await world.clock.advance(21 * DAY.total_seconds())
    await _forget(world)
    arrivals = await world.ingest([event])
    assert [one.value for one in arrivals.values()] == ["new"]


async def test_an_event_of_which_a_delivery_waits_stays_with_all_its_deliveries(
    world: World,
) -> None:
    one, other = await world.webhook(), await world.webhook()
    event = world.event()
    arrived, waits = world.to(one, event, claimed=True), world.to(other, event)
    await world.ingest([event], [arrived, waits], world.worker)
    (leased,) = await world.storage.deliveries.leased(world.worker)
    begun = ClaimedDelivery(leased, one.webhook_id, event.event.event_id, event.event.type, 0, b"")
    await world.finish(begun)
    await world.clock.advance(21 * DAY.total_seconds())
    await _forget(world)
    assert (await world.probe(arrived.delivery_id)).state is DeliveryState.SUCCEEDED
    assert ids_of(await world.claim()) == [waits.delivery_id]


async def test_an_event_that_is_being_sent_stays(world: World) -> None:
    begun = await world.begin(await world.webhook())
    await world.clock.advance(21 * DAY.total_seconds())
    await _forget(world)
    await world.finish(begun, Retry(DELAY))
    await world.clock.advance(1)
    assert ids_of(await world.claim()) == [begun.fence.delivery_id]


async def test_what_waits_for_long_does_not_stand_in_the_way_of_others(world: World) -> None:
    webhook = await world.webhook()
    events = [world.event() for _ in range(EVENTS_AT_ONCE + 5)]
    await world.ingest(events, [world.to(webhook, one) for one in events])
    await world.clock.advance(1)
    unwanted = [evolve(world.event(), body=None) for _ in range(EVENTS_AT_ONCE + 5)]
    await world.ingest(unwanted)
    elsewhere = world.event(environment_id=world.other_environment_id)
    await world.ingest([elsewhere])
    await world.clock.advance(21 * DAY.total_seconds())
    await _forget(world)
    kept = await world.ingest([*events, *unwanted, elsewhere])
    known = {key[1] for key, arrival in kept.items() if arrival.value == "duplicate"}
    assert known == {one.event.event_id for one in events}


async def test_a_batch_is_bounded_and_the_sweep_goes_on_after_it(world: World) -> None:
    await world.ingest([world.event(f"e-{number}") for number in range(7)])
    before = world.clock.now() + DAY
    sizes, after = [], None
    while True:
        swept = await world.storage.retention.sweep_events(before, after, 3)
        sizes.append(swept.deleted)
        if (after := swept.after) is None:
            break
    assert sum(sizes) == 7
    assert max(sizes) == 3


async def test_a_sweep_goes_on_where_everything_was_deleted_meanwhile(world: World) -> None:
    await world.ingest([world.event(environment_id=world.other_environment_id)])
    nowhere = EventMark(UUID(int=1), world.clock.now())
    swept = await world.storage.retention.sweep_events(_soon(world), nowhere, 3)
    assert swept.deleted == 1


async def test_attempts_are_forgotten_in_bounded_batches(world: World) -> None:
    webhook = await world.webhook()
    for _ in range(5):
        await _done(world, webhook)
    forget = world.storage.retention.delete_attempts_before
    assert [await forget(_soon(world), 2) for _ in range(4)] == [2, 2, 1, 0]


async def test_a_tombstone_goes_when_nothing_of_the_webhook_is_left(world: World) -> None:
    deleted, alive = await world.webhook(), await world.webhook()
    await _done(world, deleted)
    await world.storage.webhooks.delete(
        deleted.environment_id, deleted.webhook_id, world.clock.now()
    )
    await world.clock.advance(11 * DAY.total_seconds())
    await _forget(world)
    ids = [deleted.webhook_id, alive.webhook_id]
    assert set((await world.storage.webhooks.snapshot(ids)).webhooks) == set(ids)
    await world.clock.advance(10 * DAY.total_seconds())
    await _forget(world)
    assert set((await world.storage.webhooks.snapshot(ids)).webhooks) == {alive.webhook_id}
    with pytest.raises(WebhookNotFound):
        await world.storage.webhooks.environment_of(deleted.webhook_id)


async def test_of_an_event_that_was_forgotten_nothing_is_sent_again(world: World) -> None:
    begun = await _done(world, await world.webhook())
    key = world.environment_id, begun.fence.delivery_id
    record = await world.storage.history.delivery(*key)
    await world.clock.advance(21 * DAY.total_seconds())
    await _forget(world)
    with pytest.raises(EventGone):
        await world.storage.replays.retry(record, uuid4())


def _soon(world: World) -> datetime:
    return world.clock.now() + DAY


async def test_who_changed_what_is_forgotten_after_its_own_time(world: World) -> None:
    async def change() -> AuditEntry:
        now = world.clock.now()
        entry = AuditEntry(world.ids(), now, "a", "b", "c", "d", "e", world.environment_id)
        key = ApiKey(world.ids(), "A key", Scope.READ, None, b"", now)
        await world.storage.api_keys.add(key, [entry])
        return entry

    await change()
    await world.clock.advance(14 * DAY.total_seconds())
    young = await change()
    await _forget(world)
    assert len(await world.storage.audit.page(world.environment_id, 10)) == 2
    await world.clock.advance(2 * DAY.total_seconds())
    await _forget(world)
    assert list(await world.storage.audit.page(world.environment_id, 10)) == [young]


async def test_a_dead_letter_is_kept_as_long_as_an_event(world: World) -> None:
    for offset in range(3):
        letter = DeadLetter(Message("t", 0, offset, 0, b"{"), "No event.")
        async with world.storage.deliveries.ingesting() as transaction:
            await transaction.add_dead_letters([letter])
        await world.clock.advance(15 * DAY.total_seconds())
    await _forget(world)
    (left,) = await world.storage.dead_letters.page(limit=10)
    assert left.dead_letter.message.offset == 2


async def test_no_more_dead_letters_go_at_once_than_asked_for(world: World) -> None:
    async with world.storage.deliveries.ingesting() as transaction:
        await transaction.add_dead_letters(
            [DeadLetter(Message("t", 0, one, 0, b"{"), "No event.") for one in range(5)]
        )
    await world.clock.advance(1)
    retention, now = world.storage.retention, world.clock.now()
    assert await retention.delete_dead_letters_before(now, 3) == 3
    assert await retention.delete_dead_letters_before(now, 3) == 2
    assert await retention.delete_dead_letters_before(now, 3) == 0
