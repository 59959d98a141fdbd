"""What happens to a delivery: the only place of these rules.

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
    AttemptOutcome,
    AttemptResult,
    DeliveryState,
    EndReason,
    Failed,
    Retry,
    Succeeded,
)
from notification_core.model.webhook import Webhook

UNSENDABLE: Final[Mapping[EndReason, DeliveryState]] = MappingProxyType(
    {
        EndReason.WEBHOOK_DELETED: DeliveryState.CANCELLED,
        EndReason.WEBHOOK_DISABLED: DeliveryState.SKIPPED,
        EndReason.EXPIRED: DeliveryState.CANCELLED,
        EndReason.WEBHOOK_PAUSED: DeliveryState.FAILED,
    }
)
"""The state in which a waiting delivery ends for each :func:`reason_to_end`."""


class AttemptedDelivery(Protocol):
    """What the rules need to know of a delivery whose attempt has ended."""

    @property
    def state(self) -> DeliveryState:
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
    state: DeliveryState | None = None
    reason: EndReason | None = None
    due_at: datetime | None = None
    ended_at: datetime | None = None


def after_attempt(
    result: AttemptResult,
    delivery: AttemptedDelivery,
    now: datetime,
    interruption_delay: timedelta,
    *,
    waits: bool = False,
) -> Transition:
    """Return what happens to a delivery after an attempt of which a worker brings the result.

    One that ``waits`` for its webhook, which is paused, uses no retry (:mod:`circuit_breaker`).
    """
    if result.attempt.outcome is AttemptOutcome.INTERRUPTED:
        return after_interruption(delivery, now, interruption_delay)
    if waits and delivery.state is DeliveryState.PENDING:
        return Transition(delivery.failures, 0, DeliveryState.PENDING, due_at=now)
    failures = delivery.failures + (result.attempt.outcome is AttemptOutcome.FAILED)
    if delivery.state is not DeliveryState.PENDING:
        return Transition(failures, 0)
    match result.next_step:
        case Succeeded():
            return Transition(failures, 0, DeliveryState.SUCCEEDED, ended_at=now)
        case Retry(after=after):
            return Transition(failures, 0, DeliveryState.PENDING, due_at=now + after)
        case Failed(reason=reason):
            return Transition(failures, 0, DeliveryState.FAILED, reason, ended_at=now)
        case _:
            assert_never(result.next_step)


def after_interruption(
    delivery: AttemptedDelivery, now: datetime, interruption_delay: timedelta
) -> Transition:
    """Return what happens to a delivery after an attempt of which the result is not known.

    It is retried after the delay; ``MAX_INTERRUPTIONS`` in a row end it as failed.
    """
    interruptions = delivery.interruptions + 1
    if delivery.state is not DeliveryState.PENDING:
        return Transition(delivery.failures, interruptions)
    if interruptions >= MAX_INTERRUPTIONS:
        return Transition(
            delivery.failures,
            interruptions,
            DeliveryState.FAILED,
            EndReason.INTERRUPTED,
            ended_at=now,
        )
    due_at = now + interruption_delay
    return Transition(delivery.failures, interruptions, DeliveryState.PENDING, due_at=due_at)


def after_test(attempt: Attempt, now: datetime) -> Transition:
    """Return what happens to the delivery of a webhook's test, which has a single attempt."""
    if attempt.outcome is AttemptOutcome.SUCCEEDED:
        return Transition(0, 0, DeliveryState.SUCCEEDED, ended_at=now)
    return Transition(1, 0, DeliveryState.FAILED, ended_at=now)


def reason_to_end(
    webhook: Webhook | None,
    event_stored_at: datetime,
    now: datetime,
    expired_before: datetime,
    *,
    is_held_too_long: bool = False,
) -> EndReason | None:
    """Return why a waiting delivery can no longer be sent, or None if it can.

    It ends if its webhook is deleted or unknown, or was disabled by the system. While a user has
    disabled the webhook it waits, and expires by the age of its event: a delivery that was made
    later, for an event that is old, expires with it. One that has been held for too long by the
    circuit breaker (:func:`is_held_too_long`) has failed.
    """
    if webhook is None or webhook.deleted_at is not None:
        return EndReason.WEBHOOK_DELETED
    if webhook.disabled_reason is not None:
        return EndReason.WEBHOOK_DISABLED
    if webhook.is_disabled(now) and event_stored_at < expired_before:
        return EndReason.EXPIRED
    return EndReason.WEBHOOK_PAUSED if is_held_too_long else None


def is_held_too_long(
    paused_since: datetime | None, created_at: datetime, held_before: datetime | None
) -> bool:
    """Tell whether a delivery has waited for its paused webhook since before a time, if given."""
    if paused_since is None or held_before is None:
        return False
    return max(paused_since, created_at) < held_before
