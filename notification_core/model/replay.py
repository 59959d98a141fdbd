"""Replays: jobs that make deliveries of a time range once more."""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from attrs import frozen

from notification_core.model.delivery import DeliveryState

NOT_ARRIVED = (DeliveryState.FAILED, DeliveryState.SKIPPED, DeliveryState.CANCELLED)
"""The states of deliveries whose event did not arrive."""

REPLAYABLE = (*NOT_ARRIVED, DeliveryState.SUCCEEDED)
"""The states that deliveries can be replayed from: all that are final."""


class ReplayState(StrEnum):
    """Where a replay stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


@frozen
class Selection:
    """Which deliveries of a webhook to make once more: in these states, ``since <= … < until``.

    Of an event that has several deliveries it is the latest one. Skipped are tests, events
    whose body is gone, and events that are on their way again or, where they had not arrived,
    have arrived since; unless it ``includes_filtered``, also what the webhook's filter kept back.
    """

    since: datetime
    until: datetime
    states: Collection[DeliveryState]
    includes_filtered: bool = True


@frozen
class Replay:
    """A job that makes the selected deliveries of a webhook once more, oldest first.

    ``replayed`` counts those that it has made. Of all deliveries that were made before
    ``done_until`` it has made those that were selected; None where it has not begun.
    """

    replay_id: UUID
    environment_id: UUID
    webhook_id: UUID
    selection: Selection
    created_at: datetime
    state: ReplayState = ReplayState.RUNNING
    replayed: int = 0
    done_until: datetime | None = None
    ended_at: datetime | None = None


@frozen
class ReplayCount:
    """How many deliveries a replay would make; at least so many where it is not exact."""

    count: int
    is_exact: bool


@frozen
class ReplayProgress:
    """How far a replay came in a batch: so many deliveries looked at, so many of them made."""

    examined: int
    made: int


NO_PROGRESS = ReplayProgress(0, 0)
