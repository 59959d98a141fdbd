"""Retention, batch after batch: logs, dead letters, events with their deliveries, tombstones."""

from datetime import timedelta
from typing import Final

from attrs import define, field, frozen

from notification_core.ports.clock import Clock
from notification_core.ports.retention import EventMark, Retention

ATTEMPTS_AT_ONCE: Final = 1_000
ENTRIES_AT_ONCE: Final = 1_000
DEAD_LETTERS_AT_ONCE: Final = 100
EVENTS_AT_ONCE: Final = 100
WEBHOOKS_AT_ONCE: Final = 100


@frozen
class RetentionRules:
    """How long the log, the audit log, and events are kept, these with all that is of them."""

    logs: timedelta
    audit: timedelta
    events: timedelta


@define
class RetentionSweeper:
    """Goes round over all that is kept, a small batch at a time."""

    _retention: Retention
    _clock: Clock
    _rules: RetentionRules
    _after: EventMark | None = field(default=None, init=False)

    async def sweep_batch(self) -> bool:
        """Delete a batch of what is too old; tell whether the round goes on."""
        now = self._clock.now()
        if await self._retention.delete_attempts_before(now - self._rules.logs, ATTEMPTS_AT_ONCE):
            return True
        if await self._retention.delete_audit_before(now - self._rules.audit, ENTRIES_AT_ONCE):
            return True
        before = now - self._rules.events
        if await self._retention.delete_dead_letters_before(before, DEAD_LETTERS_AT_ONCE):
            return True
        swept = await self._retention.sweep_events(before, self._after, EVENTS_AT_ONCE)
        self._after = swept.after
        if swept.after is not None:
            return True
        return await self._retention.delete_webhooks_before(before, WEBHOOKS_AT_ONCE) > 0
