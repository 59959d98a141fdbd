"""Taking events in: one transaction for a batch of events with all their deliveries."""

import asyncio
from abc import abstractmethod
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
    Sequence,
)
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from attrs import define, field, frozen

from notification_core.deliveries import (
    BegunDelivery,
    Fence,
    NewDelivery,
    Reason,
    State,
)
from notification_core.directory import Directory
from notification_core.errors import StorageUnavailable
from notification_core.events import Arrival, Event, EventToStore, Source, body_of
from notification_core.fan_out import FanOut, distinct, fan_out
from notification_core.grouping import Grouped
from notification_core.ids import IdGenerator
from notification_core.incoming import DeadLetter
from notification_core.keeping import Keep
from notification_core.ports.clock import Clock
from notification_core.ports.deliveries import DeliveryStore, EventKey, IngestTransaction
from notification_core.ports.observer import Observer
from notification_core.ports.waking import Waking
from notification_core.repeating import repeated
from notification_core.webhooks import Webhook

_MOST_BYTES_TOGETHER = 8 * 1024 * 1024


@frozen
class Published:
    """What became of a published event: a duplicate was already known, and is not sent again.

    One whose environment is being erased is ``dropped``: nothing of it was stored.
    """

    event_id: str
    duplicate: bool
    dropped: bool = False


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
    """What a transaction stores of so many ``asked`` events, and what is handed over after it.

    ``taker`` is who may take deliveries at once, None where all are to be stored due.
    """

    taker: Taker | None
    asked: int = 0
    arrivals: Mapping[EventKey, Arrival] = field(factory=dict)
    conflicts: Sequence[EventKey] = ()
    deliveries: list[NewDelivery] = field(factory=list)
    begun: list[BegunDelivery] = field(factory=list)


