"""Taking events in: one transaction for a batch of events with all their deliveries."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from uuid import UUID

from attrs import frozen

from notification_core.concurrency.transactions import GroupCommit, retry_lost_transaction
from notification_core.errors import (
    EnvironmentBeingErased,
    StorageUnavailable,
    TooManyDeliveries,
)
from notification_core.ingest.ingest_spans import ingest_spans
from notification_core.ingest.plan import DirectDispatch, IngestPlanner, PlannedBatch
from notification_core.ingest.webhook_cache import WebhookCache
from notification_core.model.delivery import DeliveryState
from notification_core.model.event import Arrival, Event, EventKey, Source
from notification_core.model.message import DeadLetter
from notification_core.model.request_records import RecordsOf
from notification_core.ports.deliveries import DeliveryStore, IngestTransaction
from notification_core.ports.dispatch_notifier import DispatchNotifier
from notification_core.ports.observer import EventFollower, Observer
from notification_core.ports.tracer import Tracer

_MOST_BYTES_TOGETHER = 8 * 1024 * 1024

_Beside = Callable[[IngestTransaction, Sequence["Published"]], Awaitable[None]]
"""Writes what goes with a request in its transaction; what it raises rolls all of that back."""


@frozen
class Published:
    """What happened to a published event: a duplicate was already known, and is not sent once more.

    One whose environment is being erased is ``dropped``: nothing of it was stored.
    """

    event_id: str
    duplicate: bool
    dropped: bool = False


@frozen
class JoinedPublish:
    """What was stored within somebody else's transaction, and lives and dies with it.

    ``committed`` is to be called once that transaction has committed, and only then.
    """

    published: Sequence[Published]
    committed: Callable[[], None]


class Ingest:
    """Publishes events of one source: each is stored once, with its deliveries.

    With ``direct_dispatch``, deliveries that this process can send soon are stored as claimed by it
    and handed over in memory after the commit; all others are stored due, for any worker to claim,
    and the workers of other processes are woken. What is published at the same time shares a
    transaction; so many ``parallel`` ones make sense.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, one by one
        self,
        store: DeliveryStore,
        planner: IngestPlanner,
        observer: Observer,
        direct_dispatch: DirectDispatch | None,
        notifier: DispatchNotifier,
        *,
        source: Source = Source.HTTP,
        parallel: int = 1,
        tracer: Tracer,
    ) -> None:
        self._source = source
        self._tracer = tracer
        self._deliveries = store
        self._observer = observer
        self._direct_dispatch = direct_dispatch
        self._planner = planner
        self._webhooks = WebhookCache()
        self._notifier = notifier
        self._storing: set[asyncio.Task[Sequence[Published]]] = set()
        self._group = GroupCommit(
            self._store,
            most=_MOST_BYTES_TOGETHER,
            shared=StorageUnavailable,
            parallel=parallel,
        )

    def publish(
        self, events: Sequence[Event], make_records: RecordsOf[Sequence[Published]] | None = None
    ) -> Awaitable[Sequence[Published]]:
        """Store a batch of events, all or nothing; return what happened to each, in order.

        Idempotent by (environment, event id), and by the request whose response ``make_records``
        makes. Once it has begun it runs to its end even if the caller is cancelled: a commit must
        not be torn from its hand-over. Raises :class:`TooManyDeliveries`,
        :class:`ResponseAlreadyStored`, :class:`StorageUnavailable` (nothing was stored) and
        :class:`UnknownCommit` (publish again: what was stored is known by its id).
        """
        if self._observer.follower:
            self._follow_received(events, self._observer.follower)
        if self._tracer.is_on:
            return self._publish_traced(events, make_records)
        return self._publish(events, make_records)

    async def _publish_traced(
        self, events: Sequence[Event], make_records: RecordsOf[Sequence[Published]] | None
    ) -> Sequence[Published]:
        with self._traced(events) as traced:
            return await self._publish(traced, make_records)

    def _publish(
        self, events: Sequence[Event], make_records: RecordsOf[Sequence[Published]] | None
    ) -> Awaitable[Sequence[Published]]:
        if make_records is None:
            size = sum([len(event.data) for event in events])
            return self._group.submit(events, size)
        return self._store_alone(events, beside=partial(_add_records, make_records))

    async def take_in(
        self, events: Sequence[Event], dead_letters: Sequence[DeadLetter]
    ) -> Sequence[Published]:
        """Publish events, and store in the same transaction what came among them and is none."""
        if self._observer.follower:
            self._follow_received(events, self._observer.follower)
        with self._traced(events) as traced:
            return await self._store_alone(traced, dead_letters)

    async def replay(
        self,
        letter_id: UUID,
        event: Event,
        make_records: RecordsOf[Sequence[Published]] | None = None,
    ) -> Published:
        """Publish what a dead letter was read as, and delete the letter in the same transaction.

        Raises :class:`DeadLetterNotFound` if another call did so meanwhile,
        :class:`EnvironmentBeingErased`, and as :meth:`publish` does: then nothing was stored, and
        the letter stays.
        """
        if self._observer.follower:
            self._follow_received([event], self._observer.follower)
        with self._traced([event]) as traced:
            beside = partial(_replace_letter, letter_id, event, make_records)
            (published,) = await self._store_alone(traced, beside=beside)
        return published

    async def join(self, transaction: IngestTransaction, events: Sequence[Event]) -> JoinedPublish:
        """Store a batch of events within a transaction that its owner commits when it likes.

        All deliveries are stored due: nobody may send what may never be committed. Raises as
        :meth:`publish` does; the transaction is then to be rolled back.
        """
        batch = PlannedBatch(None)
        # Of its own: what their transaction sees of its own changes may never be committed.
        cache = WebhookCache()
        with self._traced(events) as traced:
            (response,) = await self._store_within(transaction, batch, [traced], cache)
            if isinstance(response, Exception):
                raise response
        return JoinedPublish(response, lambda: self._hand_over(batch))

    def _traced(self, events: Sequence[Event]) -> AbstractContextManager[Sequence[Event]]:
        """Record the block in the traces of these events while tracing is on; give the events."""
        if not self._tracer.is_on:
            return nullcontext(events)
        return ingest_spans(self._tracer, self._source, events)

    def _follow_received(self, events: Sequence[Event], follower: EventFollower) -> None:
        for event in events:
            follower.event_received(self._source, event)

    async def drain(self) -> None:
        """Return once no publish is under way."""
        await self._group.drain()
        await asyncio.gather(*self._storing, return_exceptions=True)

    async def _store_alone(
        self,
        events: Sequence[Event],
        dead_letters: Sequence[DeadLetter] = (),
        beside: _Beside | None = None,
    ) -> Sequence[Published]:
        """Store a request in a transaction of its own, to the end even if cancelled meanwhile."""

        async def store() -> Sequence[Published]:
            (response,) = await self._store([events], dead_letters, beside)
            if isinstance(response, Exception):
                raise response
            return response

        storing = asyncio.create_task(store())
        self._storing.add(storing)
        storing.add_done_callback(self._storing.discard)
        return await asyncio.shield(storing)

    @retry_lost_transaction
    async def _store(
        self,
        requests: Sequence[Sequence[Event]],
        dead_letters: Sequence[DeadLetter] = (),
        beside: _Beside | None = None,
    ) -> Sequence[Sequence[Published] | Exception]:
        """Store requests in one transaction; answer as many of the first as it has room for.

        What goes with a request, dead letters and what is ``beside`` it, makes it the only one.
        """
        batch = PlannedBatch(self._direct_dispatch)
        responses = None
        try:
            if not dead_letters and beside is None:
                responses = await self._store_by_cache(batch, requests)
            if responses is None:
                async with self._deliveries.ingesting() as transaction:
                    cache = self._webhooks
                    responses = await self._store_within(transaction, batch, requests, cache)
                    if dead_letters or beside:
                        (response,) = responses
                        await _add(transaction, response, dead_letters, beside)
        except BaseException:
            batch.give_up()
            raise
        self._hand_over(batch)
        for dead_letter in dead_letters:
            self._observer.message_dead_lettered(dead_letter)
        return responses

    async def _store_by_cache(
        self, batch: PlannedBatch, requests: Sequence[Sequence[Event]]
    ) -> Sequence[Sequence[Published] | Exception] | None:
        """Store requests by what is cached of webhooks, which saves most trips to storage.

        None where not all is cached, or webhooks have changed meanwhile: then nothing was stored.
        """
        environment_ids = {event.environment_id for events in requests for event in events}
        cached = self._webhooks.get_cached(environment_ids)
        if cached is None:
            return None
        refusals, plan = await self._planner.plan(batch, requests, cached)
        if batch.stored:
            arrivals = await self._deliveries.store(plan)
            if arrivals is None:
                batch.give_up()
                return None
            batch.note(arrivals)
        return _responses(requests, refusals, batch)

    async def _store_within(
        self,
        transaction: IngestTransaction,
        batch: PlannedBatch,
        requests: Sequence[Sequence[Event]],
        cache: WebhookCache,
    ) -> Sequence[Sequence[Published] | Exception]:
        """Store requests within a transaction that holds more, or that reads webhooks as well."""
        environment_ids = {event.environment_id for events in requests for event in events}
        if not environment_ids:
            return [() for _ in requests]
        cached = await cache.load(transaction, environment_ids)
        refusals, plan = await self._planner.plan(batch, requests, cached)
        if batch.stored:
            batch.note(await transaction.add(plan))
        return _responses(requests, refusals, batch)

    def _hand_over(self, batch: PlannedBatch) -> None:
        """Hand over what was claimed, have others claim the rest, and tell the observer of it."""
        if self._observer.follower:
            _follow_stored(batch, self._observer.follower)
        claimed = len(batch.claimed)
        pending = sum(row.state is DeliveryState.PENDING for row in batch.deliveries)
        if self._direct_dispatch and claimed:
            self._direct_dispatch.hand_over(batch.claimed, batch.leased_from)
        if pending > claimed:
            if self._direct_dispatch:
                self._direct_dispatch.wake()
            self._notifier.wake()
        if batch.taken:
            new = sum(arrival is Arrival.NEW for arrival in batch.arrivals.values())
            duplicates = len(batch.taken) - new
            skipped = len(batch.deliveries) - pending
            self._observer.deliveries_stored(claimed, pending - claimed, skipped)
            self._observer.events_ingested(self._source, new, duplicates)
            for environment_id, event_id in batch.conflicts() if duplicates else ():
                self._observer.event_conflicted(environment_id, event_id)


