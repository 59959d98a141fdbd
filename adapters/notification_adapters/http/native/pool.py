"""Idle connections: kept for two seconds, and so many of them in all."""

import asyncio
from collections import OrderedDict

from notification_adapters.http.limits import IDLE
from notification_adapters.http.native.connection import Connection
from notification_adapters.http.native.requests import Origin

MAX_IDLE = 512
"""As many as there are requests in flight by default.

An origin has no bound of its own: where many webhooks lead to one, connections that were kept
below what is in flight would be opened anew over and over.
"""

_IDLE = IDLE.total_seconds()


class Pool:
    """Keeps clean connections for a next request to their origin; the last one in is first out."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._since: OrderedDict[Connection, float] = OrderedDict()  # the oldest is the first
        self._of: dict[Origin, list[Connection]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def take(self, origin: Origin) -> Connection | None:
        """Return a connection that can be used now, None where there is none."""
        now = self._loop.time()
        while (resting := self._of.get(origin)) is not None:
            connection = resting.pop()
            if not resting:
                del self._of[origin]
            rested = now - self._since.pop(connection)
            if rested < _IDLE and connection.is_open(rested):
                return connection
            connection.abort()
        return None

    def give_back(self, connection: Connection) -> None:
        """Keep a connection if it can be used again, and end it otherwise."""
        if not connection.is_clean:
            connection.abort()
            return
        now = self._loop.time()
        self._since[connection] = now
        self._of.setdefault(connection.origin, []).append(connection)
        if len(self._since) > MAX_IDLE:
            self._drop(next(iter(self._since)))
        if self._timer is None:
            self._timer = self._loop.call_at(now + _IDLE, self._expire)

    def close(self) -> None:
        """End all of them now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for connection in self._since:
            connection.abort()
        self._since.clear()
        self._of.clear()

    def _expire(self) -> None:
        """End those that have rested for too long, and come back when the next one will have."""
        self._timer = None
        now = self._loop.time()
        while self._since:
            connection, since = next(iter(self._since.items()))
            if since + _IDLE > now:
                self._timer = self._loop.call_at(since + _IDLE, self._expire)
                return
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        del self._since[connection]
        resting = self._of[connection.origin]
        resting.remove(connection)
        if not resting:
            del self._of[connection.origin]
        connection.close()
