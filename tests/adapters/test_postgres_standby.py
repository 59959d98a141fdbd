"""A PostgreSQL that is a standby: after a failover an address may still lead to it."""

import pytest

from notification_adapters.sql.postgres.database import open_database
from notification_adapters.sql.postgres.dialect import server_time
from notification_core.errors import StorageUnavailable
from tests.conftest import require
from tests.support.postgres_server import HOW_TO_GET_IT, find_programs, started


async def test_a_standby_is_read_from_and_counts_as_away_for_who_wants_to_write() -> None:
    programs = find_programs()
    require(programs, HOW_TO_GET_IT)
    assert programs
    with started(programs) as server:
        server.stop(at_once=False)
        (server.folder / "data" / "standby.signal").touch()
        server.start()
        async with open_database(server.server("postgres"), server_time) as database:
            for _ in range(2):
                with pytest.raises(StorageUnavailable, match="read-only"):
                    async with database.write_transaction():
                        pass
            async with database.read_transaction() as connection:
                assert (await database.dialect.now(connection)).tzinfo
            await server.execute("SELECT pg_promote()")
            async with database.write_transaction() as connection:
                assert (await database.dialect.now(connection)).tzinfo
