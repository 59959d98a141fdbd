"""Receivers that keep account of what they answered, for the checker."""

import asyncio
from collections.abc import Callable, Sequence

from attrs import define, field

from tests.faults.history import Seen
from tests.faults.verification import as_seen
from tests.support.receivers import ReceivedRequest, Receiver

Manner = Callable[[], tuple[float, int]]
"""Chooses how many seconds a request waits for its response, and the status of that."""


@define
class Accounts:
    """What receivers were sent and what they answered."""

    receivers: list[Receiver] = field(factory=list)
    _answered: dict[int, int] = field(factory=dict)

    def receiver(self, manner: Manner) -> Receiver:
        """Return a receiver that answers in its manner, to be opened; it keeps account here."""

        async def respond(request: ReceivedRequest) -> int:
            seconds, status = manner()
            await asyncio.sleep(seconds)
            self._answered[id(request)] = status
            return status

        receiver = Receiver(respond)
        self.receivers.append(receiver)
        return receiver

    @property
    def requests(self) -> Sequence[ReceivedRequest]:
        """All that came, anywhere."""
        return [request for receiver in self.receivers for request in receiver.requests]

    def seen(self, public_key: str) -> Sequence[Seen]:
        """Return the account of all that came, verified with this key."""
        return [
            as_seen(request, public_key, self._answered.get(id(request)))
            for request in self.requests
        ]
