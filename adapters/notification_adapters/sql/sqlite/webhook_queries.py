"""Reading webhooks and the change counter, as every ingest and every claim does."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import RawRow, WebhookRow
from notification_adapters.sql.sqlite.driver import as_json, fetch
from notification_adapters.sql.tables import from_microseconds

_COLUMNS = ", ".join(f"w.{name}" for name in WebhookRow._fields)
_WEBHOOKS_OF = f"""
SELECT {_COLUMNS} FROM json_each(?) AS e CROSS JOIN webhooks AS w ON w.environment_id = e.value
WHERE w.deleted_at IS NULL ORDER BY w.created_at, w.webhook_id
"""  # noqa: S608 - the columns' names are ours
_WEBHOOK = f"""
SELECT {_COLUMNS} FROM webhooks AS w
WHERE w.webhook_id = ? AND w.environment_id = ? AND w.deleted_at IS NULL
"""  # noqa: S608 - the same
_WEBHOOKS_BY_ID = f"""
SELECT {_COLUMNS} FROM json_each(?) AS i CROSS JOIN webhooks AS w ON w.webhook_id = i.value
"""  # noqa: S608 - the same
CHANGES = "SELECT number FROM changes"


async def webhooks_of(
    connection: AsyncConnection, environment_ids: Collection[UUID]
) -> Sequence[RawRow]:
    """Return the webhooks of environments, oldest first, tombstones left out."""
    return await fetch(connection, _WEBHOOKS_OF, as_json(one.hex for one in environment_ids))


async def webhook(
    connection: AsyncConnection, environment_id: UUID, webhook_id: UUID
) -> Sequence[RawRow]:
    """Return one webhook, or nothing; a tombstone is nothing."""
    return await fetch(connection, _WEBHOOK, webhook_id.hex, environment_id.hex)


async def webhooks_by_id(
    connection: AsyncConnection, webhook_ids: Collection[UUID]
) -> Sequence[RawRow]:
    """Return webhooks of any environment, tombstones too."""
    return await fetch(connection, _WEBHOOKS_BY_ID, as_json(one.hex for one in webhook_ids))


async def changes(connection: AsyncConnection) -> int:
    """Return the change counter."""
    ((number,),) = await fetch(connection, CHANGES)
    return int(number)


def webhook_row(raw: RawRow) -> WebhookRow:
    """Return the values of a row that the driver gave."""
    values = zip(WebhookRow._fields, raw, strict=True)
    return WebhookRow._make(_READ.get(name, _as_it_is)(value) for name, value in values)


def _instant(at: int | None) -> datetime | None:
    return None if at is None else from_microseconds(at)


def _as_it_is(value: object) -> object:
    return value


_READ: Mapping[str, Callable[[Any], object]] = {
    "webhook_id": UUID,
    "environment_id": UUID,
    "disabled_until": _instant,
    "disabled_at": _instant,
    "created_at": _instant,
    "updated_at": _instant,
    "deleted_at": _instant,
}
