"""What becomes of deliveries after their attempts: the rules, on values alone."""

from datetime import datetime, timedelta
from typing import NamedTuple, assert_never
from uuid import UUID

from attrs import evolve

from notification_adapters.sql.steps import Ending, Held, Overdue
from notification_core.deliveries import (
    MAX_INTERRUPTIONS,
    Attempt,
    AttemptError,
    ErrorCode,
    Failed,
    Outcome,
    Reason,
    Result,
    Retry,
    State,
    Succeeded,
)

_INTERRUPTED = AttemptError(
    ErrorCode.INTERRUPTED,
    "The sender stopped before the attempt ended; whether the request arrived is not known.",
)


class Ended(NamedTuple):
    """An attempt as it is logged, and what becomes of its delivery."""

    attempt: Attempt
    ending: Ending


def is_success(result: Result) -> bool:
    """Tell whether a result ends its delivery well, whatever the row says."""
    return result.attempt.outcome is Outcome.SUCCEEDED and isinstance(result.verdict, Succeeded)


def ended(result: Result, held: Held, now: datetime, interruption_delay: timedelta) -> Ended:
    """Judge a result that a worker brings."""
    if result.attempt.outcome is Outcome.INTERRUPTED:
        ending = _interrupted(held, now, interruption_delay)
    else:
        ending = _judged(result, held, now)
    return _logged(result.attempt, ending)


def reaped(overdue: Overdue, log_id: UUID, now: datetime, interruption_delay: timedelta) -> Ended:
    """Judge an attempt of which nobody brings a result any more."""
    attempt = Attempt(
        log_id=log_id,
        environment_id=overdue.fence.environment_id,
        webhook_id=overdue.webhook_id,
        delivery_id=overdue.fence.delivery_id,
        event_id=overdue.event_id,
        event_type=overdue.event_type,
        number=overdue.fence.attempt,
        outcome=Outcome.INTERRUPTED,
        started_at=overdue.begun_at,
        error=_INTERRUPTED,
    )
    return _logged(attempt, _interrupted(overdue.held, now, interruption_delay))


def _logged(attempt: Attempt, ending: Ending) -> Ended:
    if ending.due_at is not None:
        attempt = evolve(attempt, next_attempt_at=ending.due_at)
    return Ended(attempt, ending)


def _judged(result: Result, held: Held, now: datetime) -> Ending:
    failures = held.failures + (result.attempt.outcome is Outcome.FAILED)
    if held.state is not State.PENDING:
        return Ending(held.handle, failures, 0)
    match result.verdict:
        case Succeeded():
            return Ending(held.handle, failures, 0, State.SUCCEEDED, ended_at=now)
        case Retry(after=after):
            return Ending(held.handle, failures, 0, State.PENDING, due_at=now + after)
        case Failed(reason=reason):
            return Ending(held.handle, failures, 0, State.FAILED, reason, ended_at=now)
        case _:
            assert_never(result.verdict)


def _interrupted(held: Held, now: datetime, delay: timedelta) -> Ending:
    ending = Ending(held.handle, held.failures, held.interruptions + 1)
    if held.state is not State.PENDING:
        return ending
    if ending.interruptions >= MAX_INTERRUPTIONS:
        return ending._replace(state=State.FAILED, reason=Reason.INTERRUPTED, ended_at=now)
    return ending._replace(state=State.PENDING, due_at=now + delay)
