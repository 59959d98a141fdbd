"""Idle connections: kept for two seconds, and so many of them in all."""

import asyncio
from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple

from notification_adapters.http.limits import IDLE
from notification_adapters.http.native.connection import Connection
from notification_adapters.http.native.request import Origin

MAX_IDLE = 512
"""As many as there are requests in flight by default.

An origin has no bound of its own: where many webhooks lead to one, connections that were kept
below what is in flight would be opened anew over and over.
"""

_IDLE = IDLE.total_seconds()

PoolKey = tuple[Origin, Hashable]
"""Where a connection leads to, and whose requests may share it."""


class _Idle(NamedTuple):
    since: float
    key: PoolKey


class Pool:
    """Keeps clean connections for a next request of their key; the last one in is first out.

    The number of idle connections is bounded over all keys together: the oldest makes room.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._idle: OrderedDict[Connection, _Idle] = OrderedDict()  # the oldest is the first
        self._of: dict[PoolKey, list[Connection]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def take(self, key: PoolKey) -> Connection | None:
        """Return a connection that can be used now, None if there is none."""
        now = self._loop.time()
        while (resting := self._of.get(key)) is not None:
            connection = resting.pop()
            if not resting:
                del self._of[key]
            since = self._idle.pop(connection).since
            if now - since < _IDLE and connection.is_silent:
                return connection
            connection.abort()
        return None

    def give_back(self, connection: Connection, key: PoolKey | None) -> None:
        """Keep a connection that can be reused; close any other, and one without a key."""
        if key is None or not connection.is_clean:
            connection.abort()
            return
        now = self._loop.time()
        self._idle[connection] = _Idle(now, key)
        self._of.setdefault(key, []).append(connection)
        if len(self._idle) > MAX_IDLE:
            self._drop(next(iter(self._idle)))
        if self._timer is None:
            self._timer = self._loop.call_at(now + _IDLE, self._expire)

    def close(self) -> None:
        """End all of them now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for connection in self._idle:
            connection.abort()
        self._idle.clear()
        self._of.clear()

    def _expire(self) -> None:
        """End those that have rested for too long, and come back when the next one will have."""
        self._timer = None
        now = self._loop.time()
        while self._idle:
            connection, idle = next(iter(self._idle.items()))
            if idle.since + _IDLE > now:
                self._timer = self._loop.call_at(idle.since + _IDLE, self._expire)
                return
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        key = self._idle.pop(connection).key
        resting = self._of[key]
        resting.remove(connection)
        if not resting:
            del self._of[key]
        connection.close()
