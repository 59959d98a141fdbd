"""The tables can be partitioned by environment: the storage contract, on hash partitions.

What is not for every run is in ``test_postgres_partitions_long.py``.
"""

# ruff: noqa: F403 - a contract's tests are run here once more, over another kind of connection

from collections.abc import AsyncIterator

import pytest
from attrs import evolve

from notification_adapters.memory import ManualClock
from notification_adapters.sql.postgres import open_postgres
from notification_adapters.sql.tables import SCHEMA
from notification_core.concurrency.ids import IdGenerator
from tests.contracts.harness import TOPICS, Harness, harness_of, sql_probe, standing_still
from tests.contracts.test_claims import *
from tests.contracts.test_ingest import *
from tests.contracts.test_results import *
from tests.support.postgres_server import CIPHER, PostgresServer

PARTITIONS = 3
OF_A_TENANT = [
    table.name for table in SCHEMA.sorted_tables if "environment_id" in table.primary_key.columns
]


def _partitioned(table: str) -> str:
    """Return the script that replaces a plain table by a partitioned one."""
    parts = "".join(
        f"CREATE TABLE {table}_{number} PARTITION OF {table} "
        f"FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {number});"
        for number in range(PARTITIONS)
    )
    return (
        f"ALTER TABLE {table} RENAME TO {table}_plain;"
        f"CREATE TABLE {table} (LIKE {table}_plain INCLUDING DEFAULTS INCLUDING INDEXES) "
        f"PARTITION BY HASH (environment_id); {parts} DROP TABLE {table}_plain;"
    )


@pytest.fixture
async def harness(postgres: PostgresServer) -> AsyncIterator[Harness]:
    """Two storages at one database whose tenants' tables are partitioned."""
    clock = ManualClock()
    ids, now = IdGenerator(clock), standing_still(clock)
    script = "".join(map(_partitioned, OF_A_TENANT))
    async with postgres.database(changed=script) as database:
        server = postgres.server(database)
        async with (
            open_postgres(server, CIPHER, clock, ids, now, topics=TOPICS) as storage,
            open_postgres(server, CIPHER, clock, ids, now, topics=TOPICS) as rival,
        ):
            yield evolve(
                harness_of(storage, rival, clock, ids, sql_probe(storage)), one_dispatcher=False
            )


def test_all_tables_of_a_tenant_are_partitioned() -> None:
    assert {"events", "webhooks", "deliveries", "attempts", "environment_keys"} <= {*OF_A_TENANT}
