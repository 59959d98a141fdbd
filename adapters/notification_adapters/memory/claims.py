"""Claiming in memory: queues from dictionaries, the choice by ``claim_order``."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from attrs import evolve

from notification_adapters.memory.state import MemoryState, StoredDelivery
from notification_adapters.memory.webhook_health import begin_probe
from notification_adapters.memory.webhooks import snapshot
from notification_core.model.circuit_breaker import ProbeSchedule
from notification_core.model.claim_order import choose, limit_of, share
from notification_core.model.delivery import ClaimedDelivery, Fence
from notification_core.model.rate_limit import RateGrant, grant, opens_at
from notification_core.ports.deliveries import Claim, Claimed


class _DueDelivery(NamedTuple):
    """A delivery that is due, as the order of a claim looks at it."""

    delivery: StoredDelivery
    webhook_id: UUID
    size: int


def take(state: MemoryState, claim: Claim, now: datetime) -> Claimed:
    """Take eligible deliveries for their next attempt."""
    waiting = {delivery.webhook_id for delivery in state.deliveries.values() if delivery.is_waiting}
    coming = sorted(id_ for id_ in waiting if claim.after is None or id_ > claim.after)
    queues = {id_: state.waiting(id_) for id_ in coming[: claim.max_webhooks]}
    alive = {id_: queue for id_, queue in queues.items() if is_alive(state, id_, now)}
    due = {id_: _due(state, id_, queue, now) for id_, queue in alive.items()}
    open_ids = [id_ for id_, queue in due.items() if queue and limit_of(claim, id_) > 0]
    probed = [id_ for id_ in open_ids if state.webhooks[id_].is_paused]
    claim = evolve(claim, webhook_limits={**claim.webhook_limits, **dict.fromkeys(probed, 1)})
    granted = _granted(state, open_ids, claim, now)
    claim = claim.within(granted)
    open_ids = [id_ for id_ in open_ids if limit_of(claim, id_) > 0]
    read = share(claim, open_ids)
    offered = {
        id_: [
            _DueDelivery(delivery, id_, len(state.events[delivery.event_key].body or b""))
            for delivery in due[id_][:read]
        ]
        for id_ in open_ids
    }
    choice = choose(offered, claim, read)
    chosen = [due_delivery.delivery for due_delivery in choice.chosen]
    for place, delivery in enumerate(chosen):
        prefetched = place >= claim.begin_limit
        delivery.claim(claim.worker, now, now + claim.lease, prefetched=prefetched)
        if delivery.webhook_id in probed:
            until = now + claim.lease
            begin_probe(state, delivery.webhook_id, delivery.delivery_id, until)
    taken = Counter(delivery.webhook_id for delivery in chosen)
    grants = {id_: whole.cut(taken[id_]) for id_, whole in granted.items()}
    state.rates |= {id_: part.next_at for id_, part in grants.items() if part.count}
    seen = snapshot(state, taken)
    later = (
        ready_at - now
        for id_, queue in alive.items()
        for delivery in queue
        if (ready_at := _ready_at(state, id_, delivery, now)) > now and delivery.is_waiting
    )
    return Claimed(
        deliveries=tuple(_claimed(state, delivery, claim) for delivery in chosen),
        webhooks=seen.webhooks,
        webhooks_revision=seen.webhooks_revision,
        after=choice.cut_at or ([*queues][-1] if len(queues) == claim.max_webhooks else None),
        next_due=timedelta() if choice.has_more else min(later, default=None),
        grants=grants,
    )


def _granted(
    state: MemoryState, webhook_ids: Sequence[UUID], claim: Claim, now: datetime
) -> Mapping[UUID, RateGrant]:
    """Return what may be taken of those of the webhooks that have a rate limit."""
    return {
        id_: grant(state.rates.get(id_), limit, now, limit_of(claim, id_))
        for id_ in webhook_ids
        if (limit := state.webhooks[id_].rate_limit)
    }


def is_alive(state: MemoryState, webhook_id: UUID, now: datetime) -> bool:
    """Tell whether a webhook may be sent to."""
    webhook = state.webhooks.get(webhook_id)
    return webhook is not None and webhook.may_be_sent_to(now)


def _ready_at(
    state: MemoryState, webhook_id: UUID, delivery: StoredDelivery, now: datetime
) -> datetime:
    times = [delivery.due_at]
    if probes := _probes(state, webhook_id):
        times.append(probes.ready_at())
    if state.webhooks[webhook_id].rate_limit:
        times.append(opens_at(state.rates.get(webhook_id), now))
    return max(times)


def _probes(state: MemoryState, webhook_id: UUID) -> ProbeSchedule | None:
    health = state.health.get(webhook_id)
    return health.probes if health else None


def _due(
    state: MemoryState, webhook_id: UUID, queue: Sequence[StoredDelivery], now: datetime
) -> Sequence[StoredDelivery]:
    """Return what may be claimed of a queue: of a paused webhook one delivery, if any."""
    probes = _probes(state, webhook_id)
    due = [delivery for delivery in queue if _ready_at(state, webhook_id, delivery, now) <= now]
    if probes is None or due or not probes.may_probe_fresh(now):
        return due[:1] if probes else due
    fresh = [
        one
        for one in queue
        if one.attempt == 0 and one.due_at <= now and one.created_at > probes.paused_at
    ]
    return sorted(fresh, key=lambda one: one.delivery_id)[-1:]


def _claimed(state: MemoryState, delivery: StoredDelivery, claim: Claim) -> ClaimedDelivery:
    event = state.events[delivery.event_key]
    fence = Fence(delivery.delivery_id, delivery.environment_id, delivery.attempt, claim.worker)
    return ClaimedDelivery(
        fence=fence,
        webhook_id=delivery.webhook_id,
        event_id=delivery.event_id,
        event_type=event.type,
        failures=delivery.failures,
        body=event.body or b"",
        prefetched=delivery.claimed_at is None,
        ordering_key=delivery.ordering_key,
        traceparent=event.traceparent if claim.traced else None,
    )
