"""The key store on SQL: the private halves are encrypted, bound to their row."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.stores.outbox import OutboxRows
from notification_adapters.sql.stores.request_records import RequestRecordRows
from notification_adapters.sql.tables import environment_keys, place_of
from notification_adapters.sql.upsert import insert_if_absent
from notification_core.concurrency.transactions import retry_lost_transaction
from notification_core.encryption.cipher import Cipher
from notification_core.errors import KeysChanged
from notification_core.model.outbox_message import key_rotated
from notification_core.model.request_records import RequestRecords
from notification_core.model.signing_key import SigningKey
from notification_core.ports.signing_keys import SigningKeyStore

_k = environment_keys.c


class SqlSigningKeyStore(SigningKeyStore):
    """Keeps signing keys in a SQL database."""

    def __init__(
        self, database: Database, cipher: Cipher, records: RequestRecordRows, outbox: OutboxRows
    ) -> None:
        self._outbox = outbox
        self._database = database
        self._records = records
        self._cipher = cipher

    async def keys_of(self, environment_ids: Collection[UUID]) -> Sequence[SigningKey]:
        """Return all keys of these environments, newest first."""
        async with self._database.query() as connection:
            return await self._read(connection, environment_ids)

    @retry_lost_transaction
    async def add_first(
        self, key: SigningKey, records: RequestRecords = ()
    ) -> Sequence[SigningKey]:
        """Store the first key of an environment; return the environment's keys."""
        async with self._database.write_transaction() as connection:
            if await insert_if_absent(connection, environment_keys, self._columns(key)):
                await self._records.write(connection, records)
            else:
                await self._database.confirm_found(connection)
            return await self._read(connection, [key.environment_id])

    async def rotate(
        self, key: SigningKey, others_expire_at: datetime, records: RequestRecords = ()
    ) -> None:
        """Store a key with the next number, and let the environment's other ones end."""
        others = _k.environment_id == key.environment_id, _k.key_id != key.key_id
        longer = sa.or_(_k.expires_at.is_(None), _k.expires_at > others_expire_at)
        async with self._database.write_transaction() as connection:
            await self._records.write(connection, records)
            new = await insert_if_absent(connection, environment_keys, self._columns(key))
            if not new:
                raise KeysChanged(key.environment_id)
            await connection.execute(
                sa.delete(environment_keys).where(*others, _k.expires_at <= key.created_at)
            )
            await connection.execute(
                sa.update(environment_keys)
                .where(*others, longer)
                .values(expires_at=others_expire_at)
            )
            now = await self._database.dialect.now(connection)
            await self._outbox.append(connection, [key_rotated(key, others_expire_at)], now)

    async def _read(
        self, connection: AsyncConnection, environment_ids: Collection[UUID]
    ) -> Sequence[SigningKey]:
        query = (
            sa.select(environment_keys)
            .where(_k.environment_id.in_(environment_ids))
            .order_by(_k.number.desc())
        )
        return [
            SigningKey(
                key_id=row.key_id,
                environment_id=row.environment_id,
                number=row.number,
                seed=self._cipher.decrypt(
                    row.private_key, place_of(_k.private_key, row.environment_id, row.key_id)
                ),
                public_key=row.public_key,
                created_at=row.created_at,
                not_before=row.not_before,
                expires_at=row.expires_at,
            )
            for row in await connection.execute(query)
        ]

    def _columns(self, key: SigningKey) -> Mapping[str, object]:
        place = place_of(_k.private_key, key.environment_id, key.key_id)
        return {
            "key_id": key.key_id,
            "environment_id": key.environment_id,
            "number": key.number,
            "private_key": self._cipher.encrypt(key.seed, place),
            "public_key": key.public_key,
            "created_at": key.created_at,
            "not_before": key.not_before,
            "expires_at": key.expires_at,
        }
