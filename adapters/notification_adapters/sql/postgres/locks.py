"""The worker's lock on PostgreSQL: an advisory lock that lasts as long as its session."""

from collections.abc import Collection
from contextlib import suppress
from typing import Final
from uuid import UUID

from notification_adapters.sql.database import Database
from notification_adapters.sql.postgres.driver import fetch
from notification_adapters.sql.postgres.errors import map_errors
from notification_adapters.sql.postgres.session import Session
from notification_core.errors import WorkerLockTaken
from notification_core.ports.clock import Clock
from notification_core.ports.worker_lock import WorkerLock

BETWEEN_LOOKS: Final = 2.0
"""Seconds for which a lock must be missing: after a restart of the server the living need some."""

_LOCK: Final = "SELECT pg_try_advisory_lock($1)"
_UNLOCK: Final = "SELECT pg_advisory_unlock($1)"
_ADVISORY: Final = """
FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database AND d.datname = current_database()
WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
"""
_KEY: Final = "l.classid::bigint << 32 | l.objid::bigint"
_LOCKED: Final = f"SELECT {_KEY} {_ADVISORY}"
_END_HOLDER: Final = f"SELECT bool_or(pg_terminate_backend(l.pid)) {_ADVISORY} AND {_KEY} = $1"


def lock_key(worker: UUID) -> int:
    """Return the number that a worker's lock goes by: the random half of its id."""
    return int.from_bytes(worker.bytes[8:], signed=True)


class SessionWorkerLock(WorkerLock):
    """A worker's lock on a session of its own, and a look at those of others."""

    def __init__(self, session: Session, database: Database, clock: Clock) -> None:
        self._session = session
        self._database = database
        self._clock = clock
        self._worker: UUID | None = None
        self._former: UUID | None = None
        self._missing: dict[UUID, float] = {}

    async def acquire(self, worker: UUID) -> None:
        """Take the lock of this worker, beside those of all others."""
        if self._session.gone.is_set():
            self._worker = None
            # What was missing before says nothing of a server that has been away.
            self._missing = {}
        with map_errors():
            await self._session.open()
            if self._worker is None and self._former not in {None, worker}:
                # The server may not know yet that the session is gone: what it held waits for us.
                await self._session.ask(_END_HOLDER, lock_key(self._former))
            if self._worker not in {None, worker}:
                await self._session.ask(_UNLOCK, lock_key(self._worker))
            if self._worker != worker and not await self._takes(worker):
                raise WorkerLockTaken("Another session holds the lock of this worker.")
        self._worker = self._former = worker

    async def _takes(self, worker: UUID) -> bool:
        key = lock_key(worker)
        if await self._session.ask(_LOCK, key):
            return True
        if worker == self._former:
            # A session that we lost and the server has not: it ends, and the next try gets it.
            await self._session.ask(_END_HOLDER, key)
        return False

    async def lost(self) -> None:
        """Return once the session is gone, and the lock with it."""
        await self._session.gone.wait()

    async def release(self) -> None:
        """Give the lock back; does nothing where none is held."""
        worker, self._worker, self._former = self._worker, None, None
        if worker is not None and not self._session.gone.is_set():
            with suppress(Exception):  # a session that is gone has let go of its lock
                await self._session.ask(_UNLOCK, lock_key(worker))
        await self._session.close()

    async def dead(self) -> Collection[UUID]:
        """Return the workers that own leases and whose lock was missing in two looks."""
        if self._worker is None or self._session.gone.is_set():
            return frozenset()
        async with self._database.read_transaction() as connection:
            owners = set(await self._database.dialect.lease_owners(connection)) - {self._worker}
            locked = {key for (key,) in await fetch(connection, _LOCKED)} if owners else set()
        now = self._clock.monotonic()
        missing = [one for one in owners if lock_key(one) not in locked]
        self._missing = {one: self._missing.get(one, now) for one in missing}
        return {one for one, since in self._missing.items() if now - since >= BETWEEN_LOOKS}
