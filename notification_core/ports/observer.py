"""What the core reports to observers; the core itself logs nothing and counts nothing."""

from abc import abstractmethod
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from notification_core.errors import Resource
from notification_core.model.circuit_breaker import HealthState
from notification_core.model.delivery import (
    Attempt,
    AttemptOutcome,
    AttemptResult,
    ClaimedDelivery,
    ErrorCode,
)
from notification_core.model.event import Arrival, Event, Source
from notification_core.model.message import DeadLetter
from notification_core.model.webhook import DisabledReason


class EventFollower(Protocol):
    """Is told of every single event on its way. Methods return at once and raise nothing."""

    @abstractmethod
    def event_received(self, source: Source, event: Event) -> None:
        """Report an event that is to be stored."""

    @abstractmethod
    def event_stored(self, event: Event, arrival: Arrival, deliveries: int) -> None:
        """Report an event that was committed with so many deliveries, skipped ones too."""

    @abstractmethod
    def delivery_claimed(self, delivery: ClaimedDelivery) -> None:
        """Report a delivery that this process has claimed, with its insert or later."""

    @abstractmethod
    def attempt_started(self, delivery: ClaimedDelivery) -> None:
        """Report an attempt whose request is about to be sent."""

    @abstractmethod
    def attempt_finished(self, attempt: Attempt) -> None:
        """Report an attempt that has ended, and is not logged yet."""

    @abstractmethod
    def result_written(self, result: AttemptResult) -> None:
        """Report a result that was committed."""


class Observer(Protocol):
    """Is told of what happened. Methods return at once and raise nothing.

    Its ``follower`` is told of single events; None, as nearly always, where nobody follows them.
    """

    follower: EventFollower | None = None

    @abstractmethod
    def events_ingested(self, source: Source, new: int, duplicates: int) -> None:
        """Report a batch that was committed."""

    @abstractmethod
    def message_dead_lettered(self, dead_letter: DeadLetter) -> None:
        """Report a message that is not an event, and was stored as a dead letter."""

    @abstractmethod
    def event_conflicted(self, environment_id: UUID, event_id: str) -> None:
        """Report an event with the id of a stored event and other data."""

    @abstractmethod
    def deliveries_stored(self, claimed: int, unclaimed: int, skipped: int) -> None:
        """Report the deliveries of a batch that was committed.

        ``claimed`` are those that this process claimed with the insert.
        """

    @abstractmethod
    def deliveries_claimed(self, count: int) -> None:
        """Report a claim of this many; a claim that finds nothing is not reported."""

    @abstractmethod
    def results_written(self, count: int) -> None:
        """Report a transaction that wrote this many results."""

    @abstractmethod
    def first_attempt_started(self, delay: float) -> None:
        """Report a delivery's first attempt, so many seconds after the delivery was stored.

        Deliveries that their own webhook held back are not reported: it had as many requests in
        flight as it may have at some time since, or was changed since.
        """

    @abstractmethod
    def attempt_ended(
        self, outcome: AttemptOutcome, error: ErrorCode | None, duration: timedelta | None
    ) -> None:
        """Report an attempt that has been logged."""

    @abstractmethod
    def delivery_succeeded(self, seconds: float) -> None:
        """Report a delivery that succeeded, so many seconds after it was stored."""

    @abstractmethod
    def delivery_failed(self, webhook_id: UUID, delivery_id: UUID) -> None:
        """Report a delivery that has failed: no retry left, or its webhook paused too long."""

    @abstractmethod
    def deliveries_given_up(self, skipped: int, cancelled: int) -> None:
        """Report waiting deliveries that ended without an attempt, and have not failed."""

    @abstractmethod
    def deliveries_replayed(self, count: int) -> None:
        """Report deliveries that a replay has made."""

    @abstractmethod
    def rows_erased(self, count: int) -> None:
        """Report rows that the erasure of an environment has deleted."""

    @abstractmethod
    def webhook_disabled(self, webhook_id: UUID, reason: DisabledReason) -> None:
        """Report a webhook that the system disabled."""

    @abstractmethod
    def webhook_health_changed(self, webhook_id: UUID, state: HealthState) -> None:
        """Report a webhook that the circuit breaker paused, or resumed (``healthy``)."""

    @abstractmethod
    def leases_reaped(self, count: int) -> None:
        """Report leases that were taken from dead workers or had run out."""

    @abstractmethod
    def leases_released(self, count: int) -> None:
        """Report claimed deliveries that were released without an attempt."""

    @abstractmethod
    def resource_exhausted(self, resource: Resource) -> None:
        """Report a request that was not sent because this host lacked something for it."""

    @abstractmethod
    def results_fenced(self, count: int) -> None:
        """Report results that came after another worker had taken over."""

    @abstractmethod
    def messages_relayed(self, count: int) -> None:
        """Report messages that were sent from the outbox to their topics."""

    @abstractmethod
    def background_task_failed(self, task: str, error: Exception) -> None:
        """Report an error that a background task survived; it will try again."""
