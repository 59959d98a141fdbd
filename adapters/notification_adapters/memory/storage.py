"""All stores in memory as one object."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from uuid import UUID

from attrs import field, frozen

from notification_adapters.memory.api_keys import MemoryApiKeyStore
from notification_adapters.memory.audit import MemoryAuditLog
from notification_adapters.memory.backlog import MemoryBacklog
from notification_adapters.memory.changes import MemoryEnvironmentChanges
from notification_adapters.memory.console_sessions import MemoryConsoleSessionStore
from notification_adapters.memory.dead_letters import MemoryDeadLetters
from notification_adapters.memory.deliveries import MemoryDeliveryStore
from notification_adapters.memory.dispatch_notifier import MemoryNotifier
from notification_adapters.memory.encrypted_columns import MemoryEncryptedColumns
from notification_adapters.memory.erasures import MemoryErasureStore
from notification_adapters.memory.history import MemoryHistory
from notification_adapters.memory.idempotency import MemoryIdempotencyStore
from notification_adapters.memory.logs import MemoryLogStore
from notification_adapters.memory.outbox import MemoryOutbox
from notification_adapters.memory.portal_sessions import MemoryPortalSessionStore
from notification_adapters.memory.replays import MemoryReplayStore
from notification_adapters.memory.retention import MemoryRetention
from notification_adapters.memory.signing_keys import MemorySigningKeyStore
from notification_adapters.memory.state import MemoryState
from notification_adapters.memory.statistics import MemoryStatisticsStore
from notification_adapters.memory.webhook_health import MemoryWebhookHealthStore
from notification_adapters.memory.webhook_tests import MemoryWebhookTestStore
from notification_adapters.memory.webhooks import MemoryWebhookStore
from notification_adapters.memory.worker_lock import LockHolder, MemoryWorkerLock
from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import InvalidInput
from notification_core.model.message import Topics
from notification_core.ports.clock import Clock
from notification_core.ports.deliveries import IngestTransaction
from notification_core.ports.storage import OnTransactionEnd, Storage
from notification_core.ports.webhooks import WebhookStore


@frozen
class MemoryStorage(Storage):
    """The stores of one memory: what one writes the others read."""

    webhooks: WebhookStore
    deliveries: MemoryDeliveryStore
    signing_keys: MemorySigningKeyStore
    api_keys: MemoryApiKeyStore
    portal_sessions: MemoryPortalSessionStore
    console_sessions: MemoryConsoleSessionStore
    audit: MemoryAuditLog
    logs: MemoryLogStore
    history: MemoryHistory
    backlog: MemoryBacklog
    idempotency: MemoryIdempotencyStore
    replays: MemoryReplayStore
    webhook_tests: MemoryWebhookTestStore
    webhook_health: MemoryWebhookHealthStore
    erasures: MemoryErasureStore
    dead_letters: MemoryDeadLetters
    retention: MemoryRetention
    statistics: MemoryStatisticsStore
    changes: MemoryEnvironmentChanges
    outbox: MemoryOutbox
    encrypted_columns: MemoryEncryptedColumns
    worker_lock: MemoryWorkerLock
    notifier: MemoryNotifier
    state: MemoryState = field(repr=False)
    holder: LockHolder = field(repr=False)
    circle: list[MemoryNotifier] = field(repr=False)
    parallel_ingests: int = 1  # those that write take turns
    open_transactions: int = 0
    max_transactions: int | None = None

    def observe_transactions(self, on_end: OnTransactionEnd) -> None:
        """Return: what is written to memory waits for nothing."""

    async def ping(self) -> None:
        """Return: memory is always there."""

    async def check_schema(self) -> None:
        """Return: memory has no schema that could be another version's."""

    def join(
        self,
        connection: object,  # noqa: ARG002 - whatever it is
    ) -> AbstractAsyncContextManager[IngestTransaction]:
        """Raise :class:`InvalidInput`: there is no transaction to take part in."""
        raise InvalidInput("A storage in memory takes part in no transaction.")

    def after_commit(self, connection: object, callback: Callable[[], None]) -> None:  # noqa: ARG002 - the same
        """Raise :class:`InvalidInput`, as :meth:`join` does."""
        raise InvalidInput("A storage in memory takes part in no transaction.")

    def another_worker_lock(self) -> MemoryWorkerLock:
        """Return the lock of one more worker, as another process would have it."""
        return MemoryWorkerLock(self.state, self.holder)

    def another_notifier(self) -> MemoryNotifier:
        """Return how one more worker wakes and is woken, as another process would have it."""
        return MemoryNotifier(self.circle)


def memory_storage(
    clock: Clock,
    ids: IdGenerator | None = None,
    topics: Topics | None = None,
    operational_environment: UUID | None = None,
) -> MemoryStorage:
    """Return empty stores that share one memory and go by this clock.

    With ``topics`` the outbox is filled: somebody is to send what is in it. With an
    ``operational_environment`` operational events are kept for its webhooks.
    """
    ids = ids or IdGenerator(clock)
    state, holder = MemoryState(topics=topics, new_id=ids), LockHolder()
    state.operational_environment = operational_environment
    circle: list[MemoryNotifier] = []
    return MemoryStorage(
        webhooks=MemoryWebhookStore(state, clock),
        deliveries=MemoryDeliveryStore(state, clock, ids),
        signing_keys=MemorySigningKeyStore(state),
        api_keys=MemoryApiKeyStore(state),
        portal_sessions=MemoryPortalSessionStore(state),
        console_sessions=MemoryConsoleSessionStore(state),
        audit=MemoryAuditLog(state),
        logs=MemoryLogStore(state),
        history=MemoryHistory(state),
        backlog=MemoryBacklog(state, clock),
        idempotency=MemoryIdempotencyStore(state),
        replays=MemoryReplayStore(state, clock, ids),
        webhook_tests=MemoryWebhookTestStore(state, clock),
        webhook_health=MemoryWebhookHealthStore(state, clock),
        erasures=MemoryErasureStore(state, clock),
        dead_letters=MemoryDeadLetters(state),
        retention=MemoryRetention(state),
        statistics=MemoryStatisticsStore(state),
        changes=MemoryEnvironmentChanges(state),
        outbox=MemoryOutbox(state, clock),
        encrypted_columns=MemoryEncryptedColumns(),
        worker_lock=MemoryWorkerLock(state, holder),
        notifier=MemoryNotifier(circle),
        state=state,
        holder=holder,
        circle=circle,
    )
