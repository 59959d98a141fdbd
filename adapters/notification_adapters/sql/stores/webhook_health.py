"""The health store on SQL."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from notification_adapters.sql.database import Database
from notification_adapters.sql.stores.health_rows import IS_PAUSED, heal
from notification_adapters.sql.stores.outbox import OutboxRows
from notification_adapters.sql.stores.webhook_rows import increment_revision
from notification_adapters.sql.tables import webhook_health
from notification_core.concurrency.ids import earliest_id
from notification_core.concurrency.transactions import retry_lost_transaction
from notification_core.ports.webhook_health import WebhookHealthStore

_h = webhook_health.c


class SqlWebhookHealthStore(WebhookHealthStore):
    """Looks at the webhooks of a SQL database that are not healthy."""

    def __init__(self, database: Database, outbox: OutboxRows) -> None:
        self._database = database
        self._outbox = outbox

    async def paused_before(self, first_failure: datetime) -> Sequence[tuple[UUID, UUID]]:
        """Return (environment id, webhook id) of those paused that began to fail before a time."""
        failing = sa.select(_h.environment_id, _h.webhook_id).where(
            IS_PAUSED, _h.first_log_id < earliest_id(first_failure)
        )
        async with self._database.read_transaction() as connection:
            rows = (await connection.execute(failing.order_by(_h.webhook_id))).all()
        return [(row.environment_id, row.webhook_id) for row in rows]

    @retry_lost_transaction
    async def clear(self) -> bool:
        """Take every webhook for healthy, and resume those that were paused; tell if any was."""
        keys = sa.select(_h.environment_id, _h.webhook_id)
        async with self._database.read_transaction() as connection:
            found = [(row[0], row[1]) for row in await connection.execute(keys)]
        if not found:
            return False
        async with self._database.write_transaction() as connection:
            now = await self._database.dialect.now(connection)
            changes = await heal(connection, found, now, self._outbox)
            if changes:
                await increment_revision(connection)
        return bool(changes)
