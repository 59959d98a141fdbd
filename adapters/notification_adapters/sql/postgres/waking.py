"""Waking other processes by NOTIFY: rarely, and never where somebody else's commit is at stake.

NOTIFY takes a lock of the whole server through its commit, and so holds up all others that notify:
a busy server commits half as often. So it is a transaction of its own, and there are few.
"""

import asyncio
from contextlib import suppress
from typing import Final
from uuid import uuid4

from notification_adapters.sql.postgres.pool import Pool
from notification_core.ports.waking import Waking

_SHORTEST_PAUSE: Final = 0.003
_LONGEST_PAUSE: Final = 0.05


class NotifyWaking(Waking):
    """Tells others the first time at once, and then once a pause for all that came in it.

    The pause doubles while several commits come in one, and shrinks again while they do not: who
    publishes now and then is heard of at once, and a busy server notifies 20 times a second.
    """

    def __init__(self, pool: Pool, channel: str) -> None:
        self._pool = pool
        # What we say ourselves comes back to us as well.
        self._name = uuid4().hex
        self._notify = f"NOTIFY \"{channel}\", '{self._name}'"
        self._commits = 0
        self._telling: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()

    def wake(self) -> None:
        """Have others told."""
        self._commits += 1
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell())

    async def woken(self) -> None:
        """Return once another process has told."""
        await self._heard.wait()
        self._heard.clear()

    def hear(self, name: str) -> None:
        """Take in what a session was told."""
        if name != self._name:
            self._heard.set()

    async def close(self) -> None:
        """Tell nobody any more."""
        telling, self._telling = self._telling, None
        if telling is not None:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _tell(self) -> None:
        """Tell others as long as there is something to tell, with a pause after each time."""
        pause = _SHORTEST_PAUSE
        while self._commits:
            commits, self._commits = self._commits, 0
            with suppress(Exception):  # a hint: who does not get it polls
                async with self._pool.lend(self._notify):
                    pass
            pause = (
                min(2 * pause, _LONGEST_PAUSE) if commits > 1 else max(pause / 2, _SHORTEST_PAUSE)
            )
            await asyncio.sleep(pause)
        self._telling = None
