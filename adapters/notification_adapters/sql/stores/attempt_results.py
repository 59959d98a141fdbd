"""Attempts as they are logged, with what happens to their deliveries."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from attrs import evolve

from notification_adapters.sql.dialect import DeliveryUpdate, LockedDelivery, OverdueAttempt
from notification_core.model.delivery import (
    INTERRUPTED,
    Attempt,
    AttemptOutcome,
    AttemptResult,
    DeliveryState,
    Succeeded,
)
from notification_core.model.delivery_transitions import (
    Transition,
    after_attempt,
    after_interruption,
)


class LoggedAttempt(NamedTuple):
    """An attempt as it is logged, and what happens to its delivery, which was stored then."""

    attempt: Attempt
    update: DeliveryUpdate
    created_at: datetime


def failed_attempts(all_ended: Iterable[LoggedAttempt]) -> Sequence[Attempt]:
    """Return the attempts with which a delivery has failed permanently."""
    return [end.attempt for end in all_ended if end.update.state is DeliveryState.FAILED]


def is_success(result: AttemptResult) -> bool:
    """Tell whether a result ends its delivery well, whatever the row says."""
    return result.attempt.outcome is AttemptOutcome.SUCCEEDED and isinstance(
        result.next_step, Succeeded
    )


def logged_result(
    result: AttemptResult,
    held: LockedDelivery,
    now: datetime,
    interruption_delay: timedelta,
    *,
    waits: bool,
) -> LoggedAttempt:
    """Return what happens to a delivery after the attempt of which a worker brings the result."""
    transition = after_attempt(result, held, now, interruption_delay, waits=waits)
    return _logged(result.attempt, held, transition)


def logged_interruption(
    overdue: OverdueAttempt, log_id: UUID, now: datetime, interruption_delay: timedelta
) -> LoggedAttempt:
    """Return what happens to a delivery whose worker brings no result any more."""
    attempt = Attempt(
        log_id=log_id,
        environment_id=overdue.fence.environment_id,
        webhook_id=overdue.webhook_id,
        delivery_id=overdue.fence.delivery_id,
        event_id=overdue.event_id,
        event_type=overdue.event_type,
        number=overdue.fence.attempt,
        outcome=AttemptOutcome.INTERRUPTED,
        started_at=overdue.claimed_at,
        error=INTERRUPTED,
    )
    return _logged(attempt, overdue.held, after_interruption(overdue.held, now, interruption_delay))


def _logged(attempt: Attempt, held: LockedDelivery, transition: Transition) -> LoggedAttempt:
    if transition.due_at is not None:
        attempt = evolve(attempt, next_attempt_at=transition.due_at)
    update = DeliveryUpdate(held.handle, *transition)
    return LoggedAttempt(attempt, update, held.created_at)
