"""What becomes of a delivery: the only place of these rules.

A storage calls them. Where a single SQL statement has to express a rule, for speed, the contract
test ``test_delivery_transitions.py`` compares the statement with the function here for every state.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, assert_never

from notification_core.model.delivery import (
    MAX_INTERRUPTIONS,
    Attempt,
    Failed,
    Outcome,
    Reason,
    Result,
    Retry,
    State,
    Succeeded,
)
from notification_core.model.webhook import Webhook

UNSENDABLE: Final[Mapping[Reason, State]] = MappingProxyType(
    {
        Reason.WEBHOOK_DELETED: State.CANCELLED,
        Reason.WEBHOOK_DISABLED: State.SKIPPED,
        Reason.EXPIRED: State.CANCELLED,
    }
)
"""The state in which a waiting delivery ends for each :func:`reason_to_end`."""


class AttemptedDelivery(Protocol):
    """What the rules need to know of a delivery whose attempt has ended."""

    @property
    def state(self) -> State:
        """``pending``, unless the delivery was ended during the attempt."""

    @property
    def failures(self) -> int:
        """How many of its attempts have failed so far."""

    @property
    def interruptions(self) -> int:
        """How many attempts in a row, up to the previous one, were interrupted."""


class Transition(NamedTuple):
    """What the end of an attempt makes of its delivery, which also loses its worker.

    ``state`` is None if the delivery had ended before: then its state, reason and times stay.
    """

    failures: int
    interruptions: int
    state: State | None = None
    reason: Reason | None = None
    due_at: datetime | None = None
    ended_at: datetime | None = None


def after_attempt(
    result: Result, delivery: AttemptedDelivery, now: datetime, interruption_delay: timedelta
) -> Transition:
    """Return what becomes of a delivery after an attempt of which a worker brings the result."""
    if result.attempt.outcome is Outcome.INTERRUPTED:
        return after_interruption(delivery, now, interruption_delay)
    failures = delivery.failures + (result.attempt.outcome is Outcome.FAILED)
    if delivery.state is not State.PENDING:
        return Transition(failures, 0)
    match result.verdict:
        case Succeeded():
            return Transition(failures, 0, State.SUCCEEDED, ended_at=now)
        case Retry(after=after):
            return Transition(failures, 0, State.PENDING, due_at=now + after)
        case Failed(reason=reason):
            return Transition(failures, 0, State.FAILED, reason, ended_at=now)
        case _:
            assert_never(result.verdict)


def after_interruption(
    delivery: AttemptedDelivery, now: datetime, interruption_delay: timedelta
) -> Transition:
    """Return what becomes of a delivery after an attempt of which the result is not known.

    It is retried after the delay; ``MAX_INTERRUPTIONS`` in a row end it as failed.
    """
    interruptions = delivery.interruptions + 1
    if delivery.state is not State.PENDING:
        return Transition(delivery.failures, interruptions)
    if interruptions >= MAX_INTERRUPTIONS:
        return Transition(
            delivery.failures, interruptions, State.FAILED, Reason.INTERRUPTED, ended_at=now
        )
    due_at = now + interruption_delay
    return Transition(delivery.failures, interruptions, State.PENDING, due_at=due_at)


def after_test(attempt: Attempt, now: datetime) -> Transition:
    """Return what becomes of the delivery of a webhook's test, which has a single attempt."""
    if attempt.outcome is Outcome.SUCCEEDED:
        return Transition(0, 0, State.SUCCEEDED, ended_at=now)
    return Transition(1, 0, State.FAILED, ended_at=now)


def reason_to_end(
    webhook: Webhook | None, event_stored_at: datetime, now: datetime, expired_before: datetime
) -> Reason | None:
    """Return why a waiting delivery can no longer be sent, or None if it can.

    It ends if its webhook is deleted or unknown, or was disabled by the system. While a user has
    disabled the webhook it waits, and expires by the age of its event: a delivery that was made
    later, for an event that is old, expires with it.
    """
    if webhook is None or webhook.deleted_at is not None:
        return Reason.WEBHOOK_DELETED
    if webhook.disabled_reason is not None:
        return Reason.WEBHOOK_DISABLED
    if webhook.is_disabled(now) and event_stored_at < expired_before:
        return Reason.EXPIRED
    return None
