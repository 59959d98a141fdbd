"""Storage of the keys that open the API."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from notification_core.model.api_key import ApiKey
from notification_core.model.request_records import RequestRecords


class ApiKeyStore(Protocol):
    """Keeps API keys: of each a digest, never the key.

    Keys are the installation's, and none of an environment's rows: no statement is scoped to one.
    All methods raise :class:`StorageUnavailable`.
    """

    @abstractmethod
    async def add(self, key: ApiKey, records: RequestRecords = ()) -> None:
        """Store a new key, and ``records`` with it."""

    @abstractmethod
    async def find(self, key_id: UUID) -> ApiKey:
        """Return a key, whatever its state; raise :class:`ApiKeyNotFound`."""

    @abstractmethod
    async def page(self, limit: int, before: UUID | None = None) -> Sequence[ApiKey]:
        """Return keys by falling id, so the newest first, those below ``before`` only."""

    @abstractmethod
    async def revoke(self, key_id: UUID, at: datetime, records: RequestRecords = ()) -> ApiKey:
        """Revoke a key and return it; raise :class:`ApiKeyNotFound`.

        One that is revoked already stays as it is: the first time counts, and only then ``records``
        is written. A revocation that was there is as durable then as a commit of this call.
        """
