"""The key store in memory."""

from collections.abc import Collection, Sequence
from uuid import UUID

from notification_adapters.memory.state import MemoryState
from notification_core.keys import SigningKey
from notification_core.ports.keys import KeyStore


class MemoryKeyStore(KeyStore):
    """Keeps signing keys in a list."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def keys_of(self, environment_ids: Collection[UUID]) -> Sequence[SigningKey]:
        """Return all keys of these environments, newest first."""
        found = [one for one in self._state.keys if one.environment_id in environment_ids]
        return sorted(found, key=lambda key: key.created_at, reverse=True)

    async def add_first(self, key: SigningKey) -> Sequence[SigningKey]:
        """Store a key where its environment has none; return the environment's keys."""
        async with self._state.writing:
            if not await self.keys_of([key.environment_id]):
                self._state.keys.append(key)
            return await self.keys_of([key.environment_id])
