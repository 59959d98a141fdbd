"""Storage of the environments' signing keys."""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Protocol
from uuid import UUID

from notification_core.keys import SigningKey


class KeyStore(Protocol):
    """Keeps the signing keys of all environments; private halves are encrypted at rest."""

    @abstractmethod
    async def keys_of(self, environment_ids: Collection[UUID]) -> Sequence[SigningKey]:
        """Return all keys of these environments, newest first."""

    @abstractmethod
    async def add_first(self, key: SigningKey) -> Sequence[SigningKey]:
        """Store a key where its environment has none; return the environment's keys.

        Of two callers at the same time one wins, and both get the winner's key.
        """
