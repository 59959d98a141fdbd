"""Storage of the responses to requests that may be sent once more."""

from abc import abstractmethod
from datetime import datetime
from typing import Protocol
from uuid import UUID

from notification_core.model.request_records import StoredResponse


class IdempotencyStore(Protocol):
    """Finds and deletes stored responses; the stores of the effects write them.

    A method with an effect that a request may ask for twice takes ``records``, and writes what is
    in it in the effect's own transaction. If there was a response within
    :data:`KEPT_FOR`, it raises :class:`ResponseAlreadyStored`, and nothing of the effect is there.
    Responses are encrypted at rest. Statements are scoped to the environment, None for requests
    that are about none; :meth:`delete_before` cannot be.
    """

    @abstractmethod
    async def find(
        self, environment_id: UUID | None, request: str, since: datetime
    ) -> StoredResponse | None:
        """Return what a request was answered after ``since``, if it was.

        The response is as durable as a commit of this call would be, since the request is
        acknowledged by it: with a synchronous standby, one that has it.
        """

    @abstractmethod
    async def delete_before(self, before: datetime, limit: int) -> int:
        """Delete responses that were given until then; return how many, at most ``limit``."""
