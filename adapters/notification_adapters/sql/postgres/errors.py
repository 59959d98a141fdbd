"""The driver's errors in the words of the ports, at one edge."""

import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError

from notification_core.errors import (
    InvalidInput,
    NotificationError,
    StorageUnavailable,
    StorageUnusable,
    TransactionLost,
    UnknownCommit,
)

_LOST = {
    "40001": "The transaction was in the way of another one.",
    "40P01": "The transaction and another one waited for each other.",
    "55P03": "A lock was not to be had in time.",
    "57014": "A statement took too long.",
}
_AWAY = {
    "25006": "The database is read-only.",
    "25P03": "A transaction was left open for too long.",
    "53100": "The database's disk is full.",
    "53200": "The database has not enough memory.",
    "53300": "The database takes no more connections.",
    "57P01": "The database is being shut down.",
    "57P02": "The database has crashed and is recovering.",
    "57P03": "The database is starting.",
    "57P05": "The database closed an idle connection.",
}
_AWAY_CLASSES = {
    "08": "The connection to the database was lost.",
    "53": "The database is out of resources.",
    "57": "The database is stopped by its operator.",
    "58": "The database's disk cannot be read or written.",
}
_AWAY_WITHOUT_STATE = (
    (TimeoutError, "The database does not answer in time."),
    (
        asyncpg.TargetServerAttributeNotMatched,
        "No host of the database accepts writes (target_session_attrs).",
    ),
)
_UNUSABLE = {
    "28000": "Authentication failed for the database user ({reason}).",
    "28P01": "The database refuses the user's password ({reason}).",
    "3D000": "The database does not exist ({reason}); create it first.",
    "42501": "The database's user lacks a permission ({reason}).",
    "XX001": "The database is corrupt: restore it from a backup.",
    "XX002": "The database is corrupt: restore it from a backup.",
}
_NUL_IN_TEXT = "22021"
_CONNECTION_CLASSES = ("08", "57")

DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    DBAPIError,
    OSError,
)

CONNECTION_LOST = (
    OSError,  # a timeout included
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
)
"""What a connection raises that was cut, or hangs: the same may well work on another one."""


@contextmanager
def map_errors(*, commits: bool = False) -> Iterator[None]:
    """Do as :func:`raise_mapped` for what is raised within."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise_mapped(error, commits=commits)
        raise


def raise_mapped(error: BaseException, *, commits: bool = False) -> None:
    """Raise what the driver raised as :class:`StorageUnavailable` or :class:`StorageUnusable`.

    With ``commits`` its outcome may be unknown (:class:`UnknownCommit`), unless the server itself
    says what was wrong, and is not about to go: then it has rolled back. What none of them fits is
    a mistake of ours: this returns, and it passes as it is.
    """
    mapped = _mapped(error) if isinstance(error, DRIVER_ERRORS) else None
    if mapped is None:
        return
    if commits and isinstance(mapped, StorageUnavailable):
        state = _state(error)
        if not state or state.startswith(_CONNECTION_CLASSES):
            mapped.__cause__ = error
            raise UnknownCommit(f"{mapped} Whether the commit happened is not known.") from mapped
    raise mapped from error


@contextmanager
def map_begin_errors() -> Iterator[None]:
    """Raise :class:`StorageUnavailable` where a standby is asked to begin to write.

    It says that this is a feature that it does not have, which anywhere else is a mistake of ours.
    """
    try:
        yield
    except asyncpg.FeatureNotSupportedError as error:
        raise StorageUnavailable(_AWAY["25006"]) from error


def is_of_the_driver(error: BaseException) -> bool:
    """Tell whether a connection on which this happened had better be opened again."""
    return isinstance(error, DRIVER_ERRORS) or isinstance(error.__cause__, DRIVER_ERRORS)


def _mapped(error: BaseException) -> NotificationError | None:
    state = _state(error)
    if state in _LOST:
        return TransactionLost(_LOST[state])
    if state in _UNUSABLE:
        reason = str(_original(error)).partition("\n")[0]
        return StorageUnusable(_UNUSABLE[state].format(reason=reason))
    if state == _NUL_IN_TEXT:
        return InvalidInput("A text holds U+0000, which the database does not take.")
    if state:
        sentence = _AWAY.get(state) or _AWAY_CLASSES.get(state[:2])
        return StorageUnavailable(sentence) if sentence else None
    return _without_state(_original(error))


def _cause(error: OSError) -> str:
    """Return why there is no connection, in the operating system's words without its numbers."""
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    return os.strerror(error.errno).lower() if error.errno else "no address of it accepts any"


def _without_state(error: BaseException | None) -> NotificationError | None:
    """Check what the server did not say: what happened on the way to it."""
    for kind, sentence in _AWAY_WITHOUT_STATE:
        if isinstance(error, kind):
            return StorageUnavailable(sentence)
    if isinstance(error, asyncpg.ClientConfigurationError):
        return StorageUnusable(f"The database's URI is wrong: {error}")
    if isinstance(error, ssl.SSLError):
        return StorageUnavailable(f"The database's TLS is not as it should be: {error.reason}.")
    if isinstance(error, OSError):
        return StorageUnavailable(f"The database cannot be reached: {_cause(error)}.")
    # What the server says just before it hangs up finds asyncpg unprepared.
    if isinstance(error, asyncpg.InternalClientError) or "closed" in str(error):
        return StorageUnavailable("The connection to the database was lost.")
    return None


def _state(error: BaseException | None) -> str:
    return getattr(_original(error), "sqlstate", None) or ""


def _original(error: BaseException | None) -> BaseException | None:
    """Return what asyncpg raised, which SQLAlchemy wraps twice."""
    if not isinstance(error, DBAPIError):
        return error
    return error.orig and (error.orig.__cause__ or error.orig)
