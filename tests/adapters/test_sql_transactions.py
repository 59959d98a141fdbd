"""What transactions promise on both SQL engines, whatever happens within them."""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import suppress

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from notification_adapters.sql import SqlStorage
from notification_adapters.sql.installation_tables import webhooks_revision
from notification_core.errors import StorageUnavailable
from notification_core.model.event import Arrival
from tests.adapters.sql_storages import ENVIRONMENT_ID, add_webhook, event, ingest


@pytest.fixture(params=["sqlite_storage", "postgres_storage"])
def storage(request: pytest.FixtureRequest) -> SqlStorage:
    """Give an empty database of each engine."""
    storage: SqlStorage = request.getfixturevalue(request.param)
    return storage


async def test_a_reader_sees_one_moment_while_others_write(storage: SqlStorage) -> None:
    async with storage.database.read_transaction() as connection:
        before = (await connection.execute(sa.select(webhooks_revision.c.revision))).scalar_one()
        async with storage.database.write_transaction() as writer:
            await writer.execute(sa.update(webhooks_revision).values(revision=99))
        after = (await connection.execute(sa.select(webhooks_revision.c.revision))).scalar_one()
        assert after == before
    assert await storage.webhooks.webhooks_revision() == 99


async def test_a_reader_cannot_write(storage: SqlStorage) -> None:
    with pytest.raises(StorageUnavailable, match="read-only"):
        async with storage.database.read_transaction() as connection:
            await connection.execute(sa.update(webhooks_revision).values(revision=1))
    assert await storage.webhooks.webhooks_revision() == 0


async def test_what_breaks_inside_undoes_all_and_leaves_the_connection_fit(
    storage: SqlStorage,
) -> None:
    for _ in range(3):
        with pytest.raises(DBAPIError):
            await _change_and_stumble(storage)
        with pytest.raises(KeyError):
            await _change_and_raise(storage)
        assert await storage.webhooks.webhooks_revision() == 0
    assert await ingest(storage, event("e-1")) == [Arrival.NEW]
    assert storage.database.open_transactions == 0


async def test_more_who_want_a_connection_than_there_are_wait_for_one(storage: SqlStorage) -> None:
    most = storage.database.max_transactions
    reading = [storage.webhooks.webhooks_revision() for _ in range(10 * most)]
    assert set(await asyncio.gather(*reading)) == {0}


@pytest.fixture
def no_garbage_is_collected() -> Iterator[None]:
    """Leave it to the code under test: else the collector may come just in time, or not."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.usefixtures("no_garbage_is_collected")
@pytest.mark.parametrize("turns", range(0, 60, 3))
async def test_whenever_a_change_is_cancelled_it_is_done_or_not_and_others_go_on(
    storage: SqlStorage, turns: int
) -> None:
    webhook = await add_webhook(storage)
    before = await storage.webhooks.webhooks_revision()
    deleting = asyncio.create_task(
        storage.webhooks.delete(ENVIRONMENT_ID, webhook.webhook_id, webhook.created_at)
    )
    for _ in range(turns):
        await asyncio.sleep(0.0001)  # long enough for a statement: each turn is another moment
    deleting.cancel()
    with suppress(asyncio.CancelledError):
        await deleting
    listed = await storage.webhooks.list(ENVIRONMENT_ID)
    assert await storage.webhooks.webhooks_revision() == before + (0 if listed else 1)
    assert await ingest(storage, event("e-1")) == [Arrival.NEW]
    assert storage.database.open_transactions == 0


async def _change_and_stumble(storage: SqlStorage) -> None:
    async with storage.database.write_transaction() as connection:
        await connection.execute(sa.update(webhooks_revision).values(revision=7))
        await connection.exec_driver_sql("SELECT nonsense")


async def _change_and_raise(storage: SqlStorage) -> None:
    async with storage.database.write_transaction() as connection:
        await connection.execute(sa.update(webhooks_revision).values(revision=7))
        raise KeyError
