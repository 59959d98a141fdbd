"""The store of API keys on SQL."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa
from attrs import asdict

from notification_adapters.sql.database import Database
from notification_adapters.sql.installation_tables import api_keys
from notification_adapters.sql.statements import ResultRow, Statement
from notification_adapters.sql.stores.request_records import RequestRecordRows
from notification_core.concurrency.transactions import retry_lost_transaction
from notification_core.errors import ApiKeyNotFound
from notification_core.model.api_key import ApiKey
from notification_core.model.caller import Scope
from notification_core.model.request_records import RequestRecords
from notification_core.ports.api_keys import ApiKeyStore

_encode = msgspec.json.Encoder().encode
_environments = msgspec.json.Decoder(frozenset[UUID])

_FIND = Statement(sa.select(api_keys).where(api_keys.c.key_id == sa.bindparam("key_id")))


class SqlApiKeyStore(ApiKeyStore):
    """Keeps API keys in a SQL database."""

    def __init__(self, database: Database, records: RequestRecordRows) -> None:
        self._database = database
        self._records = records

    @retry_lost_transaction
    async def add(self, key: ApiKey, records: RequestRecords = ()) -> None:
        """Store a new key."""
        row = {
            **asdict(key, recurse=False),
            "scope": key.scope.value,
            "environments": environments_text(key.environments),
        }
        async with self._database.write_transaction() as connection:
            await self._records.write(connection, records)
            await connection.execute(sa.insert(api_keys), row)

    async def find(self, key_id: UUID) -> ApiKey:
        """Return a key, whatever its state."""
        return _require_key(await self._database.fetch(_FIND, key_id=key_id), key_id)

    async def page(self, limit: int, before: UUID | None = None) -> Sequence[ApiKey]:
        """Return keys by falling id, those below ``before`` only."""
        query = sa.select(api_keys).order_by(api_keys.c.key_id.desc()).limit(limit)
        if before is not None:
            query = query.where(api_keys.c.key_id < before)
        async with self._database.query() as connection:
            return [_key(row) for row in await connection.execute(query)]

    @retry_lost_transaction
    async def revoke(self, key_id: UUID, at: datetime, records: RequestRecords = ()) -> ApiKey:
        """Revoke a key and return it; the first time counts."""
        revoked = (
            sa.update(api_keys)
            .where(api_keys.c.key_id == key_id, api_keys.c.revoked_at.is_(None))
            .values(revoked_at=at)
        )
        async with self._database.write_transaction() as connection:
            if (await connection.execute(revoked)).rowcount:
                await self._records.write(connection, records)
            else:
                await self._database.confirm_found(connection)
            rows = await self._database.dialect.read(connection, _FIND, key_id=key_id)
        return _require_key(rows, key_id)


def environments_text(environments: frozenset[UUID] | None) -> str | None:
    """Return the environments of a caller as they are stored; None for all of them."""
    return None if environments is None else _encode(sorted(environments)).decode()


def read_environments(text: str | None) -> frozenset[UUID] | None:
    """Return the environments that :func:`environments_text` wrote."""
    return None if text is None else _environments.decode(text)


def _require_key(rows: Sequence[ResultRow], key_id: UUID) -> ApiKey:
    if not rows:
        raise ApiKeyNotFound(key_id)
    return _key(rows[0])


def _key(row: ResultRow) -> ApiKey:
    return ApiKey(
        key_id=row.key_id,
        name=row.name,
        scope=Scope(row.scope),
        environments=read_environments(row.environments),
        digest=row.digest,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
