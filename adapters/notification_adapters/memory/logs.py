"""The log store in memory."""

from collections.abc import Iterator, Mapping
from uuid import UUID

from attrs import evolve

from notification_adapters.memory.pages import page_from
from notification_adapters.memory.state import MemoryState
from notification_core.concurrency.ids import earliest_id
from notification_core.model.delivery import Attempt, AttemptOutcome
from notification_core.model.read_models import (
    EVERY_ATTEMPT,
    Activity,
    LastAttempt,
    LogPage,
    WantedAttempts,
)
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
        wanted: WantedAttempts = EVERY_ATTEMPT,
    ) -> LogPage:
        """Return a webhook's attempts by falling ``log_id``, those below ``before`` only."""
        newest_first = self._state.attempts_of(environment_id, webhook_id)
        return page_from(
            (one for one in newest_first if _is_within(one, wanted, before)),
            limit,
            lambda one: _matches(one, wanted),
            lambda one: one.log_id,
            passes_over=wanted.passes_over,
        )

    async def activity(
        self, environment_id: UUID, webhook_id: UUID | None = None
    ) -> Mapping[UUID, Activity]:
        """Return what the webhooks of an environment, or one of them, last did."""
        living = [
            one.webhook_id
            for one in self._state.webhooks.values()
            if one.environment_id == environment_id and not one.deleted_at
        ]
        asked = [one for one in living if webhook_id in {None, one}]
        told = {one: _activity(self._state.attempts_of(environment_id, one)) for one in asked}
        return {one: activity for one, activity in told.items() if activity != Activity()}


def _activity(newest_first: Iterator[Attempt]) -> Activity:
    attempts = list(newest_first)
    errors = [one for one in attempts if one.outcome is not AttemptOutcome.SUCCEEDED]
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


def _is_within(one: Attempt, wanted: WantedAttempts, before: UUID | None) -> bool:
    return (
        (before is None or one.log_id < before)
        and (wanted.since is None or one.log_id >= earliest_id(wanted.since))
        and (wanted.until is None or one.log_id < earliest_id(wanted.until))
    )


def _matches(one: Attempt, wanted: WantedAttempts) -> bool:
    http_code = one.response.http_code if one.response else None
    return (
        wanted.outcome in {None, one.outcome}
        and wanted.event_type in {None, one.event_type}
        and wanted.http_code in {None, http_code}
    )
