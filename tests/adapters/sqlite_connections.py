"""A look at SQLite's connections: what is set on each, what work it does, how it reads."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import AdaptedConnection

from notification_adapters.sql import SqlStorage
from notification_adapters.sql.sqlite.connections import Work


@contextmanager
def pragma(text: str) -> Iterator[None]:
    """Run a pragma on every connection that is opened meanwhile."""
    with _on_connect(lambda raw: raw.execute(f"PRAGMA {text}")):
        yield


class Steps:
    """Counts the steps of SQLite's virtual machine, in hundreds: its work, whatever the host."""

    def __init__(self) -> None:
        self.hundreds = 0

    def __call__(self) -> int:
        self.hundreds += 1
        return 0


@contextmanager
def counted_steps() -> Iterator[Steps]:
    """Count the work of every connection that is opened meanwhile."""
    steps = Steps()

    with _on_connect(lambda raw: raw.set_progress_handler(steps, 100)):
        yield steps


@contextmanager
def _on_connect(work: Work[object]) -> Iterator[None]:
    def configure(connection: AdaptedConnection, _: object) -> None:
        connection.run_async(lambda driver: driver.run(work))

    sa.event.listen(sa.Pool, "connect", configure)
    try:
        yield
    finally:
        sa.event.remove(sa.Pool, "connect", configure)


@asynccontextmanager
async def plans(storage: SqlStorage) -> AsyncIterator[list[str]]:
    """Give a list that has, once the block has ended, how SQLite reads for all that was asked.

    It is of the statements that go through SQLAlchemy, a line for each table.
    """
    said: list[tuple[str, Any]] = []
    lines: list[str] = []

    def note(*happened: Any) -> None:
        _, _, statement, values, *_ = happened
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            said.append((statement, values))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield lines
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    async with storage.database.read_transaction() as connection:
        for statement, values in said:
            plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            lines += [row.detail for row in plan if row.detail.startswith(("SEARCH", "SCAN"))]
