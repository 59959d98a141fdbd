"""Reading statistics: what was counted of webhooks, and when."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from attrs import frozen

from notification_core.model.delivery import AttemptOutcome
from notification_core.model.statistics import Counts, Period

MAX_ROWS = 100_000
"""How many rows one question may be about."""


@frozen
class WebhookAttempts:
    """How many attempts of a webhook have failed lately, and how many have succeeded."""

    webhook_id: UUID
    environment_id: UUID
    failed: int
    succeeded: int


@frozen
class WebhookSummary:
    """What was counted of a webhook within a period, and how its attempts ended by bucket."""

    total: Counts
    attempts: Mapping[datetime, Counter[AttemptOutcome]]


class StatisticsStore(Protocol):
    """Reads what the other stores have counted. All raise :class:`StorageUnavailable`.

    An attempt is counted in the transaction that logs it, a delivery in the one that ends it, so
    what was rolled back or fenced off is not counted, and what was committed is counted once.
    """

    @abstractmethod
    async def read(
        self, environment_id: UUID, webhook_id: UUID | None, period: Period
    ) -> Mapping[datetime, Counts]:
        """Return what was counted of a webhook, by the buckets of the period, empty ones left out.

        Without a webhook it is the sum over all of the environment, those included that are
        deleted. Minutes from before :func:`first_minute` may be left out: their hours are known.
        Raises :class:`InvalidPeriod` for more than :data:`MAX_ROWS` rows.
        """

    @abstractmethod
    async def summarize(
        self, environment_id: UUID, webhook_ids: Collection[UUID], period: Period
    ) -> Mapping[UUID, WebhookSummary]:
        """Return what was counted of some webhooks; left out are those of which nothing was.

        It is one question, however many webhooks it is about, and their histograms are read once
        instead of bucket by bucket. Webhooks of another environment are left out. Raises
        :class:`InvalidPeriod` for more than :data:`MAX_ROWS` rows.
        """

    @abstractmethod
    async def failing(self, since: datetime, limit: int) -> Sequence[WebhookAttempts]:
        """Return the webhooks of which most attempts have failed since then, the worst first.

        Of no more than :data:`MAX_ROWS` rows, the latest.
        """

    @abstractmethod
    async def busiest(self, since: datetime, limit: int) -> Sequence[WebhookAttempts]:
        """Return the webhooks with most attempts since then, the busiest first.

        Of no more than :data:`MAX_ROWS` rows, the latest.
        """
