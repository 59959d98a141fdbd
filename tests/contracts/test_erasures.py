"""What storage promises of an erasure: all of an environment goes, and nothing of another."""

import asyncio
import os
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from attrs import evolve

from notification_adapters.sql import SqlStorage
from notification_adapters.sql.tables import SCHEMA
from notification_core.errors import ErasureNotFound, EventNotFound, WebhookNotFound
from notification_core.model.circuit_breaker import CircuitBreaker
from notification_core.model.delivery import AttemptError, ErrorCode, Failed, Retry
from notification_core.model.erasure import NOTHING_ERASED, ErasureState
from notification_core.model.event import Arrival
from notification_core.model.replay import NOT_ARRIVED, Replay, Selection
from notification_core.model.request_records import AuditEntry, StoredResponse
from notification_core.model.signing_key import new_signing_key
from notification_core.model.webhook import Webhook
from tests.contracts.harness import Harness, ids_of
from tests.support.samples import a_portal_session

OF_NO_ENVIRONMENT = {"erasures"}


async def _fill(harness: Harness, environment_id: UUID) -> Webhook:
    """Store something of every kind for an environment."""
    now, store = harness.clock.now(), harness.storage
    webhook = await harness.webhook(environment_id, ordered=True, rate_limit=1)
    await store.signing_keys.add_first(new_signing_key(environment_id, now, os.urandom(32)))
    await harness.finish(await harness.hand_over(webhook), Failed())
    await store.retention.merge_statistics(now + timedelta(minutes=1), 10)
    failed = harness.result(await harness.hand_over(webhook), Retry(timedelta(hours=1)))
    refused = AttemptError(ErrorCode.CONNECT, "Nobody listens there.")
    failed = evolve(failed, attempt=evolve(failed.attempt, error=refused))
    await store.deliveries.finish([failed], timedelta(), CircuitBreaker())
    await harness.publish(webhook, 3, key="a")
    claimed = await harness.claim(webhook_limits={webhook.webhook_id: 1}, new_webhook_limit=0)
    await store.deliveries.release([delivery.fence for delivery in claimed.deliveries])
    unwanted = harness.event(environment_id=environment_id, whole=False)
    stored = StoredResponse(environment_id, str(harness.ids()), "x", b"answer", now)
    async with store.deliveries.ingesting() as transaction:
        await transaction.add_events([unwanted])
        await transaction.add_records([stored, _entry(harness, environment_id)])
    selection = Selection(now - timedelta(days=1), now, frozenset(NOT_ARRIVED))
    replay = Replay(harness.ids(), environment_id, webhook.webhook_id, selection, now)
    await store.replays.add(replay)
    await store.portal_sessions.add(a_portal_session(harness.ids(), environment_id, now))
    return webhook


def _entry(harness: Harness, environment_id: UUID | None) -> AuditEntry:
    now = harness.clock.now()
    return AuditEntry(harness.ids(), now, "anna", "::1", "x", "y", "z", environment_id)


async def _erase(harness: Harness, environment_id: UUID, limit: int = 2) -> int:
    """Erase an environment; return in how many batches."""
    await harness.storage.erasures.begin(environment_id, harness.clock.now())
    batches = 1
    while not (await harness.storage.erasures.advance(environment_id, limit)).is_last:
        batches += 1
        assert batches < 100
    return batches


async def _rows(harness: Harness, environment_id: UUID) -> dict[str, int]:
    """Return how many rows a SQL database has of an environment, by table."""
    assert isinstance(harness.storage, SqlStorage)
    found = {}
    async with harness.storage.database.read_transaction() as connection:
        for table in SCHEMA.tables.values():
            if "environment_id" in table.c and table.name not in OF_NO_ENVIRONMENT:
                count = sa.select(sa.func.count()).where(table.c.environment_id == environment_id)
                found[table.name] = (await connection.execute(count)).scalar_one()
    return found


