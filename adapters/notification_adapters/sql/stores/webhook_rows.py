"""Webhooks as rows, for every store that reads them."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import msgspec
import sqlalchemy as sa
from attrs import asdict
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.dialect import WEBHOOK_COLUMNS, RawRow
from notification_adapters.sql.installation_tables import webhooks_revision
from notification_adapters.sql.instants import MICROSECOND
from notification_adapters.sql.statements import Bound, ResultRow, Statement
from notification_adapters.sql.tables import place_of, webhooks
from notification_core.encryption.cipher import Cipher
from notification_core.errors import WebhookNotFound
from notification_core.model.retry_overrides import RetryOverrides
from notification_core.model.signing_secret import SigningSecret
from notification_core.model.webhook import DisabledReason, Method, Webhook
from notification_core.ports.webhooks import Snapshot

_REMEMBERED = 20_000

_revision = webhooks_revision.c.revision
_INCREMENT = sa.update(webhooks_revision).values(revision=_revision + 1)
_CHANGE = _INCREMENT.returning(_revision)
INCREMENT_REVISION: Bound = (Statement(_INCREMENT), {})
"""Raises the webhooks' revision, for a change that need not know it."""

_WEBHOOKS = Statement(sa.select(*webhooks.c, sa.literal_column("0", sa.Boolean).label("is_paused")))
_WEBHOOK = Statement(
    sa.select(webhooks).where(
        webhooks.c.webhook_id == sa.bindparam("webhook_id"),
        webhooks.c.environment_id == sa.bindparam("environment_id"),
        webhooks.c.deleted_at.is_(None),
    )
)

_headers = msgspec.json.Decoder(dict[str, str])
_event_types = msgspec.json.Decoder(frozenset[str])
_retry = msgspec.json.Decoder(RetryOverrides)
_secrets = msgspec.json.Decoder(tuple[SigningSecret, ...])
_encode = msgspec.json.Encoder().encode


class WebhookRows:
    """Reads webhooks, turns them into rows and back, and remembers what a row came to.

    A row is remembered as a whole, with its version and its encrypted headers, so that the memory
    cannot be stale: it saves the decryption, never the reading.
    """

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._dialect = database.dialect
        self._cipher = cipher
        self._seen: dict[RawRow, Webhook] = {}

    async def of_environments(
        self, connection: AsyncConnection, environment_ids: Collection[UUID]
    ) -> Sequence[Webhook]:
        """Return all webhooks of these environments, oldest first, tombstones left out."""
        raw = await self._dialect.webhooks_of(connection, environment_ids)
        return self._webhooks(connection, raw)

    async def get(self, environment_id: UUID, webhook_id: UUID) -> Webhook:
        """Return one webhook; raise :class:`WebhookNotFound`, for a tombstone too."""
        key = {"environment_id": environment_id, "webhook_id": webhook_id}
        rows = await self._database.fetch(_WEBHOOK, **key)
        if not rows:
            raise WebhookNotFound(webhook_id)
        return self.webhook_from(rows[0])

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
        raw = await self._dialect.webhooks_by_id(connection, webhook_ids)
        return {webhook.webhook_id: webhook for webhook in self._webhooks(connection, raw)}

    def webhook_to_row(self, webhook: Webhook) -> Mapping[str, object]:
        """Return the row of a webhook: of each field but the time limit the column of its name."""
        headers = None
        if webhook.custom_headers:
            place = place_of(webhooks.c.custom_headers, webhook.environment_id, webhook.webhook_id)
            # As a whole: a value that is encrypted alone could be moved below another name.
            headers = self._cipher.encrypt(_encode(dict(webhook.custom_headers)), place)
        fields = asdict(webhook, recurse=False)
        timeout = fields.pop("timeout")
        del fields["is_paused"]  # what is stored of it is its health
        return {
            **fields,
            "method": webhook.method.value,
            "events": _encode(sorted(webhook.events)).decode(),
            "custom_headers": headers,
            "disabled_reason": webhook.disabled_reason and webhook.disabled_reason.value,
            "retry": webhook.retry and _encode(webhook.retry).decode(),
            "timeout_us": timeout and timeout // MICROSECOND,
            "signing_secrets": self.encrypt_secrets(
                webhook.signing_secrets, webhook.environment_id, webhook.webhook_id
            ),
        }

    def encrypt_secrets(
        self, secrets: Sequence[SigningSecret], environment_id: UUID, webhook_id: UUID
    ) -> str | None:
        """Return the text of a webhook's signing secrets; None for none."""
        place = place_of(webhooks.c.signing_secrets, environment_id, webhook_id)
        return self._cipher.encrypt(_encode(secrets), place) if secrets else None

    def decrypt_secrets(
        self, text: str | None, environment_id: UUID, webhook_id: UUID
    ) -> tuple[SigningSecret, ...]:
        """Return the signing secrets of such a text."""
        if text is None:
            return ()
        place = place_of(webhooks.c.signing_secrets, environment_id, webhook_id)
        return _secrets.decode(self._cipher.decrypt(text, place))

    def _webhooks(self, connection: AsyncConnection, raw: Sequence[RawRow]) -> list[Webhook]:
        return [*map(self.webhook_from, _WEBHOOKS.compiled(connection.dialect).rows(raw))]

    def webhook_from(self, row: ResultRow) -> Webhook:
        """Return the webhook of a row, whose first columns are those of webhooks.

        It is paused if the row says so, in a column of that name.
        """
        stored = (*row[: len(WEBHOOK_COLUMNS)], getattr(row, "is_paused", False))
        webhook = self._seen.get(stored)
        if webhook is None:
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            self._seen[stored] = webhook = self._row_to_webhook(row)
        return webhook

    def _row_to_webhook(self, row: ResultRow) -> Webhook:
        headers: Mapping[str, str] = {}
        if row.custom_headers is not None:
            place = place_of(webhooks.c.custom_headers, row.environment_id, row.webhook_id)
            headers = _headers.decode(self._cipher.decrypt(row.custom_headers, place))
        reason = row.disabled_reason
        fields = dict(zip(WEBHOOK_COLUMNS, row, strict=False))
        timeout = fields.pop("timeout_us")
        converted = {
            "method": Method(row.method),
            "events": _event_types.decode(row.events),
            "custom_headers": headers,
            "disabled_reason": None if reason is None else DisabledReason(reason),
            "retry": None if row.retry is None else _retry.decode(row.retry),
            "timeout": None if timeout is None else timeout * MICROSECOND,
            "signing_secrets": self.decrypt_secrets(
                row.signing_secrets, row.environment_id, row.webhook_id
            ),
            "is_paused": getattr(row, "is_paused", False),
        }
        return Webhook(**{**fields, **converted})


async def increment_revision(connection: AsyncConnection) -> int:
    """Raise the webhooks' revision, as part of the change; return it."""
    number: int = (await connection.execute(_CHANGE)).scalar_one()
    return number
