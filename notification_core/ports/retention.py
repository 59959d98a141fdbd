"""Letting go of what is older than it is to be kept, in small batches."""

from abc import abstractmethod
from datetime import datetime
from typing import Final, Generic, Protocol, TypeVar
from uuid import UUID

from attrs import frozen

FIRST_WEBHOOK: Final = UUID(int=0)
"""Comes before every webhook: a sweep over the logs begins here."""


@frozen
class EventMark:
    """How far a sweep over the events has come: it goes on with what was stored later."""

    environment_id: UUID
    stored_at: datetime


Mark = TypeVar("Mark", EventMark, UUID)


@frozen
class Swept(Generic[Mark]):
    """How much one batch has deleted, and where the sweep goes on; None at its end."""

    deleted: int
    after: Mark | None


class Retention(Protocol):
    """Deletes what is old. Each call is one short transaction, and several may sweep at once.

    All raise :class:`StorageUnavailable`. Statements are not scoped to an environment.
    """

    @abstractmethod
    async def sweep_attempts(self, before: datetime, after: UUID, limit: int) -> Swept[UUID]:
        """Delete attempts that were logged before, webhook by webhook, by rising webhook id.

        The sweep begins behind the webhook ``after``. At most ``limit`` attempts are deleted, and
        no more than that many webhooks are looked at.
        """

    @abstractmethod
    async def delete_audit_before(self, before: datetime, limit: int) -> int:
        """Delete entries of the audit log from before; return how many, at most ``limit``."""

    @abstractmethod
    async def delete_dead_letters_before(self, before: datetime, limit: int) -> int:
        """Delete dead letters that were stored before; return how many, at most ``limit``."""

    @abstractmethod
    async def delete_sessions_before(self, before: datetime, limit: int) -> int:
        """Delete sessions of portals and the console that expired before; return how many.

        At most ``limit`` of each.
        """

    @abstractmethod
    async def sweep_events(
        self, before: datetime, after: EventMark | None, limit: int
    ) -> Swept[EventMark]:
        """Delete events that were stored before, with their deliveries, environment by environment.

        At most ``limit`` events are deleted. One that has a delivery which is pending, or of
        which an attempt is being made, stays with all its deliveries.
        """

    @abstractmethod
    async def merge_statistics(self, before: datetime, limit: int) -> int:
        """Add statistics of minutes from before up to those of hours; return how many rows.

        At most ``limit`` of them. What was counted stays the same, and is found by minutes, too,
        until :meth:`delete_minutes_before`.
        """

    @abstractmethod
    async def delete_minutes_before(self, before: datetime, limit: int) -> int:
        """Delete the minutes from before of hours that were merged; return how many rows.

        At most ``limit`` of them. The hours stay.
        """

    @abstractmethod
    async def delete_statistics_before(self, before: datetime, limit: int) -> int:
        """Delete statistics of hours, and of minutes not merged, from before; return how many."""

    @abstractmethod
    async def delete_webhooks_before(self, before: datetime, limit: int) -> int:
        """Delete tombstones older than that of which nothing is left; return how many.

        Replays that had ended before go with the first call.
        """
