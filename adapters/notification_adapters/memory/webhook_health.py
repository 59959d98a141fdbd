"""The health of webhooks in memory."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from attrs import evolve

from notification_adapters.memory.state import MemoryState
from notification_core.concurrency.ids import earliest_id
from notification_core.model.circuit_breaker import (
    BreakerPolicy,
    HealthState,
    after_result,
    counts_as_failure,
)
from notification_core.model.delivery import AttemptResult
from notification_core.model.outbox_message import webhook_paused, webhook_resumed
from notification_core.ports.clock import Clock
from notification_core.ports.webhook_health import WebhookHealthStore


class MemoryWebhookHealthStore(WebhookHealthStore):
    """Looks at the webhooks in memory that are not healthy."""

    def __init__(self, state: MemoryState, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    async def paused_before(self, first_failure: datetime) -> Sequence[tuple[UUID, UUID]]:
        """Return (environment id, webhook id) of those paused that began to fail before a time."""
        bound = earliest_id(first_failure)
        return [
            (self._state.webhooks[webhook_id].environment_id, webhook_id)
            for webhook_id, health in sorted(self._state.health.items())
            if health.probes and health.first_log_id < bound
        ]

    async def clear(self) -> bool:
        """Take every webhook for healthy, and resume those that were paused; tell if any was."""
        async with self._state.writing:
            now = self._clock.now()
            resumed = [heal(self._state, webhook_id, now) for webhook_id in [*self._state.health]]
            self._state.webhooks_revision += any(resumed)
        return any(resumed)


def apply_result(
    state: MemoryState, result: AttemptResult, policy: BreakerPolicy, now: datetime
) -> tuple[bool, HealthState | None]:
    """Store what a result makes of its webhook's health.

    Tell if its delivery waits, and what the webhook has become if it was paused or resumed, which
    is left to be counted.
    """
    attempt = result.attempt
    webhook, known = state.webhooks.get(attempt.webhook_id), state.health.get(attempt.webhook_id)
    if not policy.is_on or webhook is None or webhook.deleted_at:
        return False, None
    may_begin = counts_as_failure(attempt) and webhook.version == result.webhook_version
    if known is None and not may_begin:
        return False, None
    first = min(
        (one.log_id for one in state.attempts.values() if one.delivery_id == attempt.delivery_id),
        default=attempt.log_id,
    )
    change = after_result(known, result, min(first, attempt.log_id), policy, now)
    if change.health is None:
        return False, HealthState.HEALTHY if heal(state, attempt.webhook_id, now) else None
    state.health[attempt.webhook_id] = change.health
    if change.health.probes is None or (known and known.probes):
        return change.waits, None
    key, next_at = (attempt.environment_id, attempt.webhook_id), change.health.probes.next_at
    state.append_operational_event(webhook_paused(*key, change.health.failures, next_at, now))
    state.webhooks[attempt.webhook_id] = evolve(webhook, is_paused=True)
    return change.waits, HealthState.PAUSED


def heal(state: MemoryState, webhook_id: UUID, now: datetime) -> bool:
    """Take a webhook for healthy; tell if it was paused, and so is resumed.

    That is left to be counted.
    """
    health = state.health.pop(webhook_id, None)
    if health is None or health.probes is None:
        return False
    webhook = state.webhooks[webhook_id]
    state.webhooks[webhook_id] = evolve(webhook, is_paused=False, resumed_at=now)
    paused_at = health.probes.paused_at
    state.append_operational_event(
        webhook_resumed(webhook.environment_id, webhook_id, paused_at, now)
    )
    return True


def begin_probe(state: MemoryState, webhook_id: UUID, delivery_id: UUID, until: datetime) -> None:
    """Note which delivery of a paused webhook is being probed."""
    health = state.health[webhook_id]
    assert health.probes is not None  # noqa: S101 - for the type checker only
    probes = evolve(health.probes, probe_id=delivery_id, leased_until=until)
    state.health[webhook_id] = evolve(health, probes=probes)


def end_probes(state: MemoryState, delivery_ids: Collection[UUID]) -> None:
    """Let others be probed instead of deliveries that were given back."""
    for webhook_id, health in state.health.items():
        if health.probes and health.probes.probe_id in delivery_ids:
            probes = evolve(health.probes, probe_id=None, leased_until=None)
            state.health[webhook_id] = evolve(health, probes=probes)