def _follow_stored(batch: PlannedBatch, follower: EventFollower) -> None:
    deliveries = Counter(row.event_key for row in batch.deliveries)
    for key, stored in batch.stored.items():
        follower.event_stored(stored.event, batch.arrivals[key], deliveries[key])


async def _add(
    transaction: IngestTransaction,
    response: Sequence[Published] | Exception,
    dead_letters: Sequence[DeadLetter],
    beside: _Beside | None,
) -> None:
    """Store what goes with a request; raise what it is refused for."""
    if isinstance(response, Exception):
        raise response
    if dead_letters:
        await transaction.add_dead_letters(dead_letters)
    if beside:
        await beside(transaction, response)


async def _add_records(
    make_records: RecordsOf[Sequence[Published]],
    transaction: IngestTransaction,
    published: Sequence[Published],
) -> None:
    await transaction.add_records(make_records(published))


async def _replace_letter(
    letter_id: UUID,
    event: Event,
    make_records: RecordsOf[Sequence[Published]] | None,
    transaction: IngestTransaction,
    published: Sequence[Published],
) -> None:
    """Delete a dead letter whose event was stored, with the records of who asked for that."""
    if any(each.dropped for each in published):
        raise EnvironmentBeingErased(event.environment_id)
    # The records first: a request that was answered meanwhile is told so, and not that the letter
    # is gone.
    if make_records:
        await _add_records(make_records, transaction, published)
    await transaction.remove_dead_letter(letter_id)


def _responses(
    requests: Sequence[Sequence[Event]],
    refusals: Sequence[TooManyDeliveries | None],
    batch: PlannedBatch,
) -> Sequence[Sequence[Published] | Exception]:
    """Answer each request by its refusal, or for each of its events in order.

    An event that was stored for one before it in the same transaction is a duplicate.
    """
    seen: set[EventKey] = set()
    responses: list[Sequence[Published] | Exception] = []
    for events, refusal in zip(requests, refusals, strict=False):
        if refusal is not None:
            responses.append(refusal)
            continue
        published = []
        for event in events:
            arrival = batch.arrivals.get(event.key)
            is_duplicate = arrival is not None and (arrival is not Arrival.NEW or event.key in seen)
            published.append(Published(event.event_id, is_duplicate, dropped=arrival is None))
            seen.add(event.key)
        responses.append(published)
    return responses
