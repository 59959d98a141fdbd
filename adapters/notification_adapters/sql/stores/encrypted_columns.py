"""Encrypting again what a database holds encrypted, in short transactions."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeAlias
from uuid import UUID

import sqlalchemy as sa

from notification_adapters.sql.database import Database
from notification_adapters.sql.migrations import schema
from notification_adapters.sql.tables import ENCRYPTED, place_of
from notification_core.concurrency.transactions import retry_lost_transaction
from notification_core.encryption.cipher import Cipher
from notification_core.errors import UndecipherableText
from notification_core.ports.encrypted_columns import EncryptedColumns, ReencryptedBatch

_Change: TypeAlias = dict[str, object]

_Row: TypeAlias = tuple[Any, UUID, str | None]
"""A row's id, its environment, and its text if that is to be changed."""


class SqlEncryptedColumns(EncryptedColumns):
    """Goes through a database's encrypted columns, by the primary key of each table."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher

    async def outdated(self) -> int:
        """Return how many texts are encrypted under another secret than the present one."""
        count = 0
        async with self._database.read_transaction() as connection:
            for column in ENCRYPTED:
                former = sa.select(sa.func.count()).where(~self._is_current(column))
                count += (await connection.execute(former)).scalar_one()
        return count

    async def reencrypt(self, limit: int) -> AsyncIterator[ReencryptedBatch]:
        """Go through all texts once, and encrypt those again that are not under the present one."""
        for column in ENCRYPTED:
            rows = await self._page(column, None, limit)
            yield await self._reencrypted(column, rows)
            # A short page is the last one: whoever adds rows meanwhile cannot make it endless.
            while len(rows) == limit:
                rows = await self._page(column, rows[-1], limit)
                yield await self._reencrypted(column, rows)

    async def finish(self) -> None:
        """Let only the present secret open the storage from now on."""
        await schema.renew_canary(self._database, self._cipher)

    async def _page(self, column: sa.Column[Any], after: _Row | None, limit: int) -> Sequence[_Row]:
        """Return the next rows; the text only of those that are to be changed."""
        key = _key(column)
        text = sa.case((self._is_current(column), sa.null()), else_=column)
        page: sa.Select[Any] = sa.select(*key, text.label("text")).order_by(*key).limit(limit)
        if after is not None:
            place = (sa.literal(value, part.type) for part, value in zip(key, after, strict=False))
            page = page.where(sa.tuple_(*key) > sa.tuple_(*place))
        async with self._database.query() as connection:
            rows = await connection.execute(page)
            return [(row[0], row[1], row[2]) for row in rows]

    def _is_current(self, column: sa.Column[Any]) -> sa.ColumnElement[bool]:
        prefix = self._cipher.prefix
        return sa.func.substr(column, 1, len(prefix)) == prefix

    async def _reencrypted(self, column: sa.Column[Any], rows: Sequence[_Row]) -> ReencryptedBatch:
        changes: list[_Change] = []
        unreadable: list[str] = []
        for row, environment_id, text in rows:
            if text is None:
                continue
            place = place_of(column, environment_id, row)
            try:
                new = self._cipher.encrypt(self._cipher.decrypt(text, place), place)
            except UndecipherableText:
                unreadable.append(" ".join(place))
            else:
                change = {"row": row, "environment": environment_id, "old": text, "new": new}
                changes.append(change)
        if changes:
            await self._write(column, changes)
        return ReencryptedBatch(len(changes), unreadable)

    @retry_lost_transaction
    async def _write(self, column: sa.Column[Any], changes: Sequence[_Change]) -> None:
        """Write the new texts, each only where the old one still stands."""
        row, environment = _key(column)
        table = column.table
        assert isinstance(table, sa.Table)  # noqa: S101 - for the type checker only
        its = (
            row == sa.bindparam("row", type_=row.type),
            environment == sa.bindparam("environment", type_=environment.type),
            column == sa.bindparam("old", type_=column.type),
        )
        new = sa.bindparam("new", type_=column.type)
        replace = sa.update(table).where(*its).values({column: new})
        async with self._database.write_transaction() as connection:
            await connection.execute(replace, changes)


def _key(column: sa.Column[Any]) -> Sequence[sa.Column[Any]]:
    """Return the primary key of a column's table: the row's id and its environment."""
    return tuple(column.table.primary_key)
