"""The log store in memory."""

from collections.abc import Sequence
from uuid import UUID

from attrs import evolve

from notification_adapters.memory.pages import page_from
from notification_adapters.memory.state import MemoryState
from notification_adapters.memory.webhooks import webhooks_of
from notification_core.concurrency.ids import earliest_id
from notification_core.model.delivery import Attempt, AttemptOutcome
from notification_core.model.read_models import (
    EVERY_ATTEMPT,
    Activity,
    AttemptCriteria,
    LastAttempt,
    LogPage,
    WebhookView,
)
from notification_core.model.webhook import Webhook
from notification_core.ports.logs import LogStore


class MemoryLogStore(LogStore):
    """Reads the attempts that the delivery store in memory has logged."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def page(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        limit: int,
        before: UUID | None = None,
        criteria: AttemptCriteria = EVERY_ATTEMPT,
    ) -> LogPage:
        """Return a webhook's attempts by falling ``log_id``, those below ``before`` only."""
        newest_first = self._state.attempts_of(environment_id, webhook_id)
        first = None if criteria.since is None else earliest_id(criteria.since)
        last = None if criteria.until is None else earliest_id(criteria.until)
        within = (
            attempt
            for attempt in newest_first
            if (before is None or attempt.log_id < before)
            and (first is None or attempt.log_id >= first)
            and (last is None or attempt.log_id < last)
        )
        return page_from(
            within,
            limit,
            lambda attempt: (
                criteria.outcome in {None, attempt.outcome}
                and criteria.event_type in {None, attempt.event_type}
                and criteria.http_code in {None, attempt.response and attempt.response.http_code}
            ),
            lambda attempt: attempt.log_id,
            is_selective=criteria.is_selective,
        )

    async def webhooks(
        self, environment_id: UUID, webhook_id: UUID | None = None
    ) -> Sequence[WebhookView]:
        """Return the webhooks of an environment, or one of them, with what they last did."""
        return [
            WebhookView(
                webhook, self._activity(webhook), self._state.health.get(webhook.webhook_id)
            )
            for webhook in webhooks_of(self._state, {environment_id})
            if webhook_id in {None, webhook.webhook_id}
        ]

    def _activity(self, webhook: Webhook) -> Activity:
        attempts = [*self._state.attempts_of(webhook.environment_id, webhook.webhook_id)]
        errors = [each for each in attempts if each.outcome is not AttemptOutcome.SUCCEEDED]
        return Activity(
            evolve(_brief(attempts[0]), error=None) if attempts else None,
            _brief(errors[0]) if errors else None,
        )


def _brief(attempt: Attempt) -> LastAttempt:
    return LastAttempt(
        log_id=attempt.log_id,
        delivery_id=attempt.delivery_id,
        event_type=attempt.event_type,
        at=attempt.started_at,
        http_code=attempt.response.http_code if attempt.response else None,
        duration=attempt.duration,
        error=attempt.error,
    )
