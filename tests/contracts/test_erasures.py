"""What storage promises of an erasure: all of an environment goes, and nothing of another."""

import asyncio
import os
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from notification_adapters.sql import SqlStorage
from notification_adapters.sql.tables import metadata
from notification_core.errors import ErasureNotFound, EventNotFound, WebhookNotFound
from notification_core.model.delivery import Failed, Retry
from notification_core.model.erasure import NOTHING_ERASED, ErasureState
from notification_core.model.event import Arrival
from notification_core.model.replay import NOT_ARRIVED, Replay, Selection
from notification_core.model.request_records import AuditEntry, StoredResponse
from notification_core.model.signing_key import new_signing_key
from notification_core.model.webhook import Webhook
from tests.contracts.world import World, ids_of

OF_NO_ENVIRONMENT = {"erasures"}


async def _fill(world: World, environment_id: UUID) -> Webhook:
    """Store something of every kind for an environment."""
    now, store = world.clock.now(), world.storage
    webhook = await world.webhook(environment_id)
    await store.signing_keys.add_first(new_signing_key(environment_id, now, os.urandom(32)))
    await world.finish(await world.hand_over(webhook), Failed())
    await world.finish(await world.hand_over(webhook), Retry(timedelta(hours=1)))
    await world.publish(webhook, 3)
    unwanted = world.event(environment_id=environment_id, whole=False)
    kept = StoredResponse(environment_id, str(world.ids()), "x", b"answer", now)
    async with store.deliveries.ingesting() as transaction:
        await transaction.add_events([unwanted])
        await transaction.add_records([kept, _entry(world, environment_id)])
    selection = Selection(now - timedelta(days=1), now, frozenset(NOT_ARRIVED))
    replay = Replay(world.ids(), environment_id, webhook.webhook_id, selection, now)
    await store.replays.add(replay)
    return webhook


def _entry(world: World, environment_id: UUID | None) -> AuditEntry:
    now = world.clock.now()
    return AuditEntry(world.ids(), now, "anna", "::1", "x", "y", "z", environment_id)


async def _erase(world: World, environment_id: UUID, limit: int = 2) -> int:
    """Erase an environment; return in how many batches."""
    await world.storage.erasures.begin(environment_id, world.clock.now())
    batches = 1
    while not (await world.storage.erasures.advance(environment_id, limit)).is_last:
        batches += 1
        assert batches < 100
    return batches


async def _rows(world: World, environment_id: UUID) -> dict[str, int]:
    """Return how many rows a SQL database has of an environment, by table."""
    assert isinstance(world.storage, SqlStorage)
    found = {}
    async with world.storage.database.read_transaction() as connection:
        for table in metadata.tables.values():
            if "environment_id" in table.c and table.name not in OF_NO_ENVIRONMENT:
                count = sa.select(sa.func.count()).where(table.c.environment_id == environment_id)
                found[table.name] = (await connection.execute(count)).scalar_one()
    return found


async def test_all_that_is_of_an_environment_goes_and_nothing_of_another(world: World) -> None:
    webhook = await _fill(world, world.environment_id)
    other = await _fill(world, world.other_environment_id)
    assert await _erase(world, world.environment_id) > 5
    store, key = world.rival, (world.environment_id, webhook.webhook_id)
    assert list(await store.webhooks.list(world.environment_id)) == []
    assert list(await store.signing_keys.keys_of([world.environment_id])) == []
    assert (await store.logs.page(*key, limit=10)).rows == []
    assert (await store.history.of_webhook(*key, limit=10)).rows == []
    assert (await store.history.events(world.environment_id, limit=10)).rows == []
    assert (await store.replays.of_webhook(*key, limit=10)).rows == []
    assert list(await store.audit.page(world.environment_id, limit=10)) == []
    there = world.other_environment_id, other.webhook_id
    assert [one.webhook_id for one in await store.webhooks.list(there[0])] == [there[1]]
    assert len(await store.signing_keys.keys_of([there[0]])) == 1
    assert len((await store.logs.page(*there, limit=10)).rows) == 2
    assert len((await store.history.of_webhook(*there, limit=10)).rows) == 5
    assert len((await store.history.events(there[0], limit=10)).rows) == 6
    assert len((await store.replays.of_webhook(*there, limit=10)).rows) == 1
    assert len(await store.audit.page(there[0], limit=10)) == 1


async def test_who_began_it_is_kept_once(world: World) -> None:
    first, again, anew = (_entry(world, None) for _ in range(3))
    for kept in (first, again):
        await world.storage.erasures.begin(world.environment_id, world.clock.now(), [kept])
    assert list(await world.rival.audit.page(None, limit=10)) == [first]
    await _erase(world, world.environment_id)
    await world.storage.erasures.begin(world.environment_id, world.clock.now(), [anew])
    assert list(await world.rival.audit.page(None, limit=10)) == [anew, first]


async def test_a_key_counts_as_one_of_the_things_that_are_gone(world: World) -> None:
    key = new_signing_key(world.environment_id, world.clock.now(), os.urandom(32))
    await world.storage.signing_keys.add_first(key)
    await _erase(world, world.environment_id)
    assert (await world.storage.erasures.get(world.environment_id)).erased == 1


