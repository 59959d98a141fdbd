"""Secrets of a storage in memory: in clear, so that there is nothing to encrypt again."""

from collections.abc import AsyncIterator

from notification_core.ports.encrypted_columns import EncryptedColumns, ReencryptedBatch


class MemoryEncryptedColumns(EncryptedColumns):
    """Has no encrypted texts: its secrets end with the process."""

    async def outdated(self) -> int:
        """Return 0."""
        return 0

    async def reencrypt(self, limit: int) -> AsyncIterator[ReencryptedBatch]:  # noqa: ARG002 - there are no rows
        """Yield nothing."""
        nothing: tuple[ReencryptedBatch, ...] = ()
        for batch in nothing:
            yield batch

    async def finish(self) -> None:
        """Do nothing."""