async def test_all_that_is_of_an_environment_goes_and_nothing_of_another(harness: Harness) -> None:
    webhook = await _fill(harness, harness.environment_id)
    other = await _fill(harness, harness.other_environment_id)
    assert await _erase(harness, harness.environment_id) > 5
    store, key = harness.rival, (harness.environment_id, webhook.webhook_id)
    assert list(await store.webhooks.list(harness.environment_id)) == []
    assert list(await store.signing_keys.keys_of([harness.environment_id])) == []
    assert (await store.logs.page(*key, limit=10)).rows == []
    assert (await store.history.of_webhook(*key, limit=10)).rows == []
    assert (await store.history.events(harness.environment_id, limit=10)).rows == []
    assert (await store.replays.of_webhook(*key, limit=10)).rows == []
    assert list(await store.audit.page(harness.environment_id, limit=10)) == []
    now = harness.clock.now()
    assert list(await store.portal_sessions.page(harness.environment_id, now, limit=10)) == []
    there = harness.other_environment_id, other.webhook_id
    assert [one.webhook_id for one in await store.webhooks.list(there[0])] == [there[1]]
    assert len(await store.signing_keys.keys_of([there[0]])) == 1
    assert len((await store.logs.page(*there, limit=10)).rows) == 2
    assert len((await store.history.of_webhook(*there, limit=10)).rows) == 5
    assert len((await store.history.events(there[0], limit=10)).rows) == 6
    assert len((await store.replays.of_webhook(*there, limit=10)).rows) == 1
    assert len(await store.audit.page(there[0], limit=10)) == 1
    assert len(await store.portal_sessions.page(there[0], now, limit=10)) == 1


async def test_who_began_it_is_kept_once(harness: Harness) -> None:
    first, again, anew = (_entry(harness, None) for _ in range(3))
    for record in (first, again):
        await harness.storage.erasures.begin(harness.environment_id, harness.clock.now(), [record])
    assert list(await harness.rival.audit.page(None, limit=10)) == [first]
    await _erase(harness, harness.environment_id)
    await harness.storage.erasures.begin(harness.environment_id, harness.clock.now(), [anew])
    assert list(await harness.rival.audit.page(None, limit=10)) == [anew, first]


async def test_a_key_counts_as_one_of_the_things_that_are_gone(harness: Harness) -> None:
    key = new_signing_key(harness.environment_id, harness.clock.now(), os.urandom(32))
    await harness.storage.signing_keys.add_first(key)
    await _erase(harness, harness.environment_id)
    assert (await harness.storage.erasures.get(harness.environment_id)).erased == 1


async def test_no_table_keeps_a_row(harness: Harness) -> None:
    if not isinstance(harness.storage, SqlStorage):
        return
    await _fill(harness, harness.environment_id)
    before = await _rows(harness, harness.environment_id)
    empty = [name for name, count in before.items() if not count]
    # SQLite has one writer, and locks no lines.
    assert empty == (["ordering_keys"] if harness.one_dispatcher else [])
    await _erase(harness, harness.environment_id)
    assert set((await _rows(harness, harness.environment_id)).values()) == {0}


