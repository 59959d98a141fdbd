"""Taking events in: one transaction for a batch of events with all their deliveries."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from uuid import UUID

from attrs import frozen

from notification_core.concurrency.group_commit import GroupCommit
from notification_core.concurrency.ids import IdGenerator
from notification_core.concurrency.lost_transactions import retry_lost_transaction
from notification_core.errors import StorageUnavailable
from notification_core.ingest.fan_out import FanOut, fan_out
from notification_core.ingest.plan import DirectDispatch, IngestPlanner, PlannedBatch
from notification_core.ingest.webhook_cache import WebhookCache
from notification_core.model.event import Arrival, Event, EventKey, Source
from notification_core.model.message import DeadLetter
from notification_core.model.request_records import RecordsOf
from notification_core.ports.clock import Clock
from notification_core.ports.deliveries import DeliveryStore, IngestTransaction
from notification_core.ports.dispatch_notifier import DispatchNotifier
from notification_core.ports.observer import Observer

_MOST_BYTES_TOGETHER = 8 * 1024 * 1024


@frozen
class Published:
    """What became of a published event: a duplicate was already known, and is not sent again.

    One whose environment is being erased is ``dropped``: nothing of it was stored.
    """

    event_id: str
    duplicate: bool
    dropped: bool = False


@frozen
class Joined:
    """What was stored within somebody else's transaction, and lives and dies with it.

    ``committed`` is to be called once that transaction has committed, and only then.
    """

    published: Sequence[Published]
    committed: Callable[[], None]


class Ingest:
    """Publishes events of one source: each is stored once, with its deliveries.

    With a ``direct_dispatch``, deliveries that this process can send soon are stored as begun by it
    and handed over in memory after the commit; all others are stored due, for any worker to claim,
    and the workers of other processes are woken. ``full`` holds, at any time, the webhooks whose
    queues take no more: their deliveries are skipped. What is published at the same time shares a
    transaction; so many ``parallel`` make sense.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - its collaborators, one by one
        self,
        store: DeliveryStore,
        clock: Clock,
        ids: IdGenerator,
        observer: Observer,
        direct_dispatch: DirectDispatch | None,
        notifier: DispatchNotifier,
        *,
        source: Source = Source.HTTP,
        full: AbstractSet[UUID] = frozenset(),
        parallel: int = 1,
    ) -> None:
        self._source = source
        self._deliveries = store
        self._clock = clock
        self._observer = observer
        self._direct_dispatch = direct_dispatch
        self._planner = IngestPlanner(ids, full)
        self._directory = WebhookCache()
        self._notifier = notifier
        self._storing: set[asyncio.Task[Sequence[Published]]] = set()
        self._together = GroupCommit(
            self._store_together,
            size=_size_of,
            most=_MOST_BYTES_TOGETHER,
            shared=StorageUnavailable,
            parallel=parallel,
        )

    async def publish(
        self, events: Sequence[Event], keep: RecordsOf[Sequence[Published]] | None = None
    ) -> Sequence[Published]:
        """Store a batch of events, all or nothing; return what became of each, in order.

        Idempotent by (environment, event id), and by the request whose answer ``make_records``
        makes. Once it has begun it runs to its end even if the caller is cancelled: a commit must
        not be torn from its hand-over. Raises :class:`TooManyDeliveries`, :class:`AlreadyAnswered`,
        :class:`StorageUnavailable` (nothing was stored) and :class:`UnknownCommit` (publish
        again: what was stored is known by its id).
        """
        if keep is None:
            return await self._together.submit(events)
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
        batch = PlannedBatch(None)
        # Of its own: what their transaction sees of its own changes may never be committed.
        published = await self._store_all(transaction, batch, events, WebhookCache())

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

    async def drain(self) -> None:
        """Return once no publish is under way."""
        await self._together.drain()
        await asyncio.gather(*self._storing, return_exceptions=True)

    @retry_lost_transaction
    async def _store_together(
        self, requests: Sequence[Sequence[Event]]
    ) -> Sequence[Sequence[Published] | Exception]:
        """Store what several ask for in one transaction; answer as many as it has room for."""
        asked = [one for each in requests for one in each]
        wanted = self._recalled(asked)
        if wanted is not None:
            refusals = wanted.refusals(requests)
            at_once = await self._store_at_once(wanted, _fitting(requests, refusals))
            if at_once is not None:
                return _answers(requests, refusals, at_once)
        async with self._committing() as (transaction, batch):
            wanted = await self._fan_out(transaction, asked, self._directory)
            refusals = wanted.refusals(requests)
            await self._store(transaction, batch, wanted, _fitting(requests, refusals))
        return _answers(requests, refusals, batch)

    @retry_lost_transaction
    async def _store_alone(
        self,
        events: Sequence[Event],
        dead_letters: Sequence[DeadLetter],
        keep: RecordsOf[Sequence[Published]] | None,
    ) -> Sequence[Published]:
        if not dead_letters and keep is None and (wanted := self._recalled(events)) is not None:
            wanted.rows(events)
            at_once = await self._store_at_once(wanted, events)
            if at_once is not None:
                return _published(events, at_once, set())
        async with self._committing() as (transaction, batch):
            published: Sequence[Published] = ()
            if events:
                published = await self._store_all(transaction, batch, events, self._directory)
            if dead_letters:
                await transaction.add_dead_letters(dead_letters)
            if keep is not None:
                await transaction.add_records(keep(published))
        for dead_letter in dead_letters:
            self._observer.message_dead_lettered(dead_letter)
        return published

    # By what is remembered of webhooks, which saves most trips to storage.

    def _recalled(self, events: Sequence[Event]) -> FanOut | None:
        known = self._directory.get_cached({event.environment_id for event in events})
        return None if known is None else fan_out(events, known, self._clock.now())

    async def _store_at_once(self, wanted: FanOut, events: Sequence[Event]) -> PlannedBatch | None:
        """Store events, and return what was stored; None where webhooks have changed meanwhile."""
        async with self._handing_over() as batch:
            self._planner.plan(batch, wanted, events)
            if batch.stored:
                arrivals = await self._deliveries.store(
                    batch.planned(wanted.known.webhooks_revision)
                )
                if arrivals is None:
                    batch.give_up()
                    return None
                batch.note(arrivals)
        return batch

    # Step by step, within a transaction that holds more, or that reads webhooks as well.

    async def _store_all(
        self,
        transaction: IngestTransaction,
        batch: PlannedBatch,
        events: Sequence[Event],
        directory: WebhookCache,
    ) -> Sequence[Published]:
        wanted = await self._fan_out(transaction, events, directory)
        wanted.rows(events)
        await self._store(transaction, batch, wanted, events)
        return _published(events, batch, set())

    async def _fan_out(
        self, transaction: IngestTransaction, events: Sequence[Event], directory: WebhookCache
    ) -> FanOut:
        known = await directory.load(transaction, {event.environment_id for event in events})
        return fan_out(events, known, self._clock.now())

    async def _store(
        self,
        transaction: IngestTransaction,
        batch: PlannedBatch,
        wanted: FanOut,
        events: Sequence[Event],
    ) -> None:
        self._planner.plan(batch, wanted, events)
        if batch.stored:
            batch.note(await transaction.add_events([*batch.stored.values()]))
        if batch.deliveries:
            await transaction.add_deliveries(batch.deliveries, *batch.owner)

    @asynccontextmanager
    async def _committing(self) -> AsyncIterator[tuple[IngestTransaction, PlannedBatch]]:
        """Open a transaction, and hand over what it has begun once it has committed."""
        async with self._handing_over() as batch, self._deliveries.ingesting() as transaction:
            yield transaction, batch

    @asynccontextmanager
    async def _handing_over(self) -> AsyncIterator[PlannedBatch]:
        """Hand over what was begun once the block has ended, and tell of it."""
        batch = PlannedBatch(self._direct_dispatch)
        leased_from = self._clock.monotonic()
        try:
            yield batch
        except BaseException:
            batch.give_up()
            raise
        self._hand_over(batch, leased_from)
        self._tell(batch)

    def _hand_over(self, batch: PlannedBatch, leased_from: float) -> None:
        if self._direct_dispatch and batch.claimed:
            self._direct_dispatch.hand_over(batch.claimed, leased_from)
        if batch.due:
            if self._direct_dispatch:
                self._direct_dispatch.wake()
            self._notifier.wake()

    def _tell(self, batch: PlannedBatch) -> None:
        if not batch.taken:
            return
        new = sum(arrival is Arrival.NEW for arrival in batch.arrivals.values())
        self._observer.events_ingested(self._source, new, len(batch.taken) - new)
        claimed, due = len(batch.claimed), batch.due
        self._observer.deliveries_stored(claimed, due, len(batch.deliveries) - claimed - due)
        for environment_id, event_id in batch.conflicts():
            self._observer.event_conflicted(environment_id, event_id)


