"""The webhook store on SQL."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.dialect import CancelledDelivery, WebhookKey
from notification_adapters.sql.statements import Statement
from notification_adapters.sql.stores import health_rows
from notification_adapters.sql.stores.outbox import OutboxRows
from notification_adapters.sql.stores.request_records import RequestRecordRows
from notification_adapters.sql.stores.statistics_rows import StatisticsRows
from notification_adapters.sql.stores.webhook_rows import (
    INCREMENT_REVISION,
    WebhookRows,
    increment_revision,
)
from notification_adapters.sql.tables import attempts, deliveries, webhooks
from notification_core.concurrency.ids import earliest_id
from notification_core.concurrency.transactions import retry_lost_transaction
from notification_core.errors import TooManyWebhooks, WebhookChanged, WebhookNotFound
from notification_core.model.delivery import (
    AttemptOutcome,
    DeliveryOrigin,
    DeliveryState,
    EndReason,
)
from notification_core.model.outbox_message import webhook_disabled
from notification_core.model.request_records import RequestRecords
from notification_core.model.signing_secret import SigningSecret
from notification_core.model.statistics import CountsByWebhook
from notification_core.model.webhook import FOREVER, DisabledReason, Webhook
from notification_core.ports.webhooks import Snapshot, WebhookStore

_CANCELLED_AT_ONCE = 1000
_MAX_AMONG = 1000

# Made once: every request about a webhook asks this.
_ENVIRONMENT_OF = Statement(
    sa.select(webhooks.c.environment_id).where(
        webhooks.c.webhook_id == sa.bindparam("webhook_id"), webhooks.c.deleted_at.is_(None)
    )
)
_COUNT = Statement(
    sa.select(sa.func.count().label("webhooks")).where(
        webhooks.c.environment_id == sa.bindparam("environment_id"),
        webhooks.c.deleted_at.is_(None),
    )
)
_ADD = Statement(sa.insert(webhooks))


class SqlWebhookStore(WebhookStore):
    """Keeps webhooks in a SQL database."""

    def __init__(
        self,
        database: Database,
        rows: WebhookRows,
        records: RequestRecordRows,
        outbox: OutboxRows,
        statistics: StatisticsRows,
    ) -> None:
        self._outbox = outbox
        self._database = database
        self._rows = rows
        self._records = records
        self._statistics = statistics

    async def environment_of(self, webhook_id: UUID) -> UUID:
        """Return the environment of a webhook."""
        rows = await self._database.fetch(_ENVIRONMENT_OF, webhook_id=webhook_id)
        if not rows:
            raise WebhookNotFound(webhook_id)
        owner: UUID = rows[0].environment_id
        return owner

    async def count_by_environment(
        self, limit: int, after: UUID | None = None, among: Collection[UUID] | None = None
    ) -> Mapping[UUID, int]:
        """Return how many webhooks the environments have that have any, by rising id."""
        query = (
            sa.select(webhooks.c.environment_id, sa.func.count().label("webhooks"))
            .where(webhooks.c.deleted_at.is_(None))
            .group_by(webhooks.c.environment_id)
            .order_by(webhooks.c.environment_id)
            .limit(limit)
        )
        if after is not None:
            query = query.where(webhooks.c.environment_id > after)
        if among is not None:
            # Sorted and cut, so that a statement has a bounded number of values.
            left = sorted(one for one in among if after is None or one > after)
            query = query.where(webhooks.c.environment_id.in_(left[:_MAX_AMONG]))
        async with self._database.query() as connection:
            return {row.environment_id: row.webhooks for row in await connection.execute(query)}

    async def list(self, environment_id: UUID) -> Sequence[Webhook]:
        """Return all webhooks of an environment, oldest first."""
        async with self._database.query() as connection:
            return await self._rows.of_environments(connection, [environment_id])

    async def get(self, environment_id: UUID, webhook_id: UUID) -> Webhook:
        """Return one webhook."""
        return await self._rows.get(environment_id, webhook_id)

    @retry_lost_transaction
    async def add(self, webhook: Webhook, most: int, records: RequestRecords = ()) -> None:
        """Store a new webhook."""
        environment_id, row = webhook.environment_id, self._rows.webhook_to_row(webhook)
        async with self._database.write_transaction() as connection:
            await self._database.lock_environment(connection, environment_id)
            dialect = self._database.dialect
            (stored,) = await dialect.read(connection, _COUNT, environment_id=environment_id)
            if stored.webhooks >= most:
                raise TooManyWebhooks(f"An environment has at most {most} webhooks.")
            await self._records.write(connection, records, (_ADD, row), INCREMENT_REVISION)

    @retry_lost_transaction
    async def replace(
        self, webhook: Webhook, records: RequestRecords = (), *, resets_health: bool = False
    ) -> int:
        """Store a changed webhook; return the webhooks' revision."""
        key = webhook.environment_id, webhook.webhook_id
        row = {**self._rows.webhook_to_row(webhook)}
        # The stored ones stay: they may have changed since the webhook was read.
        del row["signing_secrets"], row["resumed_at"]
        change = (
            sa.update(webhooks)
            .where(*_living(key), webhooks.c.version == webhook.version - 1)
            .values(row)
        )
        async with self._database.write_transaction() as connection:
            if resets_health:
                now = await self._database.dialect.now(connection)
                await health_rows.heal(connection, [key], now, self._outbox)
            if not (await connection.execute(change)).rowcount:
                raise await _why_not_changed(connection, key)
            await self._records.write(connection, records)
            return await increment_revision(connection)

    @retry_lost_transaction
    async def change_signing_secrets(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        change: Callable[[Sequence[SigningSecret]], Sequence[SigningSecret]],
        records: RequestRecords = (),
    ) -> int:
        """Replace a webhook's secrets; its row is locked meanwhile."""
        key = environment_id, webhook_id
        stored = sa.select(webhooks.c.signing_secrets).where(*_living(key)).with_for_update()
        async with self._database.write_transaction() as connection:
            row = (await connection.execute(stored)).one_or_none()
            if row is None:
                raise WebhookNotFound(webhook_id)
            changed = change(self._rows.decrypt_secrets(row.signing_secrets, *key))
            text = self._rows.encrypt_secrets(changed, *key)
            update = sa.update(webhooks).where(*_living(key)).values(signing_secrets=text)
            await connection.execute(update)
            await self._records.write(connection, records)
            return await increment_revision(connection)

    async def confirm(self, webhook: Webhook) -> None:  # noqa: ARG002 - the record covers every row
        """Return once all that can be read now is durable."""
        async with self._database.write_transaction() as connection:
            await self._database.confirm_found(connection)

    @retry_lost_transaction
    async def delete(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        now: datetime,
        version: int | None = None,
        records: RequestRecords = (),
    ) -> int:
        """Leave a tombstone, cancel pending deliveries, return the webhooks' revision."""
        key, reason = (environment_id, webhook_id), EndReason.WEBHOOK_DELETED
        bury = (
            sa.update(webhooks)
            .where(*_living(key), sa.true() if version is None else webhooks.c.version == version)
            .values(deleted_at=now, updated_at=now, version=webhooks.c.version + 1)
        )
        async with self._statistics.write_transaction() as (connection, writer):
            # What is being attempted, and a first batch of what waits. Deliveries come first, as of
            # all who write results: these may be adding a row of the webhook's health.
            dialect, end = self._database.dialect, (DeliveryState.CANCELLED, reason)
            storage_now = await dialect.now(connection)
            claimed = await dialect.cancel_claimed(connection, webhook_id, reason, storage_now)
            waiting = await dialect.lock_waiting(connection, webhook_id, _CANCELLED_AT_ONCE)
            cancelled = [CancelledDelivery(handle, key, *end) for handle in waiting]
            await dialect.cancel_unsendable(connection, cancelled, storage_now)
            await health_rows.forget(connection, key)
            if not (await connection.execute(bury)).rowcount:
                raise await _why_not_changed(connection, key)
            if ended := claimed + len(cancelled):
                counts = CountsByWebhook()
                counts.of(*key).deliveries[DeliveryState.CANCELLED] = ended
                await self._statistics.add(connection, counts, storage_now, writer)
            await self._records.write(connection, records)
            return await increment_revision(connection)

    @retry_lost_transaction
    async def disable_failing(
        self, environment_id: UUID, webhook_id: UUID, since: datetime, now: datetime
    ) -> bool:
        """Disable a webhook of which all attempts since then and one before it have failed."""
        key = environment_id, webhook_id
        unchanged = sa.select(webhooks.c.version).where(
            *_living(key), webhooks.c.disabled_reason.is_(None), webhooks.c.updated_at <= since
        )
        # The long look at the log goes through a reader; the version holds what it found.
        async with self._database.read_transaction() as connection:
            version: int | None = (await connection.execute(unchanged)).scalar_one_or_none()
            if version is None or not await _has_only_failed(connection, key, since):
                return False
        async with self._database.write_transaction() as connection:
            # As those who write results do: its health before the webhook.
            await health_rows.lock(connection, [key])
            failing = DisabledReason.FAILING
            disabled = await disable(
                connection, key, failing, now, version=version, outbox=self._outbox
            )
            if disabled:
                await increment_revision(connection)
        return disabled

    async def webhooks_revision(self) -> int:
        """Return the webhooks' revision."""
        async with self._database.query() as connection:
            return await self._database.dialect.webhooks_revision(connection)

    async def snapshot(self, webhook_ids: Collection[UUID]) -> Snapshot:
        """Read webhooks of any environment afresh."""
        async with self._database.read_transaction() as connection:
            return await self._rows.snapshot(connection, webhook_ids)


