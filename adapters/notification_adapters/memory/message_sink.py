"""Topics to send to, in memory."""

from collections.abc import Sequence

from notification_core.errors import BrokersUnavailable
from notification_core.model.outbox_message import OutgoingMessage
from notification_core.ports.message_sink import MessageSink


class MemorySink(MessageSink):
    """Remembers what was sent to it; ``takes`` bounds how many more it acknowledges."""

    def __init__(self) -> None:
        self.sent: list[OutgoingMessage] = []
        self.takes: int | None = None
        self.closed = False

    async def send(self, messages: Sequence[OutgoingMessage]) -> int:
        """Take messages, all or as many as it still takes."""
        taken = messages[: self.takes]
        if messages and not taken:
            raise BrokersUnavailable("The sink takes nothing more.")
        self.sent += taken
        if self.takes is not None:
            self.takes -= len(taken)
        return len(taken)

    async def close(self) -> None:
        """Note that it was closed."""
        self.closed = True
