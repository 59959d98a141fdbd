"""The delivery store in memory."""

from collections import Counter
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import UUID

from attrs import evolve

from notification_adapters.memory.claims import take
from notification_adapters.memory.ingest import MemoryIngest
from notification_adapters.memory.state import MemoryState, StoredDelivery, StoredWorker
from notification_adapters.memory.webhook_health import apply_result, end_probes
from notification_adapters.memory.webhooks import disable
from notification_core.concurrency.ids import IdGenerator
from notification_core.model.circuit_breaker import NO_BREAKER, CircuitBreaker
from notification_core.model.delivery import (
    INTERRUPTED,
    TEST_WORKER,
    Attempt,
    AttemptOutcome,
    AttemptResult,
    DeliveryState,
    EndReason,
    Failed,
    Fence,
    UnsentDelivery,
)
from notification_core.model.delivery_transitions import (
    UNSENDABLE,
    after_attempt,
    after_interruption,
    is_held_too_long,
    reason_to_end,
)
from notification_core.model.ordering import HELD_UNTIL, OrderingGroup, is_in_group
from notification_core.model.outbox_message import delivery_failed, delivery_given_up
from notification_core.ports.clock import Clock
from notification_core.ports.deliveries import (
    AT_ONCE,
    Claim,
    Claimed,
    DeliveryStore,
    EndedDeliveries,
    IngestTransaction,
    ReapedLeases,
    ReleasedGroups,
)

_REAPED_AT_ONCE = 2000


