"""Storage of events and deliveries: the promise is kept here.

Eligible for a claim is a delivery that is ``pending``, owned by no worker, and due by the
storage's clock, and whose webhook is neither deleted nor disabled nor at its
rate limit. Of a webhook that is paused
(:mod:`notification_core.model.circuit_breaker`) one delivery at a time is eligible, as a probe:
that of which the result, release or lease is awaited holds up all others.
"""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol, Self
from uuid import UUID

from attrs import evolve, field, frozen

from notification_core.model.circuit_breaker import NO_BREAKER, CircuitBreaker
from notification_core.model.delivery import (
    MAX_DELIVERIES_PER_TRANSACTION,
    Attempt,
    AttemptResult,
    ClaimedDelivery,
    DeliveryState,
    Fence,
    NewDelivery,
    UnsentDelivery,
)
from notification_core.model.event import Arrival, Event, EventKey, EventToStore
from notification_core.model.message import DeadLetter
from notification_core.model.ordering import OrderingGroup
from notification_core.model.rate_limit import RateGrant
from notification_core.model.request_records import RequestRecords
from notification_core.model.webhook import Webhook

AT_ONCE = timedelta(0)


@frozen
class Claim:
    """How much a worker takes at once.

    At most ``limit`` deliveries and (but for the first one) ``limit_bytes`` of bodies, of each
    webhook at most ``webhook_limits[webhook_id]`` where it is named there (0 passes it over) and
    ``new_webhook_limit`` otherwise. Webhooks are looked at in the order of their ids, beginning
    after ``after``, at most ``max_webhooks`` of them. The attempts of the first ``begin_limit``
    begin with the claim; the others are prefetched. If it is ``traced``, the ``traceparent`` of
    each event is read too.
    """

    worker: UUID
    lease: timedelta
    limit: int
    limit_bytes: int
    new_webhook_limit: int
    webhook_limits: Mapping[UUID, int] = field(factory=dict)
    after: UUID | None = None
    max_webhooks: int = 1000
    begin_limit: int = MAX_DELIVERIES_PER_TRANSACTION
    traced: bool = False

    def within(self, grants: Mapping[UUID, RateGrant]) -> Self:
        """Return the claim that takes no more of the webhooks named here than is granted."""
        limits = {webhook_id: granted.count for webhook_id, granted in grants.items()}
        return evolve(self, webhook_limits={**self.webhook_limits, **limits})


@frozen
class Claimed:
    """What a claim took, and where the next one goes on.

    ``webhooks`` are those of the deliveries, read in the claim's own transaction, as of change
    number ``webhooks_revision``. ``after`` is the last webhook looked at, None once the round has
    reached the end. ``next_due`` is how long it takes until the earliest delivery can be claimed
    that was seen and cannot yet be. ``grants`` are those of the webhooks with a rate limit: when
    their deliveries may be sent, one after the other.
    """

    deliveries: tuple[ClaimedDelivery, ...]
    webhooks: Mapping[UUID, Webhook]
    webhooks_revision: int
    after: UUID | None
    next_due: timedelta | None
    grants: Mapping[UUID, RateGrant] = field(factory=dict)


@frozen
class EndedDeliveries:
    """How many waiting deliveries one batch has ended in which state, and those that failed."""

    states: Mapping[DeliveryState, int] = field(factory=dict)
    failed: Sequence[UnsentDelivery] = ()

    @property
    def count(self) -> int:
        """How many it has ended."""
        return sum(self.states.values())


@frozen
class ReapedLeases:
    """How many leases one batch has freed, and the interruptions that ended their deliveries."""

    count: int = 0
    failed: Sequence[Attempt] = ()


@frozen
class ReleasedGroups:
    """How many deliveries one batch has released, and where it goes on; None at the end."""

    released: int
    after: OrderingGroup | None


@frozen
class IngestPlan:
    """Events with their deliveries, planned by what was known of webhooks at a revision.

    The keys of the events are distinct. Deliveries that are ``claimed`` belong to ``worker`` for
    ``lease``, with attempt 1, which has begun unless they are ``prefetched``. If ``is_ordered``,
    some of them have an ordering key. If it is ``traced``, events may have a ``traceparent``, which
    is stored with them.
    """

    webhooks_revision: int
    events: Sequence[EventToStore]
    deliveries: Sequence[NewDelivery]
    worker: UUID | None
    lease: timedelta
    is_ordered: bool = False
    traced: bool = False


