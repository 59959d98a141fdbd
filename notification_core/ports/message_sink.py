"""Where messages go to: the topics of others."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from notification_core.model.outbox_message import OutgoingMessage


class MessageSink(Protocol):
    """Sends messages to topics, each at least once."""

    @abstractmethod
    async def send(self, messages: Sequence[OutgoingMessage]) -> int:
        """Send messages in their order; return how many of the first ones were acknowledged.

        Takes a bounded time. Those after the first one that was not acknowledged may have been
        sent or not. A value that is larger than its topic takes is left out, and a header says
        so. Raises :class:`BrokersUnavailable` where not one was acknowledged.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close what it sends through."""
