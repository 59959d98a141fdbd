"""All stores of a database as one object."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import UUID

import sqlalchemy as sa
from attrs import frozen

from notification_adapters.sql.database import Database
from notification_adapters.sql.host_transactions import CommitHooks, HostConnection
from notification_adapters.sql.migrations import schema
from notification_adapters.sql.stores.api_keys import SqlApiKeyStore
from notification_adapters.sql.stores.backlog import SqlBacklog
from notification_adapters.sql.stores.changes import SqlEnvironmentChanges
from notification_adapters.sql.stores.console_sessions import SqlConsoleSessionStore
from notification_adapters.sql.stores.dead_letters import SqlDeadLetters
from notification_adapters.sql.stores.deliveries import SqlDeliveryStore
from notification_adapters.sql.stores.encrypted_columns import SqlEncryptedColumns
from notification_adapters.sql.stores.erasures import SqlErasureStore
from notification_adapters.sql.stores.history import SqlHistory
from notification_adapters.sql.stores.idempotency import SqlIdempotencyStore
from notification_adapters.sql.stores.logs import SqlLogStore
from notification_adapters.sql.stores.outbox import OutboxRows, SqlOutbox
from notification_adapters.sql.stores.portal_sessions import SqlPortalSessionStore
from notification_adapters.sql.stores.replays import SqlReplayStore
from notification_adapters.sql.stores.request_records import RequestRecordRows, SqlAuditLog
from notification_adapters.sql.stores.retention import SqlRetention
from notification_adapters.sql.stores.signing_keys import SqlSigningKeyStore
from notification_adapters.sql.stores.statistics import SqlStatisticsStore
from notification_adapters.sql.stores.statistics_rows import StatisticsRows
from notification_adapters.sql.stores.webhook_health import SqlWebhookHealthStore
from notification_adapters.sql.stores.webhook_rows import WebhookRows
from notification_adapters.sql.stores.webhook_tests import SqlWebhookTestStore
from notification_adapters.sql.stores.webhooks import SqlWebhookStore
from notification_core.concurrency.ids import IdGenerator
from notification_core.encryption.cipher import Cipher
from notification_core.model.message import Topics
from notification_core.ports.deliveries import IngestTransaction
from notification_core.ports.dispatch_notifier import DispatchNotifier
from notification_core.ports.storage import OnTransactionEnd, Storage
from notification_core.ports.worker_lock import WorkerLock


@frozen
class SqlStorage(Storage):
    """The stores of one database."""

    database: Database
    webhooks: SqlWebhookStore
    deliveries: SqlDeliveryStore[Database]
    signing_keys: SqlSigningKeyStore
    api_keys: SqlApiKeyStore
    portal_sessions: SqlPortalSessionStore
    console_sessions: SqlConsoleSessionStore
    audit: SqlAuditLog
    logs: SqlLogStore
    history: SqlHistory
    backlog: SqlBacklog
    idempotency: SqlIdempotencyStore
    replays: SqlReplayStore
    webhook_tests: SqlWebhookTestStore
    webhook_health: SqlWebhookHealthStore
    erasures: SqlErasureStore
    dead_letters: SqlDeadLetters
    retention: SqlRetention
    statistics: SqlStatisticsStore
    changes: SqlEnvironmentChanges
    outbox: SqlOutbox
    encrypted_columns: SqlEncryptedColumns
    worker_lock: WorkerLock
    notifier: DispatchNotifier
    commits: CommitHooks

    @property
    def parallel_ingests(self) -> int:
        """Two: the database works while this process prepares the next transaction.

        A third gains nothing, and makes each smaller. If there is one writer, they would only wait
        for each other.
        """
        return 1 if self.database.has_one_writer else 2

    @property
    def open_transactions(self) -> int:
        """How many transactions are open now: none while nothing happens."""
        return self.database.open_transactions

    @property
    def max_transactions(self) -> int:
        """How many transactions can be open at the same time; others wait."""
        return self.database.max_transactions

    def observe_transactions(self, on_end: OnTransactionEnd) -> None:
        """Call back whenever a transaction has ended."""
        self.database.observe_transactions(on_end)

    async def ping(self) -> None:
        """Raise :class:`StorageUnavailable` if the database cannot be read, or a commit hangs."""
        # First: commits that hang take up connections, and one to read with may not become free.
        await self.database.check_commits()
        async with self.database.query() as connection:
            await connection.execute(sa.select(1))

    async def check_schema(self) -> None:
        """Raise :class:`IncompatibleSchema` unless this version can work on the schema."""
        await schema.check_schema(self.database)

    def join(self, connection: HostConnection) -> AbstractAsyncContextManager[IngestTransaction]:
        """Take part in the transaction of a host's connection, which the host ends."""
        return self.deliveries.join(connection)

    def after_commit(self, connection: HostConnection, callback: Callable[[], None]) -> None:
        """Call back once the transaction that is open on a host's connection has committed."""
        self.commits.after(connection, callback)


