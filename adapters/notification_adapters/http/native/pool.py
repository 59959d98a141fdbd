"""The sender's connections: idle ones are kept for a while, late ones are ended."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from math import inf
from typing import NamedTuple

from notification_adapters.http.messages import IDLE
from notification_adapters.http.native.connection import HttpConnection, HttpOrigin
from notification_adapters.http.phase_timer import PhaseTimer

MAX_IDLE = 512
"""As many as there are requests in flight by default.

An origin has no bound of its own: where many webhooks lead to one, connections that were kept
below what is in flight would be opened again and again.
"""

_IDLE = IDLE.total_seconds()
_DEADLINE_RESOLUTION = 0.02

PoolKey = tuple[HttpOrigin, Hashable]
"""Where a connection leads to, and whose requests may share it."""


class _Idle(NamedTuple):
    since: float
    key: PoolKey


class ConnectionPool:
    """Lends connections to one request each; the idle one that was used last is lent first.

    The number of idle connections is bounded over all keys together: the oldest makes room.

    A request that takes too long is ended, with one timer for all of them: nearly all end long
    before they must, so that timers of their own would only be set and cancelled. One that is late
    is found within 20 ms.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connect: Callable[[HttpOrigin, PhaseTimer], Awaitable[HttpConnection]],
    ) -> None:
        self._loop = loop
        self._connect = connect
        self._idle: OrderedDict[HttpConnection, _Idle] = OrderedDict()  # the oldest is the first
        self._idle_by_key: dict[PoolKey, list[HttpConnection]] = {}
        self._idle_timer: asyncio.TimerHandle | None = None
        self._busy: set[HttpConnection] = set()
        self._next_deadline = inf
        self._deadline_timer: asyncio.TimerHandle | None = None

    def lend_idle(self, key: PoolKey | None, deadline: float) -> HttpConnection | None:
        """Return an idle connection of the key that can be used now, None if there is none.

        Its request is ended at the ``deadline``, by the loop's clock.
        """
        if key is None:
            return None
        now = self._loop.time()
        while (idle := self._idle_by_key.get(key)) is not None:
            connection = idle.pop()
            if not idle:
                del self._idle_by_key[key]
            since = self._idle.pop(connection).since
            if now - since < _IDLE and connection.is_silent:
                self._lend(connection, deadline)
                return connection
            connection.abort()
        return None

    async def open(self, origin: HttpOrigin, deadline: float, timer: PhaseTimer) -> HttpConnection:
        """Return a new connection, with the time of its phases in ``timer``.

        Its request is ended at the ``deadline``, by the loop's clock. Raises ``TimeoutError``,
        :class:`SendingFailed`, and :class:`ResourceShort` if this host lacks something.
        """
        async with asyncio.timeout_at(deadline):
            connection = await self._connect(origin, timer)
        self._lend(connection, deadline)
        return connection

    def release(self, connection: HttpConnection, key: PoolKey | None) -> None:
        """Keep a connection that can be reused; close any other, and one without a key."""
        self._busy.discard(connection)
        if key is None or not connection.is_clean:
            connection.abort()
            return
        now = self._loop.time()
        self._idle[connection] = _Idle(now, key)
        self._idle_by_key.setdefault(key, []).append(connection)
        if len(self._idle) > MAX_IDLE:
            self._close_idle(next(iter(self._idle)))
        if self._idle_timer is None:
            self._idle_timer = self._loop.call_at(now + _IDLE, self._close_expired)

    def close(self) -> None:
        """End all idle connections now, and check no deadline before a connection is lent."""
        self._next_deadline = inf
        for timer in (self._idle_timer, self._deadline_timer):
            if timer is not None:
                timer.cancel()
        self._idle_timer = self._deadline_timer = None
        for connection in self._idle:
            connection.abort()
        self._idle.clear()
        self._idle_by_key.clear()

    def _lend(self, connection: HttpConnection, deadline: float) -> None:
        connection.deadline = deadline
        self._busy.add(connection)
        if deadline < self._next_deadline:
            self._check_deadlines_at(deadline)

    def _close_expired(self) -> None:
        """End those that were idle for too long, and return when the next one will have been."""
        self._idle_timer = None
        now = self._loop.time()
        while self._idle:
            connection, idle = next(iter(self._idle.items()))
            if idle.since + _IDLE > now:
                self._idle_timer = self._loop.call_at(idle.since + _IDLE, self._close_expired)
                return
            self._close_idle(connection)

    def _close_idle(self, connection: HttpConnection) -> None:
        key = self._idle.pop(connection).key
        idle = self._idle_by_key[key]
        idle.remove(connection)
        if not idle:
            del self._idle_by_key[key]
        connection.close()

    def _check_deadlines_at(self, when: float) -> None:
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
        self._next_deadline = when
        self._deadline_timer = self._loop.call_at(when, self._check_deadlines)

    def _check_deadlines(self) -> None:
        self._next_deadline = inf
        now = self._loop.time()
        to_come = [connection.deadline for connection in self._busy if connection.deadline > now]
        for connection in self._busy:
            if connection.deadline <= now:
                connection.expire()
        if to_come:
            self._check_deadlines_at(max(min(to_come), now + _DEADLINE_RESOLUTION))
