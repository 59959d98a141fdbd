"""The audit log, for reading; entries are written by the stores of what they tell of."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from notification_core.model.request_records import AuditEntry


class AuditLog(Protocol):
    """Reads what somebody changed.

    A method of another store that makes a change which callers ask for takes ``records``, and
    writes the entries in it in the change's own transaction: they are there if and only if it was
    made.
    """

    @abstractmethod
    async def page(
        self, environment_id: UUID | None, limit: int, before: UUID | None = None
    ) -> Sequence[AuditEntry]:
        """Return the entries of an environment by falling id, those below ``before`` only.

        For None, those of the installation. Raises :class:`StorageUnavailable`.
        """
