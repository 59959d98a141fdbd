"""Whether anything has happened in an environment, for whoever would else read it all again."""

from abc import abstractmethod
from collections.abc import Hashable
from datetime import datetime
from typing import Protocol
from uuid import UUID


class EnvironmentChanges(Protocol):
    """Tells whether something has changed, at the cost of one small statement."""

    @abstractmethod
    async def mark(self, environment_id: UUID, since: datetime) -> Hashable:
        """Return what differs from an earlier mark of the environment if something has changed.

        That is an attempt that was logged, a delivery that ended or was skipped, a replay or an
        erasure that advanced, a webhook that was created, changed or deleted. Attempts and
        deliveries are counted from ``since`` on: the marks that are compared are to be of a
        ``since`` that is before the first of them. With a later ``since`` a mark may differ
        although nothing has changed. Raises :class:`StorageUnavailable`.
        """