def _size_of(events: Sequence[Event]) -> int:
    return sum([len(event.data) for event in events])


def _fitting(
    requests: Sequence[Sequence[Event]], refusals: Sequence[Exception | None]
) -> Sequence[Event]:
    """Return the events of the requests that are not refused, and not left for later."""
    pairs = zip(requests, refusals, strict=False)
    return [event for events, refusal in pairs if refusal is None for event in events]


def _answers(
    requests: Sequence[Sequence[Event]], refusals: Sequence[Exception | None], batch: PlannedBatch
) -> Sequence[Sequence[Published] | Exception]:
    seen: set[EventKey] = set()
    return [
        refusal or _published(events, batch, seen)
        for events, refusal in zip(requests, refusals, strict=False)
    ]


def _published(
    events: Sequence[Event], batch: PlannedBatch, seen: set[EventKey]
) -> Sequence[Published]:
    """Answer for each event in order; one that was ``seen`` in the same transaction is a double."""
    answers = []
    for event in events:
        key = event.key
        arrival = batch.arrivals.get(key)
        if arrival is None:
            answers.append(Published(event.event_id, duplicate=False, dropped=True))
            continue
        duplicate = arrival is not Arrival.NEW or key in seen
        answers.append(Published(event.event_id, duplicate))
        seen.add(key)
    return answers
