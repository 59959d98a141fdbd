"""What the stores in memory keep: the tables, and the lock that makes writers take turns."""

import asyncio
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from uuid import UUID, uuid4

from attrs import define, field, frozen

from notification_core.errors import ResponseAlreadyStored, WebhookNotFound
from notification_core.model.api_key import ApiKey
from notification_core.model.circuit_breaker import WebhookHealth
from notification_core.model.console_session import ConsoleSession
from notification_core.model.delivery import (
    Attempt,
    DeliveryOrigin,
    DeliveryState,
    EndReason,
    Fence,
)
from notification_core.model.delivery_transitions import Transition
from notification_core.model.erasure import Erasure, ErasureState
from notification_core.model.event import Event, EventKey
from notification_core.model.message import DeadLetter, Topics
from notification_core.model.ordering import (
    OrderingGroup,
    due_on_joining,
    first_in_group,
    is_to_release,
)
from notification_core.model.outbox_message import (
    OperationalEvent,
    OutgoingMessage,
    dead_letter_message,
    operational_event_message,
    published_operational_event,
    reaches_webhooks,
)
from notification_core.model.portal_session import PortalSession
from notification_core.model.replay import Replay
from notification_core.model.request_records import (
    KEPT_FOR,
    AuditEntry,
    RequestRecords,
    StoredResponse,
)
from notification_core.model.signing_key import SigningKey
from notification_core.model.statistics import BucketSize, Counts
from notification_core.model.webhook import Webhook
from notification_core.ports.dead_letters import StoredDeadLetter

StatisticsKey = tuple[UUID, UUID, BucketSize, datetime]
"""(environment id, webhook id, minute or hour, when it begins)"""


@frozen
class StoredEvent:
    """An event as it is kept."""

    type: str
    occurred_at: datetime
    body: bytes | None
    stored_at: datetime
    ordering_key: str | None = None
    traceparent: str | None = None


@define
class StoredDelivery:
    """A delivery as it is kept; ``attempt`` counts the attempts that were begun."""

    delivery_id: UUID
    environment_id: UUID
    webhook_id: UUID
    event_id: str
    state: DeliveryState
    reason: EndReason | None
    created_at: datetime
    due_at: datetime
    attempt: int = 0
    failures: int = 0
    interruptions: int = 0
    worker: UUID | None = None
    leased_until: datetime | None = None
    claimed_at: datetime | None = None
    origin: DeliveryOrigin | None = None
    replay_id: UUID | None = None
    ordering_key: str | None = None
    position: int | None = None

    @property
    def event_key(self) -> EventKey:
        """What the delivery's event is found by."""
        return self.environment_id, self.event_id

    @property
    def is_waiting(self) -> bool:
        """Whether it is to be sent and nobody is at it."""
        return self.state is DeliveryState.PENDING and self.worker is None

    @property
    def is_pending(self) -> bool:
        """Whether it is not final yet."""
        return self.state is DeliveryState.PENDING

    @property
    def is_attempted(self) -> bool:
        """Whether a worker has claimed it."""
        return self.worker is not None

    @property
    def fence(self) -> Fence | None:
        """The fence of the attempt that is being made."""
        if self.worker is None:
            return None
        return Fence(self.delivery_id, self.environment_id, self.attempt, self.worker)

    def claim(
        self, worker: UUID, now: datetime, until: datetime, *, prefetched: bool = False
    ) -> None:
        """Give it to a worker, for its next attempt."""
        self.attempt += 1
        self.worker, self.leased_until = worker, until
        self.claimed_at = None if prefetched else now

    def give_back(self, due_at: datetime) -> None:
        """Undo the claim: no worker, the number as before, due then."""
        self.release()
        self.attempt -= 1
        self.due_at = due_at

    def release(self) -> None:
        """Take it from its worker."""
        self.worker = self.leased_until = None

    def end_attempt(self, transition: Transition) -> None:
        """Take it from its worker, and apply what happens to it."""
        self.release()
        self.failures, self.interruptions = transition.failures, transition.interruptions
        if transition.state is not None:
            self.state, self.reason = transition.state, transition.reason
            self.due_at = transition.due_at or self.due_at

    def cancel_unsendable(self, state: DeliveryState, reason: EndReason | None = None) -> None:
        """End it, unless it has ended before."""
        if self.state is DeliveryState.PENDING:
            self.state, self.reason = state, reason


@define
class StoredReplay:
    """A replay as it is kept, and the last delivery that it has looked at."""

    replay: Replay
    cursor: UUID | None = None


@define
class StoredWorker:
    """What a worker may be sending of what it has prefetched; once ``closed``, no more begins."""

    begun: Collection[UUID] = ()
    closed: bool = False


