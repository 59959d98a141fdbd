"""The key store on SQL: the private halves are encrypted, bound to their row."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.engine import Database
from notification_adapters.sql.tables import environment_keys
from notification_core.encryption import Cipher
from notification_core.keys import KeyStatus, SigningKey
from notification_core.ports.keys import KeyStore


class SqlKeyStore(KeyStore):
    """Keeps signing keys in a SQL database."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher

    async def keys_of(self, environment_ids: Collection[UUID]) -> Sequence[SigningKey]:
        """Return all keys of these environments, newest first."""
        async with self._database.reading() as connection:
            return await self._read(connection, environment_ids)

    async def add_first(self, key: SigningKey) -> Sequence[SigningKey]:
        """Store a key where its environment has none; return the environment's keys."""
        async with self._database.writing() as connection:
            stored = await self._read(connection, [key.environment_id])
            if stored:
                return stored
            await connection.execute(sa.insert(environment_keys).values(self._columns(key)))
            return [key]

    async def _read(
        self, connection: AsyncConnection, environment_ids: Collection[UUID]
    ) -> Sequence[SigningKey]:
        wanted = (
            sa.select(environment_keys)
            .where(environment_keys.c.environment_id.in_(environment_ids))
            .order_by(environment_keys.c.created_at.desc(), environment_keys.c.key_id)
        )
        return [self._key(row) for row in await connection.execute(wanted)]

    def _key(self, row: sa.Row[Any]) -> SigningKey:
        return SigningKey(
            key_id=row.key_id,
            environment_id=row.environment_id,
            seed=self._cipher.decrypt(row.private_key, _place(row.environment_id, row.key_id)),
            public_key=row.public_key,
            status=KeyStatus(row.status),
            created_at=row.created_at,
            not_before=row.not_before,
            expires_at=row.expires_at,
        )

    def _columns(self, key: SigningKey) -> Mapping[str, object]:
        return {
            "key_id": key.key_id,
            "environment_id": key.environment_id,
            "private_key": self._cipher.encrypt(key.seed, _place(key.environment_id, key.key_id)),
            "public_key": key.public_key,
            "status": key.status.value,
            "created_at": key.created_at,
            "not_before": key.not_before,
            "expires_at": key.expires_at,
        }


def _place(environment_id: UUID, key_id: str) -> Sequence[str]:
    return "environment_keys", "private_key", str(environment_id), key_id