async def test_its_webhooks_are_deleted_before_anything_else_and_workers_are_told(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    other = await harness.webhook(harness.other_environment_id)
    await harness.publish(webhook, 2)
    before = await harness.storage.webhooks.webhooks_revision()
    _, webhooks_revision = await harness.storage.erasures.begin(
        harness.environment_id, harness.clock.now()
    )
    assert webhooks_revision == await harness.storage.webhooks.webhooks_revision() > before
    assert list(await harness.storage.webhooks.list(harness.environment_id)) == []
    with pytest.raises(WebhookNotFound):
        await harness.storage.webhooks.get(harness.environment_id, webhook.webhook_id)
    assert ids_of(await harness.claim()) == []
    assert len(await harness.storage.webhooks.list(other.environment_id)) == 1


async def test_how_far_it_is_can_be_seen(harness: Harness) -> None:
    await _fill(harness, harness.environment_id)
    now = harness.clock.now()
    erasure, _ = await harness.storage.erasures.begin(harness.environment_id, now)
    assert (erasure.state, erasure.requested_at, erasure.erased) == (ErasureState.RUNNING, now, 0)
    assert await harness.rival.erasures.get(harness.environment_id) == erasure
    batch = await harness.storage.erasures.advance(harness.environment_id, 2)
    assert not batch.is_last
    assert (await harness.rival.erasures.get(harness.environment_id)).erased == batch.erased > 0
    await harness.clock.advance(5)
    while not (await harness.storage.erasures.advance(harness.environment_id, 2)).is_last:
        pass
    ended = await harness.rival.erasures.get(harness.environment_id)
    assert (ended.state, ended.ended_at) == (ErasureState.COMPLETED, harness.clock.now())
    assert ended.erased > batch.erased
    with pytest.raises(ErasureNotFound):
        await harness.storage.erasures.get(harness.other_environment_id)


async def test_what_is_being_sent_is_let_end_first(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    await harness.storage.erasures.begin(harness.environment_id, harness.clock.now())
    for _ in range(5):
        batch = await harness.storage.erasures.advance(harness.environment_id, 10)
        assert (batch.erased, batch.is_last) == (0, False)
    assert (
        list(await harness.storage.deliveries.finish([harness.result(claimed)], timedelta())) == []
    )
    assert len(await harness.log(webhook)) == 1
    while not (await harness.storage.erasures.advance(harness.environment_id, 10)).is_last:
        pass
    assert await harness.log(webhook) == []


async def test_whoever_stores_events_learns_what_is_being_erased(harness: Harness) -> None:
    await harness.storage.erasures.begin(harness.environment_id, harness.clock.now())
    async with harness.storage.deliveries.ingesting() as transaction:
        assert set(await transaction.erasing()) == {harness.environment_id}
        webhooks_revision = await transaction.webhooks_revision()
    assert set(await harness.rival.erasures.running()) == {harness.environment_id}
    assert (await harness.storage.erasures.advance(harness.environment_id, 10)).is_last
    async with harness.storage.deliveries.ingesting() as transaction:
        assert set(await transaction.erasing()) == set()
        assert await transaction.webhooks_revision() > webhooks_revision


async def test_what_came_in_meanwhile_goes_as_well(harness: Harness) -> None:
    await _fill(harness, harness.environment_id)
    await harness.storage.erasures.begin(harness.environment_id, harness.clock.now())
    await harness.storage.erasures.advance(harness.environment_id, 100)
    await _fill(harness, harness.environment_id)
    await _erase(harness, harness.environment_id, limit=100)
    assert (await harness.storage.history.events(harness.environment_id, limit=10)).rows == []
    assert list(await harness.storage.webhooks.list(harness.environment_id)) == []


async def test_it_is_the_same_erasure_while_it_runs_and_another_one_afterwards(
    harness: Harness,
) -> None:
    event = harness.event("again")
    await harness.ingest([event])
    first, _ = await harness.storage.erasures.begin(harness.environment_id, harness.clock.now())
    await harness.clock.advance(1)
    same, _ = await harness.rival.erasures.begin(harness.environment_id, harness.clock.now())
    assert same == first
    await _erase(harness, harness.environment_id)
    assert await harness.storage.erasures.advance(harness.environment_id, 10) == NOTHING_ERASED
    assert {*(await harness.ingest([event])).values()} == {Arrival.NEW}
    second, _ = await harness.storage.erasures.begin(harness.environment_id, harness.clock.now())
    assert second.requested_at > first.requested_at
    assert (second.state, second.erased) == (ErasureState.RUNNING, 0)
    await _erase(harness, harness.environment_id)
    with pytest.raises(EventNotFound):
        await harness.storage.history.event(harness.environment_id, "again")


async def test_several_processes_at_it_disturb_nobody(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook, 20)
    await harness.storage.erasures.begin(harness.environment_id, harness.clock.now())
    while harness.environment_id in await harness.storage.erasures.running():
        await asyncio.gather(
            *(
                storage.erasures.advance(harness.environment_id, 3)
                for storage in (harness.storage, harness.rival) * 2
            )
        )
    erased = (await harness.storage.erasures.get(harness.environment_id)).erased
    assert erased == 20 + 20 + 1
