"""What storage promises of the answers that it keeps: each with its effect, or neither."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from attrs import evolve

from notification_adapters.sql import SqlStorage
from notification_adapters.sql.tables import idempotent_responses
from notification_core.errors import AlreadyAnswered, TooManyWebhooks
from notification_core.model.request_records import KEPT_FOR, StoredResponse
from notification_core.model.signing_key import new_signing_key
from notification_core.ports.storage import Storage
from tests.contracts.world import World
from tests.support.samples import a_webhook

Effect = Callable[[World, Storage, StoredResponse], Awaitable[None]]


def _kept(world: World, request: str = "first", **changes: Any) -> StoredResponse:
    kept = StoredResponse(world.environment_id, request, "asked", b"\x00answer", world.clock.now())
    return evolve(kept, **changes)


async def create_a_webhook(world: World, storage: Storage, kept: StoredResponse) -> None:
    await storage.webhooks.add(a_webhook(environment_id=world.environment_id), 100, [kept])


async def publish_an_event(world: World, storage: Storage, kept: StoredResponse) -> None:
    webhooks = await storage.webhooks.list(world.environment_id)
    event = world.event()
    async with storage.deliveries.ingesting() as transaction:
        await transaction.add_events([event])
        await transaction.add_deliveries([world.to(one, event) for one in webhooks], None, KEPT_FOR)
        await transaction.add_records([kept])


async def rotate_the_key(world: World, storage: Storage, kept: StoredResponse) -> None:
    now, number = (
        world.clock.now(),
        len(await storage.signing_keys.keys_of([world.environment_id])) + 1,
    )
    key = new_signing_key(world.environment_id, now, os.urandom(32), number)
    await storage.signing_keys.rotate(key, now + KEPT_FOR, [kept])


@pytest.fixture(params=[create_a_webhook, publish_an_event, rotate_the_key])
def effect(request: pytest.FixtureRequest) -> Effect:
    """Each way to have an effect once."""
    had: Effect = request.param
    return had


async def _found(world: World, kept: StoredResponse) -> StoredResponse | None:
    since = world.clock.now() - KEPT_FOR
    return await world.rival.idempotency.find(kept.environment_id, kept.request, since)


async def test_an_answer_comes_back_as_it_was_given(world: World, effect: Effect) -> None:
    kept = _kept(world)
    assert await _found(world, kept) is None
    await effect(world, world.storage, kept)
    assert await _found(world, kept) == kept
    assert await _found(world, _kept(world, "another")) is None
    assert await _found(world, evolve(kept, environment_id=world.other_environment_id)) is None


async def test_a_request_that_was_answered_has_no_effect_again(world: World) -> None:
    kept = _kept(world)
    await create_a_webhook(world, world.storage, kept)
    with pytest.raises(AlreadyAnswered):
        await create_a_webhook(world, world.rival, evolve(kept, answer=b"another"))
    assert len(await world.storage.webhooks.list(world.environment_id)) == 1
    assert await _found(world, kept) == kept


async def test_events_of_a_request_that_was_answered_are_not_stored(world: World) -> None:
    await world.webhook()
    await publish_an_event(world, world.storage, _kept(world))
    with pytest.raises(AlreadyAnswered):
        await publish_an_event(world, world.rival, _kept(world))
    assert len((await world.claim()).deliveries) == 1


async def test_what_is_refused_leaves_no_answer(world: World) -> None:
    await world.webhook()
    kept = _kept(world)
    with pytest.raises(TooManyWebhooks):
        await world.storage.webhooks.add(a_webhook(environment_id=world.environment_id), 1, [kept])
    assert await _found(world, kept) is None


async def test_of_two_at_once_one_has_the_effect(world: World, effect: Effect) -> None:
    kept = _kept(world)
    ends = await asyncio.gather(
        *(effect(world, one, kept) for one in (world.storage, world.rival) * 3),
        return_exceptions=True,
    )
    assert ends.count(None) == 1
    assert sum(isinstance(end, AlreadyAnswered) for end in ends) == 5


async def test_after_a_day_the_same_request_is_another_one(world: World, effect: Effect) -> None:
    old = _kept(world)
    await effect(world, world.storage, old)
    await world.clock.advance(KEPT_FOR.total_seconds())
    assert await _found(world, old) is None
    new = evolve(old, answer=b"new", answered_at=world.clock.now())
    await effect(world, world.storage, new)
    assert await _found(world, old) == new


async def test_old_answers_are_forgotten_in_small_batches(world: World) -> None:
    old = [_kept(world, f"old {number}") for number in range(5)]
    for each in old:
        await publish_an_event(world, world.storage, each)
    before = world.clock.now()
    await world.clock.advance(1)
    young = _kept(world, "young")
    await publish_an_event(world, world.storage, young)
    store = world.storage.idempotency
    assert [await store.delete_before(before, limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert [await _found(world, each) for each in old] == [None] * 5
    assert await _found(world, young) == young


@pytest.mark.parametrize("storage_kind", ["sqlite", "postgres"], indirect=True)
async def test_in_a_database_an_answer_cannot_be_read_without_the_secret(world: World) -> None:
    assert isinstance(world.storage, SqlStorage)
    await publish_an_event(world, world.storage, _kept(world, answer=b"north"))
    async with world.storage.database.read_transaction() as connection:
        row = (await connection.execute(idempotent_responses.select())).one()
    assert "north" not in repr(row)
    assert row.response.startswith("v1.")
