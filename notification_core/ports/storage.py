"""All stores of one database, or of one memory, as one object."""

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from notification_core.ports.api_keys import ApiKeyStore
from notification_core.ports.audit import AuditLog
from notification_core.ports.backlog import Backlog
from notification_core.ports.changes import EnvironmentChanges
from notification_core.ports.console_sessions import ConsoleSessionStore
from notification_core.ports.dead_letters import DeadLetters
from notification_core.ports.deliveries import DeliveryStore, IngestTransaction
from notification_core.ports.dispatch_notifier import DispatchNotifier
from notification_core.ports.encrypted_columns import EncryptedColumns
from notification_core.ports.erasures import ErasureStore
from notification_core.ports.history import History
from notification_core.ports.idempotency import IdempotencyStore
from notification_core.ports.logs import LogStore
from notification_core.ports.outbox import Outbox
from notification_core.ports.portal_sessions import PortalSessionStore
from notification_core.ports.replays import ReplayStore
from notification_core.ports.retention import Retention
from notification_core.ports.signing_keys import SigningKeyStore
from notification_core.ports.statistics import StatisticsStore
from notification_core.ports.webhook_health import WebhookHealthStore
from notification_core.ports.webhook_tests import WebhookTestStore
from notification_core.ports.webhooks import WebhookStore
from notification_core.ports.worker_lock import WorkerLock

OnTransactionEnd = Callable[[float, float], None]
"""Hears for how many seconds a transaction waited for a connection, and how long it took then."""


class Storage(Protocol):
    """The stores that share one database or one memory: what one writes the others read."""

    @property
    @abstractmethod
    def webhooks(self) -> WebhookStore:
        """The webhooks of all environments."""

    @property
    @abstractmethod
    def deliveries(self) -> DeliveryStore:
        """Events and their deliveries."""

    @property
    @abstractmethod
    def signing_keys(self) -> SigningKeyStore:
        """The keys that requests are signed with."""

    @property
    @abstractmethod
    def api_keys(self) -> ApiKeyStore:
        """The keys that callers of the API authenticate with."""

    @property
    @abstractmethod
    def portal_sessions(self) -> PortalSessionStore:
        """The sessions of customers who see an environment's portal."""

    @property
    @abstractmethod
    def console_sessions(self) -> ConsoleSessionStore:
        """The sessions of those who have signed in to the console."""

    @property
    @abstractmethod
    def audit(self) -> AuditLog:
        """The audit log."""

    @property
    @abstractmethod
    def logs(self) -> LogStore:
        """The log of attempts."""

    @property
    @abstractmethod
    def history(self) -> History:
        """What happened to events and deliveries."""

    @property
    @abstractmethod
    def backlog(self) -> Backlog:
        """How many deliveries are pending."""

    @property
    @abstractmethod
    def idempotency(self) -> IdempotencyStore:
        """The responses to requests that may be repeated."""

    @property
    @abstractmethod
    def replays(self) -> ReplayStore:
        """Further deliveries of events that are stored."""

    @property
    @abstractmethod
    def webhook_tests(self) -> WebhookTestStore:
        """The deliveries by which webhooks are tested."""

    @property
    @abstractmethod
    def webhook_health(self) -> WebhookHealthStore:
        """The webhooks that are not healthy."""

    @property
    @abstractmethod
    def erasures(self) -> ErasureStore:
        """Environments that are erased."""

    @property
    @abstractmethod
    def dead_letters(self) -> DeadLetters:
        """Messages that could not be read as events."""

    @property
    @abstractmethod
    def retention(self) -> Retention:
        """Deleting what is older than it is to be kept."""

    @property
    @abstractmethod
    def statistics(self) -> StatisticsStore:
        """What was counted of webhooks."""

    @property
    @abstractmethod
    def changes(self) -> EnvironmentChanges:
        """Whether something has happened in an environment."""

    @property
    @abstractmethod
    def outbox(self) -> Outbox:
        """Messages that are to be sent to topics."""

    @property
    @abstractmethod
    def encrypted_columns(self) -> EncryptedColumns:
        """Re-encrypting what is stored encrypted."""

    @property
    @abstractmethod
    def worker_lock(self) -> WorkerLock:
        """The lock of this process as a worker."""

    @property
    @abstractmethod
    def notifier(self) -> DispatchNotifier:
        """How this process wakes other workers and is woken."""

    @property
    @abstractmethod
    def parallel_ingests(self) -> int:
        """How many transactions that store events make sense at the same time."""

    @property
    @abstractmethod
    def open_transactions(self) -> int:
        """How many transactions are open now: none while nothing happens."""

    @property
    @abstractmethod
    def max_transactions(self) -> int | None:
        """How many transactions can be open at the same time; None if nothing bounds them."""

    @abstractmethod
    def observe_transactions(self, on_end: OnTransactionEnd) -> None:
        """Call back whenever a transaction has ended, in place of who was called before."""

    @abstractmethod
    async def ping(self) -> None:
        """Raise :class:`StorageUnavailable` if nothing can be read, or a commit hangs."""

    @abstractmethod
    async def check_schema(self) -> None:
        """Raise :class:`IncompatibleSchema` unless this version can work on the schema."""

    @abstractmethod
    def join(self, connection: Any) -> AbstractAsyncContextManager[IngestTransaction]:
        """Take part in the transaction of a host's connection, which the host ends.

        Raises :class:`InvalidInput` if the storage has no transactions to take part in, and
        :class:`StorageUnusable` if the connection is to anything but the same database.
        """

    @abstractmethod
    def after_commit(self, connection: Any, callback: Callable[[], None]) -> None:
        """Call back once the transaction that is open on a host's connection has committed."""