class IngestTransaction(Protocol):
    """One transaction that stores a batch of events with all their deliveries, or nothing."""

    @abstractmethod
    async def subscriptions(self, environment_ids: Collection[UUID]) -> Sequence[Webhook]:
        """Return all webhooks of these environments, tombstones left out, in one query."""

    @abstractmethod
    async def webhooks_revision(self) -> int:
        """Return the webhooks' revision (see :class:`WebhookStore`) as this transaction sees it."""

    @abstractmethod
    async def erasing(self) -> Collection[UUID]:
        """Return the environments that are being erased, as this transaction sees it."""

    @abstractmethod
    async def add_events(self, events: Sequence[EventToStore]) -> Mapping[EventKey, Arrival]:
        """Store the events that are new, and tell of each whether it is.

        The keys of the batch are distinct; a ``traceparent`` is stored with its event. A known
        event is left as it is, and once this
        transaction is committed, it is as durable as a new one: with a synchronous standby, the
        standby has it, although its own commit may have been given up. Implementations insert in
        the order of the keys, so that overlapping batches cannot deadlock.
        """

    @abstractmethod
    async def add_deliveries(
        self, deliveries: Sequence[NewDelivery], worker: UUID | None, lease: timedelta
    ) -> None:
        """Store deliveries of events that this transaction stored.

        Those that are ``claimed`` belong to ``worker`` for ``lease``, with attempt 1, which has
        begun unless they are ``prefetched``. Those that have an ordering key join the ends of their
        groups in this order, and are held unless they are the first
        (:mod:`notification_core.model.ordering`). Of two transactions that add to the same group
        one waits for the other's end, and adds behind it.
        """

    async def add(self, plan: IngestPlan) -> Mapping[EventKey, Arrival]:
        """Store the events that are new, each with its deliveries, step by step.

        Tell of each event whether it is new: one that is known is left as it is, gets no more
        deliveries, and is as durable as a new one (:meth:`add_events`).
        """
        arrivals = await self.add_events(plan.events)
        new = [row for row in plan.deliveries if arrivals[row.event_key] is Arrival.NEW]
        if new:
            await self.add_deliveries(new, plan.worker, plan.lease)
        return arrivals

    @abstractmethod
    async def take_operational_events(self, environment_id: UUID, limit: int) -> Sequence[Event]:
        """Delete the oldest operational events that wait for webhooks, and return them.

        At most ``limit``, the oldest first, as events of the environment whose webhooks they are
        for. What another transaction is taking is ignored. If this one is rolled back, they
        wait on. A storage keeps them if it was given that environment: each is stored in the
        transaction of what it tells of.
        """

    @abstractmethod
    async def add_records(self, records: RequestRecords) -> None:
        """Write the response to the request that this is for, as :class:`IdempotencyStore` says.

        The transaction is of no more use where this raises :class:`ResponseAlreadyStored`.
        """

    async def add_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Store messages that are not events; one that is stored already is left as it is.

        Like a known event, that one is as durable as a new one once this is committed.
        """

    @abstractmethod
    async def remove_dead_letter(self, letter_id: UUID) -> None:
        """Delete a dead letter whose event this transaction stores.

        Of two transactions that delete the same one only one succeeds: the other one waits for its
        end. Raises :class:`DeadLetterNotFound`: this one is to be rolled back then.
        """


class DeliveryStore(Protocol):
    """Keeps events and deliveries. Every method is one transaction, but where it says otherwise.

    All raise :class:`StorageUnavailable` where the storage is unavailable, busy, full or read-only,
    and :class:`UnknownCommit` where it became unavailable during the commit.
    """

    @abstractmethod
    def ingesting(self) -> AbstractAsyncContextManager[IngestTransaction]:
        """Open a transaction: committed where the block ends, rolled back where it raises."""

    @abstractmethod
    async def has_operational_events(self) -> bool:
        """Tell whether :meth:`IngestTransaction.take_operational_events` would find any."""

    async def store(self, plan: IngestPlan) -> Mapping[EventKey, Arrival] | None:
        """Store a plan as :meth:`IngestTransaction.add` does, as one committed batch.

        Where the webhooks' revision is another one by now nothing is stored, and None returned.
        Here it goes step by step; where that takes many trips, a storage may do better.
        """
        async with self.ingesting() as transaction:
            if await transaction.webhooks_revision() != plan.webhooks_revision:
                return None
            return await transaction.add(plan)

    @abstractmethod
    async def acquire(self, claim: Claim) -> Claimed:
        """Take eligible deliveries for their next attempt, as one committed batch.

        The attempt number is raised, and worker and lease are set, before this returns. No two
        workers ever take the same delivery.
        """

    @abstractmethod
    async def enlist(self, worker: UUID) -> None:
        """Let a worker begin attempts of what it prefetches; does nothing if it may already."""

    @abstractmethod
    async def enlisted(self) -> int:
        """Return how many workers are enlisted, those included that others have yet to reap."""

    @abstractmethod
    async def begin(self, worker: UUID, delivery_ids: Collection[UUID]) -> bool:
        """Note which of the deliveries that a worker has prefetched it may be sending.

        They are all of those of which no result is written yet: what was noted before and is not
        among them any more is forgotten. False if others have freed prefetched deliveries of this
        worker, or it is not enlisted: then nothing is noted, now or later, and it may send
        nothing more that it has prefetched.
        """

    @abstractmethod
    async def finish(
        self,
        results: Sequence[AttemptResult],
        interruption_delay: timedelta,
        breaker: CircuitBreaker = NO_BREAKER,
    ) -> Sequence[Fence]:
        """Log attempts that ended, each in one transaction with what happens to its delivery.

        Each is fenced by (attempt, worker): where another worker took over, or the result was
        written already, nothing changes; these fences are returned. A delivery that is no longer
        ``pending`` keeps its state, and the attempt is logged all the same. A ``Retry`` is due at
        the storage's now plus its delay. A ``Failed`` that disables its webhook does so if the
        webhook still has the version that was sent to, and raises the webhooks' revision. A result
        whose outcome is ``interrupted`` counts like a reaped lease (see :meth:`reap`). Of those
        that leave their groups, the next ones are released in the same transaction.
        Calling it again with the same results changes nothing.

        What they make of the health of their webhooks is stored with them, as
        :func:`circuit_breaker.after_result` says, in their order; where a webhook is paused or
        resumed by it, the webhooks' revision is raised and an operational event written. Failures
        of a webhook that was changed since the attempt began do not count.
        """

    @abstractmethod
    async def release(self, fences: Collection[Fence], after: timedelta = AT_ONCE) -> None:
        """Undo the begin of attempts that were never sent: due ``after`` this, number as before.

        Fenced like :meth:`finish`, so that doing it twice changes nothing.
        """

    @abstractmethod
    async def leased(self, worker: UUID) -> Sequence[Fence]:
        """Return every attempt that this worker has claimed and not ended."""

    @abstractmethod
    async def reap(self, dead: Collection[UUID], interruption_delay: timedelta) -> ReapedLeases:
        """Free the leases of dead workers and those whose time is over.

        Writes an ``interrupted`` attempt for each in the same transaction. A pending delivery is
        due again after ``interruption_delay``, or ends as ``failed(interrupted)`` at the tenth
        interruption in a row. What was only prefetched is released, as :meth:`release` does; its
        worker can :meth:`begin` nothing more. At most some thousands at once: call again until it
        frees none.
        """

    @abstractmethod
    async def cancel_unsendable(
        self, limit: int, expired_before: datetime, held_before: datetime | None = None
    ) -> EndedDeliveries:
        """End waiting deliveries that can no longer be sent, at most ``limit``, as one batch.

        Those of deleted webhooks become ``cancelled(webhook_deleted)``; those of webhooks that
        the system disabled, ``skipped(webhook_disabled)``; those of webhooks that a user
        disabled whose event was stored before ``expired_before``, ``cancelled(expired)``; those
        that have waited for a paused webhook since before ``held_before``,
        ``failed(webhook_paused)``, each with an operational event.
        """

    @abstractmethod
    async def release_groups(self, after: OrderingGroup, limit: int) -> ReleasedGroups:
        """Release the first ones that are held of the next ``limit`` groups behind ``after``.

        To be called after :meth:`reap` and :meth:`cancel_unsendable`, which may end deliveries that
        others wait for, and from time to time: code of a former version does not know of groups. If
        a webhook is not ordered any more, all that it holds is released, at most ``limit`` at once:
        then ``after`` is where it was, and it is to be called again.
        """
