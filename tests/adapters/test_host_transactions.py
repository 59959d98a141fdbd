"""What is told of transactions that a host commits, or does not."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from notification_adapters.sql.host_transactions import CommitHooks
from tests.support.waiting import until


class Told:
    """Counts how often it is told."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1

    async def once(self) -> bool:
        return self.times == 1


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[AsyncConnection]:
    """Open a connection of a host's."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/host.sqlite")
    async with engine.connect() as connection:
        await connection.exec_driver_sql("CREATE TABLE customers (id INTEGER PRIMARY KEY)")
        await connection.commit()
        yield connection
    await engine.dispose()


@pytest.fixture
async def commits() -> AsyncIterator[CommitHooks]:
    commits = CommitHooks()
    yield commits
    await commits.close()


async def test_a_commit_is_told_of_though_the_host_goes_on_at_once(
    connection: AsyncConnection, commits: CommitHooks
) -> None:
    told = Told()
    await connection.execute(sa.text("INSERT INTO customers VALUES (1)"))
    commits.after(connection, told)
    await connection.commit()
    await connection.execute(sa.text("INSERT INTO customers VALUES (2)"))
    await until("it is told of", told.once)
    await connection.commit()
    await asyncio.sleep(0)
    assert told.times == 1


async def test_a_commit_that_failed_is_not_told_of_though_the_host_rolls_back_at_once(
    connection: AsyncConnection, commits: CommitHooks
) -> None:
    await connection.exec_driver_sql("PRAGMA foreign_keys = ON")
    await connection.exec_driver_sql(
        "CREATE TABLE orders (customer INTEGER REFERENCES customers DEFERRABLE INITIALLY DEFERRED)"
    )
    await connection.commit()
    failed, committed = Told(), Told()
    await connection.execute(sa.text("INSERT INTO orders VALUES (1)"))
    commits.after(connection, failed)
    with pytest.raises(IntegrityError):
        await connection.commit()
    await connection.rollback()
    await connection.exec_driver_sql("ROLLBACK")  # SQLAlchemy takes it for rolled back already
    await connection.execute(sa.text("INSERT INTO customers VALUES (1)"))
    commits.after(connection, committed)
    await connection.commit()
    await until("the later one is told of", committed.once)
    assert failed.times == 0


async def test_a_connection_that_publishes_often_gathers_no_listeners(
    connection: AsyncConnection, commits: CommitHooks
) -> None:
    assert connection.sync_connection is not None
    events, dialect = connection.sync_connection.dispatch, connection.dialect
    for end in (connection.commit, connection.rollback):
        for number in range(5):
            told = Told()
            await connection.execute(sa.text("INSERT INTO customers VALUES (:n)"), {"n": number})
            commits.after(connection, told)
            await end()
        await connection.execute(sa.text("DELETE FROM customers"))
        await connection.commit()

    async def nobody_listens() -> bool:
        return not [*events.commit, *events.rollback, *dialect.dispatch.handle_error]

    await until("nobody listens", nobody_listens)
