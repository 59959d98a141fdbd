"""The secrets that a storage keeps encrypted, and re-encrypting them under another one."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from attrs import frozen


@frozen
class ReencryptedBatch:
    """What one batch came to: how many were re-encrypted, and the places of those that cannot be.

    A place is named by its table and its row, never by what is in it.
    """

    count: int
    unreadable: Sequence[str] = ()


class EncryptedColumns(Protocol):
    """Signing keys, custom headers, kept responses: all that is encrypted in a storage.

    Every method raises :class:`StorageUnavailable`, and those that write :class:`UnknownCommit`.
    Done again each of them changes nothing more, so that whoever was killed may begin again.
    """

    @abstractmethod
    async def outdated(self) -> int:
        """Return how many texts are encrypted under another secret than the present one."""

    @abstractmethod
    def reencrypt(self, limit: int) -> AsyncIterator[ReencryptedBatch]:
        """Go through all texts once, and encrypt those again that are not under the present secret.

        Yields after each look at ``limit`` rows; what it changed is committed by then. What
        somebody else changes meanwhile stays as they leave it, and nothing else of a row is
        touched: no version, no time. What no secret opens that we were given stays as it is.
        """

    @abstractmethod
    async def finish(self) -> None:
        """Let only the present secret open the storage from now on; to be called last.

        All that was re-encrypted, by earlier runs too, is as durable then as a commit of this
        call: the previous secrets may be removed.
        """