async def test_no_table_keeps_a_row(world: World) -> None:
    if not isinstance(world.storage, SqlStorage):
        return
    await _fill(world, world.environment_id)
    before = await _rows(world, world.environment_id)
    assert [name for name, count in before.items() if not count] == []
    await _erase(world, world.environment_id)
    assert set((await _rows(world, world.environment_id)).values()) == {0}


async def test_its_webhooks_are_deleted_before_anything_else_and_workers_are_told(
    world: World,
) -> None:
    webhook = await world.webhook()
    other = await world.webhook(world.other_environment_id)
    await world.publish(webhook, 2)
    before = await world.storage.webhooks.webhooks_revision()
    _, webhooks_revision = await world.storage.erasures.begin(
        world.environment_id, world.clock.now()
    )
    assert webhooks_revision == await world.storage.webhooks.webhooks_revision() > before
    assert list(await world.storage.webhooks.list(world.environment_id)) == []
    with pytest.raises(WebhookNotFound):
        await world.storage.webhooks.get(world.environment_id, webhook.webhook_id)
    assert ids_of(await world.claim()) == []
    assert len(await world.storage.webhooks.list(other.environment_id)) == 1


async def test_how_far_it_is_can_be_seen(world: World) -> None:
    await _fill(world, world.environment_id)
    now = world.clock.now()
    begun, _ = await world.storage.erasures.begin(world.environment_id, now)
    assert (begun.state, begun.requested_at, begun.erased) == (ErasureState.RUNNING, now, 0)
    assert await world.rival.erasures.get(world.environment_id) == begun
    batch = await world.storage.erasures.advance(world.environment_id, 2)
    assert not batch.is_last
    assert (await world.rival.erasures.get(world.environment_id)).erased == batch.erased > 0
    await world.clock.advance(5)
    while not (await world.storage.erasures.advance(world.environment_id, 2)).is_last:
        pass
    ended = await world.rival.erasures.get(world.environment_id)
    assert (ended.state, ended.ended_at) == (ErasureState.COMPLETED, world.clock.now())
    assert ended.erased > batch.erased
    with pytest.raises(ErasureNotFound):
        await world.storage.erasures.get(world.other_environment_id)


async def test_what_is_being_sent_is_let_end_first(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    await world.storage.erasures.begin(world.environment_id, world.clock.now())
    for _ in range(5):
        batch = await world.storage.erasures.advance(world.environment_id, 10)
        assert (batch.erased, batch.is_last) == (0, False)
    assert list(await world.storage.deliveries.finish([world.result(begun)], timedelta())) == []
    assert len(await world.log(webhook)) == 1
    while not (await world.storage.erasures.advance(world.environment_id, 10)).is_last:
        pass
    assert await world.log(webhook) == []


async def test_whoever_stores_events_learns_what_is_being_erased(world: World) -> None:
    await world.storage.erasures.begin(world.environment_id, world.clock.now())
    async with world.storage.deliveries.ingesting() as transaction:
        assert set(await transaction.erasing()) == {world.environment_id}
        webhooks_revision = await transaction.webhooks_revision()
    assert set(await world.rival.erasures.running()) == {world.environment_id}
    assert (await world.storage.erasures.advance(world.environment_id, 10)).is_last
    async with world.storage.deliveries.ingesting() as transaction:
        assert set(await transaction.erasing()) == set()
        assert await transaction.webhooks_revision() > webhooks_revision


async def test_what_came_in_meanwhile_goes_as_well(world: World) -> None:
    await _fill(world, world.environment_id)
    await world.storage.erasures.begin(world.environment_id, world.clock.now())
    await world.storage.erasures.advance(world.environment_id, 100)
    await _fill(world, world.environment_id)
    await _erase(world, world.environment_id, limit=100)
    assert (await world.storage.history.events(world.environment_id, limit=10)).rows == []
    assert list(await world.storage.webhooks.list(world.environment_id)) == []


async def test_it_is_the_same_erasure_while_it_runs_and_another_one_afterwards(
    world: World,
) -> None:
    event = world.event("again")
    await world.ingest([event])
    first, _ = await world.storage.erasures.begin(world.environment_id, world.clock.now())
    await world.clock.advance(1)
    same, _ = await world.rival.erasures.begin(world.environment_id, world.clock.now())
    assert same == first
    await _erase(world, world.environment_id)
    assert await world.storage.erasures.advance(world.environment_id, 10) == NOTHING_ERASED
    assert {*(await world.ingest([event])).values()} == {Arrival.NEW}
    second, _ = await world.storage.erasures.begin(world.environment_id, world.clock.now())
    assert second.requested_at > first.requested_at
    assert (second.state, second.erased) == (ErasureState.RUNNING, 0)
    await _erase(world, world.environment_id)
    with pytest.raises(EventNotFound):
        await world.storage.history.event(world.environment_id, "again")


async def test_several_processes_at_it_disturb_nobody(world: World) -> None:
    webhook = await world.webhook()
    await world.publish(webhook, 20)
    await world.storage.erasures.begin(world.environment_id, world.clock.now())
    while world.environment_id in await world.storage.erasures.running():
        await asyncio.gather(
            *(
                storage.erasures.advance(world.environment_id, 3)
                for storage in (world.storage, world.rival) * 2
            )
        )
    erased = (await world.storage.erasures.get(world.environment_id)).erased
    assert erased == 20 + 20 + 1
