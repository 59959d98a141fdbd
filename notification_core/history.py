"""What became of events and deliveries, as those who look back on them see it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from attrs import frozen

from notification_core.deliveries import Attempt, Origin, Reason, State

MOST_LOOKED_AT = 10_000
"""How many deliveries one page looks at where it is to show only some of them."""


@frozen
class DeliveryRecord:
    """A delivery and where it stands.

    ``attempt`` counts the attempts that were begun. ``next_attempt_at`` is there while it waits.
    ``origin`` says why it was made, None where its event arrived. ``attempts`` are those that have
    ended, oldest first; None where they were not asked for.
    """

    delivery_id: UUID
    environment_id: UUID
    webhook_id: UUID
    event_id: str
    event_type: str
    state: State
    attempt: int
    created_at: datetime
    reason: Reason | None = None
    origin: Origin | None = None
    next_attempt_at: datetime | None = None
    attempts: Sequence[Attempt] | None = None


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
    deliveries: Sequence[DeliveryRecord] | None = None


@frozen
class Wanted:
    """Which deliveries to show: of this state and event type, made in ``since <= … < until``."""

    state: State | None = None
    event_type: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def passes_over(self) -> bool:
        """Whether deliveries of the time may be left out, so that a look must be bounded."""
        return self.state is not None or self.event_type is not None


EVERY = Wanted()


@frozen
class DeliveryPage:
    """Some deliveries, newest first; the page after this one begins below ``after``."""

    deliveries: Sequence[DeliveryRecord]
    after: UUID | None


def page_of(found: Sequence[DeliveryRecord], limit: int, looked_to: UUID | None) -> DeliveryPage:
    """Return a page of what was found, of which one more than ``limit`` was asked for.

    ``looked_to`` is where the look stopped before the end, None where it did not.
    """
    if len(found) > limit:
        return DeliveryPage(found[:limit], found[limit - 1].delivery_id)
    return DeliveryPage(found, looked_to)
