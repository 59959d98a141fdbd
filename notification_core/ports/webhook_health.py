"""How webhooks are doing that are not healthy: for those who watch, and for maintenance."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID


class WebhookHealthStore(Protocol):
    """Looks at what :class:`DeliveryStore` stores of webhooks that are not healthy."""

    @abstractmethod
    async def paused_before(self, first_failure: datetime) -> Sequence[tuple[UUID, UUID]]:
        """Return (environment id, webhook id) of those paused that began to fail before a time."""

    @abstractmethod
    async def clear(self) -> bool:
        """Take every webhook for healthy, and resume those that were paused; tell if any was.

        Then the webhooks' revision has grown. For an installation that has turned the breaker off.
        """
