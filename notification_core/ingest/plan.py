"""Planning what a transaction stores: a batch of events, each with its deliveries.

Which webhooks want each event, how many deliveries a transaction takes, and which of them this
process takes at once.
"""

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from enum import Enum, auto
from operator import attrgetter
from typing import Protocol
from uuid import UUID

from attrs import define, field, frozen

from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import TooManyDeliveries
from notification_core.ingest.event_filters import EventFilters
from notification_core.ingest.webhook_cache import CachedWebhooks, WebhooksByType
from notification_core.model.delivery import (
    MAX_DELIVERIES_PER_TRANSACTION,
    ClaimedDelivery,
    DeliveryState,
    EndReason,
    Fence,
    NewDelivery,
)
from notification_core.model.event import Arrival, Event, EventKey, EventToStore, body_of
from notification_core.model.ordering import key_in_group
from notification_core.model.webhook import Webhook
from notification_core.ports.clock import Clock
from notification_core.ports.deliveries import IngestPlan

_filter_of = attrgetter("filter")

WebhooksOfEvents = Mapping[EventKey, Sequence[Webhook]]
"""Which webhooks get a delivery of each event (a skipped one if disabled)."""


class Place(Enum):
    """Where a delivery that is about to be stored waits: to be sent, or to be begun first."""

    BEGUN = auto()
    PREFETCHED = auto()


