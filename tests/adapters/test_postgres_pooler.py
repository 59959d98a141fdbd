"""Behind PgBouncer in transaction mode everything works: the contracts, through a pooler."""

# ruff: noqa: F403 - a contract's tests are run here once more, over another kind of connection

from collections.abc import AsyncIterator, Iterator

import pytest
from attrs import evolve

from notification_adapters.memory import ManualClock
from notification_adapters.sql.migrations import schema
from notification_adapters.sql.postgres import (
    Server,
    migrate_postgres,
    open_postgres,
    open_postgres_database,
)
from notification_core.concurrency.ids import IdGenerator
from tests.conftest import require
from tests.contracts.harness import Harness, harness_of, sql_probe, standing_still
from tests.contracts.test_claims import *
from tests.contracts.test_dispatch_notifier import *
from tests.contracts.test_ingest import *
from tests.contracts.test_signing_keys import *
from tests.contracts.test_worker_lock import *
from tests.support.postgres_server import CIPHER, PostgresServer, find_pgbouncer, pgbouncer

HOW_TO_GET_IT = "PgBouncer is not here: apt-get install pgbouncer."


@pytest.fixture(scope="session")
def pooler(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """Run a pooler before the tests' server; gives the server as it is seen through it."""
    program = find_pgbouncer()
    require(program, HOW_TO_GET_IT)
    assert program
    with pgbouncer(postgres, program) as port:
        yield PostgresServer(f"postgresql://postgres@127.0.0.1:{port}/postgres")


def _behind(pooler: PostgresServer, postgres: PostgresServer, database: str) -> Server:
    """Return a database as a service behind the pooler is told of it."""
    return evolve(
        pooler.server(database),
        direct_uri=postgres.database_uri(database),
        prepared_statements=False,
        pool_size=8,
    )


@pytest.fixture
async def harness(pooler: PostgresServer, postgres: PostgresServer) -> AsyncIterator[Harness]:
    """Two storages that reach one database through the pooler, with more clients than it has."""
    clock = ManualClock()
    ids, now = IdGenerator(clock), standing_still(clock)
    async with postgres.database() as database:
        server = _behind(pooler, postgres, database)
        async with (
            open_postgres(server, CIPHER, clock, ids, now) as storage,
            open_postgres(server, CIPHER, clock, ids, now) as rival,
        ):
            yield evolve(
                harness_of(storage, rival, clock, ids, sql_probe(storage)), one_dispatcher=False
            )


async def test_a_schema_of_its_own_is_migrated_and_used_through_the_pooler(
    pooler: PostgresServer, postgres: PostgresServer
) -> None:
    async with postgres.database(empty=True) as database:
        server = evolve(_behind(pooler, postgres, database), schema="notifications")
        await migrate_postgres(server, CIPHER)
        await migrate_postgres(server, CIPHER)
        async with open_postgres_database(server) as opened:
            await schema.check_schema(opened)
        async with postgres.connected(database) as connection:
            found = "SELECT count(*) FROM pg_tables WHERE schemaname = $1"
            assert await connection.fetchval(found, "notifications") > 5
            assert await connection.fetchval(found, "public") == 0
