"""Claiming in memory: queues from dictionaries, the choice by ``claim_order``."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from notification_adapters.memory.state import MemoryState, StoredDelivery
from notification_adapters.memory.webhooks import snapshot
from notification_core.model.claim_order import choose, room_of, share
from notification_core.model.delivery import ClaimedDelivery, Fence
from notification_core.ports.deliveries import Claim, Claimed

_Queues = Mapping[UUID, Sequence[StoredDelivery]]


class _Due(NamedTuple):
    """A delivery that is due, as the order of a claim looks at it."""

    delivery: StoredDelivery
    webhook_id: UUID
    size: int


def take(state: MemoryState, claim: Claim, now: datetime) -> Claimed:
    """Take eligible deliveries and begin their next attempt."""
    queues = _queues(state, claim)
    alive = {one: queue for one, queue in queues.items() if is_alive(state, one, now)}
    due = {one: [each for each in queue if each.due_at <= now] for one, queue in alive.items()}
    open_ids = [one for one, queue in due.items() if queue and room_of(claim, one) > 0]
    read = share(claim, open_ids)
    choice = choose({one: _read(state, due[one][:read]) for one in open_ids}, claim, read)
    chosen = [one.delivery for one in choice.chosen]
    for one in chosen:
        one.begin(claim.worker, now, now + claim.lease)
    seen = snapshot(state, {one.webhook_id for one in chosen})
    later = (one.due_at - now for queue in alive.values() for one in queue if one.due_at > now)
    return Claimed(
        deliveries=tuple(_begun(state, one, claim.worker) for one in chosen),
        webhooks=seen.webhooks,
        webhooks_revision=seen.webhooks_revision,
        after=choice.cut_at or ([*queues][-1] if len(queues) == claim.max_webhooks else None),
        next_due=timedelta() if choice.has_more else min(later, default=None),
    )


def _queues(state: MemoryState, claim: Claim) -> _Queues:
    waiting = {one.webhook_id for one in state.deliveries.values() if one.is_waiting}
    coming = sorted(one for one in waiting if claim.after is None or one > claim.after)
    return {one: state.waiting(one) for one in coming[: claim.max_webhooks]}


def is_alive(state: MemoryState, webhook_id: UUID, now: datetime) -> bool:
    """Tell whether a webhook may be sent to."""
    webhook = state.webhooks.get(webhook_id)
    return webhook is not None and webhook.may_be_sent_to(now)


def _read(state: MemoryState, queue: Sequence[StoredDelivery]) -> Sequence[_Due]:
    return [
        _Due(one, one.webhook_id, len(state.events[one.event_key].body or b"")) for one in queue
    ]


def _begun(state: MemoryState, delivery: StoredDelivery, worker: UUID) -> ClaimedDelivery:
    event = state.events[delivery.event_key]
    fence = Fence(delivery.delivery_id, delivery.environment_id, delivery.attempt, worker)
    return ClaimedDelivery(
        fence=fence,
        webhook_id=delivery.webhook_id,
        event_id=delivery.event_id,
        event_type=event.type,
        failures=delivery.failures,
        body=event.body or b"",
    )
