"""What a dispatching process does beside sending: freeing leases, ending what cannot be sent."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from attrs import frozen

from notification_core.model.delivery import DeliveryState
from notification_core.model.ordering import FIRST_GROUP, OrderingGroup
from notification_core.model.request_records import KEPT_FOR
from notification_core.model.webhook import DisabledReason
from notification_core.ports.clock import Clock
from notification_core.ports.observer import Observer
from notification_core.ports.storage import Storage

_GIVEN_UP = DeliveryState.SKIPPED, DeliveryState.CANCELLED
_CANCEL_BATCH = 1_000
_DELETE_BATCH = 500
_GROUPS_BATCH = 1_000


@frozen
class ReaperRules:
    """How long things may last.

    ``hold`` is how long deliveries wait for a paused webhook, None if the circuit breaker is off.
    """

    interruption_delay: timedelta
    disable_after: timedelta
    expire_after: timedelta
    hold: timedelta | None = None


class LeaseReaper:
    """Keeps storage free of leases nobody holds and deliveries nobody can send."""

    def __init__(
        self, storage: Storage, clock: Clock, observer: Observer, rules: ReaperRules
    ) -> None:
        self._deliveries = storage.deliveries
        self._webhooks = storage.webhooks
        self._health = storage.webhook_health
        self._idempotency = storage.idempotency
        self._lock = storage.worker_lock
        self._clock = clock
        self._observer = observer
        self._rules = rules
        self._failed: set[tuple[UUID, UUID]] = set()

    async def reap(self) -> int:
        """Free the leases of dead workers and those that ran out; return how many."""
        dead = await self._lock.dead()
        total = 0
        delay = self._rules.interruption_delay
        while (reaped := await self._deliveries.reap(dead, delay)).count:
            total += reaped.count
            for attempt in reaped.failed:
                self._observer.delivery_failed(attempt.webhook_id, attempt.delivery_id)
        if total:
            self._observer.leases_reaped(total)
            await self.release_groups()
        return total

    async def release_orphaned(self, worker: UUID, holds: Callable[[UUID], bool]) -> int:
        """Release what this worker owns in storage and does not hold in memory; count it.

        That is what a commit of unknown outcome leaves behind; nothing of it was ever sent. The
        worker must not claim meanwhile: what it takes between the look and the release would be
        released while it is being sent.
        """
        leased = await self._deliveries.leased(worker)
        orphaned = [fence for fence in leased if not holds(fence.delivery_id)]
        if orphaned:
            await self._deliveries.release(orphaned)
            self._observer.leases_released(len(orphaned))
        return len(orphaned)

    async def cancel_unsendable(self) -> None:
        """End the waiting deliveries that can no longer be sent, batch by batch.

        What waited in group for them is released.
        """
        now, hold = self._clock.now(), self._rules.hold
        bounds = now - self._rules.expire_after, None if hold is None else now - hold
        while (ended := await self._deliveries.cancel_unsendable(_CANCEL_BATCH, *bounds)).count:
            for delivery in ended.failed:
                self._observer.delivery_failed(delivery.webhook_id, delivery.delivery_id)
            given_up = (ended.states.get(state, 0) for state in _GIVEN_UP)
            self._observer.deliveries_given_up(*given_up)
        await self.release_groups()

    async def release_groups(self) -> None:
        """Release what waits for deliveries that have ended, batch by batch."""
        after: OrderingGroup | None = FIRST_GROUP
        while after is not None:
            after = (await self._deliveries.release_groups(after, _GROUPS_BATCH)).after

    async def resume_if_off(self) -> bool:
        """Resume the webhooks that were paused before the circuit breaker was turned off.

        Tell whether there were any.
        """
        return self._rules.hold is None and await self._health.clear()

    async def delete_old_responses(self) -> None:
        """Delete the responses that no request is given any more, batch by batch."""
        before = self._clock.now() - KEPT_FOR
        while await self._idempotency.delete_before(before, _DELETE_BATCH) == _DELETE_BATCH:
            pass

    def delivery_failed(self, environment_id: UUID, webhook_id: UUID) -> None:
        """Remember a webhook of which a delivery has failed permanently."""
        self._failed.add((environment_id, webhook_id))

    async def disable_failing(self) -> bool:
        """Disable the webhooks that have only failed for long; tell whether there were any."""
        now = self._clock.now()
        since = now - self._rules.disable_after
        disabled = False
        # Of those that are paused no delivery fails.
        self._failed.update(await self._health.paused_before(since))
        while self._failed:
            environment_id, webhook_id = next(iter(self._failed))
            if await self._webhooks.disable_failing(environment_id, webhook_id, since, now):
                self._observer.webhook_disabled(webhook_id, DisabledReason.FAILING)
                disabled = True
            self._failed.discard((environment_id, webhook_id))
        return disabled