MakeDeliveryStore = Callable[
    [WebhookRows, RequestRecordRows, OutboxRows, IdGenerator, StatisticsRows],
    SqlDeliveryStore[Database],
]
"""Makes an engine's own delivery store."""


@asynccontextmanager
async def open_stores(  # noqa: PLR0913, PLR0917 - what a storage is made of
    database: Database,
    cipher: Cipher,
    ids: IdGenerator,
    worker_lock: WorkerLock,
    notifier: DispatchNotifier,
    topics: Topics | None,
    operational_environment: UUID | None,
    deliveries: MakeDeliveryStore,
) -> AsyncGenerator[SqlStorage]:
    """Give the stores of a database that has been checked; lock and waking end with them.

    With ``topics`` the outbox is filled for a sender; with an ``operational_environment``
    operational events are kept for its webhooks. ``deliveries`` makes the engine's own store.
    """
    commits, statistics = CommitHooks(), StatisticsRows(database)
    outbox = OutboxRows(topics, operational_environment, ids)
    rows, records = WebhookRows(database, cipher), RequestRecordRows(database.dialect, cipher)
    try:
        yield SqlStorage(
            database=database,
            webhooks=SqlWebhookStore(database, rows, records, outbox, statistics),
            deliveries=deliveries(rows, records, outbox, ids, statistics),
            signing_keys=SqlSigningKeyStore(database, cipher, records, outbox),
            api_keys=SqlApiKeyStore(database, records),
            portal_sessions=SqlPortalSessionStore(database, records),
            console_sessions=SqlConsoleSessionStore(database, records),
            audit=SqlAuditLog(database),
            logs=SqlLogStore(database, rows),
            history=SqlHistory(database),
            backlog=SqlBacklog(database),
            idempotency=SqlIdempotencyStore(database, records),
            replays=SqlReplayStore(database, records, ids),
            webhook_tests=SqlWebhookTestStore(database, records, outbox, statistics),
            webhook_health=SqlWebhookHealthStore(database, outbox),
            erasures=SqlErasureStore(database, records),
            dead_letters=SqlDeadLetters(database),
            retention=SqlRetention(database),
            statistics=SqlStatisticsStore(database),
            changes=SqlEnvironmentChanges(database),
            outbox=SqlOutbox(database),
            encrypted_columns=SqlEncryptedColumns(database, cipher),
            worker_lock=worker_lock,
            notifier=notifier,
            commits=commits,
        )
    finally:
        await commits.close()
        await notifier.close()
        await worker_lock.release()


async def check(database: Database, cipher: Cipher) -> None:
    """Raise unless this version, with this secret, can work on the database."""
    await schema.check_schema(database)
    await schema.check_secret(database, cipher)


async def migrate(database: Database, cipher: Cipher) -> str | None:
    """Bring the schema to this version's; return the one it had, None if it was empty."""
    former = await schema.migrate(database)
    await schema.check_secret(database, cipher)
    return former
