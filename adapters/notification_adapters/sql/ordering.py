"""What delivering in order asks of an engine: each has it in a file of the same name."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_core.model.ordering import OrderingGroup

GroupKey = tuple[UUID, str, UUID]
"""(webhook id, ordering key, environment id): the row of a group."""


class FirstInGroup(NamedTuple):
    """The delivery that the others of its group wait for; ``handle`` finds its row again."""

    group: OrderingGroup
    environment_id: UUID
    handle: Any
    position: int
    is_pending: bool
    is_attempted: bool
    due_at: datetime


class OrderingStatements(Protocol):
    """The batched statements about groups, in the SQL of one engine."""

    @abstractmethod
    async def lock_groups(self, connection: AsyncConnection, groups: Sequence[GroupKey]) -> None:
        """Lock groups until the transaction's end, in the order in which they are given.

        Others that lock one of them wait; what they find then is what this transaction left. The
        groups are to be sorted, so that nobody waits in a ring.
        """

    @abstractmethod
    async def first_in_groups(
        self, connection: AsyncConnection, groups: Sequence[GroupKey]
    ) -> Sequence[FirstInGroup]:
        """Return the first one of each group that is not empty, as :func:`first_in_group` says."""

    @abstractmethod
    async def take_positions(self, connection: AsyncConnection, count: int) -> Sequence[int]:
        """Return so many positions, each greater than all that were taken of a locked group."""

    @abstractmethod
    async def release_held(
        self, connection: AsyncConnection, handles: Sequence[Any], now: datetime
    ) -> None:
        """Let those of these deliveries that are pending and held be due now."""

    @abstractmethod
    async def scan_groups(
        self, connection: AsyncConnection, after: OrderingGroup, limit: int
    ) -> Sequence[tuple[FirstInGroup, bool]]:
        """Return the first one of each of the next groups, and whether its webhook is ordered."""

    @abstractmethod
    async def lock_held_of(
        self, connection: AsyncConnection, webhook_id: UUID, limit: int
    ) -> Sequence[Any]:
        """Return (and lock) the handles of a webhook's held deliveries, in whatever order.

        There are none if the webhook is ordered by now.
        """

    @abstractmethod
    async def forget_empty_groups(self, connection: AsyncConnection, limit: int) -> int:
        """Delete the rows of groups that are empty; return how many, at most ``limit``."""
