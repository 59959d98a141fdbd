"""Claiming in memory: the rule of ``Claim``, said as plainly as it goes."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain, islice, zip_longest
from uuid import UUID

from notification_adapters.memory.state import MemoryState, StoredDelivery
from notification_adapters.memory.webhooks import snapshot
from notification_core.deliveries import BegunDelivery, Fence
from notification_core.ports.deliveries import Claim, Claimed

_Queues = Mapping[UUID, Sequence[StoredDelivery]]


def take(state: MemoryState, claim: Claim, now: datetime) -> Claimed:
    """Take eligible deliveries and begin their next attempt."""
    queues = _queues(state, claim)
    alive = {one: queue for one, queue in queues.items() if is_alive(state, one, now)}
    due = {one: [each for each in queue if each.due_at <= now] for one, queue in alive.items()}
    rooms = {one: claim.rooms.get(one, claim.room) for one in due}
    offered = {one: queue[: rooms[one]] for one, queue in due.items() if queue[: rooms[one]]}
    chosen = list(_within_bounds(state, _in_rounds(offered), claim))
    for one in chosen:
        one.begin(claim.worker, now, now + claim.lease)
    seen = snapshot(state, {one.webhook_id for one in chosen})
    return Claimed(
        deliveries=tuple(_begun(state, one, claim.worker) for one in chosen),
        webhooks=seen.webhooks,
        changes=seen.changes,
        after=_after(queues, offered, chosen, claim),
        next_due=_next_due(alive, offered, chosen, now),
    )


def _queues(state: MemoryState, claim: Claim) -> _Queues:
    waiting = {one.webhook_id for one in state.deliveries.values() if one.is_waiting}
    coming = sorted(one for one in waiting if claim.after is None or one > claim.after)
    return {one: state.waiting(one) for one in coming[: claim.max_webhooks]}


def is_alive(state: MemoryState, webhook_id: UUID, now: datetime) -> bool:
    """Tell whether a webhook may be sent to."""
    webhook = state.webhooks.get(webhook_id)
    return webhook is not None and not webhook.deleted_at and not webhook.is_disabled(now)


def _in_rounds(offered: _Queues) -> Iterator[StoredDelivery]:
    """Yield each webhook's first delivery, then each one's second, and so on."""
    rounds = chain.from_iterable(zip_longest(*offered.values()))
    return (one for one in rounds if one is not None)


def _within_bounds(
    state: MemoryState, deliveries: Iterator[StoredDelivery], claim: Claim
) -> Iterator[StoredDelivery]:
    total = 0
    for number, one in enumerate(islice(deliveries, claim.limit)):
        total += len(state.events[one.event_key].body or b"")
        if number and total > claim.limit_bytes:
            return
        yield one


def _begun(state: MemoryState, delivery: StoredDelivery, worker: UUID) -> BegunDelivery:
    event = state.events[delivery.event_key]
    fence = Fence(delivery.delivery_id, delivery.environment_id, delivery.attempt, worker)
    return BegunDelivery(
        fence=fence,
        webhook_id=delivery.webhook_id,
        event_id=delivery.event_id,
        event_type=event.type,
        failures=delivery.failures,
        body=event.body or b"",
    )


def _after(
    queues: _Queues, offered: _Queues, chosen: Sequence[StoredDelivery], claim: Claim
) -> UUID | None:
    """Return whom the next claim begins after: the last one served, where some went without."""
    if len({one.webhook_id for one in chosen}) < len(offered):
        return chosen[-1].webhook_id
    return [*queues][-1] if len(queues) == claim.max_webhooks else None


def _next_due(
    alive: _Queues, offered: _Queues, chosen: Sequence[StoredDelivery], now: datetime
) -> timedelta | None:
    """Return when to claim again: now where the claim's bounds left something behind."""
    if len(chosen) < sum(map(len, offered.values())):
        return timedelta()
    later = (one.due_at for queue in alive.values() for one in queue if one.due_at > now)
    first = min(later, default=None)
    return None if first is None else first - now
