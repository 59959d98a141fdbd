"""What an erasure costs on SQLite: it must not grow with what others have."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from notification_adapters.sql import SqlStorage
from notification_core.model.delivery import NewDelivery
from tests.adapters.sql_storages import ENVIRONMENT_ID, event
from tests.adapters.sqlite_connections import plans


async def test_no_statement_of_an_erasure_walks_a_table(sqlite_storage: SqlStorage) -> None:
    storage, now = sqlite_storage, datetime.now(UTC)
    delivery = NewDelivery(UUID(int=1), ENVIRONMENT_ID, UUID(int=2), "e-1")
    async with storage.deliveries.ingesting() as transaction:
        await transaction.add_events([event("e-1")])
        await transaction.add_deliveries([delivery], None, timedelta())
    async with plans(storage) as lines:
        await storage.erasures.begin(ENVIRONMENT_ID, now)
        while not (await storage.erasures.advance(ENVIRONMENT_ID, 500)).is_last:
            pass
    assert len(lines) > 15
    # The webhooks' revision is one row.
    scans = {line for line in lines if line.startswith("SCAN")}
    assert scans <= {"SCAN webhooks_revision"}
