"""Planning what a transaction stores: a batch of events, each with its deliveries."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from attrs import define, field, frozen

from notification_core.concurrency.ids import IdGenerator
from notification_core.ingest.fan_out import FanOut, distinct
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
        """Keep a place for a delivery about to be stored as begun; False where there is none."""

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
    stored: Mapping[EventKey, EventToStore] = field(factory=dict)
    arrivals: Mapping[EventKey, Arrival] = field(factory=dict)
    deliveries: list[NewDelivery] = field(factory=list)
    claimed: list[ClaimedDelivery] = field(factory=list)

    @property
    def owner(self) -> tuple[UUID | None, timedelta]:
        """Return whose the deliveries are that are begun, and for how long."""
        return (
            (self.direct_dispatch.worker, self.direct_dispatch.lease)
            if self.direct_dispatch
            else (None, timedelta())
        )

    @property
    def due(self) -> int:
        """Return how many deliveries are left for any worker to claim."""
        return sum(
            one.state is DeliveryState.PENDING and not one.claimed for one in self.deliveries
        )

    def planned(self, webhooks_revision: int) -> IngestPlan:
        """Return all of it, as it is to be stored while the webhooks' revision stands at this."""
        return IngestPlan(webhooks_revision, [*self.stored.values()], self.deliveries, *self.owner)

    def note(self, arrivals: Mapping[EventKey, Arrival]) -> None:
        """Take in which events are new; the others get none of the deliveries planned for them."""
        self.arrivals = arrivals
        known = {key for key, arrival in arrivals.items() if arrival is not Arrival.NEW}
        if known:
            self._release([one for one in self.claimed if one.event_key in known])
            self.claimed = [one for one in self.claimed if one.event_key not in known]
            self.deliveries = [one for one in self.deliveries if one.event_key not in known]

    def give_up(self) -> None:
        """Store nothing of it."""
        self._release(self.claimed)
        self.taken, self.stored, self.deliveries, self.claimed = (), {}, [], []

    def conflicts(self) -> Iterator[EventKey]:
        """Yield the keys that are known for other data, or that come with other data themselves."""
        yield from (key for key, one in self.arrivals.items() if one is Arrival.CONFLICT)
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
    """Plans deliveries: skipped, begun by this process, or due.

    ``full`` holds, at any time, the webhooks whose queues take no more.
    """

    ids: IdGenerator
    full: AbstractSet[UUID]

    def plan(self, batch: PlannedBatch, wanted: FanOut, events: Sequence[Event]) -> None:
        """Plan all of these events, and reserve places for what this process may take."""
        erasing = wanted.known.erasing
        batch.taken = [one for one in events if one.environment_id not in erasing]
        batch.stored = {
            key: EventToStore(event, body_of(event) if wanted.of[key] else None)
            for key, event in distinct(batch.taken).items()
        }
        for key, event in batch.stored.items():
            for webhook in wanted.of[key]:
                self._plan(batch, event, webhook, wanted)

    def _plan(
        self, batch: PlannedBatch, stored: EventToStore, webhook: Webhook, wanted: FanOut
    ) -> None:
        event, body, direct_dispatch = stored.event, stored.body or b"", batch.direct_dispatch
        delivery_id = self.ids()
        reason = self._reason_to_skip(webhook, wanted.now)
        claimed = (
            reason is None
            and direct_dispatch is not None
            and direct_dispatch.reserve(
                delivery_id, webhook, wanted.known.webhooks_revision, len(body)
            )
        )
        batch.deliveries.append(
            NewDelivery(
                delivery_id,
                event.environment_id,
                webhook.webhook_id,
                event.event_id,
                DeliveryState.SKIPPED if reason else DeliveryState.PENDING,
                reason,
                claimed,
            )
        )
        if claimed and direct_dispatch:
            fence = Fence(delivery_id, event.environment_id, 1, direct_dispatch.worker)
            batch.claimed.append(
                ClaimedDelivery(fence, webhook.webhook_id, event.event_id, event.type, 0, body)
            )

    def _reason_to_skip(self, webhook: Webhook, now: datetime) -> EndReason | None:
        if webhook.is_disabled(now):
            return EndReason.WEBHOOK_DISABLED
        return EndReason.QUEUE_FULL if webhook.webhook_id in self.full else None
