"""What lending a connection costs: ``python -m tests.benchmarks.postgres_pools [ROUNDS]``.

Prints this process's CPU and the elapsed time of lending a connection and taking it back, with no
statement and with an empty transaction: our pool beside asyncpg's, whose reset of a connection is a
statement of its own unless it is switched off. Our stores need SQLAlchemy's connection as well, as
our pool keeps with the driver's; over asyncpg's pool it has to be made each time.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from statistics import median
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from notification_adapters.sql.postgres import Server
from notification_adapters.sql.postgres.driver import run
from notification_adapters.sql.postgres.pool import PostgresPool
from tests.benchmarks.systems import postgres_database

_TIMES = 2_000
_SIZE = 10
_BEGIN, _COMMIT = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", "COMMIT"

Lend = Callable[[], Awaitable[None]]


async def measure(uri: str, rounds: int) -> Mapping[str, Sequence[tuple[float, float]]]:
    """Return, by variant, CPU and elapsed µs of one loan, for each round; variants take turns."""
    async with AsyncExitStack() as stack:
        ours = PostgresPool(Server(uri, pool_size=_SIZE))
        stack.push_async_callback(ours.close)
        theirs = await stack.enter_async_context(asyncpg.create_pool(uri, max_size=_SIZE))
        bare = asyncpg.create_pool(uri, max_size=_SIZE, reset=_reset_nothing)
        await stack.enter_async_context(bare)
        measured: dict[str, list[tuple[float, float]]] = {}
        for number in range(rounds + 1):
            for name, lend in _variants(ours, theirs, bare).items():
                figures = await _time(lend)
                if number:  # the first one opens connections
                    measured.setdefault(name, []).append(figures)
    return measured


class _Borrowed:
    """A connection of asyncpg's pool as SQLAlchemy's NullPool takes it: closing gives it back."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", lent: Any) -> None:
        self._pool = pool
        self._lent = lent

    def __getattr__(self, name: str) -> object:
        return getattr(self._lent, name)

    async def close(self) -> None:
        await self._pool.release(self._lent)


async def _reset_nothing(_: object) -> None:
    """Leave a connection as it is."""


def _variants(
    ours: PostgresPool, theirs: "asyncpg.Pool[asyncpg.Record]", bare: "asyncpg.Pool[asyncpg.Record]"
) -> Mapping[str, Lend]:
    async def lend_of(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        async with pool.acquire():
            pass

    async def transaction_of(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        async with pool.acquire() as connection:
            await connection.execute(_BEGIN)
            await connection.execute(_COMMIT)

    async def lend() -> None:
        async with ours.lend():
            pass

    async def transaction() -> None:
        async with ours.lend(_BEGIN) as connection:
            await run(connection, _COMMIT)

    async def connect(**_: object) -> object:
        return _Borrowed(bare, await bare.acquire())

    engine = create_async_engine(
        "postgresql+asyncpg://",
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args={"async_creator_fn": connect},
    )

    async def transaction_with_sqlalchemy() -> None:
        async with engine.connect() as connection:
            await run(connection, _BEGIN)
            await run(connection, _COMMIT)

    return {
        "ours": lend,
        "asyncpg's": lambda: lend_of(theirs),
        "asyncpg's, no reset": lambda: lend_of(bare),
        "ours, a transaction": transaction,
        "asyncpg's, a transaction": lambda: transaction_of(theirs),
        "asyncpg's, no reset, a transaction": lambda: transaction_of(bare),
        "the same, with SQLAlchemy's connection": transaction_with_sqlalchemy,
    }


async def _time(lend: Lend) -> tuple[float, float]:
    cpu, elapsed = time.process_time(), time.perf_counter()
    for _ in range(_TIMES):
        await lend()
    each = 1e6 / _TIMES
    return (time.process_time() - cpu) * each, (time.perf_counter() - elapsed) * each


async def _main(rounds: int) -> None:
    async with postgres_database() as storage:
        figures = await measure(storage.variables["DB_URI"], rounds)
    for name, of_rounds in figures.items():
        cpu, elapsed = ([round_[kind] for round_ in of_rounds] for kind in (0, 1))
        spread = f"({min(cpu):.1f} to {max(cpu):.1f})"
        print(f"{name:40} {median(cpu):7.1f} µs CPU {spread:18} {median(elapsed):7.1f} µs elapsed")


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]) if sys.argv[1:] else 15))
