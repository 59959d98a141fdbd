"""Taking events in: one transaction for a batch of events with all their deliveries."""

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from attrs import define, field, frozen

from notification_core.deliveries import (
    MAX_DELIVERIES_PER_TRANSACTION,
    BegunDelivery,
    Fence,
    NewDelivery,
    Reason,
    State,
)
from notification_core.errors import TooManyDeliveries
from notification_core.events import Arrival, Event, EventToStore, Source, body_of
from notification_core.idempotency import Keep
from notification_core.ids import IdGenerator
from notification_core.incoming import DeadLetter
from notification_core.matching import matching, subscriptions_by_type
from notification_core.ports.clock import Clock
from notification_core.ports.deliveries import DeliveryStore, EventKey, IngestTransaction
from notification_core.ports.observer import Observer
from notification_core.ports.waking import Waking
from notification_core.webhooks import Webhook


@frozen
class Published:
    """What became of a published event: a duplicate was already known, and is not sent again."""

    event_id: str
    duplicate: bool


class Taker(Protocol):
    """The dispatcher of this process, as ingest sees it: it may take deliveries at once."""

    worker: UUID
    lease: timedelta

    @abstractmethod
    def reserve(self, delivery_id: UUID, webhook: Webhook, changes: int, size: int) -> bool:
        """Keep a place for a delivery about to be stored as begun; False where there is none."""

    @abstractmethod
    def release(self, begun: Sequence[BegunDelivery]) -> None:
        """Give reserved places back: the transaction failed, or its outcome is unknown."""

    @abstractmethod
    def hand_over(self, begun: Sequence[BegunDelivery], leased_from: float) -> None:
        """Give committed deliveries to the places that were reserved for them."""

    @abstractmethod
    def wake(self) -> None:
        """Say that deliveries were stored that nobody has taken."""


@frozen
class Joined:
    """What was stored within somebody else's transaction, and lives and dies with it.

    ``committed`` is to be called once that transaction has committed, and only then.
    """

    published: Sequence[Published]
    committed: Callable[[], None]


@define
class _Batch:
    """One publish under way: its distinct events, and what is stored and handed over of them.

    ``taker`` is who may take deliveries at once, None where all are to be stored due.
    """

    events: dict[EventKey, Event]
    taker: Taker | None
    arrivals: Mapping[EventKey, Arrival] = field(factory=dict)
    deliveries: list[NewDelivery] = field(factory=list)
    begun: list[BegunDelivery] = field(factory=list)


