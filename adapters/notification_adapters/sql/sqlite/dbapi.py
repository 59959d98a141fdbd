"""Connections of ours for SQLAlchemy, by its own adapter for asyncio drivers."""

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa
from sqlalchemy.connectors.asyncio import AsyncAdapt_dbapi_connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from notification_adapters.sql.sqlite.driver import SqliteConnection

if TYPE_CHECKING:
    from sqlalchemy.connectors.asyncio import AsyncIODBAPIConnection


class AdaptedSqliteConnection(AsyncAdapt_dbapi_connection):
    """A connection of ours, as SQLAlchemy's dialect for SQLite wants it."""

    __slots__ = ()

    def create_function(self, *arguments: Any, **named: Any) -> None:
        """Have SQL call a function of Python: the dialect makes some for each connection."""
        self.run_async(
            lambda driver: driver.run(lambda raw: raw.create_function(*arguments, **named))
        )

    def terminate(self) -> None:
        """Close a connection that was forgotten: nothing can be awaited here."""
        self.driver_connection.stop()


def engine_of(connect: Callable[[], sqlite3.Connection]) -> AsyncEngine:
    """Return an engine whose connections are ours, over what ``connect`` opens in its thread."""

    def open_connection() -> AdaptedSqliteConnection:
        driver = SqliteConnection(connect)
        adapted = AdaptedSqliteConnection(sqlite3, cast("AsyncIODBAPIConnection", driver))
        adapted.run_async(SqliteConnection.open)
        return adapted

    engine = create_async_engine(
        "sqlite+aiosqlite://",
        creator=open_connection,
        poolclass=NullPool,
        hide_parameters=True,  # errors are logged, and these are customers' data
    )
    sa.event.listen(engine.sync_engine, "handle_error", _keep)
    return engine


def _keep(context: sa.ExceptionContext) -> None:
    """Have a connection kept though the caller of its statement was cancelled.

    SQLAlchemy would close it; the pool waits for the statement to end, and rolls back.
    """
    context.is_disconnect = False
