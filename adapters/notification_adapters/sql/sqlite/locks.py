"""The worker's lock beside an SQLite file."""

import asyncio
import os
import sqlite3
import sys
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

from notification_adapters.sql.database import Database
from notification_adapters.sql.stores import worker_rows
from notification_core.errors import StorageUnavailable, WorkerLockTaken
from notification_core.ports.worker_lock import WorkerLock


class FileWorkerLock(WorkerLock):
    """A lock on ``<database>.lock``: one dispatching process a file.

    It is flock's, not fcntl's: those vanish when any descriptor of the file is closed. Python
    opens descriptors so that the programs it starts do not inherit them; workers are spawned,
    never forked, since a fork would hold the lock for its dead parent.
    """

    def __init__(self, database_path: Path, database: Database) -> None:
        self._path = database_path.with_name(f"{database_path.name}.lock")
        self._database = database
        self._worker: UUID | None = None
        self._descriptor: int | None = None

    async def acquire(self, worker: UUID) -> None:
        """Take the lock; raise :class:`WorkerLockTaken` where another process has it."""
        if self._descriptor is None:
            self._descriptor = self._locked()
        self._worker = worker

    async def lost(self) -> None:
        """Never return: the lock lasts as long as the process has it open."""
        await asyncio.Event().wait()

    async def release(self) -> None:
        """Give the lock back; does nothing if none is held."""
        descriptor, self._descriptor, self._worker = self._descriptor, None, None
        if descriptor is not None:
            os.close(descriptor)

    async def dead(self) -> Collection[UUID]:
        """Return all other workers: none of them can have the lock."""
        if self._worker is None:
            return frozenset()
        async with self._database.query() as connection:
            owners = await worker_rows.owners(connection, self._database.dialect)
        return owners - {self._worker}

    def _locked(self) -> int:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageUnavailable(f"{self._path} cannot be opened: {error.strerror}.") from error
        try:
            _lock(descriptor)
        except OSError:
            os.close(descriptor)
            raise WorkerLockTaken(
                f"Another process already dispatches from this database (it holds {self._path})."
            ) from None
        return descriptor


def is_open_elsewhere(database_path: Path) -> bool:
    """Tell whether another connection to a database is open, be it one that does nothing.

    A connection in exclusive mode cannot begin beside another one (SQLite, "Write-Ahead Logging",
    section 8). It writes nothing. A file that is missing, or no database, is open nowhere.
    """
    uri = f"file:{quote(str(database_path.absolute()))}?mode=rw"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)) as raw:
            raw.execute("PRAGMA locking_mode = EXCLUSIVE")
            raw.execute("BEGIN IMMEDIATE")
            raw.execute("ROLLBACK")
    except sqlite3.DatabaseError as error:
        return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    return False


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
