"""Retention, batch after batch: of logs, sessions, dead letters, events, deliveries, tombstones."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from attrs import define, field, frozen

from notification_core.model.statistics import first_minute, merge_before
from notification_core.ports.clock import Clock
from notification_core.ports.retention import FIRST_WEBHOOK, EventMark, Retention

ATTEMPTS_AT_ONCE: Final = 1_000
ENTRIES_AT_ONCE: Final = 1_000
DEAD_LETTERS_AT_ONCE: Final = 100
EVENTS_AT_ONCE: Final = 100
WEBHOOKS_AT_ONCE: Final = 100
STATISTICS_AT_ONCE: Final = 1_000
SESSIONS_AT_ONCE: Final = 1_000


@frozen
class RetentionRules:
    """How long the log, the audit log, and events are kept, these with all that is of them.

    Also statistics.
    """

    logs: timedelta
    audit: timedelta
    events: timedelta
    statistics: timedelta


@define
class RetentionSweeper:
    """Goes round over all that is kept, a small batch at a time."""

    _retention: Retention
    _clock: Clock
    _rules: RetentionRules
    # How far this round has come; after the logs it goes on with all else.
    _logs_after: UUID | None = field(default=FIRST_WEBHOOK, init=False)
    _events_after: EventMark | None = field(default=None, init=False)
    # When this round began, and the last one that was completed: the first one has yet to be.
    _began_at: float = field(init=False)
    _completed_from: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin the first round."""
        self._began_at = self._completed_from = self._clock.monotonic()

    @property
    def lag(self) -> timedelta:
        """Return for how long something may have been kept that is too old.

        What was too old as the last completed round began has been deleted.
        """
        return timedelta(seconds=self._clock.monotonic() - self._completed_from)

    async def sweep_batch(self) -> bool:
        """Delete a batch of what is too old; tell whether the round goes on."""
        now = self._clock.now()
        if self._logs_after is not None:
            place = self._logs_after, ATTEMPTS_AT_ONCE
            attempts = await self._retention.sweep_attempts(now - self._rules.logs, *place)
            self._logs_after = attempts.after
            return True
        if await self._retention.delete_audit_before(now - self._rules.audit, ENTRIES_AT_ONCE):
            return True
        before = now - self._rules.events
        if await self._retention.delete_dead_letters_before(before, DEAD_LETTERS_AT_ONCE):
            return True
        events = await self._retention.sweep_events(before, self._events_after, EVENTS_AT_ONCE)
        self._events_after = events.after
        if events.after is not None:
            return True
        swept = await self._sweep_statistics(now)
        swept = swept or await self._retention.delete_sessions_before(now, SESSIONS_AT_ONCE)
        if swept or await self._retention.delete_webhooks_before(before, WEBHOOKS_AT_ONCE):
            return True
        self._logs_after = FIRST_WEBHOOK
        self._completed_from, self._began_at = self._began_at, self._clock.monotonic()
        return False

    async def _sweep_statistics(self, now: datetime) -> int:
        """Merge minutes to hours, or delete what is too old; return how many rows."""
        limit, oldest = STATISTICS_AT_ONCE, now - self._rules.statistics
        if merged := await self._retention.merge_statistics(merge_before(now), limit):
            return merged
        minutes = max(oldest, first_minute(now))
        return await self._retention.delete_minutes_before(
            minutes, limit
        ) or await self._retention.delete_statistics_before(oldest, limit)
