"""Statistics of webhooks: what is counted, when, and in which spans of time.

An attempt counts when it is logged; a delivery when it ends, or is stored as skipped. Both count
in the minute of the storage's clock in which that is written. A webhook test counts as the attempt
that it makes; its delivery, which nobody ordered, does not count.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Self
from uuid import UUID

from attrs import define, field, frozen

from notification_core.errors import Detail, InvalidPeriod
from notification_core.model.delivery import (
    Attempt,
    AttemptOutcome,
    DeliveryState,
    ErrorCode,
    NewDelivery,
)
from notification_core.model.histogram import bucket_of, quantile

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
MINUTES_KEPT: Final = timedelta(hours=48)
"""After this only the hours are known."""

_SETTLED: Final = timedelta(minutes=5)
"""How long after its end an hour is merged: what was counted within it is committed by then."""

MAX_BUCKETS: Final = 1_000
"""How many spans of time one question may be about."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

WebhookKey = tuple[UUID, UUID]
"""(environment id, webhook id)"""


@define
class Counts:
    """What was counted of a webhook, or of several, within some time.

    ``durations`` are of attempts whose duration is known, ``delivery_times`` the times from when a
    delivery was stored until it had succeeded, both by the buckets of :mod:`histogram`.
    """

    attempts: Counter[AttemptOutcome] = field(factory=Counter)
    errors: Counter[ErrorCode] = field(factory=Counter)
    deliveries: Counter[DeliveryState] = field(factory=Counter)
    durations: Counter[int] = field(factory=Counter)
    delivery_times: Counter[int] = field(factory=Counter)

    def count_attempt(self, attempt: Attempt) -> None:
        """Count an attempt that is logged."""
        self.attempts[attempt.outcome] += 1
        if attempt.error is not None:
            self.errors[attempt.error.code] += 1
        if attempt.duration is not None:
            self.durations[bucket_of(attempt.duration)] += 1

    def count_end(self, state: DeliveryState, delivery_time: timedelta | None = None) -> None:
        """Count a delivery that has ended; one that succeeded, so long after it was stored."""
        self.deliveries[state] += 1
        if state is DeliveryState.SUCCEEDED and delivery_time is not None:
            self.delivery_times[bucket_of(delivery_time)] += 1

    def merge(self, other: Self) -> None:
        """Add what was counted elsewhere."""
        self.attempts.update(other.attempts)
        self.errors.update(other.errors)
        self.deliveries.update(other.deliveries)
        self.durations.update(other.durations)
        self.delivery_times.update(other.delivery_times)


class CountsByWebhook(dict[WebhookKey, Counts]):
    """What one transaction counts, by webhook."""

    def of(self, environment_id: UUID, webhook_id: UUID) -> Counts:
        """Return the counts of a webhook, to be added to."""
        key = environment_id, webhook_id
        if (counts := self.get(key)) is None:
            counts = self[key] = Counts()
        return counts


def count_skips(deliveries: Iterable[NewDelivery]) -> CountsByWebhook:
    """Count the deliveries that are stored as ended."""
    counts = CountsByWebhook()
    for delivery in deliveries:
        if delivery.state is not DeliveryState.PENDING:
            counts.of(delivery.environment_id, delivery.webhook_id).count_end(delivery.state)
    return counts


class BucketSize(StrEnum):
    """How much time one bucket of statistics covers: days are those of UTC."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return _LENGTHS[self]

    def start_of(self, at: datetime) -> datetime:
        """Return when the bucket that an instant is in begins."""
        return at - (at - _EPOCH) % self.length


_LENGTHS: Final = {
    BucketSize.MINUTE: MINUTE,
    BucketSize.HOUR: HOUR,
    BucketSize.DAY: timedelta(days=1),
}


@frozen
class Period:
    """Whole buckets of one span: from ``since`` on, until before ``until``."""

    since: datetime
    until: datetime
    span: BucketSize

    @classmethod
    def covering(cls, since: datetime, until: datetime, span: BucketSize) -> Self:
        """Return the shortest period that all of this time is in."""
        end = span.start_of(until)
        return cls(span.start_of(since), end if end == until else end + span.length, span)

    @property
    def buckets(self) -> int:
        """How many buckets it has."""
        return (self.until - self.since) // self.span.length

    @property
    def starts(self) -> Iterator[datetime]:
        """When each of its buckets begins."""
        return (self.since + number * self.span.length for number in range(self.buckets))


@frozen
class Percentiles:
    """Durations that half, 95 and 99 of a hundred do not exceed."""

    p50: timedelta
    p95: timedelta
    p99: timedelta

    @classmethod
    def of(cls, counts: Counter[int]) -> Self | None:
        """Return the percentiles of a histogram; None if it is empty."""
        p50, p95, p99 = (quantile(counts, fraction) for fraction in (0.5, 0.95, 0.99))
        return None if p50 is None or p95 is None or p99 is None else cls(p50, p95, p99)


def sum_of(all_counts: Iterable[Counts]) -> Counts:
    """Return what was counted altogether."""
    total = Counts()
    for counts in all_counts:
        total.merge(counts)
    return total


def merge_before(now: datetime) -> datetime:
    """Return the instant before which minutes are added up to hours: a full hour.

    What is counted of an earlier minute afterwards is merged later, and as exact.
    """
    return BucketSize.HOUR.start_of(now - _SETTLED)


def first_minute(now: datetime) -> datetime:
    """Return the first minute that is known by itself: a full hour."""
    return BucketSize.HOUR.start_of(now - MINUTES_KEPT)


_USUAL: Final = {
    BucketSize.MINUTE: HOUR,
    BucketSize.HOUR: timedelta(days=1),
    BucketSize.DAY: timedelta(days=30),
}
"""How long a time is meant if nobody says since when."""


def choose_period(
    span: BucketSize, since: datetime | None, until: datetime | None, now: datetime
) -> Period:
    """Return the buckets that a question is about: until now unless it says less, never beyond.

    Without ``since`` it is the last hour by minutes, day by hours or 30 days by days. Raises
    :class:`InvalidPeriod` for no time at all, for more than :data:`MAX_BUCKETS`, and for minutes
    that are merged.
    """
    until = min(until or now, now).astimezone(UTC)
    if since is None:
        since = until - min(_USUAL[span], until - datetime.min.replace(tzinfo=UTC))
    since = since.astimezone(UTC)
    if since >= until:
        raise _invalid("The time is not before until, which is now if it is left out or to come.")
    period = Period.covering(since, until, span)
    if period.buckets > MAX_BUCKETS:
        fits = [
            f"with bucket={other}"
            for other in BucketSize
            if Period.covering(since, until, other).buckets <= MAX_BUCKETS
        ]
        ways = [*fits[:1], f"for at most {MAX_BUCKETS:,} {span}s"]
        raise _invalid(
            f"These are {period.buckets:,} {span}s, and at most {MAX_BUCKETS:,} are returned. "
            f"Ask {', or '.join(ways)}."
        )
    if span is BucketSize.MINUTE and period.since < (first := first_minute(now)):
        raise _invalid(
            "Minutes are kept for 48 hours. Ask with bucket=hour, or for the time "
            f"since {first:%Y-%m-%dT%H:%M:%SZ}."
        )
    return period


def _invalid(message: str) -> InvalidPeriod:
    details = [Detail("since", message)]
    return InvalidPeriod.of("The time", details)
