"""Letting go of what is older than it is to be kept, in small batches."""

from abc import abstractmethod
from datetime import datetime
from typing import Protocol
from uuid import UUID

from attrs import frozen


@frozen
class EventMark:
    """How far a sweep over the events has come: it goes on with what was stored later."""

    environment_id: UUID
    stored_at: datetime


@frozen
class Swept:
    """How much one batch has deleted, and where the sweep goes on; None at its end."""

    deleted: int
    after: EventMark | None


class Retention(Protocol):
    """Deletes what is old. Each call is one short transaction, and several may sweep at once.

    All raise :class:`StorageUnavailable`. Statements are not scoped to an environment.
    """

    @abstractmethod
    async def delete_attempts_before(self, before: datetime, limit: int) -> int:
        """Delete attempts that were logged before; return how many, at most ``limit``."""

    @abstractmethod
    async def delete_audit_before(self, before: datetime, limit: int) -> int:
        """Delete entries of the audit log from before; return how many, at most ``limit``."""

    @abstractmethod
    async def delete_dead_letters_before(self, before: datetime, limit: int) -> int:
        """Delete dead letters that were stored before; return how many, at most ``limit``."""

    @abstractmethod
    async def sweep_events(self, before: datetime, after: EventMark | None, limit: int) -> Swept:
        """Delete events that were stored before, with their deliveries, environment by environment.

        At most ``limit`` events are deleted. One that has a delivery which is pending, or of
        which an attempt is being made, stays with all its deliveries.
        """

    @abstractmethod
    async def delete_webhooks_before(self, before: datetime, limit: int) -> int:
        """Delete tombstones older than that of which nothing is left; return how many.

        Replays that had ended before go with the first call.
        """
