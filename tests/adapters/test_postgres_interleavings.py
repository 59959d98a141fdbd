"""Whoever's statement comes first: nothing is lost, duplicated or sent after its cancellation.

Two workers, or a worker and an owner, do one thing each to the same delivery, and their statements
are shuffled in every way that there is.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import asyncpg
import pytest
from attrs import define
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.memory import ManualClock
from notification_adapters.sql.postgres import open_postgres
from notification_adapters.sql.postgres.database import open_database
from notification_adapters.sql.postgres.driver import driver_of
from notification_adapters.sql.postgres.server import PostgresConnection
from notification_core.concurrency.ids import IdGenerator
from tests.adapters.interleaving import orders
from tests.adapters.two_at_once import ACTS, PAIRS, Stage
from tests.contracts.harness import standing_still
from tests.support.postgres_server import CIPHER, PostgresServer

_BLOCKED = "SELECT cardinality(pg_blocking_pids($1)) > 0"


@define
class PostgresStage(Stage):
    """A stage whose operator asks the server who waits."""

    operator: PostgresConnection

    async def waits(self, session: int) -> bool:
        """Tell whether a session waits for a lock of another one."""
        return bool(await self.operator.fetchval(_BLOCKED, session))

    def session_of(self, connection: AsyncConnection) -> int:
        """Return the process that serves a connection."""
        return driver_of(connection).get_server_pid()


@asynccontextmanager
async def _opened(postgres: PostgresServer) -> AsyncGenerator[PostgresStage]:
    clock = ManualClock()
    ids, now = IdGenerator(clock), standing_still(clock)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        name = await enter(postgres.database())
        with suppress(asyncpg.InsufficientPrivilegeError):  # then a deadlock just takes longer
            await postgres.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '10ms'")
        server = postgres.server(name)
        yield PostgresStage(
            clock,
            ids,
            await enter(open_postgres(server, CIPHER, clock, ids, now)),
            [await enter(open_database(server, now)) for _ in range(2)],
            await enter(postgres.connected(name)),
        )


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """Run all that happens here in one loop, so that the connections are opened once."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def stage(runner: asyncio.Runner, postgres: PostgresServer) -> Iterator[PostgresStage]:
    """Give one stage for all."""
    opened = _opened(postgres)
    yield runner.run(opened.__aenter__())
    runner.run(opened.__aexit__(None, None, None))


@pytest.mark.parametrize(("begins", "one", "other"), PAIRS)
def test_in_every_order(
    runner: asyncio.Runner, stage: PostgresStage, begins: str, one: str, other: str
) -> None:
    stops = [ACTS[name].stops for name in (one, other)]
    for order in orders(*map(len, stops)):
        runner.run(stage.in_this_order(begins, (one, other), stops, order))