class Ingest:
    """Publishes events of one source: each is stored once, with its deliveries.

    With a ``taker``, deliveries that this process can send soon are stored as begun by it and
    handed over in memory after the commit; all others are stored due, for any worker to claim,
    and the workers of other processes are woken.
    ``full`` holds, at any time, the webhooks whose queues take no more: their deliveries are
    skipped.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - its collaborators, one by one
        self,
        store: DeliveryStore,
        clock: Clock,
        ids: IdGenerator,
        observer: Observer,
        taker: Taker | None,
        waking: Waking,
        *,
        source: Source = Source.HTTP,
        full: AbstractSet[UUID] = frozenset(),
    ) -> None:
        self._source = source
        self._store = store
        self._clock = clock
        self._ids = ids
        self._observer = observer
        self._taker = taker
        self._full = full
        self._waking = waking
        self._storing: set[asyncio.Task[Sequence[Published]]] = set()

    async def publish(
        self, events: Sequence[Event], keep: Keep[Sequence[Published]] | None = None
    ) -> Sequence[Published]:
        """Store a batch of events, all or nothing; return what became of each, in order.

        Idempotent by (environment, event id), and by the request whose answer ``keep`` makes.
        Once it has begun it runs to its end even if the caller is cancelled: a commit must not be
        torn from its hand-over. Raises :class:`TooManyDeliveries`, :class:`AlreadyAnswered`,
        :class:`StorageUnavailable` (nothing was stored) and :class:`UnknownCommit` (publish
        again: what was stored is known by its id).
        """
        return await self._to_the_end(self._store_all(events, (), keep))

    async def take_in(
        self, events: Sequence[Event], dead_letters: Sequence[DeadLetter]
    ) -> Sequence[Published]:
        """Publish events, and store in the same transaction what came among them and is none."""
        return await self._to_the_end(self._store_all(events, dead_letters, None))

    async def join(self, transaction: IngestTransaction, events: Sequence[Event]) -> Joined:
        """Store a batch of events within a transaction that its owner commits when it likes.

        All deliveries are stored due: nobody may send what may never be committed. Raises as
        :meth:`publish` does; the transaction is then to be rolled back.
        """
        batch = _Batch(_distinct(events), None)
        await self._store_batch(transaction, batch)

        def committed() -> None:
            self._hand_over(batch, self._clock.monotonic())
            self._tell(batch, len(events))

        return Joined(_published(events, batch.arrivals), committed)

    async def _to_the_end(
        self, work: Coroutine[None, None, Sequence[Published]]
    ) -> Sequence[Published]:
        storing = asyncio.create_task(work)
        self._storing.add(storing)
        storing.add_done_callback(self._storing.discard)
        return await asyncio.shield(storing)

    async def settled(self) -> None:
        """Return once no publish is under way."""
        await asyncio.gather(*self._storing, return_exceptions=True)

    async def _store_all(
        self,
        events: Sequence[Event],
        dead_letters: Sequence[DeadLetter],
        keep: Keep[Sequence[Published]] | None,
    ) -> Sequence[Published]:
        batch = _Batch(_distinct(events), self._taker)
        leased_from = self._clock.monotonic()
        try:
            async with self._store.ingesting() as transaction:
                if events:
                    await self._store_batch(transaction, batch)
                if dead_letters:
                    await transaction.add_dead_letters(dead_letters)
                published = _published(events, batch.arrivals)
                if keep is not None:
                    await transaction.keep(keep(published))
        except BaseException:
            if self._taker:
                self._taker.release(batch.begun)
            raise
        self._hand_over(batch, leased_from)
        self._tell(batch, len(events))
        for dead_letter in dead_letters:
            self._observer.dead_lettered(dead_letter)
        return published

    async def _store_batch(self, transaction: IngestTransaction, batch: _Batch) -> None:
        # The counter first: a change between the two reads must not seem to be known already.
        changes = await transaction.changes()
        webhooks = await transaction.subscriptions({key[0] for key in batch.events})
        now = self._clock.now()
        subscriptions = subscriptions_by_type(webhooks, now)
        wanted = {key: matching(event, subscriptions) for key, event in batch.events.items()}
        _check_size(wanted)
        stored = {
            key: EventToStore(event, body_of(event) if wanted[key] else None)
            for key, event in batch.events.items()
        }
        batch.arrivals = await transaction.add_events(list(stored.values()))
        for key, event in stored.items():
            if batch.arrivals[key] is Arrival.NEW:
                for webhook in wanted[key]:
                    self._plan(batch, event, webhook, changes, now)
        if batch.deliveries:
            worker, lease = _owner(batch.taker)
            await transaction.add_deliveries(batch.deliveries, worker, lease)

    def _plan(
        self, batch: _Batch, stored: EventToStore, webhook: Webhook, changes: int, now: datetime
    ) -> None:
        """Plan one delivery: skipped, begun by this process, or due."""
        event, body, taker = stored.event, stored.body or b"", batch.taker
        delivery_id = self._ids()
        reason = self._reason_to_skip(webhook, now)
        begun = (
            reason is None
            and taker is not None
            and taker.reserve(delivery_id, webhook, changes, len(body))
        )
        batch.deliveries.append(
            NewDelivery(
                delivery_id,
                event.environment_id,
                webhook.webhook_id,
                event.event_id,
                State.SKIPPED if reason else State.PENDING,
                reason,
                begun,
            )
        )
        if begun and taker:
            fence = Fence(delivery_id, event.environment_id, 1, taker.worker)
            batch.begun.append(
                BegunDelivery(fence, webhook.webhook_id, event.event_id, event.type, 0, body)
            )

    def _reason_to_skip(self, webhook: Webhook, now: datetime) -> Reason | None:
        if webhook.is_disabled(now):
            return Reason.WEBHOOK_DISABLED
        return Reason.QUEUE_FULL if webhook.webhook_id in self._full else None

    def _hand_over(self, batch: _Batch, leased_from: float) -> None:
        if self._taker and batch.begun:
            self._taker.hand_over(batch.begun, leased_from)
        if _due(batch):
            if self._taker:
                self._taker.wake()
            self._waking.wake()

    def _tell(self, batch: _Batch, published: int) -> None:
        new = sum(arrival is Arrival.NEW for arrival in batch.arrivals.values())
        self._observer.events_ingested(self._source, new, published - new)
        due = _due(batch)
        begun = len(batch.begun)
        self._observer.deliveries_stored(begun, due, len(batch.deliveries) - begun - due)
        for (environment_id, event_id), arrival in batch.arrivals.items():
            if arrival is Arrival.CONFLICT:
                self._observer.event_conflicted(environment_id, event_id)


def _distinct(events: Sequence[Event]) -> dict[EventKey, Event]:
    """Return the events by their keys, the first one of each."""
    distinct: dict[EventKey, Event] = {}
    for event in events:
        distinct.setdefault((event.environment_id, event.event_id), event)
    return distinct


def _owner(taker: Taker | None) -> tuple[UUID | None, timedelta]:
    return (taker.worker, taker.lease) if taker else (None, timedelta())


def _due(batch: _Batch) -> int:
    return sum(d.state is State.PENDING and not d.begun for d in batch.deliveries)


def _check_size(wanted: Mapping[EventKey, Sequence[Webhook]]) -> None:
    """Refuse a fan-out that one transaction should not hold, and say how much would fit."""
    rows = fits = 0
    for webhooks in wanted.values():
        rows += len(webhooks)
        fits += rows <= MAX_DELIVERIES_PER_TRANSACTION
    if rows > MAX_DELIVERIES_PER_TRANSACTION:
        raise TooManyDeliveries(
            f"These {len(wanted)} events make {rows} deliveries; at most "
            f"{MAX_DELIVERIES_PER_TRANSACTION} are stored at once. "
            f"The first {fits} events would fit: publish in smaller batches.",
            fits,
        )


def _published(
    events: Sequence[Event], arrivals: Mapping[EventKey, Arrival]
) -> Sequence[Published]:
    """Answer for each event in order; of two with the same id in a batch the second is a double."""
    seen: set[EventKey] = set()
    answers = []
    for event in events:
        key = (event.environment_id, event.event_id)
        duplicate = arrivals[key] is not Arrival.NEW or key in seen
        answers.append(Published(event.event_id, duplicate))
        seen.add(key)
    return answers