class Ingest:
    """Publishes events of one source: each is stored once, with its deliveries.

    With a ``taker``, deliveries that this process can send soon are stored as begun by it and
    handed over in memory after the commit; all others are stored due, for any worker to claim,
    and the workers of other processes are woken.
    ``full`` holds, at any time, the webhooks whose queues take no more: their deliveries are
    skipped. What is published at the same time shares a transaction; so many ``side_by_side``
    make sense.
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
        side_by_side: int = 1,
    ) -> None:
        self._source = source
        self._deliveries = store
        self._clock = clock
        self._ids = ids
        self._observer = observer
        self._taker = taker
        self._full = full
        self._directory = Directory()
        self._waking = waking
        self._storing: set[asyncio.Task[Sequence[Published]]] = set()
        self._together = Grouped(
            self._store_together,
            size=_size_of,
            most=_MOST_BYTES_TOGETHER,
            shared=StorageUnavailable,
            side_by_side=side_by_side,
        )

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
        if keep is None:
            return await self._together.ask(events)
        return await self._to_the_end(self._store_alone(events, (), keep))

    async def take_in(
        self, events: Sequence[Event], dead_letters: Sequence[DeadLetter]
    ) -> Sequence[Published]:
        """Publish events, and store in the same transaction what came among them and is none."""
        return await self._to_the_end(self._store_alone(events, dead_letters, None))

    async def join(self, transaction: IngestTransaction, events: Sequence[Event]) -> Joined:
        """Store a batch of events within a transaction that its owner commits when it likes.

        All deliveries are stored due: nobody may send what may never be committed. Raises as
        :meth:`publish` does; the transaction is then to be rolled back.
        """
        batch = _Batch(None)
        # Of its own: what their transaction sees of its own changes may never be committed.
        published = await self._store_all(transaction, batch, events, Directory())

        def committed() -> None:
            self._hand_over(batch, self._clock.monotonic())
            self._tell(batch)

        return Joined(published, committed)

    async def _to_the_end(
        self, work: Coroutine[None, None, Sequence[Published]]
    ) -> Sequence[Published]:
        storing = asyncio.create_task(work)
        self._storing.add(storing)
        storing.add_done_callback(self._storing.discard)
        return await asyncio.shield(storing)

    async def settled(self) -> None:
        """Return once no publish is under way."""
        await self._together.settled()
        await asyncio.gather(*self._storing, return_exceptions=True)

    @repeated
    async def _store_together(
        self, requests: Sequence[Sequence[Event]]
    ) -> Sequence[Sequence[Published] | Exception]:
        """Store what several ask for in one transaction; answer as many as it has room for."""
        async with self._committing() as (transaction, batch):
            asked = [one for each in requests for one in each]
            wanted = await self._fan_out(transaction, asked, self._directory)
            refusals = wanted.refusals(requests)
            fitting = [each for each, no in zip(requests, refusals, strict=False) if no is None]
            await self._store(transaction, batch, wanted, [one for each in fitting for one in each])
        seen: set[EventKey] = set()
        return [
            no or _published(events, batch.arrivals, seen)
            for events, no in zip(requests, refusals, strict=False)
        ]

    @repeated
    async def _store_alone(
        self,
        events: Sequence[Event],
        dead_letters: Sequence[DeadLetter],
        keep: Keep[Sequence[Published]] | None,
    ) -> Sequence[Published]:
        async with self._committing() as (transaction, batch):
            published = (
                await self._store_all(transaction, batch, events, self._directory) if events else ()
            )
            if dead_letters:
                await transaction.add_dead_letters(dead_letters)
            if keep is not None:
                await transaction.keep(keep(published))
        for dead_letter in dead_letters:
            self._observer.dead_lettered(dead_letter)
        return published

    async def _store_all(
        self,
        transaction: IngestTransaction,
        batch: _Batch,
        events: Sequence[Event],
        directory: Directory,
    ) -> Sequence[Published]:
        wanted = await self._fan_out(transaction, events, directory)
        wanted.rows(events)
        await self._store(transaction, batch, wanted, events)
        return _published(events, batch.arrivals, set())

    @asynccontextmanager
    async def _committing(self) -> AsyncIterator[tuple[IngestTransaction, _Batch]]:
        """Open a transaction; hand over what it has begun once it has committed, and tell of it."""
        batch = _Batch(self._taker)
        leased_from = self._clock.monotonic()
        try:
            async with self._deliveries.ingesting() as transaction:
                yield transaction, batch
        except BaseException:
            if self._taker:
                self._taker.release(batch.begun)
            raise
        self._hand_over(batch, leased_from)
        self._tell(batch)

    async def _fan_out(
        self, transaction: IngestTransaction, events: Sequence[Event], directory: Directory
    ) -> FanOut:
        known = await directory.look_up(transaction, {event.environment_id for event in events})
        return fan_out(events, known, self._clock.now())

    async def _store(
        self,
        transaction: IngestTransaction,
        batch: _Batch,
        wanted: FanOut,
        events: Sequence[Event],
    ) -> None:
        erasing = wanted.known.erasing
        taken = [one for one in events if one.environment_id not in erasing] if erasing else events
        if not taken:
            return
        stored = {
            key: EventToStore(event, body_of(event) if wanted.of[key] else None)
            for key, event in distinct(taken).items()
        }
        batch.asked = len(taken)
        batch.arrivals = await transaction.add_events(list(stored.values()))
        batch.conflicts = [*_conflicts(batch.arrivals, stored, taken)]
        for key, event in stored.items():
            if batch.arrivals[key] is Arrival.NEW:
                for webhook in wanted.of[key]:
                    self._plan(batch, event, webhook, wanted)
        if batch.deliveries:
            worker, lease = _owner(batch.taker)
            await transaction.add_deliveries(batch.deliveries, worker, lease)

    def _plan(self, batch: _Batch, stored: EventToStore, webhook: Webhook, wanted: FanOut) -> None:
        """Plan one delivery: skipped, begun by this process, or due."""
        event, body, taker = stored.event, stored.body or b"", batch.taker
        delivery_id = self._ids()
        reason = self._reason_to_skip(webhook, wanted.now)
        begun = (
            reason is None
            and taker is not None
            and taker.reserve(delivery_id, webhook, wanted.known.changes, len(body))
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

    def _tell(self, batch: _Batch) -> None:
        new = sum(arrival is Arrival.NEW for arrival in batch.arrivals.values())
        self._observer.events_ingested(self._source, new, batch.asked - new)
        due = _due(batch)
        begun = len(batch.begun)
        self._observer.deliveries_stored(begun, due, len(batch.deliveries) - begun - due)
        for environment_id, event_id in batch.conflicts:
            self._observer.event_conflicted(environment_id, event_id)


def _size_of(events: Sequence[Event]) -> int:
    return sum([len(event.data) for event in events])


def _conflicts(
    arrivals: Mapping[EventKey, Arrival],
    stored: Mapping[EventKey, EventToStore],
    events: Sequence[Event],
) -> Iterator[EventKey]:
    """Yield the keys that are known for other data, or that come with other data themselves."""
    yield from (key for key, arrival in arrivals.items() if arrival is Arrival.CONFLICT)
    if len(stored) == len(events):
        return
    for event in events:
        key = event.environment_id, event.event_id
        first = stored[key].event
        if (event.type, event.data) != (first.type, first.data):
            yield key


def _owner(taker: Taker | None) -> tuple[UUID | None, timedelta]:
    return (taker.worker, taker.lease) if taker else (None, timedelta())


def _due(batch: _Batch) -> int:
    return sum(d.state is State.PENDING and not d.begun for d in batch.deliveries)


def _published(
    events: Sequence[Event], arrivals: Mapping[EventKey, Arrival], seen: set[EventKey]
) -> Sequence[Published]:
    """Answer for each event in order; one that was ``seen`` in the same transaction is a double."""
    answers = []
    for event in events:
        key = (event.environment_id, event.event_id)
        arrival = arrivals.get(key)
        if arrival is None:
            answers.append(Published(event.event_id, duplicate=False, dropped=True))
            continue
        duplicate = arrival is not Arrival.NEW or key in seen
        answers.append(Published(event.event_id, duplicate))
        seen.add(key)
    return answers
