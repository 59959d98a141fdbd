"""What differs between the engines: the batched statements of which the stores are made.

Each method runs one or two statements inside a transaction that the caller opened, for a whole
batch. An engine has them in files of the same names: ``ingest``, ``claims``, ``results``,
``ordering`` and ``statistics``.
"""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol, Self
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.ordering import OrderingStatements
from notification_adapters.sql.queues import Queue
from notification_adapters.sql.statements import Bound, ResultRow, Statement
from notification_adapters.sql.tables import webhooks
from notification_core.model.delivery import (
    Attempt,
    ClaimedDelivery,
    DeliveryState,
    EndReason,
    Fence,
    NewDelivery,
    UnsentDelivery,
)
from notification_core.model.delivery_transitions import UNSENDABLE
from notification_core.model.event import EventKey, EventToStore, KnownEvent

RawRow = tuple[Any, ...]
"""A row in the driver's own types, which only its statement knows."""


Handle = Any
"""What lets an engine find a row again within the same transaction; it is hashable."""


WebhookKey = tuple[UUID, UUID]
"""(environment id, webhook id)"""

WEBHOOK_COLUMNS: Final = tuple(column.name for column in webhooks.c)
"""What a webhook's row has, in this order."""


class Lease(NamedTuple):
    """Who works on a delivery, from when, until when."""

    worker: UUID | None
    claimed_at: datetime
    until: datetime


class Deadlines(NamedTuple):
    """What time it is, and of when what waits can no longer be sent.

    That is for a webhook that a user disabled, and for one that is paused.
    """

    now: datetime
    expired_before: datetime
    held_before: datetime | None


class DeliveryCounts(NamedTuple):
    """How many deliveries wait, and how many a worker has claimed."""

    waiting: int
    claimed: int


class DueRow(NamedTuple):
    """A delivery that is due, and the size of its body."""

    handle: Handle
    webhook_id: UUID
    size: int


class FreshRow(NamedTuple):
    """A delivery that waits and of which no attempt was made yet."""

    row: DueRow
    created_at: datetime


class LockedDelivery(NamedTuple):
    """A delivery of which a worker is making an attempt."""

    handle: Handle
    state: DeliveryState
    failures: int
    interruptions: int
    created_at: datetime


class OverdueAttempt(NamedTuple):
    """An attempt whose worker is dead or whose lease is over, as it is to be logged.

    One that was ``prefetched`` counts as claimed when it was due.
    """

    held: LockedDelivery
    fence: Fence
    webhook_id: UUID
    event_id: str
    event_type: str
    claimed_at: datetime
    prefetched: bool


class DeliveryUpdate(NamedTuple):
    """What happens to a delivery after an attempt; it loses its worker in any case.

    ``state`` is None where the delivery had ended before: then it stays as it is.
    """

    handle: Handle
    failures: int
    interruptions: int
    state: DeliveryState | None = None
    reason: EndReason | None = None
    due_at: datetime | None = None
    ended_at: datetime | None = None


class CancelledDelivery(NamedTuple):
    """A waiting delivery that can no longer be sent, and how it ends.

    One that is to be reported, since it has ``failed``, says which it is.
    """

    handle: Handle
    webhook: WebhookKey
    state: DeliveryState
    reason: EndReason
    failed: UnsentDelivery | None = None

    @classmethod
    def because(  # noqa: PLR0913, PLR0917 - the columns of a row
        cls,
        handle: Handle,
        webhook: WebhookKey,
        reason: str,
        delivery_id: UUID,
        event_id: str,
        event_type: str | None,
        attempts: int,
    ) -> Self:
        """Return how a delivery ends for a reason that a statement found.

        The statement gives the type of the event if the delivery fails by it.
        """
        why, failed = EndReason(reason), None
        if event_type is not None:
            failed = UnsentDelivery(*webhook, delivery_id, event_id, event_type, attempts, why)
        return cls(handle, webhook, UNSENDABLE[why], why, failed)


