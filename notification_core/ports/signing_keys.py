"""Storage of the environments' signing keys."""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from notification_core.model.request_records import RequestRecords
from notification_core.model.signing_key import SigningKey


class SigningKeyStore(Protocol):
    """Keeps the signing keys of all environments; private halves are encrypted at rest.

    Every method raises :class:`StorageUnavailable`, and those that write :class:`UnknownCommit`.
    """

    @abstractmethod
    async def keys_of(self, environment_ids: Collection[UUID]) -> Sequence[SigningKey]:
        """Return all keys of these environments, newest first."""

    @abstractmethod
    async def add_first(
        self, key: SigningKey, records: RequestRecords = ()
    ) -> Sequence[SigningKey]:
        """Store the first key of an environment, number 1; return the environment's keys.

        Of two callers at the same time one wins, and both get the winner's key; only the
        winner's ``records`` is written.
        """

    @abstractmethod
    async def rotate(
        self, key: SigningKey, others_expire_at: datetime, records: RequestRecords = ()
    ) -> None:
        """Store a key with the next number, and let the environment's other ones end.

        Those that would be trusted for longer expire at ``others_expire_at``; those that had
        expired when the key was made are forgotten. Raises :class:`KeysChanged`, and changes
        nothing, where the number is taken: of several callers at the same time one wins. With
        ``records`` it raises :class:`ResponseAlreadyStored` before that.
        """
