"""The checker tells whether anything was lost, doubled, unsigned or out of order.

It judges a run by three accounts alone: what was acknowledged to the producer, what the receivers
saw, and the final state of the storage. ``python -m tests.faults.checker FOLDER`` reads them from
the folder that a run left behind, prints what it found and exits with 1 where the promise is
broken.
"""

import sys
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from attrs import asdict, frozen

from tests.faults.files import read_history
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

_SHOWN = 10
_FINAL = frozenset({"succeeded", "failed", "skipped", "cancelled"})
_TOLERANCE = timedelta(seconds=2)


@frozen
class Verdict:
    """What is wrong with a run, a sentence each; all empty where the promise holds."""

    lost: Sequence[str] = ()
    unlogged: Sequence[str] = ()
    doubled: Sequence[str] = ()
    unsigned: Sequence[str] = ()
    misordered: Sequence[str] = ()
    stuck: Sequence[str] = ()
    ghost: Sequence[str] = ()

    @property
    def holds(self) -> bool:
        """Tell whether the promise holds."""
        return not any(asdict(self, recurse=False).values())

    def __str__(self) -> str:
        found: Mapping[str, Sequence[str]] = asdict(self, recurse=False)
        lines = [f"{name:<12}{len(said):>8}" for name, said in found.items()]
        for name, said in found.items():
            lines += [f"{name}: {sentence}" for sentence in said[:_SHOWN]]
        return "\n".join(lines)


@frozen
class _Indexed:
    """A history, looked at from where the rules look."""

    history: History
    events: Mapping[tuple[str, str], StoredEvent]
    webhooks: Mapping[str, Sequence[StoredWebhook]]
    deliveries: Mapping[str, StoredDelivery]
    of_event: Mapping[tuple[str, str], Sequence[StoredDelivery]]
    attempts: Mapping[str, Sequence[StoredAttempt]]
    logged: Mapping[tuple[str, int], StoredAttempt]
    seen: Mapping[str, Sequence[Seen]]


def check(history: History) -> Verdict:
    """Judge a run."""
    indexed = _index(history)
    return Verdict(
        lost=sorted(_lost(indexed)),
        unlogged=sorted(_unlogged(indexed)),
        doubled=sorted(_doubled(indexed)),
        unsigned=sorted(_unsigned(indexed)),
        misordered=sorted(_misordered(indexed)),
        stuck=sorted(_stuck(indexed)),
        ghost=sorted(_ghosts(indexed)),
    )


def _index(history: History) -> _Indexed:
    stored = history.stored
    attempts = _grouped(stored.attempts, lambda one: one.delivery_id)
    return _Indexed(
        history=history,
        events={(one.environment_id, one.event_id): one for one in stored.events},
        webhooks=_grouped(stored.webhooks, lambda one: one.environment_id),
        deliveries={one.delivery_id: one for one in stored.deliveries},
        of_event=_grouped(stored.deliveries, lambda one: (one.environment_id, one.event_id)),
        attempts={key: sorted(all_, key=lambda one: one.number) for key, all_ in attempts.items()},
        logged={(one.delivery_id, one.number): one for one in stored.attempts},
        seen=_grouped(history.seen, lambda one: one.delivery_id),
    )


def _grouped(items: Iterable[T], key: Callable[[T], K]) -> Mapping[K, Sequence[T]]:
    groups: dict[K, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)


def interruptions(attempts: Iterable[StoredAttempt]) -> int:
    """Count the attempts that were cut off."""
    return sum(one.outcome == "interrupted" for one in attempts)


# L: nothing that was acknowledged is missing, or is said to have arrived and has not.


def _lost(run: _Indexed) -> Iterator[str]:
    for published in run.history.published:
        key = (published.environment_id, published.event_id)
        if event := run.events.get(key):
            yield from _undelivered(run, event)
        elif published.acknowledged:
            yield f"event {published.event_id} was acknowledged and is not in storage"
    for delivery in run.history.stored.deliveries:
        if delivery.state == "succeeded" and not _arrived(run.seen.get(delivery.delivery_id, ())):
            yield f"delivery {delivery.delivery_id} succeeded, but no receiver took it"


def _undelivered(run: _Indexed, event: StoredEvent) -> Iterator[str]:
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


# A: each request has its attempt.


def _unlogged(run: _Indexed) -> Iterator[str]:
    for seen in run.history.seen:
        if (seen.delivery_id, seen.attempt) not in run.logged:
            yield f"attempt {seen.attempt} of delivery {seen.delivery_id} is not in the log"


# D: nothing comes twice unless an interruption allows for it.