class StatisticsRow(NamedTuple):
    """What is added to the statistics of a webhook; the fields are the table's columns."""

    webhook_id: UUID
    environment_id: UUID
    bucket_start: datetime
    writer: UUID
    minutes: int
    attempts_succeeded: int
    attempts_failed: int
    attempts_interrupted: int
    deliveries_succeeded: int
    deliveries_failed: int
    deliveries_skipped: int
    deliveries_cancelled: int
    figures: bytes


COUNTED: Final = StatisticsRow._fields[5:]
"""The columns of what is counted, of both tables of statistics."""

MAX_FIGURES: Final = 1_500
"""Figures that are longer are compacted, to a few hundred bytes.

Durations between 1 ms and an hour, and delivery times up to a month, have 400 buckets together, of
two or three bytes each. PostgreSQL compresses rows that are longer than 2,000 bytes.
"""


class Dialect(OrderingStatements, Protocol):
    """The batched statements in the SQL of one engine, and its time."""

    @abstractmethod
    async def now(self, connection: AsyncConnection) -> datetime:
        """Return the storage's time, which schedules and leases go by."""

    @abstractmethod
    async def read(
        self, connection: AsyncConnection, statement: Statement, **values: object
    ) -> Sequence[ResultRow]:
        """Run a statement that reads and return its rows."""

    @abstractmethod
    async def write(self, connection: AsyncConnection, *bound: Bound) -> None:
        """Run statements that give no rows and have nothing to do with each other, in few trips.

        They have been run by the next trip, or the commit, at the latest.
        """

    @abstractmethod
    async def webhooks_of(
        self, connection: AsyncConnection, environment_ids: Collection[UUID]
    ) -> Sequence[RawRow]:
        """Return the webhooks of environments, oldest first, tombstones left out.

        Rows have the columns of their table here, and in :meth:`webhooks_by_id`.
        """

    @abstractmethod
    async def webhooks_by_id(
        self, connection: AsyncConnection, webhook_ids: Collection[UUID]
    ) -> Sequence[RawRow]:
        """Return webhooks of any environment, tombstones too."""

    @abstractmethod
    async def webhooks_revision(self, connection: AsyncConnection) -> int:
        """Return the webhooks' revision."""

    @abstractmethod
    async def revision_and_time(self, connection: AsyncConnection) -> tuple[int, datetime]:
        """Return the webhooks' revision and the storage's time, in as few trips as can be."""

    @abstractmethod
    async def add_events(
        self, connection: AsyncConnection, events: Sequence[EventToStore], now: datetime
    ) -> Mapping[EventKey, KnownEvent]:
        """Insert the events that are new; return those that are known."""

    @abstractmethod
    async def traceparents(
        self, connection: AsyncConnection, keys: Collection[EventKey]
    ) -> Mapping[EventKey, str]:
        """Return the places of events in their traces, where they have one."""

    @abstractmethod
    async def add_deliveries(
        self, connection: AsyncConnection, deliveries: Sequence[NewDelivery], lease: Lease
    ) -> None:
        """Insert deliveries; those that are claimed under this lease, with attempt 1.

        What is only prefetched has no time at which it was started.
        """

    @abstractmethod
    async def scan_queues(
        self, connection: AsyncConnection, after: UUID | None, limit: int
    ) -> tuple[int, datetime, Sequence[Queue]]:
        """Return the webhooks' revision, the time, and the queues of the next webhooks by id.

        The queues are found without walking them.
        """

    @abstractmethod
    async def count_deliveries(self, connection: AsyncConnection, most: int) -> DeliveryCounts:
        """Return how many deliveries wait and how many are claimed, each at most ``most``."""

    @abstractmethod
    async def lock_due(
        self, connection: AsyncConnection, webhook_ids: Sequence[UUID], share: int, now: datetime
    ) -> Sequence[DueRow]:
        """Return the first due deliveries of each webhook, at most ``share`` of one, in order.

        They are locked where the engine locks rows; those that others hold are skipped.
        """

    @abstractmethod
    async def lock_fresh(
        self, connection: AsyncConnection, webhook_ids: Sequence[UUID], most: int, now: datetime
    ) -> Sequence[FreshRow]:
        """Return (and lock) what is due of the latest deliveries of webhooks, the latest first.

        No more than the latest ``most`` of each webhook are looked at.
        """

    @abstractmethod
    async def claim(
        self,
        connection: AsyncConnection,
        handles: Sequence[Handle],
        begin_limit: int,
        lease: Lease,
        watched: Sequence[UUID],
    ) -> tuple[Sequence[ClaimedDelivery], datetime | None]:
        """Raise the attempt number of deliveries and lease them; return them in this order.

        Those behind the first ``begin_limit`` are only prefetched.

        Tell also when the first of all deliveries is due that wait for the watched webhooks, and
        are not due yet when the lease begins.
        """

    @abstractmethod
    async def lock_held(
        self, connection: AsyncConnection, fences: Sequence[Fence]
    ) -> Sequence[LockedDelivery | None]:
        """Return (and lock) for each fence the delivery that it still holds, else None."""

    @abstractmethod
    async def log_attempts(self, connection: AsyncConnection, attempts: Sequence[Attempt]) -> None:
        """Insert attempts that have ended."""

    @abstractmethod
    async def update_deliveries(
        self, connection: AsyncConnection, updates: Sequence[DeliveryUpdate]
    ) -> None:
        """Write what happens to deliveries after their attempts."""

    @abstractmethod
    async def release(
        self, connection: AsyncConnection, held: Collection[LockedDelivery], due_at: datetime
    ) -> None:
        """Undo the begin of attempts: no worker, the number as before, due then."""

    @abstractmethod
    async def leased(self, connection: AsyncConnection, worker: UUID) -> Sequence[Fence]:
        """Return every attempt that a worker has claimed and not ended."""

    @abstractmethod
    async def lease_owners(self, connection: AsyncConnection) -> Collection[UUID]:
        """Return the workers that own leases; those of webhook tests are no worker's."""

    @abstractmethod
    async def lock_overdue(
        self, connection: AsyncConnection, dead: Collection[UUID], now: datetime, limit: int
    ) -> Sequence[OverdueAttempt]:
        """Return (and lock) attempts of dead workers and those whose lease is over."""

    @abstractmethod
    async def cancel_claimed(
        self, connection: AsyncConnection, webhook_id: UUID, reason: EndReason, now: datetime
    ) -> int:
        """Cancel the pending deliveries of a webhook of which an attempt is being made.

        Return how many.
        """

    @abstractmethod
    async def blocked_webhooks(
        self, connection: AsyncConnection, deadlines: Deadlines
    ) -> Sequence[UUID]:
        """Return the webhooks that have waiting deliveries and may not be sent to.

        Those that are paused are among them if they have been since ``held_before``.
        """

    @abstractmethod
    async def lock_unsendable(
        self,
        connection: AsyncConnection,
        webhook_ids: Sequence[UUID],
        limit: int,
        deadlines: Deadlines,
    ) -> Sequence[CancelledDelivery]:
        """Return (and lock) waiting deliveries of these webhooks that can no longer be sent.

        What :meth:`DeliveryStore.cancel_unsendable` says is checked by the webhooks as of now.
        """

    @abstractmethod
    async def lock_waiting(
        self, connection: AsyncConnection, webhook_id: UUID, limit: int
    ) -> Sequence[Handle]:
        """Return (and lock) waiting deliveries of one webhook, due or not."""

    @abstractmethod
    async def cancel_unsendable(
        self,
        connection: AsyncConnection,
        cancelled: Sequence[CancelledDelivery],
        now: datetime,
    ) -> None:
        """End waiting deliveries as they are said to end."""

    @abstractmethod
    async def add_statistics(
        self, connection: AsyncConnection, rows: Sequence[StatisticsRow]
    ) -> None:
        """Add to what was counted before under the same keys; the rows are sorted by these."""

    @abstractmethod
    async def has_open_publish(self, connection: AsyncConnection, environment_id: UUID) -> bool:
        """Tell whether somebody who began before it may still store events of an environment.

        It is being erased, and its erasure was written to just before.
        """
