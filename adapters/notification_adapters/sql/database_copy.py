"""Copying a SQLite database to PostgreSQL: all rows, in batches by primary key, then compared.

Until it is finished, the target's schema has a version of its own, which names the source and which
no version of this program works on. Where an interrupted copy continues follows from its last rows.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias
from uuid import uuid4

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.clock import SystemClock
from notification_adapters.postgres_uri import parse_postgres_uri
from notification_adapters.sql.database import Database
from notification_adapters.sql.installation_tables import instance, outbox_lease, webhooks_revision
from notification_adapters.sql.migrations import schema
from notification_adapters.sql.postgres import Server, open_postgres_database
from notification_adapters.sql.postgres.driver import copy as copy_rows
from notification_adapters.sql.sqlite import open_sqlite_database
from notification_adapters.sql.sqlite.locks import FileWorkerLock, is_open_elsewhere
from notification_adapters.sql.tables import POSITIONS, SCHEMA
from notification_core.encryption.cipher import Cipher
from notification_core.errors import (
    IncompatibleSchema,
    InvalidInput,
    StorageUnusable,
    WorkerLockTaken,
)

_Row: TypeAlias = tuple[Any, ...]

_ROWS: Final = 1_000
_BYTES: Final = 8 * 2**20

_OF_ONE_ROW: Final = (outbox_lease, webhooks_revision, instance)
"""What a migration puts a row into; it is replaced at the end."""

_COPIED: Final = [table for table in SCHEMA.sorted_tables if table not in _OF_ONE_ROW]


@frozen
class DatabaseCopy:
    """A copy that may begin, or continue: :func:`open_copy` has checked its source.

    ``_rows`` is a transaction on the source that keeps others from writing.
    """

    _rows: AsyncConnection
    _source_id: str
    _target: Database
    _place: str

    async def prepare(self) -> None:
        """Make the target's schema, and have no process work on it until all is copied.

        Raises :class:`StorageUnusable` unless it is empty or an interrupted copy of this source.
        """
        unfinished = schema.UNFINISHED_COPY + self._source_id
        version = await schema.current_version(self._target)
        if version == unfinished:
            return
        if version is not None and version.startswith(schema.UNFINISHED_COPY):
            raise StorageUnusable(
                f"{self._place} has an unfinished copy of another database, or of this one before "
                "its secrets were re-encrypted. Name an empty database."
            )
        await schema.migrate(self._target)
        async with self._target.write_transaction() as connection:
            filled = [table.name for table in _COPIED if await _has_rows(connection, table)]
            if filled:
                raise StorageUnusable(
                    f"{self._place} is not empty: there are rows in {', '.join(filled)}. Name an "
                    "empty database."
                )
            await schema.set_version(connection, unfinished, unfinished)

    async def count(self) -> int:
        """Return how many rows the source has."""
        return sum([await _count(self._rows, table) for table in _COPIED])

    async def copy(self, tell: Callable[[int], None]) -> None:
        """Copy all rows that the target does not have; ``tell`` is given how many it has by then.

        Interrupted at any time, it continues.
        """
        done = 0
        for table in _COPIED:
            async for rows in self._copied(table):
                done += rows
                tell(done)

    async def finish(self, tell: Callable[[int], None]) -> Mapping[str, int]:
        """Compare all rows, and let the target be served; return how many rows each table has.

        ``tell`` is given how many have been compared. Raises :class:`StorageUnusable` if any
        differs: the source has been changed since an interrupted copy began, or the target has been
        by another process.
        """
        counts: dict[str, int] = {}
        for table in _COPIED:
            counts[table.name] = 0
            async for rows in self._compared(table):
                counts[table.name] += rows
                tell(sum(counts.values()))
        await self._open_target()
        return counts

    async def _copied(self, table: sa.Table) -> AsyncIterator[int]:
        """Copy what the target does not have; yield the sizes of batches."""
        async with self._target.query() as connection:
            last = await _page(connection, table, None, 1, is_reversed=True)
        after = _key(table, last[0]) if last else None
        if after is not None:
            yield await _count(self._rows, table, until=after)
        names = [column.name for column in table.columns]
        while batch := await self._batch(table, after):
            try:
                async with self._target.write_transaction() as connection:
                    await copy_rows(connection, table.name, names, batch)
            except InvalidInput as error:
                raise InvalidInput(f"A row of {table.name} cannot be copied. {error}") from error
            after = _key(table, batch[-1])
            yield len(batch)

    async def _compared(self, table: sa.Table) -> AsyncIterator[int]:
        """Compare all rows, the target's with the source's; yield the sizes of batches."""
        after: _Row | None = None
        while True:
            batch = await self._batch(table, after)
            async with self._target.query() as connection:
                theirs = await _page(connection, table, after, len(batch) or 1)
            if theirs != batch:
                raise StorageUnusable(
                    f"The rows of {table.name} differ: the source has been changed since the copy "
                    f"began, or {self._place} by another process. Stop all processes, make the "
                    "target empty, and copy again."
                )
            if not batch:
                return
            after = _key(table, batch[-1])
            yield len(batch)

    async def _batch(self, table: sa.Table, after: _Row | None) -> Sequence[_Row]:
        """Return the source's next rows: as many as are of a bounded size, and at least one."""
        texts = [c for c in table.columns if isinstance(c.type, sa.Text | sa.LargeBinary)]
        size = sum((sa.func.coalesce(sa.func.length(text), 0) for text in texts), sa.literal(0))
        total = fitting = 0
        for (row_size,) in await self._rows.execute(_after(table, [size], after, _ROWS)):
            total += row_size
            if fitting and total > _BYTES:
                break
            fitting += 1
        return await _page(self._rows, table, after, fitting) if fitting else []

    async def _open_target(self) -> None:
        async with self._target.write_transaction() as connection:
            for table in _OF_ONE_ROW:
                rows = await _page(self._rows, table, None, 1)
                names = [column.name for column in table.columns]
                await connection.execute(sa.delete(table))
                await copy_rows(connection, table.name, names, rows)
            ((position, oldest),) = await self._rows.execute(
                sa.select(instance.c.last_position, instance.c.oldest_compatible)
            )
            if position:
                await connection.execute(sa.select(sa.func.setval(POSITIONS.name, position)))
            await schema.set_version(connection, schema.VERSION, oldest)


