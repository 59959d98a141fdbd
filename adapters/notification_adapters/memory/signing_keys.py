"""The key store in memory."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from attrs import evolve

from notification_adapters.memory.state import MemoryState
from notification_core.errors import KeysChanged
from notification_core.model.outbox_message import key_rotated
from notification_core.model.request_records import RequestRecords
from notification_core.model.signing_key import SigningKey
from notification_core.ports.signing_keys import SigningKeyStore


class MemorySigningKeyStore(SigningKeyStore):
    """Keeps signing keys in a dictionary."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def keys_of(self, environment_ids: Collection[UUID]) -> Sequence[SigningKey]:
        """Return all keys of these environments, newest first."""
        keys = self._state.keys.values()
        of_them = [key for key in keys if key.environment_id in environment_ids]
        return sorted(of_them, key=lambda key: key.number, reverse=True)

    async def add_first(
        self, key: SigningKey, records: RequestRecords = ()
    ) -> Sequence[SigningKey]:
        """Store the first key of an environment; return the environment's keys."""
        async with self._state.writing:
            if not await self.keys_of([key.environment_id]):
                self._put(key)
                self._state.add_records(records)
            return await self.keys_of([key.environment_id])

    async def rotate(
        self, key: SigningKey, others_expire_at: datetime, records: RequestRecords = ()
    ) -> None:
        """Store a key with the next number, and let the environment's other ones end."""
        async with self._state.writing:
            self._state.require_no_response(records)
            stored = await self.keys_of([key.environment_id])
            if key.number in {other.number for other in stored}:
                raise KeysChanged(key.environment_id)
            for other in stored:
                del self._state.keys[other.environment_id, other.key_id]
                if other.is_trusted(key.created_at):
                    ends = min(other.expires_at or others_expire_at, others_expire_at)
                    self._put(evolve(other, expires_at=ends))
            self._put(key)
            self._state.append_operational_event(key_rotated(key, others_expire_at))
            self._state.add_records(records)

    def _put(self, key: SigningKey) -> None:
        self._state.keys[key.environment_id, key.key_id] = key
