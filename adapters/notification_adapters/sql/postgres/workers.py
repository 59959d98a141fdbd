"""The worker's lock on PostgreSQL: an advisory lock that lasts as long as its session."""

from collections.abc import Collection
from contextlib import suppress
from typing import Final
from uuid import UUID

from notification_adapters.sql.engine import Database
from notification_adapters.sql.postgres.driver import fetch
from notification_adapters.sql.postgres.errors import map_errors
from notification_adapters.sql.postgres.keys import lock_key
from notification_adapters.sql.postgres.server import Connection, Server
from notification_core.errors import WorkerLockTaken
from notification_core.ports.clock import Clock
from notification_core.ports.workers import WorkerLock

BETWEEN_LOOKS: Final = 2.0
"""Seconds for which a lock must be missing: after a restart of the server the living need some."""

_LOCK: Final = "SELECT pg_try_advisory_lock($1)"
_UNLOCK: Final = "SELECT pg_advisory_unlock($1)"
_LOCKED: Final = """
SELECT l.classid::bigint << 32 | l.objid::bigint FROM pg_locks AS l
JOIN pg_database AS d ON d.oid = l.database AND d.datname = current_database()
WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
"""


class SessionWorkerLock(WorkerLock):
    """A worker's lock on a connection of its own, and a look at those of others."""

    def __init__(self, server: Server, database: Database, clock: Clock) -> None:
        self._server = server
        self._database = database
        self._clock = clock
        self._worker: UUID | None = None
        self._session: Connection | None = None
        self._missing: dict[UUID, float] = {}

    async def acquire(self, worker: UUID) -> None:
        """Take the lock of this worker, beside those of all others."""
        with map_errors():
            if self._session is None or self._session.is_closed():
                self._session = await self._server.connect_directly()
                self._worker = None
            if self._worker not in {None, worker}:
                await self._session.execute(_UNLOCK, lock_key(self._worker))
            if self._worker != worker and not await self._session.fetchval(_LOCK, lock_key(worker)):
                raise WorkerLockTaken("Another session holds the lock of this worker.")
        self._worker = worker

    async def release(self) -> None:
        """Give the lock back; does nothing where none is held."""
        session, worker = self._session, self._worker
        self._session = self._worker = None
        if session is None:
            return
        if worker is not None:
            with suppress(Exception):  # a session that is gone has let go of its lock
                await session.execute(_UNLOCK, lock_key(worker))
        session.terminate()

    async def dead(self) -> Collection[UUID]:
        """Return the workers that own leases and whose lock was missing in two looks."""
        if self._worker is None:
            return frozenset()
        async with self._database.reading() as connection:
            owners = set(await self._database.steps.owners(connection)) - {self._worker}
            locked = {key for (key,) in await fetch(connection, _LOCKED)} if owners else set()
        now = self._clock.monotonic()
        missing = [one for one in owners if lock_key(one) not in locked]
        self._missing = {one: self._missing.get(one, now) for one in missing}
        return {one for one, since in self._missing.items() if now - since >= BETWEEN_LOOKS}
