"""What the checker holds a run to, a rule for each kind of violation."""

from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TypeVar

from attrs import frozen

from tests.faults.history import (
    History,
    Seen,
    StoredAttempt,
    StoredDelivery,
    StoredEvent,
    StoredWebhook,
)

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

_FINAL = frozenset({"succeeded", "failed", "skipped", "cancelled"})
_WITH_A_REASON = frozenset({"skipped", "cancelled"})
_ENDS_AT_ONCE = frozenset({"gone", "destination_not_allowed"})
_MOST_INTERRUPTIONS = 10
_SIGNED_WITHIN = timedelta(seconds=2)
_NOTICED_WITHIN = timedelta(seconds=1)
_NEVER = timedelta()


@frozen
class Run:
    """A history, looked at from where the rules look."""

    history: History
    events: Mapping[tuple[str, str], StoredEvent]
    webhooks: Mapping[str, Sequence[StoredWebhook]]
    deleted: Mapping[str, datetime]
    deliveries: Mapping[str, StoredDelivery]
    of_event: Mapping[tuple[str, str], Sequence[StoredDelivery]]
    attempts: Mapping[str, Sequence[StoredAttempt]]
    logged: Mapping[tuple[str, int], StoredAttempt]
    seen: Mapping[str, Sequence[Seen]]
    own_retries: Mapping[str, int]

    def max_retries(self, delivery_id: str) -> int:
        """Return how often a delivery may be retried: by its webhook, or as all of the run."""
        delivery, allowed = self.deliveries.get(delivery_id), self.history.allowed.max_retries
        return self.own_retries.get(delivery.webhook_id, allowed) if delivery else allowed


def indexed(history: History) -> Run:
    """Look at a history."""
    stored = history.stored
    attempts = _grouped(stored.attempts, lambda one: one.delivery_id)
    return Run(
        history=history,
        events={(one.environment_id, one.event_id): one for one in stored.events},
        webhooks=_grouped(stored.webhooks, lambda one: one.environment_id),
        deleted={one.webhook_id: one.deleted_at for one in stored.webhooks if one.deleted_at},
        deliveries={one.delivery_id: one for one in stored.deliveries},
        of_event=_grouped(stored.deliveries, lambda one: (one.environment_id, one.event_id)),
        attempts={key: sorted(all_, key=lambda one: one.number) for key, all_ in attempts.items()},
        logged={(one.delivery_id, one.number): one for one in stored.attempts},
        seen=_grouped(history.seen, lambda one: one.delivery_id),
        own_retries={
            one.webhook_id: one.max_retries
            for one in stored.webhooks
            if one.max_retries is not None
        },
    )


def _grouped(items: Iterable[T], key: Callable[[T], K]) -> Mapping[K, Sequence[T]]:
    groups: dict[K, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)


def interruptions(attempts: Iterable[StoredAttempt]) -> int:
    """Count the attempts that were cut off."""
    return sum(one.outcome == "interrupted" for one in attempts)


# L: nothing that was acknowledged is missing, is said to have arrived and has not, or was given
# up before its time.


def lost(run: Run) -> Iterator[str]:
    """Yield what an acknowledgement promised, and what never came of it."""
    for published in run.history.published:
        key = (published.environment_id, published.event_id)
        if event := run.events.get(key):
            yield from _undelivered(run, event)
        elif published.acknowledged:
            yield f"event {published.event_id} was acknowledged and is not in storage"
    for delivery in run.history.stored.deliveries:
        name = f"delivery {delivery.delivery_id}"
        if delivery.state == "succeeded" and not _arrived(run.seen.get(delivery.delivery_id, ())):
            yield f"{name} succeeded, but no receiver took it"
        if delivery.state == "failed" and not _may_fail(run, delivery):
            yield f"{name} was given up before its retries were used up"
        if delivery.state in _WITH_A_REASON and delivery.reason is None:
            yield f"{name} is {delivery.state}, and nothing says why"
        if delivery.reason == "webhook_deleted" and delivery.webhook_id not in run.deleted:
            yield f"{name} is cancelled, and its webhook is not deleted"


