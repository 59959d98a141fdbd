"""The driver's errors in the words of the ports, at one edge."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from notification_adapters.sql.sqlite.driver import CommitFailed
from notification_core.errors import (
    NotificationError,
    StorageUnavailable,
    StorageUnusable,
    UnknownCommit,
)

# The extended codes carry more in their upper bits.
_PRIMARY_CODE = 0xFF

_AWAY = {
    sqlite3.SQLITE_BUSY: "The database is busy: another process holds it.",
    sqlite3.SQLITE_LOCKED: "The database is locked by another statement.",
    sqlite3.SQLITE_NOMEM: "There is not enough memory for the database.",
    sqlite3.SQLITE_READONLY: "The database is read-only.",
    sqlite3.SQLITE_INTERRUPT: "The database was interrupted.",
    sqlite3.SQLITE_IOERR: "The database's disk cannot be read or written.",
    sqlite3.SQLITE_FULL: "The database's disk is full.",
    sqlite3.SQLITE_CANTOPEN: "The database's file cannot be opened.",
    sqlite3.SQLITE_PROTOCOL: "The database's locks are contended.",
}
_BROKEN = {
    sqlite3.SQLITE_CORRUPT: "The database is corrupt: restore it from a backup.",
    sqlite3.SQLITE_NOTADB: "The file is not an SQLite database.",
}
_CERTAINLY_NOT_COMMITTED = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY}
)


@contextmanager
def map_errors() -> Iterator[None]:
    """Raise what the driver raises as :class:`StorageUnavailable` or :class:`StorageUnusable`.

    For a commit whose outcome may be unknown that is :class:`UnknownCommit`. What none of them fits
    is a mistake of ours and passes as it is.
    """
    try:
        yield
    except PoolTimeout as error:
        raise StorageUnavailable("No connection to the database became free in time.") from error
    except (sqlite3.Error, DBAPIError) as error:
        if mapped := _mapped(error):
            raise mapped from error
        raise
    except CommitFailed as failed:
        raise _mapped(failed.error, commits=True) or failed.error from failed


def _mapped(error: BaseException, *, commits: bool = False) -> NotificationError | None:
    original = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(original, "sqlite_errorcode", 0) & _PRIMARY_CODE
    if code in _BROKEN:
        return StorageUnusable(_BROKEN[code])
    if code not in _AWAY:
        return None
    if commits and code not in _CERTAINLY_NOT_COMMITTED:
        return UnknownCommit(f"{_AWAY[code]} Whether the commit happened is not known.")
    return StorageUnavailable(_AWAY[code])