async def disable(  # noqa: PLR0913 - which webhook, why, since when, and who is told
    connection: AsyncConnection,
    key: WebhookKey,
    reason: DisabledReason,
    now: datetime,
    *,
    version: int,
    outbox: OutboxRows,
) -> bool:
    """Disable a webhook permanently if it still has this version; tell whether it had.

    The platform is told. The change is left to be counted at the transaction's end: all changes
    wait for that one row.
    """
    change = (
        sa.update(webhooks)
        .where(*_living(key), webhooks.c.version == version)
        .values(
            disabled_until=FOREVER,
            disabled_reason=reason.value,
            disabled_at=now,
            updated_at=now,
            version=version + 1,
        )
    )
    disabled = bool((await connection.execute(change)).rowcount)
    if disabled:
        # The row was locked before, so that nobody waits in a ring.
        await health_rows.forget(connection, key)
        await outbox.append(connection, [webhook_disabled(*key, reason, now)], now)
    return disabled


def _living(key: WebhookKey) -> Sequence[sa.ColumnElement[bool]]:
    environment_id, webhook_id = key
    return (
        webhooks.c.webhook_id == webhook_id,
        webhooks.c.environment_id == environment_id,
        webhooks.c.deleted_at.is_(None),
    )


async def _why_not_changed(
    connection: AsyncConnection, key: WebhookKey
) -> WebhookChanged | WebhookNotFound:
    exists = sa.select(webhooks.c.version).where(*_living(key))
    version = (await connection.execute(exists)).scalar_one_or_none()
    return WebhookNotFound(key[1]) if version is None else WebhookChanged(key[1])


