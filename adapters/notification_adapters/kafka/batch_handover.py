"""From who polls to who stores: one batch of messages at a time."""

import asyncio
from collections.abc import Sequence

from attrs import define, field

from notification_core.model.message import Message


@define(eq=False)
class Hand:
    """Messages that were given, or are about to be.

    ``epoch`` tells in which assignment of partitions they were read. ``done`` is set once nothing
    more is to be done about them here.
    """

    messages: Sequence[Message]
    epoch: object
    done: asyncio.Event = field(factory=asyncio.Event)

    async def done_within(self, seconds: float) -> bool:
        """Wait for it to be done, at most so long; tell whether it is."""
        try:
            async with asyncio.timeout(seconds):
                await self.done.wait()
        except TimeoutError:
            return False
        return True


class Handover:
    """Where messages are offered, taken, and left again."""

    def __init__(self) -> None:
        self.held: Hand | None = None
        self._offered: Hand | None = None
        self._news = asyncio.Event()
        self._stopped = False

    def offer(self, messages: Sequence[Message], epoch: object) -> Hand:
        """Lay messages out to be taken."""
        self._offered = Hand(messages, epoch)
        self._news.set()
        return self._offered

    def withdraw(self) -> None:
        """Take back what was offered and nobody has taken."""
        if self._offered:
            self._offered.done.set()
            self._offered = None

    async def take(self) -> Sequence[Message]:
        """Leave what was taken before, and take what is offered next; nothing once stopped."""
        if self.held:
            self.held.done.set()
            self.held = None
        while not self._stopped:
            if self._offered:
                self.held, self._offered = self._offered, None
                return self.held.messages
            self._news.clear()
            await self._news.wait()
        return ()

    def stop(self) -> None:
        """Give nothing more, also to who is waiting."""
        self._stopped = True
        self.withdraw()
        self._news.set()
