"""Statistics in memory."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from notification_adapters.memory.state import MemoryState
from notification_core.model.delivery import AttemptOutcome
from notification_core.model.statistics import BucketSize, Counts, Period
from notification_core.ports.statistics import StatisticsStore, WebhookAttempts


class MemoryStatisticsStore(StatisticsStore):
    """Reads what was counted in memory."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def read(
        self, environment_id: UUID, webhook_id: UUID | None, period: Period
    ) -> Mapping[datetime, Counts]:
        """Return what was counted of a webhook, or of an environment, by bucket."""
        buckets: defaultdict[datetime, Counts] = defaultdict(Counts)
        for (environment, webhook, _, start), counts in self._state.statistics.items():
            is_asked_for = environment == environment_id and webhook_id in {None, webhook}
            if is_asked_for and period.since <= start < period.until:
                buckets[period.span.start_of(start)].merge(counts)
        return buckets

    async def failing(self, since: datetime, limit: int) -> Sequence[WebhookAttempts]:
        """Return the webhooks of which most attempts have failed since then, the worst first."""
        failing = [webhook for webhook in self._attempts(since) if webhook.failed]
        return sorted(failing, key=lambda webhook: (-webhook.failed, webhook.webhook_id))[:limit]

    async def busiest(self, since: datetime, limit: int) -> Sequence[WebhookAttempts]:
        """Return the webhooks with most attempts since then, the busiest first."""

        def place(webhook: WebhookAttempts) -> tuple[int, UUID]:
            return -webhook.failed - webhook.succeeded, webhook.webhook_id

        return sorted(self._attempts(since), key=place)[:limit]

    def _attempts(self, since: datetime) -> Sequence[WebhookAttempts]:
        """Return what was attempted since then."""
        attempts: defaultdict[tuple[UUID, UUID], Counter[AttemptOutcome]] = defaultdict(Counter)
        for (environment, webhook, span, start), counts in self._state.statistics.items():
            if span is BucketSize.MINUTE and start >= since:
                attempts[webhook, environment].update(counts.attempts)
        return [
            WebhookAttempts(*key, made[AttemptOutcome.FAILED], made[AttemptOutcome.SUCCEEDED])
            for key, made in attempts.items()
            if made[AttemptOutcome.FAILED] or made[AttemptOutcome.SUCCEEDED]
        ]
