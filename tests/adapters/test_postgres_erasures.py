"""Erasing on PostgreSQL, where others publish in transactions of their own meanwhile."""

from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
from attrs import evolve

from notification_adapters.clock import SystemClock
from notification_adapters.sql import SqlStorage
from notification_core.model.erasure import ErasedBatch
from tests.adapters.sql_storages import ENVIRONMENT_ID, event, ingest


@pytest.fixture
def storage(postgres_storage: SqlStorage) -> SqlStorage:
    return postgres_storage


async def test_an_erasure_waits_for_who_published_before_it_began_and_takes_that_along(
    storage: SqlStorage,
) -> None:
    async with AsyncExitStack() as open_:
        transaction = await open_.enter_async_context(storage.deliveries.ingesting())
        await transaction.add_events([event("e-1")])
        await storage.erasures.begin(ENVIRONMENT_ID, SystemClock().now())
        assert not (await erased_as_far_as_possible(storage)).is_last
    assert (await storage.erasures.advance(ENVIRONMENT_ID, 10)).erased == 1
    assert (await erased_as_far_as_possible(storage)).is_last
    assert (await storage.history.events(ENVIRONMENT_ID, limit=10)).rows == []


async def test_an_erasure_does_not_wait_for_who_publishes_since(storage: SqlStorage) -> None:
    await ingest(storage, event("e-1"))
    await storage.erasures.begin(ENVIRONMENT_ID, SystemClock().now())
    async with storage.deliveries.ingesting() as transaction:
        await storage.erasures.advance(ENVIRONMENT_ID, 10)
        theirs = event("e-2")
        described = evolve(theirs.event, environment_id=uuid4())
        await transaction.add_events([evolve(theirs, event=described)])
        assert (await erased_as_far_as_possible(storage)).is_last


async def erased_as_far_as_possible(storage: SqlStorage) -> ErasedBatch:
    """Erase until there is nothing more to erase now."""
    batch = await storage.erasures.advance(ENVIRONMENT_ID, 10)
    while batch.erased:
        batch = await storage.erasures.advance(ENVIRONMENT_ID, 10)
    return batch
