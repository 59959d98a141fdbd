"""Statistics in memory."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from uuid import UUID

from notification_adapters.memory.state import MemoryState, StatisticsKey
from notification_core.model.delivery import AttemptOutcome
from notification_core.model.statistics import BucketSize, Counts, Period
from notification_core.ports.statistics import StatisticsStore, WebhookAttempts, WebhookSummary


class MemoryStatisticsStore(StatisticsStore):
    """Reads what was counted in memory."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def read(
        self, environment_id: UUID, webhook_id: UUID | None, period: Period
    ) -> Mapping[datetime, Counts]:
        """Return what was counted of a webhook, or of an environment, by bucket."""
        webhook_ids = None if webhook_id is None else {webhook_id}
        buckets: defaultdict[datetime, Counts] = defaultdict(Counts)
        for _, start, counts in self._counted(environment_id, webhook_ids, period):
            buckets[start].merge(counts)
        return buckets

    async def summarize(
        self, environment_id: UUID, webhook_ids: Collection[UUID], period: Period
    ) -> Mapping[UUID, WebhookSummary]:
        """Return what was counted of some webhooks, and how their attempts ended by bucket."""
        summaries: dict[UUID, WebhookSummary] = {}
        for webhook_id, start, counts in self._counted(environment_id, webhook_ids, period):
            nothing = WebhookSummary(Counts(), defaultdict(Counter))
            summary = summaries.setdefault(webhook_id, nothing)
            summary.total.merge(counts)
            summary.attempts[start].update(counts.attempts)
        return summaries

    def _counted(
        self, environment_id: UUID, webhook_ids: Collection[UUID] | None, period: Period
    ) -> Iterator[tuple[UUID, datetime, Counts]]:
        """Yield what was counted by webhook and bucket; without ``webhook_ids`` of all."""
        counted = self._minutes() if period.span is BucketSize.MINUTE else self._hours()
        for (environment, webhook, _, start), counts in counted:
            is_asked_for = webhook_ids is None or webhook in webhook_ids
            is_within = environment == environment_id and period.since <= start < period.until
            if is_asked_for and is_within:
                yield webhook, period.span.start_of(start), counts

    def _hours(self) -> Iterable[tuple[StatisticsKey, Counts]]:
        """Return hours, and the minutes that are not merged to them."""
        return self._state.statistics.items()

    def _minutes(self) -> Iterable[tuple[StatisticsKey, Counts]]:
        """Return minutes, merged or not."""
        not_merged = ((key, counts) for key, counts in self._hours() if key[2] is BucketSize.MINUTE)
        return chain(not_merged, self._state.statistics_minutes.items())

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
        for (environment, webhook, _, start), counts in self._minutes():
            if start >= since:
                attempts[webhook, environment].update(counts.attempts)
        return [
            WebhookAttempts(*key, made[AttemptOutcome.FAILED], made[AttemptOutcome.SUCCEEDED])
            for key, made in attempts.items()
            if made[AttemptOutcome.FAILED] or made[AttemptOutcome.SUCCEEDED]
        ]