@define
class MemoryState:
    """The tables; ``writing`` is held by whoever changes them."""

    events: dict[EventKey, StoredEvent] = field(factory=dict)
    webhooks: dict[UUID, Webhook] = field(factory=dict)
    health: dict[UUID, WebhookHealth] = field(factory=dict)
    deliveries: dict[UUID, StoredDelivery] = field(factory=dict)
    attempts: dict[UUID, Attempt] = field(factory=dict)
    keys: dict[tuple[UUID, str], SigningKey] = field(factory=dict)
    replays: dict[UUID, StoredReplay] = field(factory=dict)
    erasures: dict[UUID, Erasure] = field(factory=dict)
    responses: dict[tuple[UUID | None, str], StoredResponse] = field(factory=dict)
    api_keys: dict[UUID, ApiKey] = field(factory=dict)
    portal_sessions: dict[UUID, PortalSession] = field(factory=dict)
    console_sessions: dict[UUID, ConsoleSession] = field(factory=dict)
    audit: dict[UUID, AuditEntry] = field(factory=dict)
    workers: dict[UUID, StoredWorker] = field(factory=dict)
    dead_letters: dict[UUID, StoredDeadLetter] = field(factory=dict)
    statistics: dict[StatisticsKey, Counts] = field(factory=dict)
    # The minutes of hours that were merged.
    statistics_minutes: dict[StatisticsKey, Counts] = field(factory=dict)
    outbox: dict[UUID, OutgoingMessage] = field(factory=dict)
    topics: Topics | None = None
    operational_events: dict[str, Event] = field(factory=dict)
    operational_environment: UUID | None = None
    new_id: Callable[[], UUID] = uuid4
    rates: dict[UUID, datetime] = field(factory=dict)
    webhooks_revision: int = 0
    last_position: int = 0
    writing: asyncio.Lock = field(factory=asyncio.Lock)

    def living(self, environment_id: UUID, webhook_id: UUID) -> Webhook:
        """Return a webhook of an environment; a tombstone is none."""
        webhook = self.webhooks.get(webhook_id)
        if webhook is None or webhook.deleted_at or webhook.environment_id != environment_id:
            raise WebhookNotFound(webhook_id)
        return webhook

    def counts(self, environment_id: UUID, webhook_id: UUID, now: datetime) -> Counts:
        """Return what was counted of a webhook in the minute of an instant, to be added to."""
        key = environment_id, webhook_id, BucketSize.MINUTE, BucketSize.MINUTE.start_of(now)
        return self.statistics.setdefault(key, Counts())

    def change(self, webhook: Webhook) -> int:
        """Keep a changed webhook; return the webhooks' revision."""
        self.webhooks[webhook.webhook_id] = webhook
        self.webhooks_revision += 1
        return self.webhooks_revision

    def erasing(self) -> Collection[UUID]:
        """Return the environments that are being erased."""
        running = ErasureState.RUNNING
        return frozenset(key for key, erasure in self.erasures.items() if erasure.state is running)

    def require_no_response(self, records: RequestRecords) -> None:
        """Raise :class:`ResponseAlreadyStored` where this request was answered lately."""
        for response in (record for record in records if isinstance(record, StoredResponse)):
            earlier = self.responses.get((response.environment_id, response.request))
            if earlier is not None and earlier.responded_at > response.responded_at - KEPT_FOR:
                raise ResponseAlreadyStored("This request was answered already.")

    def add_records(self, records: RequestRecords) -> None:
        """Keep what is kept beside an effect."""
        for record in records:
            match record:
                case StoredResponse():
                    self.responses[record.environment_id, record.request] = record
                case AuditEntry():
                    self.audit[record.entry_id] = record

    def append_operational_event(self, event: OperationalEvent) -> None:
        """Keep an operational event for whom it is to be sent to, if there is somebody."""
        message_id, environment_id = self.new_id(), self.operational_environment
        if self.topics:
            message = operational_event_message(event, message_id, self.topics)
            self.outbox[message.message_id] = message
        if environment_id and reaches_webhooks(event, environment_id):
            published = published_operational_event(event, message_id, environment_id)
            self.operational_events[published.event_id] = published

    def forward(self, letter: DeadLetter) -> None:
        """Put a dead letter into the outbox, if somebody is to send what is in it."""
        if self.topics:
            message = dead_letter_message(letter, self.new_id(), self.topics)
            self.outbox[message.message_id] = message

    def add_delivery(self, delivery: StoredDelivery) -> None:
        """Keep a new delivery; one that has an ordering key joins the end of its group."""
        if delivery.ordering_key is not None:
            group = OrderingGroup(delivery.webhook_id, delivery.ordering_key)
            is_empty = self.first_in(group) is None
            delivery.due_at = due_on_joining(delivery.due_at, is_group_empty=is_empty)
            self.last_position += 1
            delivery.position = self.last_position
        self.deliveries[delivery.delivery_id] = delivery

    def first_in(self, group: OrderingGroup) -> StoredDelivery | None:
        """Return the delivery that the others of a group wait for."""
        return first_in_group(
            delivery
            for delivery in self.deliveries.values()
            if (delivery.webhook_id, delivery.ordering_key) == group
        )

    def release_first(self, group: OrderingGroup, now: datetime) -> int:
        """Release the first one in a group if it is held; return how many were."""
        first = self.first_in(group)
        if first is None or not is_to_release(first):
            return 0
        first.due_at = now
        return 1

    def waiting(self, webhook_id: UUID) -> list[StoredDelivery]:
        """Return a webhook's queue, in the order in which it is due."""
        queue = (
            delivery for delivery in self.deliveries.values() if delivery.webhook_id == webhook_id
        )
        return sorted(
            (delivery for delivery in queue if delivery.is_waiting),
            key=lambda delivery: delivery.due_at,
        )

    def is_webhook_test(self, attempt: Attempt) -> bool:
        """Tell whether an attempt was made to try its webhook out."""
        delivery = self.deliveries.get(attempt.delivery_id)
        return delivery is not None and delivery.origin is DeliveryOrigin.TEST

    def attempts_of(self, environment_id: UUID, webhook_id: UUID) -> Iterator[Attempt]:
        """Yield a webhook's attempts, the newest first."""
        for log_id in sorted(self.attempts, reverse=True):
            attempt = self.attempts[log_id]
            if (attempt.environment_id, attempt.webhook_id) == (environment_id, webhook_id):
                yield attempt
