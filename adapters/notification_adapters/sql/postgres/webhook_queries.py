"""Reading webhooks and the change counter, as every ingest and every claim does."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import RawRow, WebhookRow
from notification_adapters.sql.postgres.driver import fetch

_COLUMNS = ", ".join(WebhookRow._fields)
_WEBHOOKS_OF = f"""
SELECT {_COLUMNS} FROM webhooks WHERE environment_id = ANY($1::uuid[]) AND deleted_at IS NULL
ORDER BY created_at, webhook_id
"""  # noqa: S608 - the columns' names are ours
_WEBHOOK = f"""
SELECT {_COLUMNS} FROM webhooks
WHERE webhook_id = $1 AND environment_id = $2 AND deleted_at IS NULL
"""  # noqa: S608 - the same
_WEBHOOKS_BY_ID = f"""
SELECT {_COLUMNS} FROM webhooks WHERE webhook_id = ANY($1::uuid[])
"""  # noqa: S608 - the same
_CHANGES = "SELECT number FROM changes"


async def webhooks_of(
    connection: AsyncConnection, environment_ids: Collection[UUID]
) -> Sequence[RawRow]:
    """Return the webhooks of environments, oldest first, tombstones left out."""
    return _rows(await fetch(connection, _WEBHOOKS_OF, environment_ids))


async def webhook(
    connection: AsyncConnection, environment_id: UUID, webhook_id: UUID
) -> Sequence[RawRow]:
    """Return one webhook, or nothing; a tombstone is nothing."""
    return _rows(await fetch(connection, _WEBHOOK, webhook_id, environment_id))


async def webhooks_by_id(
    connection: AsyncConnection, webhook_ids: Collection[UUID]
) -> Sequence[RawRow]:
    """Return webhooks of any environment, tombstones too."""
    return _rows(await fetch(connection, _WEBHOOKS_BY_ID, webhook_ids))


async def changes(connection: AsyncConnection) -> int:
    """Return the change counter."""
    ((number,),) = await fetch(connection, _CHANGES)
    return int(number)


def webhook_row(raw: RawRow) -> WebhookRow:
    """Return the values of a row that the driver gave."""
    return WebhookRow._make(raw)


def _rows(records: Sequence[RawRow]) -> Sequence[RawRow]:
    """Let go of what the driver remembers beside the values: rows are kept for long."""
    return [tuple(record) for record in records]
