"""Erasures: jobs that delete all that is stored of an environment."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from attrs import frozen


class ErasureState(StrEnum):
    """Where an erasure stands."""

    RUNNING = "running"
    COMPLETED = "completed"


@frozen
class Erasure:
    """The erasure of an environment: all that is of it goes, and nothing new is taken meanwhile.

    ``erased`` counts what is gone: events, deliveries, attempts, webhooks and all else but
    statistics, of which there are as many rows as processes have counted.
    """

    environment_id: UUID
    requested_at: datetime
    erased: int = 0
    ended_at: datetime | None = None

    @property
    def state(self) -> ErasureState:
        """Where it stands."""
        return ErasureState.RUNNING if self.ended_at is None else ErasureState.COMPLETED


@frozen
class ErasedBatch:
    """What came of a batch: how much is gone by it, and whether nothing is left."""

    erased: int
    is_last: bool


NOTHING_ERASED = ErasedBatch(0, is_last=False)