def _doubled(run: _Indexed) -> Iterator[str]:
    yield from _doubled_deliveries(run)
    for delivery_id, seen in run.seen.items():
        cut_off = interruptions(run.attempts.get(delivery_id, ()))
        if len(seen) > 1 + run.history.allowed.max_retries + cut_off:
            yield f"delivery {delivery_id}: {len(seen)} requests, {cut_off} interruptions"
        if (arrived := _arrived(seen)) > 1 + cut_off:
            yield f"delivery {delivery_id} arrived {arrived} times, {cut_off} interruptions"
        for number, times in Counter(one.attempt for one in seen).items():
            if times > 1:
                yield f"attempt {number} of delivery {delivery_id} came {times} times"
    yield from _crowded(run)


def _doubled_deliveries(run: _Indexed) -> Iterator[str]:
    ways = Counter(
        (one.environment_id, one.event_id, one.webhook_id)
        for one in run.history.stored.deliveries
        if one.origin is None
    )
    for (_, event_id, webhook_id), times in ways.items():
        if times > 1:
            yield f"event {event_id} has {times} deliveries to webhook {webhook_id}"


def _crowded(run: _Indexed) -> Iterator[str]:
    """Yield the kills that cut off more requests than may have been in flight."""
    for life, count in enumerate(cut_off_by_kill(run.history)):
        if count > run.history.allowed.max_in_flight:
            yield f"the kill of process {life + 1} cut off {count} requests that had gone out"


def cut_off_by_kill(history: History) -> Sequence[int]:
    """Count, for each process of the run, the requests seen whose attempt it did not end."""
    starts = sorted(history.allowed.starts)
    seen = {(one.delivery_id, one.attempt) for one in history.seen}
    counts = [0] * max(1, len(starts))
    for attempt in history.stored.attempts:
        if attempt.outcome == "interrupted" and (attempt.delivery_id, attempt.number) in seen:
            counts[max(0, bisect(starts, attempt.started_at) - 1)] += 1
    return counts


# S: each request is signed, in its own second, and says the same as the others.


def _unsigned(run: _Indexed) -> Iterator[str]:
    for seen in run.history.seen:
        name = f"attempt {seen.attempt} of delivery {seen.delivery_id}"
        if not seen.verified:
            yield f"{name} does not verify"
        if (attempt := run.logged.get((seen.delivery_id, seen.attempt))) and not _timely(
            seen, attempt
        ):
            yield f"{name} was signed at {seen.timestamp} and started at {attempt.started_at}"
        if delivery := run.deliveries.get(seen.delivery_id):
            event = run.events.get((delivery.environment_id, delivery.event_id))
            if event and event.body_sha256 != seen.body_sha256:
                yield f"{name} has another body than its event"
    for delivery_id, all_seen in run.seen.items():
        if len({one.message_id for one in all_seen}) > 1:
            yield f"delivery {delivery_id} came under several webhook-ids"


def _timely(seen: Seen, attempt: StoredAttempt) -> bool:
    return abs(seen.timestamp - attempt.started_at.timestamp()) <= _TOLERANCE.total_seconds()


# O: attempts are numbered without gaps, and one ends before the next one begins.


def _misordered(run: _Indexed) -> Iterator[str]:
    for delivery in run.history.stored.deliveries:
        attempts = run.attempts.get(delivery.delivery_id, ())
        numbers = [one.number for one in attempts]
        ended = delivery.attempt - delivery.held
        if numbers != list(range(1, ended + 1)):
            yield f"delivery {delivery.delivery_id} has attempts {numbers} of {ended}"
        for one, following in pairwise(attempts):
            if following.started_at < one.started_at + (one.duration or timedelta()):
                yield (
                    f"attempt {following.number} of delivery {delivery.delivery_id} "
                    f"began before attempt {one.number} had ended"
                )
    for delivery_id, all_seen in run.seen.items():
        came = sorted(all_seen, key=lambda one: one.received_at)
        numbers = [one.attempt for one in came]
        if numbers != sorted(numbers):
            yield f"delivery {delivery_id} came in the order {numbers}"


# Every delivery comes to an end, and only of what was published.


def _stuck(run: _Indexed) -> Iterator[str]:
    for delivery in run.history.stored.deliveries:
        if delivery.state not in _FINAL or delivery.held:
            held = ", held by a worker" if delivery.held else ""
            yield f"delivery {delivery.delivery_id} is {delivery.state}{held}"


def _ghosts(run: _Indexed) -> Iterator[str]:
    published = {(one.environment_id, one.event_id) for one in run.history.published}
    for environment_id, event_id in (*run.events, *run.of_event):
        if (environment_id, event_id) not in published:
            yield f"event {event_id} was never published"
    for delivery_id in run.seen.keys() - run.deliveries.keys():
        yield f"delivery {delivery_id} was sent and is not in storage"


def main(folder: Path) -> int:
    """Check the run that left its accounts in a folder; return 0 where the promise holds."""
    verdict = check(read_history(folder))
    sys.stdout.write(f"{verdict}\n")
    return 0 if verdict.holds else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
