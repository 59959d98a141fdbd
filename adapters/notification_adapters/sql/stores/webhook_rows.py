"""Webhooks as rows, for every store that reads them."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import msgspec
import sqlalchemy as sa
from attrs import asdict
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import Dialect, RawRow, WebhookRow
from notification_adapters.sql.tables import place_of, webhooks, webhooks_revision
from notification_core.encryption.cipher import Cipher
from notification_core.errors import WebhookNotFound
from notification_core.model.webhook import DisabledReason, Method, Webhook
from notification_core.ports.webhooks import Snapshot

_REMEMBERED = 20_000

_revision = webhooks_revision.c.revision
_CHANGE = sa.update(webhooks_revision).values(revision=_revision + 1).returning(_revision)

_headers = msgspec.json.Decoder(dict[str, str])
_event_types = msgspec.json.Decoder(frozenset[str])
_encode = msgspec.json.Encoder().encode


class WebhookRows:
    """Reads webhooks, turns them into rows and back, and remembers what a row came to.

    A row is remembered as a whole, with its version and its encrypted headers, so that the memory
    cannot be stale: it saves the decryption, never the reading.
    """

    def __init__(self, dialect: Dialect, cipher: Cipher) -> None:
        self._dialect = dialect
        self._cipher = cipher
        self._seen: dict[RawRow, Webhook] = {}

    async def of_environments(
        self, connection: AsyncConnection, environment_ids: Collection[UUID]
    ) -> Sequence[Webhook]:
        """Return all webhooks of these environments, oldest first, tombstones left out."""
        rows = await self._dialect.webhooks_of(connection, environment_ids)
        return [self._webhook(raw) for raw in rows]

    async def get(
        self, connection: AsyncConnection, environment_id: UUID, webhook_id: UUID
    ) -> Webhook:
        """Return one webhook; raise :class:`WebhookNotFound`, for a tombstone too."""
        rows = await self._dialect.webhook(connection, environment_id, webhook_id)
        if not rows:
            raise WebhookNotFound(webhook_id)
        return self._webhook(rows[0])

    async def snapshot(
        self, connection: AsyncConnection, webhook_ids: Collection[UUID]
    ) -> Snapshot:
        """Return webhooks by id, tombstones too, with the webhooks' revision of the same moment."""
        number = await self._dialect.webhooks_revision(connection)
        return Snapshot(await self.by_id(connection, webhook_ids), number)

    async def by_id(
        self, connection: AsyncConnection, webhook_ids: Collection[UUID]
    ) -> Mapping[UUID, Webhook]:
        """Return webhooks of any environment by id, tombstones too."""
        rows = await self._dialect.webhooks_by_id(connection, webhook_ids)
        return {webhook.webhook_id: webhook for webhook in map(self._webhook, rows)}

    def webhook_to_row(self, webhook: Webhook) -> WebhookRow:
        """Return the row of a webhook: of each field the column of its name."""
        headers = None
        if webhook.custom_headers:
            place = place_of(webhooks.c.custom_headers, webhook.environment_id, webhook.webhook_id)
            # As a whole: a value that is encrypted alone could be moved below another name.
            headers = self._cipher.encrypt(_encode(dict(webhook.custom_headers)), place)
        return {
            **asdict(webhook, recurse=False),
            "method": webhook.method.value,
            "events": _encode(sorted(webhook.events)).decode(),
            "custom_headers": headers,
            "disabled_reason": webhook.disabled_reason and webhook.disabled_reason.value,
        }

    def row_to_webhook(self, row: WebhookRow) -> Webhook:
        """Return the webhook of a row."""
        headers, reason = row["custom_headers"], row["disabled_reason"]
        if headers is not None:
            place = place_of(webhooks.c.custom_headers, row["environment_id"], row["webhook_id"])
            headers = _headers.decode(self._cipher.decrypt(headers, place))
        converted = {
            "method": Method(row["method"]),
            "events": _event_types.decode(row["events"]),
            "custom_headers": headers or {},
            "disabled_reason": None if reason is None else DisabledReason(reason),
        }
        return Webhook(**{**row, **converted})

    def _webhook(self, raw: RawRow) -> Webhook:
        webhook = self._seen.get(raw)
        if webhook is None:
            webhook = self.row_to_webhook(self._dialect.webhook_row(raw))
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            self._seen[raw] = webhook
        return webhook


async def increment_revision(connection: AsyncConnection) -> int:
    """Raise the webhooks' revision, as part of the change; return it."""
    number: int = (await connection.execute(_CHANGE)).scalar_one()
    return number
