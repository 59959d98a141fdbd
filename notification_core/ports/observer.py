"""What the core tells those who watch it; the core itself logs nothing and counts nothing."""

from abc import abstractmethod
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from notification_core.errors import Resource
from notification_core.model.delivery import AttemptOutcome, ErrorCode
from notification_core.model.event import Source
from notification_core.model.message import DeadLetter
from notification_core.model.webhook import DisabledReason


class Observer(Protocol):
    """Hears of what happened. Methods return at once and raise nothing."""

    @abstractmethod
    def events_ingested(self, source: Source, new: int, duplicates: int) -> None:
        """Tell of a batch that was committed."""

    @abstractmethod
    def dead_lettered(self, dead_letter: DeadLetter) -> None:
        """Tell of a message that is no event, and is stored as a dead letter."""

    @abstractmethod
    def event_conflicted(self, environment_id: UUID, event_id: str) -> None:
        """Tell of a known event id that came again with other data."""

    @abstractmethod
    def deliveries_stored(self, handed_over: int, due: int, skipped: int) -> None:
        """Tell of the deliveries of a batch that was committed."""

    @abstractmethod
    def deliveries_claimed(self, count: int) -> None:
        """Tell of a claim that took this many; not of one that found nothing."""

    @abstractmethod
    def results_written(self, count: int) -> None:
        """Tell of a transaction that wrote so many results."""

    @abstractmethod
    def first_attempt_began(self, after: float) -> None:
        """Tell of a delivery's first attempt, so many seconds after the delivery was stored.

        Not told of are deliveries that their own webhook held back: it had as many requests in
        flight as it may have at some time since, or was changed since.
        """

    @abstractmethod
    def attempt_ended(
        self, outcome: AttemptOutcome, error: ErrorCode | None, duration: timedelta | None
    ) -> None:
        """Tell of an attempt that has been logged."""

    @abstractmethod
    def delivery_failed(self, webhook_id: UUID, delivery_id: UUID) -> None:
        """Tell of a delivery whose retries are used up."""

    @abstractmethod
    def webhook_disabled(self, webhook_id: UUID, reason: DisabledReason) -> None:
        """Tell of a webhook that the system disabled."""

    @abstractmethod
    def leases_reaped(self, count: int) -> None:
        """Tell of leases that were taken from dead workers or had run out."""

    @abstractmethod
    def leases_given_back(self, count: int) -> None:
        """Tell of attempts that were begun and, unsent, given back."""

    @abstractmethod
    def resource_short(self, resource: Resource) -> None:
        """Tell of a request that was not sent because this machine lacks something for it."""

    @abstractmethod
    def results_fenced(self, count: int) -> None:
        """Tell of results that came after another worker had taken over."""

    @abstractmethod
    def messages_relayed(self, count: int) -> None:
        """Tell of messages that were taken from the outbox to their topics."""

    @abstractmethod
    def loop_failed(self, loop: str, error: Exception) -> None:
        """Tell of an error that a loop survived; it will try again."""