class MemoryDeliveryStore(DeliveryStore):
    """Keeps events and deliveries in dictionaries; nothing outlives the process."""

    def __init__(self, state: MemoryState, clock: Clock, ids: IdGenerator) -> None:
        self._state = state
        self._clock = clock
        self._ids = ids

    @asynccontextmanager
    async def ingesting(self) -> AsyncGenerator[IngestTransaction]:
        """Open a transaction: committed where the block ends, rolled back where it raises."""
        async with self._state.writing:
            transaction = MemoryIngest(self._state, self._clock.now(), self._ids)
            yield transaction
            transaction.commit()

    async def has_operational_events(self) -> bool:
        """Tell whether operational events wait for webhooks."""
        return bool(self._state.operational_events)

    async def acquire(self, claim: Claim) -> Claimed:
        """Take eligible deliveries for their next attempt."""
        async with self._state.writing:
            return take(self._state, claim, self._clock.now())

    async def enlist(self, worker: UUID) -> None:
        """Let a worker begin attempts of what it prefetches; does nothing if it may already."""
        self._state.workers.setdefault(worker, StoredWorker())

    async def enlisted(self) -> int:
        """Return how many workers are enlisted."""
        return len(self._state.workers)

    async def begin(self, worker: UUID, delivery_ids: Collection[UUID]) -> bool:
        """Note which of the deliveries that a worker has prefetched it may be sending."""
        async with self._state.writing:
            stored = self._state.workers.get(worker)
            if stored is None or stored.closed:
                return False
            stored.begun = frozenset(delivery_ids)
            return True

    async def finish(
        self,
        results: Sequence[AttemptResult],
        interruption_delay: timedelta,
        breaker: CircuitBreaker = NO_BREAKER,
    ) -> Sequence[Fence]:
        """Log attempts that ended and write what happens to their deliveries."""
        fenced, changed, waiting = [], [], []
        async with self._state.writing:
            revision = self._state.webhooks_revision
            for result in results:
                delivery = self._held(result.fence)
                if delivery is None:
                    fenced.append(result.fence)
                    continue
                before, now = delivery.state, self._clock.now()
                waits, became = apply_result(self._state, result, breaker.policy, now)
                if became:
                    changed.append((delivery.webhook_id, became))
                if waits:
                    waiting.append(delivery.delivery_id)
                transition = after_attempt(result, delivery, now, interruption_delay, waits=waits)
                delivery.end_attempt(transition)
                if isinstance(result.next_step, Failed) and result.next_step.disables:
                    version, reason = result.webhook_version, result.next_step.disables
                    disable(self._state, delivery.webhook_id, version, reason, now)
                self._log(delivery, result.attempt, before)
                if result.ordering_key is not None:
                    self._state.release_first(
                        OrderingGroup(delivery.webhook_id, result.ordering_key), now
                    )
            # All changes of a transaction raise it once.
            has_changed = bool(changed) or self._state.webhooks_revision > revision
            self._state.webhooks_revision = revision + has_changed
        for webhook_id, state in changed:
            breaker.on_change(webhook_id, state)
        for delivery_id in waiting:
            breaker.on_wait(delivery_id)
        return fenced

    async def release(self, fences: Collection[Fence], after: timedelta = AT_ONCE) -> None:
        """Undo the begin of attempts that were never sent."""
        async with self._state.writing:
            for delivery in map(self._held, fences):
                if delivery is not None:
                    delivery.give_back(self._clock.now() + after)
                    end_probes(self._state, {delivery.delivery_id})

    async def leased(self, worker: UUID) -> Sequence[Fence]:
        """Return every attempt that this worker has claimed and not ended."""
        fences = (delivery.fence for delivery in self._state.deliveries.values())
        return [fence for fence in fences if fence and fence.worker == worker]

    async def reap(self, dead: Collection[UUID], interruption_delay: timedelta) -> ReapedLeases:
        """Free the leases of dead workers and those whose time is over."""
        async with self._state.writing:
            now = self._clock.now()
            over = [
                delivery
                for delivery in self._state.deliveries.values()
                if delivery.leased_until
                and (delivery.worker in dead or delivery.leased_until < now)
            ]
            del over[_REAPED_AT_ONCE:]
            failed = []
            for delivery in over:
                if not self._may_be_sent(delivery):
                    delivery.give_back(now)
                    continue
                attempt, before = self._interrupted_attempt(delivery), delivery.state
                delivery.end_attempt(after_interruption(delivery, now, interruption_delay))
                self._log(delivery, attempt, before)
                if before is DeliveryState.PENDING and delivery.state is DeliveryState.FAILED:
                    failed.append(attempt)
            end_probes(self._state, {delivery.delivery_id for delivery in over})
            owners = {delivery.worker for delivery in self._state.deliveries.values()}
            for worker in set(dead) - owners:
                self._state.workers.pop(worker, None)
        return ReapedLeases(len(over), failed)

    async def cancel_unsendable(
        self, limit: int, expired_before: datetime, held_before: datetime | None = None
    ) -> EndedDeliveries:
        """End waiting deliveries that can no longer be sent, as one batch."""
        async with self._state.writing:
            now = self._clock.now()
            waiting = [
                delivery for delivery in self._state.deliveries.values() if delivery.is_waiting
            ]
            unsendable: list[tuple[StoredDelivery, EndReason]] = []
            for delivery in waiting:
                webhook = self._state.webhooks.get(delivery.webhook_id)
                stored_at = self._state.events[delivery.event_key].stored_at
                health = self._state.health.get(delivery.webhook_id)
                paused_since = health.probes.paused_at if health and health.probes else None
                reason = reason_to_end(
                    *(webhook, stored_at, now, expired_before),
                    is_held_too_long=is_held_too_long(
                        paused_since, delivery.created_at, held_before
                    ),
                )
                if reason:
                    unsendable.append((delivery, reason))
            del unsendable[limit:]
            failed = []
            for delivery, reason in unsendable:
                delivery.cancel_unsendable(UNSENDABLE[reason], reason)
                counts = self._state.counts(delivery.environment_id, delivery.webhook_id, now)
                counts.count_end(delivery.state)
                if delivery.state is DeliveryState.FAILED:
                    failed.append(self._unsent(delivery, reason))
                    self._state.append_operational_event(delivery_given_up(failed[-1], now))
        return EndedDeliveries(Counter(delivery.state for delivery, _ in unsendable), failed)

    async def release_groups(self, after: OrderingGroup, limit: int) -> ReleasedGroups:
        """Release the first ones that are held of the next ``limit`` groups behind ``after``."""
        async with self._state.writing:
            now, in_group = self._clock.now(), filter(is_in_group, self._state.deliveries.values())
            groups = {OrderingGroup(each.webhook_id, each.ordering_key or "") for each in in_group}
            coming = sorted(group for group in groups if group > after)
            released = sum(self._state.release_first(group, now) for group in coming[:limit])
            of_groups = {group.webhook_id for group in coming[:limit]}
            for delivery in self._state.deliveries.values():
                webhook = self._state.webhooks.get(delivery.webhook_id)
                is_unordered = webhook is None or not webhook.ordered
                is_held = delivery.is_waiting and delivery.due_at == HELD_UNTIL
                if is_unordered and is_held and delivery.webhook_id in of_groups:
                    delivery.due_at, released = now, released + 1
        return ReleasedGroups(released, coming[limit - 1] if len(coming) > limit else None)

    def _held(self, fence: Fence) -> StoredDelivery | None:
        delivery = self._state.deliveries.get(fence.delivery_id)
        return delivery if delivery is not None and delivery.fence == fence else None

    def _unsent(self, delivery: StoredDelivery, reason: EndReason) -> UnsentDelivery:
        return UnsentDelivery(
            delivery.environment_id,
            delivery.webhook_id,
            delivery.delivery_id,
            delivery.event_id,
            self._state.events[delivery.event_key].type,
            delivery.attempt,
            reason,
        )

    def _may_be_sent(self, delivery: StoredDelivery) -> bool:
        """Tell whether its worker may be sending it; if not, it can begin nothing more."""
        if delivery.claimed_at is not None:
            return True
        owner = self._state.workers.get(delivery.worker or TEST_WORKER, StoredWorker())
        owner.closed = True
        return delivery.delivery_id in owner.begun

    def _interrupted_attempt(self, delivery: StoredDelivery) -> Attempt:
        return Attempt(
            log_id=self._ids(),
            environment_id=delivery.environment_id,
            webhook_id=delivery.webhook_id,
            delivery_id=delivery.delivery_id,
            event_id=delivery.event_id,
            event_type=self._state.events[delivery.event_key].type,
            number=delivery.attempt,
            outcome=AttemptOutcome.INTERRUPTED,
            started_at=delivery.claimed_at or delivery.due_at,
            error=INTERRUPTED,
        )

    def _log(self, delivery: StoredDelivery, attempt: Attempt, before: DeliveryState) -> None:
        """Log an attempt, and tell where the delivery, which was in a state before, has failed."""
        now = self._clock.now()
        counts = self._state.counts(delivery.environment_id, delivery.webhook_id, now)
        counts.count_attempt(attempt)
        if before is DeliveryState.PENDING and delivery.state is not DeliveryState.PENDING:
            counts.count_end(delivery.state, now - delivery.created_at)
        next_at = delivery.due_at if delivery.state is DeliveryState.PENDING else None
        self._state.attempts[attempt.log_id] = evolve(attempt, next_attempt_at=next_at)
        if (before, delivery.state) == (DeliveryState.PENDING, DeliveryState.FAILED):
            self._state.append_operational_event(delivery_failed(attempt, now))
