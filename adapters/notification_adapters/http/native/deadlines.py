"""What is waited for, and for how long."""

import asyncio
from math import inf

from notification_adapters.http.native.connection import Connection

_APART = 0.02


class Deadlines:
    """Ends what takes too long, with one timer for all of it.

    Nearly all requests end long before they must, so that theirs would only be set and cancelled.
    Whoever is late is found within 20 ms.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asked: set[Connection] = set()
        self._next = inf
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Connection) -> None:
        """Let a connection's request end when it is due."""
        self._asked.add(connection)
        if connection.due < self._next:
            self._look_at(connection.due)

    def discard(self, connection: Connection) -> None:
        """Forget a request that has ended."""
        self._asked.discard(connection)

    def close(self) -> None:
        """Look no more before something is added."""
        self._next = inf
        if self._timer is not None:
            self._timer.cancel()

    def _look_at(self, when: float) -> None:
        self.close()
        self._next = when
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        self._next = inf
        now = self._loop.time()
        to_come = [connection.due for connection in self._asked if connection.due > now]
        for connection in self._asked:
            if connection.due <= now:
                connection.expire()
        if to_come:
            self._look_at(max(min(to_come), now + _APART))
