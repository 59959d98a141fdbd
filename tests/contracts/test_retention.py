"""What every storage promises of letting go of what is old."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from notification_core.errors import (
    DeliveryNotFound,
    EventGone,
    EventNotFound,
    PortalSessionNotFound,
    WebhookNotFound,
)
from notification_core.maintenance.retention_sweeper import (
    EVENTS_AT_ONCE,
    RetentionRules,
)
from notification_core.model.api_key import ApiKey
from notification_core.model.caller import Scope
from notification_core.model.console_session import ConsoleSession
from notification_core.model.delivery import ClaimedDelivery, DeliveryState, Retry
from notification_core.model.message import DeadLetter, Message
from notification_core.model.request_records import AuditEntry
from notification_core.model.webhook import Webhook
from notification_core.ports.retention import FIRST_WEBHOOK, EventMark
from tests.contracts.harness import DELAY, Harness, ids_of
from tests.support.assembly import App
from tests.support.samples import a_portal_session

DAY = timedelta(days=1)
RULES = RetentionRules(logs=10 * DAY, audit=15 * DAY, events=20 * DAY, statistics=20 * DAY)


async def _forget(harness: Harness) -> None:
    """Go round until nothing more is too old."""
    app = App(storage=harness.storage, clock=harness.clock, retention_rules=RULES)
    for _ in range(1000):
        if not await app.retention_sweeper.sweep_batch():
            return
    pytest.fail("the round does not end")


async def _done(harness: Harness, webhook: Webhook) -> ClaimedDelivery:
    """Make one delivery that has arrived."""
    claimed = await harness.begin(webhook)
    await harness.finish(claimed)
    return claimed


async def _exists(harness: Harness, claimed: ClaimedDelivery) -> bool:
    try:
        await harness.storage.history.delivery(harness.environment_id, claimed.fence.delivery_id)
        await harness.storage.history.event(harness.environment_id, claimed.event_id)
    except (DeliveryNotFound, EventNotFound):
        return False
    return True


async def test_what_is_young_is_kept(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await _done(harness, webhook)
    await harness.clock.advance(9 * DAY.total_seconds())
    await _forget(harness)
    assert await _exists(harness, claimed)
    assert len(await harness.log(webhook)) == 1


async def test_the_log_goes_first_and_later_the_event_with_its_deliveries(harness: Harness) -> None:
    webhook = await harness.webhook()
    old = await _done(harness, webhook)
    await harness.clock.advance(11 * DAY.total_seconds())
    young = await _done(harness, webhook)
    await _forget(harness)
    assert [one.delivery_id for one in await harness.log(webhook)] == [young.fence.delivery_id]
    assert await _exists(harness, old)
    await harness.clock.advance(10 * DAY.total_seconds())
    await _forget(harness)
    assert not await _exists(harness, old)
    assert await _exists(harness, young)


async def test_an_event_that_was_forgotten_is_new_again(harness: Harness) -> None:
    event = harness.event("e-1")
    await harness.ingest([event])
    await harness.clock.advance(21 * DAY.total_seconds())
    await _forget(harness)
    arrivals = await harness.ingest([event])
    assert [one.value for one in arrivals.values()] == ["new"]


async def test_an_event_of_which_a_delivery_waits_stays_with_all_its_deliveries(
    harness: Harness,
) -> None:
    one, other = await harness.webhook(), await harness.webhook()
    event = harness.event()
    arrived, waits = harness.to(one, event, claimed=True), harness.to(other, event)
    await harness.ingest([event], [arrived, waits], harness.worker)
    (leased,) = await harness.storage.deliveries.leased(harness.worker)
    claimed = ClaimedDelivery(
        leased, one.webhook_id, event.event.event_id, event.event.type, 0, b""
    )
    await harness.finish(claimed)
    await harness.clock.advance(21 * DAY.total_seconds())
    await _forget(harness)
    assert (await harness.probe(arrived.delivery_id)).state is DeliveryState.SUCCEEDED
    assert ids_of(await harness.claim()) == [waits.delivery_id]


async def test_an_event_that_is_being_sent_stays(harness: Harness) -> None:
    claimed = await harness.begin(await harness.webhook())
    await harness.clock.advance(21 * DAY.total_seconds())
    await _forget(harness)
    await harness.finish(claimed, Retry(DELAY))
    await harness.clock.advance(1)
    assert ids_of(await harness.claim()) == [claimed.fence.delivery_id]


async def test_what_waits_for_long_does_not_stand_in_the_way_of_others(harness: Harness) -> None:
    webhook = await harness.webhook()
    events = [harness.event() for _ in range(EVENTS_AT_ONCE + 5)]
    await harness.ingest(events, [harness.to(webhook, one) for one in events])
    await harness.clock.advance(1)
    unwanted = [evolve(harness.event(), body=None) for _ in range(EVENTS_AT_ONCE + 5)]
    await harness.ingest(unwanted)
    elsewhere = harness.event(environment_id=harness.other_environment_id)
    await harness.ingest([elsewhere])
    await harness.clock.advance(21 * DAY.total_seconds())
    await _forget(harness)
    kept = await harness.ingest([*events, *unwanted, elsewhere])
    known = {key[1] for key, arrival in kept.items() if arrival.value == "duplicate"}
    assert known == {one.event.event_id for one in events}


async def test_a_batch_is_bounded_and_the_sweep_goes_on_after_it(harness: Harness) -> None:
    await harness.ingest([harness.event(f"e-{number}") for number in range(7)])
    before = harness.clock.now() + DAY
    sizes, after = [], None
    while True:
        swept = await harness.storage.retention.sweep_events(before, after, 3)
        sizes.append(swept.deleted)
        if (after := swept.after) is None:
            break
    assert sum(sizes) == 7
    assert max(sizes) == 3


async def test_a_sweep_goes_on_where_everything_was_deleted_meanwhile(harness: Harness) -> None:
    await harness.ingest([harness.event(environment_id=harness.other_environment_id)])
    nowhere = EventMark(UUID(int=1), harness.clock.now())
    swept = await harness.storage.retention.sweep_events(_soon(harness), nowhere, 3)
    assert swept.deleted == 1


async def test_attempts_are_forgotten_in_bounded_batches(harness: Harness) -> None:
    webhooks = [await harness.webhook() for _ in range(5)]
    for webhook in (*webhooks, webhooks[0], webhooks[2], webhooks[2]):
        await _done(harness, webhook)
    young = await harness.webhook()
    before = _soon(harness)
    await harness.clock.advance(2 * DAY.total_seconds())
    await _done(harness, young)
    sizes: list[int] = []
    after: UUID | None = FIRST_WEBHOOK
    while after is not None:
        swept = await harness.storage.retention.sweep_attempts(before, after, 2)
        sizes.append(swept.deleted)
        after = swept.after
    assert sum(sizes) == 8
    assert max(sizes) == 2
    assert len(await harness.log(young)) == 1


async def test_a_tombstone_goes_when_nothing_of_the_webhook_is_left(harness: Harness) -> None:
    deleted, alive = await harness.webhook(), await harness.webhook()
    await _done(harness, deleted)
    await harness.storage.webhooks.delete(
        deleted.environment_id, deleted.webhook_id, harness.clock.now()
    )
    await harness.clock.advance(11 * DAY.total_seconds())
    await _forget(harness)
    ids = [deleted.webhook_id, alive.webhook_id]
    assert set((await harness.storage.webhooks.snapshot(ids)).webhooks) == set(ids)
    await harness.clock.advance(10 * DAY.total_seconds())
    await _forget(harness)
    assert set((await harness.storage.webhooks.snapshot(ids)).webhooks) == {alive.webhook_id}
    with pytest.raises(WebhookNotFound):
        await harness.storage.webhooks.environment_of(deleted.webhook_id)


async def test_of_an_event_that_was_deleted_nothing_is_resent(harness: Harness) -> None:
    claimed = await _done(harness, await harness.webhook())
    key = harness.environment_id, claimed.fence.delivery_id
    record = await harness.storage.history.delivery(*key)
    await harness.clock.advance(21 * DAY.total_seconds())
    await _forget(harness)
    with pytest.raises(EventGone):
        await harness.storage.replays.retry(record, uuid4())


def _soon(harness: Harness) -> datetime:
    return harness.clock.now() + DAY


async def test_who_changed_what_is_forgotten_after_its_own_time(harness: Harness) -> None:
    async def change() -> AuditEntry:
        now = harness.clock.now()
        entry = AuditEntry(harness.ids(), now, "a", "b", "c", "d", "e", harness.environment_id)
        key = ApiKey(harness.ids(), "A key", Scope.READ, None, b"", now)
        await harness.storage.api_keys.add(key, [entry])
        return entry

    await change()
    await harness.clock.advance(14 * DAY.total_seconds())
    young = await change()
    await _forget(harness)
    assert len(await harness.storage.audit.page(harness.environment_id, 10)) == 2
    await harness.clock.advance(2 * DAY.total_seconds())
    await _forget(harness)
    assert list(await harness.storage.audit.page(harness.environment_id, 10)) == [young]


async def test_a_dead_letter_is_kept_as_long_as_an_event(harness: Harness) -> None:
    for offset in range(3):
        letter = DeadLetter(Message("t", 0, offset, 0, b"{"), "No event.")
        async with harness.storage.deliveries.ingesting() as transaction:
            await transaction.add_dead_letters([letter])
        await harness.clock.advance(15 * DAY.total_seconds())
    await _forget(harness)
    (left,) = await harness.storage.dead_letters.page(limit=10)
    assert left.offset == 2


async def test_no_more_dead_letters_go_at_once_than_asked_for(harness: Harness) -> None:
    async with harness.storage.deliveries.ingesting() as transaction:
        await transaction.add_dead_letters(
            [DeadLetter(Message("t", 0, one, 0, b"{"), "No event.") for one in range(5)]
        )
    await harness.clock.advance(1)
    retention, now = harness.storage.retention, harness.clock.now()
    assert await retention.delete_dead_letters_before(now, 3) == 3
    assert await retention.delete_dead_letters_before(now, 3) == 2
    assert await retention.delete_dead_letters_before(now, 3) == 0


async def test_a_session_is_deleted_once_it_has_expired(harness: Harness) -> None:
    store, now = harness.storage, harness.clock.now()
    portals = [a_portal_session(harness.ids(), harness.environment_id, now) for _ in range(3)]
    expires_at = portals[0].expires_at
    consoles = [
        ConsoleSession(harness.ids(), "n", Scope.READ, None, "key:1", b"", now, expires_at)
        for _ in range(3)
    ]
    for portal, console in zip(portals, consoles, strict=True):
        await store.portal_sessions.add(portal)
        await store.console_sessions.add(console)
    delete = store.retention.delete_sessions_before
    assert await delete(expires_at, 2) == 0
    later = expires_at + timedelta(microseconds=1)
    assert [await delete(later, 2) for _ in range(3)] == [4, 2, 0]
    with pytest.raises(PortalSessionNotFound):
        await store.portal_sessions.find(harness.environment_id, portals[0].session_id)
    assert await store.console_sessions.find(consoles[0].session_id) is None


async def test_a_sweep_deletes_sessions_that_have_expired_and_no_other(harness: Harness) -> None:
    store, now = harness.storage, harness.clock.now()
    old = a_portal_session(harness.ids(), harness.environment_id, now)
    await store.portal_sessions.add(old)
    await harness.clock.advance((old.expires_at - now).total_seconds() + 1)
    young = a_portal_session(harness.ids(), harness.environment_id, harness.clock.now())
    await store.portal_sessions.add(young)
    await _forget(harness)
    with pytest.raises(PortalSessionNotFound):
        await store.portal_sessions.find(old.environment_id, old.session_id)
    assert await store.portal_sessions.find(young.environment_id, young.session_id) == young
