"""The store of API keys in memory."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from attrs import evolve

from notification_adapters.memory.state import MemoryState
from notification_core.errors import ApiKeyNotFound
from notification_core.model.api_key import ApiKey
from notification_core.model.request_records import RequestRecords
from notification_core.ports.api_keys import ApiKeyStore


class MemoryApiKeyStore(ApiKeyStore):
    """Keeps API keys in a dict."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def add(self, key: ApiKey, records: RequestRecords = ()) -> None:
        """Store a new key."""
        async with self._state.writing:
            self._state.add_records(records)
            self._state.api_keys[key.key_id] = key

    async def find(self, key_id: UUID) -> ApiKey:
        """Return a key, whatever its state."""
        if key_id not in self._state.api_keys:
            raise ApiKeyNotFound(key_id)
        return self._state.api_keys[key_id]

    async def page(self, limit: int, before: UUID | None = None) -> Sequence[ApiKey]:
        """Return keys by falling id, those below ``before`` only."""
        below = (key_id for key_id in self._state.api_keys if before is None or key_id < before)
        return [self._state.api_keys[key_id] for key_id in sorted(below, reverse=True)[:limit]]

    async def revoke(self, key_id: UUID, at: datetime, records: RequestRecords = ()) -> ApiKey:
        """Revoke a key and return it; the first time counts."""
        async with self._state.writing:
            key = await self.find(key_id)
            if key.revoked_at is None:
                self._state.api_keys[key_id] = evolve(key, revoked_at=at)
                self._state.add_records(records)
            return self._state.api_keys[key_id]
