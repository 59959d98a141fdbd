"""An observer and a listener whose records tests look at."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from attrs import define, field

from notification_core.dispatch.result_writer import ResultListener
from notification_core.errors import Resource
from notification_core.model.circuit_breaker import HealthState
from notification_core.model.delivery import AttemptOutcome, AttemptResult, ErrorCode, Fence
from notification_core.model.event import Source
from notification_core.model.message import DeadLetter
from notification_core.model.webhook import DisabledReason
from notification_core.ports.observer import Observer


class RecordingObserver(Observer):
    """An observer that records what it is told."""

    def __init__(self) -> None:
        self.new = self.doubles = 0
        self.sources: set[Source] = set()
        self.dead_letters: list[DeadLetter] = []
        self.conflicts: list[str] = []
        self.stored = (0, 0, 0)
        self.outcomes: list[tuple[AttemptOutcome, ErrorCode | None]] = []
        self.first_attempts: list[float] = []
        self.succeeded: list[float] = []
        self.failed: list[UUID] = []
        self.disabled: list[tuple[UUID, DisabledReason]] = []
        self.health: list[tuple[UUID, HealthState]] = []
        self.claimed: list[int] = []
        self.written: list[int] = []
        self.relayed = self.replayed = self.erased = 0
        self.given_up = (0, 0)
        self.reaped = self.released = self.fenced = 0
        self.exhausted: list[Resource] = []
        self.errors: list[tuple[str, str]] = []

    def events_ingested(self, source: Source, new: int, duplicates: int) -> None:
        self.sources.add(source)
        self.new += new
        self.doubles += duplicates

    def message_dead_lettered(self, dead_letter: DeadLetter) -> None:
        self.dead_letters.append(dead_letter)

    def event_conflicted(self, environment_id: UUID, event_id: str) -> None:
        del environment_id
        self.conflicts.append(event_id)

    def deliveries_stored(self, claimed: int, unclaimed: int, skipped: int) -> None:
        before = self.stored
        self.stored = (before[0] + claimed, before[1] + unclaimed, before[2] + skipped)

    def deliveries_claimed(self, count: int) -> None:
        self.claimed.append(count)

    def results_written(self, count: int) -> None:
        self.written.append(count)

    def first_attempt_started(self, delay: float) -> None:
        self.first_attempts.append(delay)

    def attempt_ended(
        self, outcome: AttemptOutcome, error: ErrorCode | None, duration: timedelta | None
    ) -> None:
        del duration
        self.outcomes.append((outcome, error))

    def delivery_succeeded(self, seconds: float) -> None:
        self.succeeded.append(seconds)

    def delivery_failed(self, webhook_id: UUID, delivery_id: UUID) -> None:
        del webhook_id
        self.failed.append(delivery_id)

    def deliveries_given_up(self, skipped: int, cancelled: int) -> None:
        self.given_up = (self.given_up[0] + skipped, self.given_up[1] + cancelled)

    def deliveries_replayed(self, count: int) -> None:
        self.replayed += count

    def rows_erased(self, count: int) -> None:
        self.erased += count

    def webhook_disabled(self, webhook_id: UUID, reason: DisabledReason) -> None:
        self.disabled.append((webhook_id, reason))

    def webhook_health_changed(self, webhook_id: UUID, state: HealthState) -> None:
        self.health.append((webhook_id, state))

    def leases_reaped(self, count: int) -> None:
        self.reaped += count

    def leases_released(self, count: int) -> None:
        self.released += count

    def resource_exhausted(self, resource: Resource) -> None:
        self.exhausted.append(resource)

    def results_fenced(self, count: int) -> None:
        self.fenced += count

    def messages_relayed(self, count: int) -> None:
        self.relayed += count

    def background_task_failed(self, task: str, error: Exception) -> None:
        self.errors.append((task, type(error).__name__))


@define
class RecordedResults(ResultListener):
    """What happened to the results that a writer was given."""

    written: list[AttemptResult] = field(factory=list)
    released: list[Fence] = field(factory=list)
    abandoned: list[Fence] = field(factory=list)
    health_changes: int = 0

    def on_written(self, results: Sequence[AttemptResult]) -> None:
        self.written.extend(results)

    def on_health_changed(self) -> None:
        self.health_changes += 1

    def on_released(self, fences: Sequence[Fence]) -> None:
        self.released.extend(fences)

    def on_abandoned(self, fence: Fence) -> None:
        self.abandoned.append(fence)
