"""Where events come from, other than by a call: topics that are divided into partitions."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from notification_core.model.message import Message

MAX_TAKEN = 500
"""How many messages are given at once, at most."""


class EventSource(Protocol):
    """Gives the messages of the event topics, each partition's in their order, at least once.

    What was acknowledged is not given again, to nobody. What was not is given again, to this
    process or to another one that has got the partition. It never fails: while it is unavailable it
    gives nothing, and goes on where it was once it is back.
    """

    @abstractmethod
    async def take(self) -> Sequence[Message]:
        """Wait for messages and return some; return none once it was stopped.

        Calling it says that nothing more is to be done about the messages given before. However
        long that takes, the source keeps its place meanwhile, and what waits is left where it is.
        """

    @abstractmethod
    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """Say that these messages, the first of each partition that were given, are stored.

        Takes a bounded time: what cannot be acknowledged by then, or belongs to a partition that
        went to another process, is given again to somebody. Doing it twice changes nothing.
        """

    @abstractmethod
    def stop(self) -> None:
        """Give nothing more, also to who is waiting; what was given can be acknowledged still."""
