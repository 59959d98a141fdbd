"""Waking other processes by NOTIFY: rarely, and never where somebody else's commit is at stake.

NOTIFY takes a lock of the whole server through its commit, and so holds up all others that notify:
a busy server commits half as often. So it is a transaction of its own, and there are few.
"""

import asyncio
from contextlib import suppress
from math import inf
from typing import Final
from uuid import uuid4

from notification_adapters.sql.postgres.pool import PostgresPool
from notification_core.ports.dispatch_notifier import DispatchNotifier

_PAUSE_SECONDS: Final = 0.005
_BUSY_PAUSE_SECONDS: Final = 0.05
_BUSY: Final = 800.0
"""So many commits a second are a busy server's: then the pauses are the longer ones."""


class PostgresNotifier(DispatchNotifier):
    """Tells others the first time at once, and then once a pause for all that came in it."""

    def __init__(self, pool: PostgresPool, channel: str) -> None:
        self._pool = pool
        # What we say ourselves comes back to us as well.
        self._name = uuid4().hex
        self._notify = f"NOTIFY \"{channel}\", '{self._name}'"
        self._commits = 0
        self._notifying: asyncio.Task[None] | None = None
        self._notified = asyncio.Event()

    def wake(self) -> None:
        """Have others notified."""
        self._commits += 1
        if self._notifying is None:
            self._notifying = asyncio.create_task(self._notify_others())

    async def wait(self) -> None:
        """Return once another process has notified."""
        await self._notified.wait()
        self._notified.clear()

    def on_notify(self, name: str) -> None:
        """Handle a notification that a session has received."""
        if name != self._name:
            self._notified.set()

    async def close(self) -> None:
        """Tell nobody any more."""
        notifying, self._notifying = self._notifying, None
        if notifying is not None:
            notifying.cancel()
            await asyncio.gather(notifying, return_exceptions=True)

    async def _notify_others(self) -> None:
        """Tell others as long as there is something to tell, with a pause after each time."""
        clock, asked = asyncio.get_running_loop().time, -inf
        while self._commits:
            commits, self._commits = self._commits, 0
            before, asked = asked, clock()
            # By the second: where notifying itself takes long, more commits come meanwhile.
            is_busy = commits >= _BUSY * (asked - before)
            with suppress(Exception):  # a hint: who does not get it polls
                async with self._pool.lend(self._notify):
                    pass
            await asyncio.sleep(_BUSY_PAUSE_SECONDS if is_busy else _PAUSE_SECONDS)
        self._notifying = None
