"""The webhook log, for reading; attempts are written by the delivery store."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from notification_core.deliveries import Attempt


class LogStore(Protocol):
    """Reads the attempts that have ended."""

    @abstractmethod
    async def page(
        self, environment_id: UUID, webhook_id: UUID, limit: int, before: UUID | None = None
    ) -> Sequence[Attempt]:
        """Return a webhook's attempts by falling ``log_id``, those below ``before`` only."""
