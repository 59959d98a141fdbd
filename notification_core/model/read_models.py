"""What happened to events, deliveries and attempts, as those who look back on them see it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Generic, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

from attrs import field, frozen

from notification_core.model.circuit_breaker import WebhookHealth
from notification_core.model.delivery import (
    Attempt,
    AttemptError,
    AttemptOutcome,
    DeliveryOrigin,
    DeliveryState,
    EndReason,
)
from notification_core.model.replay import Replay
from notification_core.model.webhook import Webhook

MAX_BODIES_TOGETHER = 16 * 1024 * 1024
"""How many bytes of bodies are read at once."""

MAX_EXAMINED = 10_000
"""How many rows one page looks at where it is to show only some of them."""


@frozen
class DeliveryView:
    """A delivery and where it stands.

    ``attempt`` counts the attempts that were begun. ``next_attempt_at`` is there while it waits,
    unless it is ``held``: then it waits for an earlier delivery of its ``ordering_key``.
    ``origin`` says why it was made, None where its event arrived, and ``replay_id`` by which
    replay. ``attempts`` are those that have
    ended, oldest first; None where they were not asked for.
    """

    delivery_id: UUID
    environment_id: UUID
    webhook_id: UUID
    event_id: str
    event_type: str
    state: DeliveryState
    attempt: int
    created_at: datetime
    reason: EndReason | None = None
    origin: DeliveryOrigin | None = None
    replay_id: UUID | None = None
    next_attempt_at: datetime | None = None
    ordering_key: str | None = None
    held: bool = False
    attempts: Sequence[Attempt] | None = None


@frozen
class EventBody:
    """An event with the body that its webhooks are sent."""

    event_id: str
    event_type: str
    body: bytes = field(repr=False)


@frozen
class EventRecord:
    """An event that was stored, and when.

    ``deliveries`` are some of it, newest first; None where they were not asked for.
    """

    event_id: str
    environment_id: UUID
    event_type: str
    occurred_at: datetime
    stored_at: datetime
    deliveries: Sequence[DeliveryView] | None = None
    ordering_key: str | None = None


@frozen
class EventSummary:
    """An event that was stored, and how many of its deliveries are in which state (all are there).

    None of its deliveries is shown: a page of events must not grow with the webhooks.
    """

    event_id: str
    environment_id: UUID
    event_type: str
    occurred_at: datetime
    stored_at: datetime
    deliveries: Mapping[DeliveryState, int]
    ordering_key: str | None = None


@frozen
class LastAttempt:
    """An attempt as a webhook shows it; ``error`` is left out if it is not asked for."""

    log_id: UUID
    delivery_id: UUID
    event_type: str
    at: datetime
    http_code: int | None = None
    duration: timedelta | None = None
    error: AttemptError | None = None


@frozen
class Activity:
    """The latest attempt of a webhook, and the latest that did not succeed."""

    last_triggered: LastAttempt | None = None
    last_errored: LastAttempt | None = None


@frozen
class WebhookView:
    """A webhook with what it last did, and its health if it is not healthy."""

    webhook: Webhook
    activity: Activity
    health: WebhookHealth | None = None


@frozen
class DeliveryCriteria:
    """Which deliveries to show: made in ``since <= … < until``, and as each other field says.

    ``http_code`` is what an attempt of the delivery was answered.
    """

    state: DeliveryState | None = None
    event_type: str | None = None
    http_code: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_selective(self) -> bool:
        """Whether deliveries of the time may be left out, so that a look must be bounded."""
        return (self.state, self.event_type, self.http_code) != (None, None, None)


@frozen
class AttemptCriteria:
    """Which attempts to show: logged in ``since <= … < until``, and as each other field says."""

    outcome: AttemptOutcome | None = None
    event_type: str | None = None
    http_code: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_selective(self) -> bool:
        """Whether attempts of the time may be left out, so that a look must be bounded."""
        return (self.outcome, self.event_type, self.http_code) != (None, None, None)


@frozen
class EventCriteria:
    """Which events to show: of this type, stored in ``since <= … < until``."""

    event_type: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_selective(self) -> bool:
        """Whether events of the time may be left out, so that a look must be bounded."""
        return self.event_type is not None


EVERY_DELIVERY = DeliveryCriteria()
EVERY_ATTEMPT = AttemptCriteria()
EVERY_EVENT = EventCriteria()


class EventPlace(NamedTuple):
    """Where an event stands among those of its environment."""

    stored_at: datetime
    event_id: str


_Row = TypeVar("_Row")
_Place = TypeVar("_Place")


@frozen
class Page(Generic[_Row, _Place]):
    """Some rows, newest first; the page after this one begins below ``after``."""

    rows: Sequence[_Row]
    after: _Place | None


DeliveryPage: TypeAlias = Page[DeliveryView, UUID]
LogPage: TypeAlias = Page[Attempt, UUID]
ReplayPage: TypeAlias = Page[Replay, UUID]
EventPage: TypeAlias = Page[EventSummary, EventPlace]


def fitting(sizes: Iterable[int]) -> int:
    """Return how many of the first bodies are read at once, by their sizes: at least one."""
    together = accumulate(sizes)
    return max(1, sum(size <= MAX_BODIES_TOGETHER for size in together))


def page_of(
    rows: Sequence[_Row], limit: int, stopped_at: _Place | None, place_of: Callable[[_Row], _Place]
) -> Page[_Row, _Place]:
    """Return a page of what was found, of which one more than ``limit`` was asked for.

    ``stopped_at`` is where the look stopped before the end, None where it did not.
    """
    if len(rows) > limit:
        return Page(rows[:limit], place_of(rows[limit - 1]))
    return Page(rows, stopped_at)
