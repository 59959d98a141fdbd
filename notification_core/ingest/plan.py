"""Planning what a transaction stores: a batch of events, each with its deliveries."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from attrs import define, field, frozen

from notification_core.concurrency.ids import IdGenerator
from notification_core.ingest.fan_out import FanOut
from notification_core.model.delivery import (
    ClaimedDelivery,
    DeliveryState,
    EndReason,
    Fence,
    NewDelivery,
)
from notification_core.model.event import Arrival, Event, EventKey, EventToStore, body_of
from notification_core.model.webhook import Webhook
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

    def planned(self, webhooks_revision: int) -> IngestPlan:
        """Return all of it, as it is to be stored while the webhooks' revision stands at this."""
        worker = self.direct_dispatch.worker if self.direct_dispatch else None
        lease = self.direct_dispatch.lease if self.direct_dispatch else timedelta()
        events = [*self.stored.values()]
        return IngestPlan(webhooks_revision, events, self.deliveries, worker, lease)

    def note(self, arrivals: Mapping[EventKey, Arrival]) -> None:
        """Take in which events are new; the others get none of the deliveries planned for them."""
        self.arrivals = arrivals
        known = {key for key, arrival in arrivals.items() if arrival is not Arrival.NEW}
        if known:
            self._release([row for row in self.claimed if row.event_key in known])
            self.claimed = [row for row in self.claimed if row.event_key not in known]
            self.deliveries = [row for row in self.deliveries if row.event_key not in known]

    def give_up(self) -> None:
        """Store nothing of it."""
        self._release(self.claimed)
        self.taken, self.stored, self.deliveries, self.claimed = (), {}, [], []

    def conflicts(self) -> Iterator[EventKey]:
        """Yield the keys that are known for other data, or that come with other data themselves."""
        yield from (key for key, found in self.arrivals.items() if found is Arrival.CONFLICT)
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

    ids: IdGenerator
    full: AbstractSet[UUID]

    def plan(self, batch: PlannedBatch, fan_out: FanOut, events: Sequence[Event]) -> None:
        """Plan all of these events, and reserve places for what this process may take."""
        erasing = fan_out.cached.erasing
        batch.taken = [event for event in events if event.environment_id not in erasing]
        for event in batch.taken:
            key = event.key
            if key not in batch.stored:
                webhooks = fan_out.webhooks_of[key]
                body = body_of(event) if webhooks else None
                batch.stored[key] = EventToStore(event, body)
                for webhook in webhooks:
                    self._plan_delivery(batch, fan_out, event, webhook, body or b"")

    def _plan_delivery(
        self, batch: PlannedBatch, fan_out: FanOut, event: Event, webhook: Webhook, body: bytes
    ) -> None:
        direct_dispatch, revision = batch.direct_dispatch, fan_out.cached.webhooks_revision
        delivery_id = self.ids()
        state, reason, is_claimed = DeliveryState.SKIPPED, None, False
        if webhook.is_disabled(fan_out.now):
            reason = EndReason.WEBHOOK_DISABLED
        elif webhook.webhook_id in self.full:
            reason = EndReason.QUEUE_FULL
        else:
            state = DeliveryState.PENDING
            if direct_dispatch and direct_dispatch.reserve(
                delivery_id, webhook, revision, len(body)
            ):
                is_claimed = True
                fence = Fence(delivery_id, event.environment_id, 1, direct_dispatch.worker)
                batch.claimed.append(
                    ClaimedDelivery(fence, webhook.webhook_id, event.event_id, event.type, 0, body)
                )
        batch.deliveries.append(
            NewDelivery(
                delivery_id,
                event.environment_id,
                webhook.webhook_id,
                event.event_id,
                state,
                reason,
                is_claimed,
            )
        )
