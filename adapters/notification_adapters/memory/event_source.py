"""A source without a broker: messages in memory, shared by the members of one group."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from attrs import define, field

from notification_core.model.message import Headers, Message
from notification_core.ports.event_source import MAX_TAKEN, EventSource

_Place = tuple[str, int]


@define(eq=False)
class MemoryTopics:
    """The partitions of all topics, and how far the group has come in each.

    Each partition belongs to one member: all of them to the one that has joined last.
    """

    partitions: dict[_Place, list[Message]] = field(factory=lambda: defaultdict(list))
    committed: dict[_Place, int] = field(factory=lambda: defaultdict(int))
    member: "MemorySource | None" = None

    def send(  # noqa: PLR0913 - what a message consists of
        self,
        topic: str,
        value: bytes | None,
        *,
        partition: int = 0,
        key: bytes | None = None,
        headers: Headers = (),
        timestamp: int = 0,
    ) -> Message:
        """Append a message to a partition and return it."""
        messages = self.partitions[topic, partition]
        message = Message(topic, partition, len(messages), timestamp, value, key, headers)
        messages.append(message)
        if self.member:
            self.member.wake()
        return message

    def join(self) -> "MemorySource":
        """Return a new member of the group; the one before it loses its partitions."""
        former, self.member = self.member, MemorySource(self)
        if former:
            former.lose()
        return self.member


class MemorySource(EventSource):
    """A member of the group; see :class:`MemoryTopics`."""

    def __init__(self, topics: MemoryTopics) -> None:
        self._topics = topics
        self._positions = dict(topics.committed)
        self._news = asyncio.Event()
        self._stopped = False

    async def take(self) -> Sequence[Message]:
        """Wait for messages and return some; return none once it was stopped."""
        while not self._stopped:
            self._news.clear()
            if self._topics.member is self:
                positions = self._positions
                waiting = [
                    message
                    for place, messages in self._topics.partitions.items()
                    for message in messages[positions.get(place, 0) :]
                ]
                for message in waiting[:MAX_TAKEN]:
                    positions[message.topic, message.partition] = message.offset + 1
                if waiting:
                    return waiting[:MAX_TAKEN]
            await self._news.wait()
        return ()

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """Say that these messages are stored."""
        if self._topics.member is self:
            for message in messages:
                self._topics.committed[message.topic, message.partition] = message.offset + 1

    def stop(self) -> None:
        """Give nothing more."""
        self._stopped = True
        self.wake()

    def wake(self) -> None:
        """Look again whether there is something to give."""
        self._news.set()

    def lose(self) -> None:
        """Lose the partitions to another member."""
        self._positions.clear()
