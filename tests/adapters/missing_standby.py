"""A PostgreSQL whose synchronous standby is missing: what commits waits until it is back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.postgres_server import PostgresServer
from tests.support.waiting import until

_PROBE = "SELECT pg_logical_emit_message(true, 'probe', '')"
_WAITING = "FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = $1"


@asynccontextmanager
async def standby_missing(server: PostgresServer) -> AsyncIterator[None]:
    """Have every commit wait for a standby that does not exist, until the block has ended."""
    try:
        await remove_standby(server)
        yield
    finally:
        await restore_standby(server)


async def remove_standby(server: PostgresServer) -> None:
    """Have every commit wait for a standby that does not exist."""
    await server.execute("ALTER SYSTEM SET synchronous_standby_names = 'missing'")
    await server.execute("SELECT pg_reload_conf()")
    # Commits wait only once the checkpointer has noticed; until then one does not.
    probing = asyncio.create_task(_probe(server))
    try:
        await until("commits wait for the standby", lambda: commits_wait(server, "postgres"))
    finally:
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)


async def restore_standby(server: PostgresServer) -> None:
    """Have no commit wait any more."""
    await server.execute("ALTER SYSTEM RESET synchronous_standby_names")
    await server.execute("SELECT pg_reload_conf()")


async def commits_wait(server: PostgresServer, database: str, count: int = 1) -> bool:
    """Tell whether exactly so many commits in a database wait for the standby."""
    async with server.connected() as operator:
        waiting: int = await operator.fetchval(f"SELECT count(*) {_WAITING}", database)
    return waiting == count


async def cancel_waits(server: PostgresServer, database: str) -> None:
    """Cancel what is being committed: it becomes visible, as after a restart of the server."""
    async with server.connected() as operator:
        await operator.execute(f"SELECT pg_cancel_backend(pid) {_WAITING}", database)


async def _probe(server: PostgresServer) -> None:
    async with server.connected() as connection:
        while True:
            await connection.execute(_PROBE)
            await asyncio.sleep(0.01)