async def _has_only_failed(connection: AsyncConnection, key: WebhookKey, since: datetime) -> bool:
    """Check by the attempts whose end is known: an interrupted one says nothing of the webhook.

    Nor does a webhook test.
    """
    environment_id, webhook_id = key
    bound = earliest_id(since)
    of_a_test = sa.exists().where(
        deliveries.c.delivery_id == attempts.c.delivery_id,
        deliveries.c.environment_id == attempts.c.environment_id,
        deliveries.c.origin == DeliveryOrigin.TEST.value,
    )
    newest_first = (
        sa.select(attempts.c.outcome)
        .where(
            attempts.c.webhook_id == webhook_id,
            attempts.c.environment_id == environment_id,
            attempts.c.outcome != AttemptOutcome.INTERRUPTED.value,
            ~of_a_test,
        )
        .order_by(attempts.c.log_id.desc())
        .limit(1)
    )
    before = newest_first.where(attempts.c.log_id < bound)
    after = newest_first.where(attempts.c.log_id >= bound)
    succeeded = after.where(attempts.c.outcome == AttemptOutcome.SUCCEEDED.value)
    expected = (before, AttemptOutcome.FAILED), (after, AttemptOutcome.FAILED), (succeeded, None)
    for question, value in expected:
        if (await connection.execute(question)).scalar_one_or_none() != value:
            return False
    return True
