"""Planning what a transaction stores: a batch of events, each with its deliveries."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from attrs import define, field, frozen

from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import TooManyDeliveries
from notification_core.ingest.fan_out import fan_out, fit
from notification_core.ingest.webhook_cache import CachedWebhooks
from notification_core.model.delivery import (
    ClaimedDelivery,
    DeliveryState,
    EndReason,
    Fence,
    NewDelivery,
)
from notification_core.model.event import Arrival, Event, EventKey, EventToStore, body_of
from notification_core.model.webhook import Webhook
from notification_core.ports.clock import Clock
from notification_core.ports.deliveries import IngestPlan


class DirectDispatch(Protocol):
    """The dispatcher of this process, as ingest sees it: it may take deliveries at once."""

    worker: UUID
    lease: timedelta

    @abstractmethod
    def reserve(
        self, delivery_id: UUID, webhook: Webhook, webhooks_revision: int, size: int
    ) -> bool:
        """Keep a place for a delivery about to be stored as claimed; False where there is none."""

    @abstractmethod
    def release(self, claimed: Sequence[ClaimedDelivery]) -> None:
        """Give reserved places back: the transaction failed, or its outcome is unknown."""

    @abstractmethod
    def hand_over(self, claimed: Sequence[ClaimedDelivery], leased_from: float) -> None:
        """Give committed deliveries to the places that were reserved for them."""

    @abstractmethod
    def wake(self) -> None:
        """Say that deliveries were stored that nobody has taken."""


@define
class PlannedBatch:
    """What a transaction is to store, and what is handed over after it.

    ``taken`` are the events that were asked for, doubles too; those of environments that are being
    erased are not among them. ``direct_dispatch`` is who may take deliveries at once, None where
    all are to be stored due.
    """

    direct_dispatch: DirectDispatch | None
    taken: Sequence[Event] = ()
    stored: dict[EventKey, EventToStore] = field(factory=dict)
    arrivals: Mapping[EventKey, Arrival] = field(factory=dict)
    deliveries: list[NewDelivery] = field(factory=list)
    claimed: list[ClaimedDelivery] = field(factory=list)

    def add(
        self,
        delivery_id: UUID,
        stored: EventToStore,
        webhook: Webhook,
        webhooks_revision: int,
        reason: EndReason | None,
    ) -> None:
        """Add a delivery: skipped for a reason, or claimed where there is a place, or due."""
        event, body, dispatch = stored.event, stored.body or b"", self.direct_dispatch
        is_claimed = False
        if reason is None and dispatch is not None:
            is_claimed = dispatch.reserve(delivery_id, webhook, webhooks_revision, len(body))
            if is_claimed:
                fence = Fence(delivery_id, event.environment_id, 1, dispatch.worker)
                self.claimed.append(
                    ClaimedDelivery(fence, webhook.webhook_id, event.event_id, event.type, 0, body)
                )
        self.deliveries.append(
            NewDelivery(
                delivery_id,
                event.environment_id,
                webhook.webhook_id,
                event.event_id,
                DeliveryState.SKIPPED if reason else DeliveryState.PENDING,
                reason,
                is_claimed,
            )
        )

    def planned(self, webhooks_revision: int) -> IngestPlan:
        """Return all of it, as it is to be stored while the webhooks' revision stands at this."""
        worker = self.direct_dispatch.worker if self.direct_dispatch else None
        lease = self.direct_dispatch.lease if self.direct_dispatch else timedelta()
        events = [*self.stored.values()]
        return IngestPlan(webhooks_revision, events, self.deliveries, worker, lease)

    def note(self, arrivals: Mapping[EventKey, Arrival]) -> None:
        """Take in which events are new; the others get none of the deliveries planned for them."""
        self.arrivals = arrivals
        stored_keys = {key for key, arrival in arrivals.items() if arrival is not Arrival.NEW}
        if stored_keys:
            self._release([row for row in self.claimed if row.event_key in stored_keys])
            self.claimed = [row for row in self.claimed if row.event_key not in stored_keys]
            self.deliveries = [row for row in self.deliveries if row.event_key not in stored_keys]

    def give_up(self) -> None:
        """Store nothing of it."""
        self._release(self.claimed)
        self.taken, self.stored, self.deliveries, self.claimed = (), {}, [], []

    def conflicts(self) -> Iterator[EventKey]:
        """Yield the keys that are known for other data, or that come with other data themselves."""
        yield from (key for key, arrival in self.arrivals.items() if arrival is Arrival.CONFLICT)
        if len(self.stored) == len(self.taken):
            return
        for event in self.taken:
            key = event.key
            first = self.stored[key].event
            if (event.type, event.data) != (first.type, first.data):
                yield key

    def _release(self, claimed: Sequence[ClaimedDelivery]) -> None:
        if self.direct_dispatch and claimed:
            self.direct_dispatch.release(claimed)


@frozen
class IngestPlanner:
    """Plans deliveries: skipped, claimed by this process, or due.

    ``full`` holds, at any time, the webhooks whose queues take no more.
    """

    clock: Clock
    ids: IdGenerator
    full: AbstractSet[UUID]

    def plan(
        self, batch: PlannedBatch, requests: Sequence[Sequence[Event]], cached: CachedWebhooks
    ) -> Sequence[TooManyDeliveries | None]:
        """Plan the requests that fit into one transaction, by what is known of their webhooks.

        Places are reserved for what this process may take. Returns of each of the first requests
        why it never fits, or None; those behind them are for another transaction.
        """
        now = self.clock.now()
        webhooks_of = fan_out(requests, cached.webhooks, now)
        refusals, fitting = fit(requests, webhooks_of)
        if any(refusals):
            # A refused request may have an event with the same key and another type.
            webhooks_of = fan_out([fitting], cached.webhooks, now)
        batch.taken = [event for event in fitting if event.environment_id not in cached.erasing]
        for event in batch.taken:
            key = event.key
            if key in batch.stored:
                continue
            webhooks = webhooks_of[key]
            stored = EventToStore(event, body_of(event) if webhooks else None)
            batch.stored[key] = stored
            for webhook in webhooks:
                reason = None
                if webhook.is_disabled(now):
                    reason = EndReason.WEBHOOK_DISABLED
                elif webhook.webhook_id in self.full:
                    reason = EndReason.QUEUE_FULL
                batch.add(self.ids(), stored, webhook, cached.webhooks_revision, reason)
        return refusals