class DirectDispatch(Protocol):
    """The dispatcher of this process, as ingest sees it: it may take deliveries at once."""

    worker: UUID
    lease: timedelta

    @abstractmethod
    def reserve(
        self, delivery_id: UUID, webhook: Webhook, webhooks_revision: int, size: int
    ) -> Place | None:
        """Keep a place for a delivery about to be stored as claimed; None if there is none."""

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

    ``taken`` are the events that were asked for, duplicates too; those of environments that are
    being erased are not among them. ``direct_dispatch`` may take deliveries at once; if it is None,
    all are to be stored due; their leases count from ``leased_from``, by the monotonic clock. If
    ``is_ordered``, some deliveries have an ordering key; these are not taken at once.
    """

    direct_dispatch: DirectDispatch | None
    taken: Sequence[Event] = ()
    stored: dict[EventKey, EventToStore] = field(factory=dict)
    arrivals: Mapping[EventKey, Arrival] = field(factory=dict)
    deliveries: list[NewDelivery] = field(factory=list)
    claimed: list[ClaimedDelivery] = field(factory=list)
    leased_from: float = 0.0
    is_ordered: bool = False

    def add(
        self,
        delivery_id: UUID,
        stored: EventToStore,
        webhook: Webhook,
        webhooks_revision: int,
        reason: EndReason | None,
    ) -> None:
        """Add a delivery: skipped for a reason, or claimed if there is a place, or due."""
        event, body, dispatch = stored.event, stored.body or b"", self.direct_dispatch
        key = key_in_group(
            event.ordering_key, is_ordered=webhook.ordered, is_final=reason is not None
        )
        self.is_ordered |= key is not None
        place = None
        if reason is None and key is None and dispatch is not None:
            place = dispatch.reserve(delivery_id, webhook, webhooks_revision, len(body))
        is_claimed, is_prefetched = place is not None, place is Place.PREFETCHED
        if is_claimed and dispatch is not None:
            fence = Fence(delivery_id, event.environment_id, 1, dispatch.worker)
            of_event = webhook.webhook_id, event.event_id, event.type
            delivery = ClaimedDelivery(
                fence, *of_event, 0, body, is_prefetched, traceparent=event.traceparent
            )
            self.claimed.append(delivery)
        self.deliveries.append(
            NewDelivery(
                delivery_id,
                event.environment_id,
                webhook.webhook_id,
                event.event_id,
                DeliveryState.SKIPPED if reason else DeliveryState.PENDING,
                reason,
                is_claimed,
                is_prefetched,
                key,
            )
        )

    def note(self, arrivals: Mapping[EventKey, Arrival]) -> None:
        """Note which events are new; the others get none of the deliveries planned for them."""
        self.arrivals = arrivals
        stored_keys = {key for key, arrival in arrivals.items() if arrival is not Arrival.NEW}
        if stored_keys:
            self.deliveries = [row for row in self.deliveries if row.event_key not in stored_keys]
            new = {row.delivery_id for row in self.deliveries}
            self._release([row for row in self.claimed if row.fence.delivery_id not in new])
            self.claimed = [row for row in self.claimed if row.fence.delivery_id in new]

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
            first = self.stored[event.key].event
            if (event.type, event.data) != (first.type, first.data):
                yield event.key

    def _release(self, claimed: Sequence[ClaimedDelivery]) -> None:
        if self.direct_dispatch and claimed:
            self.direct_dispatch.release(claimed)


@frozen
class IngestPlanner:
    """Plans deliveries: skipped, claimed by this process, or due.

    ``full`` holds, at any time, the webhooks whose queues take no more: theirs are skipped. If it
    is ``traced``, events may have a ``traceparent``.
    """

    clock: Clock
    ids: IdGenerator
    filters: EventFilters
    full: AbstractSet[UUID] = frozenset()
    traced: bool = False

    async def plan(
        self, batch: PlannedBatch, requests: Sequence[Sequence[Event]], cached: CachedWebhooks
    ) -> tuple[Sequence[TooManyDeliveries | None], IngestPlan]:
        """Plan the requests that fit into one transaction, by what is known of their webhooks.

        Places are reserved for what this process may take. Returns of each of the first requests
        why it never fits, or None, and what is to be stored of them while the webhooks' revision
        stands at what is known; those behind them are for another transaction.
        """
        batch.leased_from, now = self.clock.monotonic(), self.clock.now()
        webhooks_of = fan_out(requests, cached.webhooks, now)
        refusals, fitting = fit(requests, webhooks_of)
        if any(refusals):
            # A refused request may have an event with the same key and another type.
            webhooks_of = fan_out([fitting], cached.webhooks, now)
        batch.taken = [event for event in fitting if event.environment_id not in cached.erasing]
        matched: Collection[str] = ()
        for event in batch.taken:
            if event.key in batch.stored:
                continue
            webhooks = webhooks_of[event.key]
            stored = EventToStore(event, body_of(event) if webhooks else None)
            batch.stored[event.key] = stored
            if stored.body is not None and any(map(_filter_of, webhooks)):
                texts = {webhook.filter for webhook in webhooks if webhook.filter is not None}
                matched = await self.filters.matching(texts, stored.body)
            for webhook in webhooks:
                reason = None
                # First: what is skipped for another reason may be replayed, without a filter.
                if webhook.filter is not None and webhook.filter not in matched:
                    reason = EndReason.FILTER_NOT_MATCHED
                elif webhook.is_disabled(now):
                    reason = EndReason.WEBHOOK_DISABLED
                elif webhook.webhook_id in self.full:
                    reason = EndReason.QUEUE_FULL
                batch.add(self.ids(now), stored, webhook, cached.webhooks_revision, reason)
        events, dispatch = [*batch.stored.values()], batch.direct_dispatch
        worker, lease = (dispatch.worker, dispatch.lease) if dispatch else (None, timedelta())
        revision, deliveries = cached.webhooks_revision, batch.deliveries
        how = worker, lease, batch.is_ordered, self.traced
        plan = IngestPlan(revision, events, deliveries, *how)
        return refusals, plan


def fan_out(
    requests: Sequence[Sequence[Event]], webhooks: Mapping[UUID, WebhooksByType], now: datetime
) -> WebhooksOfEvents:
    """Return which webhooks get a delivery of each event; of events with one key the first counts.

    A webhook gets what happens in its environment and is of a type that it subscribes to.
    """
    getting: dict[tuple[UUID, str], Sequence[Webhook]] = {}
    webhooks_of: dict[EventKey, Sequence[Webhook]] = {}
    for events in requests:
        for event in events:
            kind = event.environment_id, event.type
            if kind not in getting:
                subscribed = webhooks[event.environment_id].get(event.type, ())
                getting[kind] = [each for each in subscribed if each.gets_deliveries(now)]
            webhooks_of.setdefault(event.key, getting[kind])
    return webhooks_of


def fit(
    requests: Sequence[Sequence[Event]], webhooks_of: WebhooksOfEvents
) -> tuple[Sequence[TooManyDeliveries | None], Sequence[Event]]:
    """Return which of the first requests fit into one transaction, and the events of these.

    Of each request, at least one, it is said why it never fits, or None; it says how many of its
    first events would fit. Requests behind the last one are for another transaction.
    """
    refusals: list[TooManyDeliveries | None] = []
    fitting: list[Event] = []
    left = MAX_DELIVERIES_PER_TRANSACTION
    for events in requests:
        rows = fits = 0
        for key in dict.fromkeys([event.key for event in events]):
            rows += len(webhooks_of[key])
            fits += rows <= MAX_DELIVERIES_PER_TRANSACTION
        if rows > MAX_DELIVERIES_PER_TRANSACTION:
            refusal = TooManyDeliveries(
                f"These {len(events)} events make {rows} deliveries; at most "
                f"{MAX_DELIVERIES_PER_TRANSACTION} are stored at once. "
                f"The first {fits} events would fit: publish in smaller batches.",
                fits,
            )
            refusals.append(refusal)
            continue
        if rows > left:
            break
        left -= rows
        refusals.append(None)
        fitting += events
    return refusals, fitting
