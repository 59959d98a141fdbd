"""How much waits: for people who look whether the system keeps up. It changes nothing."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from attrs import frozen

MAX_COUNTED = 100_000
"""Deliveries beyond this are not counted: who has so many waiting does not need the last digit."""

MAX_WEBHOOKS = 10_000
"""Queues beyond this are not looked at."""


@frozen
class Unfinished:
    """How many of something are unfinished, and for how long the oldest of them has been."""

    count: int = 0
    age: timedelta = timedelta()


NOTHING = Unfinished()


@frozen
class BacklogSize:
    """What waits, and who works on it.

    ``waiting`` are pending deliveries that nobody sends now, those for a later retry too;
    ``claimed`` those that a worker has taken; ``webhooks`` how many of these have any waiting.
    ``due`` says of each webhook that may be sent to, and has deliveries that are due and taken by
    nobody, for how long the oldest of them has been. ``workers`` are those that have taken
    something. ``paused`` counts the webhooks that the circuit breaker has paused. ``outbox`` are
    messages that have not been sent to their topics, ``operational_events`` those that have not
    been published to webhooks; ``replays`` and ``erasures`` are those that run.
    """

    waiting: int
    claimed: int
    webhooks: int
    due: Mapping[UUID, timedelta]
    workers: Collection[UUID]
    paused: int = 0
    outbox: Unfinished = NOTHING
    operational_events: Unfinished = NOTHING
    replays: Unfinished = NOTHING
    erasures: Unfinished = NOTHING

    @property
    def oldest_due(self) -> timedelta | None:
        """How long the oldest delivery of all has been due; None if none is."""
        return max(self.due.values(), default=None)


@frozen
class QueueLength:
    """For how many deliveries of a webhook nobody is at work; more than that unless exact."""

    environment_id: UUID
    webhook_id: UUID
    waiting: int
    is_exact: bool


class Backlog(Protocol):
    """Measures what waits, at a cost that does not grow with it."""

    @abstractmethod
    async def size(
        self, max_counted: int = MAX_COUNTED, max_webhooks: int = MAX_WEBHOOKS
    ) -> BacklogSize:
        """Return how much waits; raise :class:`StorageUnavailable`.

        Counts stop at ``max_counted``, and no more than ``max_webhooks`` queues are looked at.
        """

    @abstractmethod
    async def longest(
        self, limit: int, max_counted: int = MAX_COUNTED, max_webhooks: int = MAX_WEBHOOKS
    ) -> Sequence[QueueLength]:
        """Return the longest queues, the longest first, at most ``limit``.

        Reads some times ``max_counted`` rows at most, however much waits: no queue is counted
        further than that, and one of many long ones only to its share. A queue that was not
        counted to its end is not ``is_exact``; it comes before all that are. No more than
        ``max_webhooks`` queues are looked at. Raises :class:`StorageUnavailable`.
        """

    @abstractmethod
    async def longer_than(self, most: int) -> Collection[UUID]:
        """Return the webhooks for which more than so many deliveries wait.

        Costs a count of what waits, up to ``most``, and only where that is reached one of each
        queue; so it is nothing to be done often. Raises :class:`StorageUnavailable`.
        """
