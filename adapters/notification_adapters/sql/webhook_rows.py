"""Webhooks as rows, for every store that reads them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.tables import changes, webhooks
from notification_core.encryption import Cipher
from notification_core.ports.webhooks import Snapshot
from notification_core.webhooks import DisabledReason, Method, Webhook

_REMEMBERED = 20_000

_BY_ENVIRONMENTS = (
    sa.select(webhooks)
    .where(
        webhooks.c.environment_id.in_(sa.bindparam("environments", expanding=True)),
        webhooks.c.deleted_at.is_(None),
    )
    .order_by(webhooks.c.created_at, webhooks.c.webhook_id)
)
_BY_IDS = sa.select(webhooks).where(
    webhooks.c.webhook_id.in_(sa.bindparam("webhooks", expanding=True))
)
_CHANGES = sa.select(changes.c.number)
_CHANGE = sa.update(changes).values(number=changes.c.number + 1).returning(changes.c.number)

_headers = msgspec.json.Decoder(dict[str, str])
_event_types = msgspec.json.Decoder(frozenset[str])
_encode = msgspec.json.Encoder().encode


class WebhookRows:
    """Turns rows into webhooks and back, and remembers what a row came to.

    A row is remembered as a whole, with its version and its encrypted headers, so that the memory
    cannot be stale: it saves the decryption, never the reading.
    """

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher
        self._seen: dict[UUID, tuple[Sequence[object], Webhook]] = {}

    async def of_environments(
        self, connection: AsyncConnection, environment_ids: Collection[UUID]
    ) -> Sequence[Webhook]:
        """Return all webhooks of these environments, oldest first, tombstones left out."""
        found = await connection.execute(_BY_ENVIRONMENTS, {"environments": list(environment_ids)})
        return [self.read(row) for row in found]

    async def snapshot(
        self, connection: AsyncConnection, webhook_ids: Collection[UUID]
    ) -> Snapshot:
        """Return webhooks by id, tombstones too, with the change counter of the same moment."""
        number = await change_number(connection)
        found = await connection.execute(_BY_IDS, {"webhooks": list(webhook_ids)})
        read = (self.read(row) for row in found)
        return Snapshot({webhook.webhook_id: webhook for webhook in read}, number)

    def read(self, row: sa.Row[Any]) -> Webhook:
        """Return the webhook of a row."""
        values = tuple(row)
        seen, webhook = self._seen.get(row.webhook_id, (None, None))
        if webhook is None or seen != values:
            webhook = self._decoded(row)
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            self._seen[row.webhook_id] = values, webhook
        return webhook

    def columns(self, webhook: Webhook) -> Mapping[str, object]:
        """Return the row of a webhook."""
        return {
            "webhook_id": webhook.webhook_id,
            "environment_id": webhook.environment_id,
            "name": webhook.name,
            "url": webhook.url,
            "method": webhook.method.value,
            "events": _encode(sorted(webhook.events)).decode(),
            "description": webhook.description,
            "custom_headers": self._encrypted(webhook),
            "disabled_until": webhook.disabled_until,
            "disabled_reason": webhook.disabled_reason and webhook.disabled_reason.value,
            "disabled_at": webhook.disabled_at,
            "version": webhook.version,
            "created_at": webhook.created_at,
            "updated_at": webhook.updated_at,
            "deleted_at": webhook.deleted_at,
        }

    def _decoded(self, row: sa.Row[Any]) -> Webhook:
        reason = row.disabled_reason
        return Webhook(
            webhook_id=row.webhook_id,
            environment_id=row.environment_id,
            name=row.name,
            url=row.url,
            events=_event_types.decode(row.events),
            created_at=row.created_at,
            updated_at=row.updated_at,
            method=Method(row.method),
            description=row.description,
            disabled_until=row.disabled_until,
            disabled_reason=None if reason is None else DisabledReason(reason),
            disabled_at=row.disabled_at,
            custom_headers=self._decrypted(row),
            version=row.version,
            deleted_at=row.deleted_at,
        )

    def _encrypted(self, webhook: Webhook) -> str | None:
        if not webhook.custom_headers:
            return None
        place = _place(webhook.environment_id, webhook.webhook_id)
        # As a whole: a value that is encrypted alone could be moved below another name.
        return self._cipher.encrypt(_encode(dict(webhook.custom_headers)), place)

    def _decrypted(self, row: sa.Row[Any]) -> Mapping[str, str]:
        if row.custom_headers is None:
            return {}
        place = _place(row.environment_id, row.webhook_id)
        return _headers.decode(self._cipher.decrypt(row.custom_headers, place))


async def change_number(connection: AsyncConnection) -> int:
    """Return the change counter."""
    number: int = (await connection.execute(_CHANGES)).scalar_one()
    return number


async def count_change(connection: AsyncConnection) -> int:
    """Raise the change counter, as part of the change; return it."""
    number: int = (await connection.execute(_CHANGE)).scalar_one()
    return number


def _place(environment_id: UUID, webhook_id: UUID) -> Sequence[str]:
    return "webhooks", "custom_headers", str(environment_id), str(webhook_id)