def _undelivered(run: Run, event: StoredEvent) -> Iterator[str]:
    """Yield what is missing of a stored event: all or nothing holds for unknown ones too."""
    deliveries = run.of_event.get((event.environment_id, event.event_id), ())
    having = {one.webhook_id for one in deliveries}
    for webhook in run.webhooks.get(event.environment_id, ()):
        if _matches(webhook, event) and webhook.webhook_id not in having:
            yield f"event {event.event_id} has no delivery to webhook {webhook.webhook_id}"


def _matches(webhook: StoredWebhook, event: StoredEvent) -> bool:
    alive = webhook.deleted_at is None or event.stored_at < webhook.deleted_at
    return event.type in webhook.events and webhook.created_at < event.stored_at and alive


def _arrived(seen: Iterable[Seen]) -> int:
    return sum(one.answered is not None and one.answered // 100 == 2 for one in seen)


def _may_fail(run: Run, delivery: StoredDelivery) -> bool:
    attempts = run.attempts.get(delivery.delivery_id, ())
    failures = sum(one.outcome == "failed" for one in attempts)
    latest = attempts[-_MOST_INTERRUPTIONS:]
    return (
        failures > run.max_retries(delivery.delivery_id)
        or any(one.error in _ENDS_AT_ONCE for one in attempts[-1:])
        or interruptions(latest) == _MOST_INTERRUPTIONS
        or (run.history.allowed.probes and delivery.reason == "webhook_paused")
    )


# A: each request has its attempt, and each success its line in the log.


def unlogged(run: Run) -> Iterator[str]:
    """Yield the requests and the successes that the log does not know of."""
    for seen in run.history.seen:
        if (seen.delivery_id, seen.attempt) not in run.logged:
            yield f"attempt {seen.attempt} of delivery {seen.delivery_id} is not in the log"
    for delivery in run.history.stored.deliveries:
        attempts = run.attempts.get(delivery.delivery_id, ())
        if delivery.state == "succeeded" and all(one.outcome != "succeeded" for one in attempts):
            yield f"delivery {delivery.delivery_id} succeeded, and no attempt of it did"


# D: nothing comes twice unless an interruption allows for it, and nothing is interrupted unless
# somebody was killed.


def doubled(run: Run) -> Iterator[str]:
    """Yield what came, or was made, more often than what was done to the run allows."""
    yield from _doubled_deliveries(run)
    for delivery_id, seen in run.seen.items():
        cut_off = interruptions(run.attempts.get(delivery_id, ()))
        probes = _probes(run, delivery_id)
        if len(seen) > 1 + run.max_retries(delivery_id) + cut_off + probes:
            yield (
                f"delivery {delivery_id}: {len(seen)} requests, {cut_off} interruptions, "
                f"{probes} probes"
            )
        unheard = _unheard(run, delivery_id)
        if (arrived := _arrived(seen)) > 1 + cut_off + unheard:
            yield f"delivery {delivery_id} arrived {arrived} times, {cut_off} interruptions"
        for number, times in Counter(one.attempt for one in seen).items():
            if times > 1:
                yield f"attempt {number} of delivery {delivery_id} came {times} times"
    yield from _crowded(run)
    yield from _unprovoked(run)


def _probes(run: Run, delivery_id: str) -> int:
    """Count the failed attempts that used no retry, since their webhook was paused."""
    delivery = run.deliveries.get(delivery_id)
    if not run.history.allowed.probes or delivery is None or delivery.failures is None:
        return 0
    attempts = run.attempts.get(delivery_id, ())
    return sum(one.outcome == "failed" for one in attempts) - delivery.failures


def _unheard(run: Run, delivery_id: str) -> int:
    """Count the attempts of which a response may have come when it was waited for no longer."""
    timeout = run.history.allowed.timeout
    if timeout is None:
        return 0
    return sum(
        one.error == "timeout" and one.duration is not None and one.duration >= timeout
        for one in run.attempts.get(delivery_id, ())
    )


def _doubled_deliveries(run: Run) -> Iterator[str]:
    ways = Counter(
        (one.environment_id, one.event_id, one.webhook_id)
        for one in run.history.stored.deliveries
        if one.origin is None
    )
    for (_, event_id, webhook_id), times in ways.items():
        if times > 1:
            yield f"event {event_id} has {times} deliveries to webhook {webhook_id}"


def _crowded(run: Run) -> Iterator[str]:
    """Yield where kills interrupted more attempts than may have been in flight.

    Those count too of which no request had gone out: what a killed process was not sending is not
    logged as interrupted, however much of it waited there.
    """
    most = run.history.allowed.max_in_flight
    counts = cut_off_by_kill(run.history)
    for number in range(len(counts)):
        # What began after a kill was cut off by the later ones.
        later, kills = sum(counts[number:]), len(counts) - number
        if later > kills * most:
            yield f"the last {kills} kills interrupted {later} attempts"


def cut_off_by_kill(history: History) -> Sequence[int]:
    """Count, for each kill, the interrupted attempts that began before it and after the last."""
    kills = sorted(history.allowed.kills)
    counts = [0] * len(kills)
    for attempt in history.stored.attempts:
        if attempt.outcome == "interrupted":
            kill = bisect(kills, attempt.started_at)
            if kill < len(kills):
                counts[kill] += 1
    return counts


def _unprovoked(run: Run) -> Iterator[str]:
    last = max(run.history.allowed.kills, default=None)
    for one in run.history.stored.attempts:
        if one.outcome == "interrupted" and (last is None or one.started_at > last):
            name = f"attempt {one.number} of delivery {one.delivery_id}"
            yield f"{name} was interrupted, and nobody was killed after it began"


# S: each request is signed, in its own second, and says the same as the others.


def unsigned(run: Run) -> Iterator[str]:
    """Yield the requests that a receiver should not have believed."""
    for seen in run.history.seen:
        name = f"attempt {seen.attempt} of delivery {seen.delivery_id}"
        if not seen.verified:
            yield f"{name} does not verify"
        attempt = run.logged.get((seen.delivery_id, seen.attempt))
        if attempt and not _timely(seen, attempt):
            yield f"{name} was signed at {seen.timestamp} and started at {attempt.started_at}"
        if delivery := run.deliveries.get(seen.delivery_id):
            event = run.events.get((delivery.environment_id, delivery.event_id))
            if event and event.body_sha256 != seen.body_sha256:
                yield f"{name} has another body than its event"
    for delivery_id, all_seen in run.seen.items():
        if len({one.message_id for one in all_seen}) > 1:
            yield f"delivery {delivery_id} came under several webhook-ids"


def _timely(seen: Seen, attempt: StoredAttempt) -> bool:
    late = seen.timestamp - attempt.started_at.timestamp()
    # Of an interrupted one is known when it was claimed: it may have waited there.
    may_wait = attempt.outcome == "interrupted"
    tolerance = _SIGNED_WITHIN.total_seconds()
    return -tolerance <= late and (may_wait or late <= tolerance)


# O: attempts are numbered without gaps, one ends before the next one begins, and none begins once
# its webhook is gone. K: of one ordering key, the same holds of deliveries.


def misordered(run: Run) -> Iterator[str]:
    """Yield what happened before or after its time."""
    for delivery in run.history.stored.deliveries:
        attempts = run.attempts.get(delivery.delivery_id, ())
        numbers = [one.number for one in attempts]
        ended = delivery.attempt - delivery.held
        if numbers != list(range(1, ended + 1)):
            yield f"delivery {delivery.delivery_id} has attempts {numbers} of {ended}"
        yield from _overlapping(attempts)
        if (deleted := run.deleted.get(delivery.webhook_id)) is not None:
            yield from _too_late(attempts, deleted)
    for delivery_id in run.seen:
        came = sorted(_not_interrupted(run, delivery_id), key=lambda one: one.received_at)
        numbers = [one.attempt for one in came]
        if numbers != sorted(numbers):
            yield f"delivery {delivery_id} came in the order {numbers}"
    yield from _overtaking(run)


def _overlapping(attempts: Sequence[StoredAttempt]) -> Iterator[str]:
    for one, following in pairwise(attempts):
        if following.started_at < one.started_at + (one.duration or _NEVER):
            yield (
                f"attempt {following.number} of delivery {one.delivery_id} "
                f"began before attempt {one.number} had ended"
            )


def _not_interrupted(run: Run, delivery_id: str) -> Sequence[Seen]:
    """Return the requests of a delivery but those of attempts that are logged as interrupted.

    A process that hung may send such a request at any time: no fence reaches the receiver.
    """
    attempts = run.attempts.get(delivery_id, ())
    interrupted = {one.number for one in attempts if one.outcome == "interrupted"}
    return [one for one in run.seen.get(delivery_id, ()) if one.attempt not in interrupted]


def _overtaking(run: Run) -> Iterator[str]:
    """Yield what came although one before it with its ordering key had not ended."""
    ordered = (one for one in run.history.stored.deliveries if one.ordering_key is not None)
    groups = _grouped(ordered, lambda one: (one.webhook_id, one.ordering_key))
    for (_, ordering_key), group in groups.items():
        ended: datetime | None = None
        for delivery in sorted(group, key=lambda one: one.position):
            attempts = [
                one
                for one in run.attempts.get(delivery.delivery_id, ())
                if one.outcome != "interrupted"
            ]
            came = [one.received_at for one in _not_interrupted(run, delivery.delivery_id)]
            if ended is not None and came and min(came) < ended:
                early = (ended - min(came)).total_seconds()
                yield (
                    f"delivery {delivery.delivery_id} of the key {ordering_key} came {early:.3f} s "
                    "before the last attempt of one before it had ended"
                )
            ends = [one.started_at + (one.duration or _NEVER) for one in attempts]
            ended = max([*ends, *([ended] if ended else [])], default=None)


def _too_late(attempts: Sequence[StoredAttempt], deleted: datetime) -> Iterator[str]:
    for one in attempts:
        if one.outcome != "interrupted" and one.started_at > deleted + _NOTICED_WITHIN:
            late = (one.started_at - deleted).total_seconds()
            name = f"attempt {one.number} of delivery {one.delivery_id}"
            yield f"{name} began {late:.1f} s after its webhook was deleted"


# Every delivery comes to an end, and only of what was published.


def stuck(run: Run) -> Iterator[str]:
    """Yield the deliveries that have not come to an end."""
    for delivery in run.history.stored.deliveries:
        if delivery.state not in _FINAL or delivery.held:
            held = ", held by a worker" if delivery.held else ""
            yield f"delivery {delivery.delivery_id} is {delivery.state}{held}"


def ghosts(run: Run) -> Iterator[str]:
    """Yield what is there and came from nowhere."""
    published = {(one.environment_id, one.event_id) for one in run.history.published}
    for environment_id, event_id in (*run.events, *run.of_event):
        if (environment_id, event_id) not in published:
            yield f"event {event_id} was never published"
    for delivery_id in run.seen.keys() - run.deliveries.keys():
        yield f"delivery {delivery_id} was sent and is not in storage"


# Statistics count what storage has, whoever was killed or came too late: an attempt when it is
# logged, a delivery when it ends. Of a webhook test the attempt alone counts.


def miscounted(run: Run) -> Iterator[str]:
    """Yield what statistics count more or less often than storage has it."""
    stored = run.history.stored
    if stored.counts is None:
        return
    counted = Counter({(one.webhook_id, one.kind, one.outcome): one.count for one in stored.counts})
    there = Counter(
        (run.deliveries[one.delivery_id].webhook_id, "attempts", one.outcome)
        for one in stored.attempts
        if one.delivery_id in run.deliveries
    )
    there.update(
        (one.webhook_id, "deliveries", one.state)
        for one in stored.deliveries
        if one.state in _FINAL and one.origin != "test"
    )
    for key in counted.keys() | there.keys():
        if counted[key] != there[key]:
            webhook_id, kind, outcome = key
            yield (
                f"webhook {webhook_id} has {there[key]} {outcome} {kind}, "
                f"and its statistics say {counted[key]}"
            )
