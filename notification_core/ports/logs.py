"""The webhook log, for reading; attempts are written by the delivery store."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from notification_core.model.read_models import EVERY_ATTEMPT, AttemptCriteria, LogPage, WebhookView


class LogStore(Protocol):
    """Reads the attempts that have ended."""

    @abstractmethod
    async def page(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        limit: int,
        before: UUID | None = None,
        criteria: AttemptCriteria = EVERY_ATTEMPT,
    ) -> LogPage:
        """Return a webhook's attempts by falling ``log_id``, those below ``before`` only.

        Where it shows only some, at most :data:`MAX_EXAMINED` are looked at: the page may come
        back short, or empty, and yet be followed by another.
        """

    @abstractmethod
    async def webhooks(
        self, environment_id: UUID, webhook_id: UUID | None = None
    ) -> Sequence[WebhookView]:
        """Return the webhooks of an environment, or one of them, with what they last did.

        One query by the log's indexes, however many webhooks and attempts there are. The oldest
        webhook comes first; tombstones are left out.
        """