@asynccontextmanager
async def open_copy(source: Path, server: Server, cipher: Cipher) -> AsyncIterator[DatabaseCopy]:
    """Open a SQLite file that no process uses, and the database that it is to be copied to.

    Until the block ends no process dispatches from the source or writes to it. It is only read.
    Raises :class:`StorageUnusable` if a process has it open, :class:`IncompatibleSchema` unless it
    has this version's schema, and :class:`WrongEncryptionSecret` unless ``cipher`` reads it.
    """
    clock, place = SystemClock(), parse_postgres_uri(server.uri).place
    if await asyncio.to_thread(is_open_elsewhere, source):
        raise StorageUnusable(_IN_USE.format(source))
    async with open_sqlite_database(source, clock) as ours:
        await _require_version(ours, source)
        lock = FileWorkerLock(source, ours)
        try:
            await lock.acquire(uuid4())
        except WorkerLockTaken as error:
            raise StorageUnusable(_IN_USE.format(source)) from error
        try:
            async with (
                ours.write_transaction() as rows,
                open_postgres_database(server) as target,
            ):
                canary = (await rows.execute(sa.select(instance.c.canary))).scalar_one()
                if canary is None:
                    raise StorageUnusable(f"Nothing has been stored in {source}: there is no copy.")
                await schema.check_secret(ours, cipher)
                # Encrypted with a nonce: no other database has the same one.
                source_id = hashlib.sha256(canary.encode()).hexdigest()[:24]
                yield DatabaseCopy(rows, source_id, target, place)
        finally:
            await lock.release()


_IN_USE: Final = (
    "{} is in use by another process. Stop all processes that use it: what they write would be "
    "missing in the copy."
)


async def _require_version(source: Database, path: Path) -> None:
    await schema.check_schema(source)
    version = await schema.current_version(source)
    if version != schema.VERSION:
        raise IncompatibleSchema(
            f"The schema of {path} is {version}, and this program's {schema.VERSION}. Copy it with "
            "the version that wrote it."
        )


def _key(table: sa.Table, row: _Row) -> _Row:
    """Return the primary key of a row."""
    places = {column.name: place for place, column in enumerate(table.columns)}
    return tuple(row[places[column.name]] for column in table.primary_key)


async def _page(
    connection: AsyncConnection,
    table: sa.Table,
    after: _Row | None,
    limit: int,
    *,
    is_reversed: bool = False,
) -> list[_Row]:
    query = _after(table, list(table.columns), after, limit, is_reversed=is_reversed)
    return [tuple(row) for row in await connection.execute(query)]


def _after(
    table: sa.Table,
    columns: Sequence[sa.ColumnElement[Any]],
    after: _Row | None,
    limit: int,
    *,
    is_reversed: bool = False,
) -> sa.Select[Any]:
    """Return a query of rows behind a key in the order of keys, which both engines have alike."""
    key = list(table.primary_key)
    order = [column.desc() for column in key] if is_reversed else key
    query: sa.Select[Any] = sa.select(*columns).select_from(table).order_by(*order).limit(limit)
    if after is not None:
        query = query.where(sa.tuple_(*key) > _literal(table, after))
    return query


def _literal(table: sa.Table, key: _Row) -> sa.Tuple:
    parts = zip(key, table.primary_key, strict=True)
    return sa.tuple_(*(sa.literal(value, column.type) for value, column in parts))


async def _count(connection: AsyncConnection, table: sa.Table, until: _Row | None = None) -> int:
    query = sa.select(sa.func.count()).select_from(table)
    if until is not None:
        query = query.where(sa.tuple_(*table.primary_key) <= _literal(table, until))
    return (await connection.execute(query)).scalar_one()


async def _has_rows(connection: AsyncConnection, table: sa.Table) -> bool:
    return (await connection.execute(sa.select(sa.exists(sa.select(table))))).scalar_one()
