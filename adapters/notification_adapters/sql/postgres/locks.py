"""The worker's lock on PostgreSQL: an advisory lock that lasts as long as its session."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final
from uuid import UUID

from notification_adapters.sql.database import Database
from notification_adapters.sql.postgres.driver import fetch
from notification_adapters.sql.postgres.errors import map_errors
from notification_adapters.sql.postgres.server import PostgresConnection, Server
from notification_adapters.sql.stores import worker_rows
from notification_core.errors import WorkerLockTaken
from notification_core.ports.clock import Clock
from notification_core.ports.worker_lock import WorkerLock

BETWEEN_LOOKS: Final = 2.0
"""Seconds for which a lock must be missing: after a restart of the server the living need some."""

_BEAT_SECONDS: Final = 1.0
_RESPONSE_SECONDS: Final = 2.0

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


class LockSession:
    """A connection past any pooler; ``gone`` is set once it is lost or was never opened."""

    def __init__(self, server: Server, channel: str, on_notify: Callable[[str], None]) -> None:
        self._server = server
        self._channel = channel
        self._on_notify = on_notify
        self._connection: PostgresConnection | None = None
        self._beating: asyncio.Task[None] | None = None
        self._talking = asyncio.Lock()
        self.gone = asyncio.Event()
        self.gone.set()

    async def open(self) -> None:
        """Connect again unless it is connected, and listen."""
        if not self.gone.is_set():
            return
        await self.close()
        connection = self._connection = await self._server.connect_directly()
        connection.add_termination_listener(self._ended)
        async with asyncio.timeout(_RESPONSE_SECONDS):
            await connection.add_listener(self._channel, self._on_notification)
        self.gone.clear()
        self._beating = asyncio.create_task(self._beat(connection))

    async def ask(self, statement: str, *values: object) -> object:
        """Run a statement; return its first value."""
        connection = self._connection
        assert connection is not None  # noqa: S101 - for the type checker: it was opened
        async with self._talking:  # the driver takes one question at a time
            return await connection.fetchval(statement, *values, timeout=_RESPONSE_SECONDS)

    async def close(self) -> None:
        """Let the connection go, and with it the lock."""
        connection, self._connection = self._connection, None
        beating, self._beating = self._beating, None
        if beating is not None:
            beating.cancel()
        if connection is not None:
            connection.remove_termination_listener(self._ended)
            connection.terminate()
        self.gone.set()

    def _on_notification(self, _: object, pid: int, channel: str, payload: object) -> None:  # noqa: ARG002 - as asyncpg calls
        self._on_notify(str(payload))

    def _ended(self, _: object) -> None:
        self.gone.set()

    async def _beat(self, connection: PostgresConnection) -> None:
        """Find out soon that the other side is gone without a word."""
        with suppress(Exception):  # whatever is wrong with it, it is lost then
            while True:
                await asyncio.sleep(_BEAT_SECONDS)
                async with self._talking:
                    await connection.fetchval("SELECT 1", timeout=_RESPONSE_SECONDS)
        connection.terminate()
        self.gone.set()


class SessionWorkerLock(WorkerLock):
    """A worker's lock on a session of its own, and a look at those of others."""

    def __init__(self, session: LockSession, database: Database, clock: Clock) -> None:
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
            # What was missing before says nothing of a server that was unreachable.
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
        """Give the lock back; does nothing if none is held."""
        worker, self._worker, self._former = self._worker, None, None
        if worker is not None and not self._session.gone.is_set():
            with suppress(Exception):  # a session that is gone has let go of its lock
                await self._session.ask(_UNLOCK, lock_key(worker))
        await self._session.close()

    async def dead(self) -> Collection[UUID]:
        """Return the workers whose lock was missing in two looks."""
        if self._worker is None or self._session.gone.is_set():
            return frozenset()
        async with self._database.read_transaction() as connection:
            owners = await worker_rows.owners(connection, self._database.dialect) - {self._worker}
            locked = {key for (key,) in await fetch(connection, _LOCKED)} if owners else set()
        now = self._clock.monotonic()
        missing = [owner for owner in owners if lock_key(owner) not in locked]
        self._missing = {owner: self._missing.get(owner, now) for owner in missing}
        return {owner for owner, since in self._missing.items() if now - since >= BETWEEN_LOOKS}
