"""The driver's errors in the words of the ports, at one edge."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError

from notification_core.errors import (
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


class CommitFailed(Exception):
    """A commit raised an error: whether it happened may be unknown."""

    def __init__(self, error: sqlite3.Error) -> None:
        super().__init__(str(error))
        self.error = error


DRIVER_ERRORS: Final = (sqlite3.Error, DBAPIError, CommitFailed)


@contextmanager
def map_errors() -> Iterator[None]:
    """Raise what the driver raises as :func:`mapped_error` says."""
    try:
        yield
    except DRIVER_ERRORS as error:
        if mapped := mapped_error(error):
            raise mapped from error
        raise


def mapped_error(error: Exception) -> Exception | None:
    """Return :class:`StorageUnavailable` or :class:`StorageUnusable` for one of ``DRIVER_ERRORS``.

    For a commit whose outcome may be unknown that is :class:`UnknownCommit`. What none of them fits
    is a mistake of ours: None, or what the commit raised.
    """
    commits = isinstance(error, CommitFailed)
    original = error.error if isinstance(error, CommitFailed) else getattr(error, "orig", error)
    code = getattr(original, "sqlite_errorcode", 0) & _PRIMARY_CODE
    if code in _BROKEN:
        return StorageUnusable(_BROKEN[code])
    if code not in _AWAY:
        return original if commits else None
    if commits and code not in _CERTAINLY_NOT_COMMITTED:
        return UnknownCommit(f"{_AWAY[code]} Whether the commit happened is not known.")
    return StorageUnavailable(_AWAY[code])
