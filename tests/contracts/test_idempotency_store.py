"""What storage promises of the responses that it keeps: each with its effect, or neither."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from attrs import evolve

from notification_adapters.sql import SqlStorage
from notification_adapters.sql.tables import idempotent_responses
from notification_core.errors import ResponseAlreadyStored, TooManyWebhooks
from notification_core.model.request_records import KEPT_FOR, StoredResponse
from notification_core.model.signing_key import new_signing_key
from notification_core.ports.storage import Storage
from tests.contracts.harness import Harness
from tests.support.samples import a_webhook

Effect = Callable[[Harness, Storage, StoredResponse], Awaitable[None]]


def _stored(harness: Harness, request: str = "first", **changes: Any) -> StoredResponse:
    stored = StoredResponse(
        harness.environment_id, request, "asked", b"\x00answer", harness.clock.now()
    )
    return evolve(stored, **changes)


async def create_a_webhook(harness: Harness, storage: Storage, stored: StoredResponse) -> None:
    await storage.webhooks.add(a_webhook(environment_id=harness.environment_id), 100, [stored])


async def publish_an_event(harness: Harness, storage: Storage, stored: StoredResponse) -> None:
    webhooks = await storage.webhooks.list(harness.environment_id)
    event = harness.event()
    async with storage.deliveries.ingesting() as transaction:
        await transaction.add_events([event])
        await transaction.add_deliveries(
            [harness.to(one, event) for one in webhooks], None, KEPT_FOR
        )
        await transaction.add_records([stored])


async def rotate_the_key(harness: Harness, storage: Storage, stored: StoredResponse) -> None:
    now, number = (
        harness.clock.now(),
        len(await storage.signing_keys.keys_of([harness.environment_id])) + 1,
    )
    key = new_signing_key(harness.environment_id, now, os.urandom(32), number)
    await storage.signing_keys.rotate(key, now + KEPT_FOR, [stored])


@pytest.fixture(params=[create_a_webhook, publish_an_event, rotate_the_key])
def effect(request: pytest.FixtureRequest) -> Effect:
    """Each way to have an effect once."""
    had: Effect = request.param
    return had


async def _found(harness: Harness, stored: StoredResponse) -> StoredResponse | None:
    since = harness.clock.now() - KEPT_FOR
    return await harness.rival.idempotency.find(stored.environment_id, stored.request, since)


async def test_a_response_comes_back_as_it_was_given(harness: Harness, effect: Effect) -> None:
    stored = _stored(harness)
    assert await _found(harness, stored) is None
    await effect(harness, harness.storage, stored)
    assert await _found(harness, stored) == stored
    assert await _found(harness, _stored(harness, "another")) is None
    assert (
        await _found(harness, evolve(stored, environment_id=harness.other_environment_id)) is None
    )


async def test_a_response_about_no_environment_is_found_there_alone(harness: Harness) -> None:
    stored = _stored(harness, environment_id=None)
    await publish_an_event(harness, harness.storage, stored)
    assert await _found(harness, stored) == stored
    assert await _found(harness, _stored(harness)) is None
    with pytest.raises(ResponseAlreadyStored):
        await publish_an_event(harness, harness.rival, stored)


async def test_a_request_that_was_answered_has_no_effect_again(harness: Harness) -> None:
    stored = _stored(harness)
    await create_a_webhook(harness, harness.storage, stored)
    with pytest.raises(ResponseAlreadyStored):
        await create_a_webhook(harness, harness.rival, evolve(stored, response=b"another"))
    assert len(await harness.storage.webhooks.list(harness.environment_id)) == 1
    assert await _found(harness, stored) == stored


async def test_events_of_a_request_that_was_answered_are_not_stored(harness: Harness) -> None:
    await harness.webhook()
    await publish_an_event(harness, harness.storage, _stored(harness))
    with pytest.raises(ResponseAlreadyStored):
        await publish_an_event(harness, harness.rival, _stored(harness))
    assert len((await harness.claim()).deliveries) == 1


async def test_what_is_refused_leaves_no_response(harness: Harness) -> None:
    await harness.webhook()
    stored = _stored(harness)
    with pytest.raises(TooManyWebhooks):
        await harness.storage.webhooks.add(
            a_webhook(environment_id=harness.environment_id), 1, [stored]
        )
    assert await _found(harness, stored) is None


async def test_of_two_at_once_one_has_the_effect(harness: Harness, effect: Effect) -> None:
    stored = _stored(harness)
    ends = await asyncio.gather(
        *(effect(harness, one, stored) for one in (harness.storage, harness.rival) * 3),
        return_exceptions=True,
    )
    assert ends.count(None) == 1
    assert sum(isinstance(end, ResponseAlreadyStored) for end in ends) == 5


async def test_after_a_day_the_same_request_is_another_one(
    harness: Harness, effect: Effect
) -> None:
    old = _stored(harness)
    await effect(harness, harness.storage, old)
    await harness.clock.advance(KEPT_FOR.total_seconds())
    assert await _found(harness, old) is None
    new = evolve(old, response=b"new", responded_at=harness.clock.now())
    await effect(harness, harness.storage, new)
    assert await _found(harness, old) == new


async def test_old_responses_are_forgotten_in_small_batches(harness: Harness) -> None:
    old = [_stored(harness, f"old {number}") for number in range(5)]
    for each in old:
        await publish_an_event(harness, harness.storage, each)
    before = harness.clock.now()
    await harness.clock.advance(1)
    young = _stored(harness, "young")
    await publish_an_event(harness, harness.storage, young)
    store = harness.storage.idempotency
    assert [await store.delete_before(before, limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert [await _found(harness, each) for each in old] == [None] * 5
    assert await _found(harness, young) == young


@pytest.mark.parametrize("storage_kind", ["sqlite", "postgres"], indirect=True)
async def test_in_a_database_a_response_cannot_be_read_without_the_secret(harness: Harness) -> None:
    assert isinstance(harness.storage, SqlStorage)
    await publish_an_event(harness, harness.storage, _stored(harness, response=b"north"))
    async with harness.storage.database.read_transaction() as connection:
        row = (await connection.execute(idempotent_responses.select())).one()
    assert "north" not in repr(row)
    assert row.response.startswith("v1.")
