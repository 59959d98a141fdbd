"""Retention in memory."""

from datetime import datetime
from uuid import UUID

from notification_adapters.memory.state import MemoryState, StatisticsKey, StoredDelivery
from notification_core.concurrency.ids import earliest_id
from notification_core.model.event import EventKey
from notification_core.model.replay import ReplayState
from notification_core.model.statistics import BucketSize, Counts
from notification_core.ports.retention import FIRST_WEBHOOK, EventMark, Retention, Swept


class MemoryRetention(Retention):
    """Deletes what is old from the tables in memory."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def sweep_attempts(self, before: datetime, after: UUID, limit: int) -> Swept[UUID]:  # noqa: ARG002 - what is left is found at once
        """Delete attempts that were logged before."""
        async with self._state.writing:
            old = [
                log_id for log_id in sorted(self._state.attempts) if log_id < earliest_id(before)
            ]
            for log_id in old[:limit]:
                del self._state.attempts[log_id]
        return Swept(len(old[:limit]), FIRST_WEBHOOK if len(old) > limit else None)

    async def delete_audit_before(self, before: datetime, limit: int) -> int:
        """Delete entries of the audit log from before."""
        async with self._state.writing:
            old = [
                entry_id for entry_id in sorted(self._state.audit) if entry_id < earliest_id(before)
            ]
            for entry_id in old[:limit]:
                del self._state.audit[entry_id]
        return len(old[:limit])

    async def delete_dead_letters_before(self, before: datetime, limit: int) -> int:
        """Delete dead letters that were stored before."""
        async with self._state.writing:
            old = [
                letter_id
                for letter_id in sorted(self._state.dead_letters)
                if letter_id < earliest_id(before)
            ]
            for letter_id in old[:limit]:
                del self._state.dead_letters[letter_id]
        return len(old[:limit])

    async def delete_sessions_before(self, before: datetime, limit: int) -> int:
        """Delete sessions that expired before."""
        deleted = 0
        async with self._state.writing:
            for sessions in (self._state.portal_sessions, self._state.console_sessions):
                old = [key for key, session in sessions.items() if session.expires_at < before]
                for session_id in old[:limit]:
                    del sessions[session_id]
                deleted += len(old[:limit])
        return deleted

    async def sweep_events(
        self,
        before: datetime,
        after: EventMark | None,  # noqa: ARG002 - what is left is found at once
        limit: int,
    ) -> Swept[EventMark]:
        """Delete events that were stored before, with their deliveries."""
        async with self._state.writing:
            old = [
                (EventMark(key[0], event.stored_at), key)
                for key, event in self._state.events.items()
                if event.stored_at < before
                and not any(
                    delivery.is_waiting or delivery.worker for delivery in self._deliveries_of(key)
                )
            ]
            for _, key in old[:limit]:
                for delivery in self._deliveries_of(key):
                    del self._state.deliveries[delivery.delivery_id]
                del self._state.events[key]
        return Swept(len(old[:limit]), old[limit][0] if len(old) > limit else None)

    def _deliveries_of(self, key: EventKey) -> list[StoredDelivery]:
        return [
            delivery for delivery in self._state.deliveries.values() if delivery.event_key == key
        ]

    async def merge_statistics(self, before: datetime, limit: int) -> int:
        """Add minutes from before up to hours."""
        async with self._state.writing:
            erasing = self._state.erasing()
            old = [
                key
                for key in self._state.statistics
                if key[2] is BucketSize.MINUTE and key[3] < before and key[0] not in erasing
            ]
            for key in old[:limit]:
                environment_id, webhook_id, _, minute = key
                hour = environment_id, webhook_id, BucketSize.HOUR, BucketSize.HOUR.start_of(minute)
                counts = self._state.statistics.pop(key)
                self._state.statistics.setdefault(hour, Counts()).merge(counts)
                self._state.statistics_minutes.setdefault(key, Counts()).merge(counts)
        return len(old[:limit])

    async def delete_minutes_before(self, before: datetime, limit: int) -> int:
        """Delete the minutes from before of hours that were merged."""
        return await self._delete_older(self._state.statistics_minutes, before, limit)

    async def delete_statistics_before(self, before: datetime, limit: int) -> int:
        """Delete statistics from before."""
        return await self._delete_older(self._state.statistics, before, limit)

    async def _delete_older(
        self, counted: dict[StatisticsKey, Counts], before: datetime, limit: int
    ) -> int:
        async with self._state.writing:
            old = [key for key in counted if key[3] < before]
            for key in old[:limit]:
                del counted[key]
        return len(old[:limit])

    async def delete_webhooks_before(self, before: datetime, limit: int) -> int:
        """Delete tombstones of which nothing is left, and replays that ended before."""
        async with self._state.writing:
            for replay_id, stored in [*self._state.replays.items()]:
                ended = stored.replay.state is not ReplayState.RUNNING
                if ended and replay_id < earliest_id(before):
                    del self._state.replays[replay_id]
            used = {delivery.webhook_id for delivery in self._state.deliveries.values()}
            used |= {attempt.webhook_id for attempt in self._state.attempts.values()}
            used |= {stored.replay.webhook_id for stored in self._state.replays.values()}
            for counted in (self._state.statistics, self._state.statistics_minutes):
                used |= {webhook_id for _, webhook_id, *_ in counted}
            unused = [
                webhook_id
                for webhook_id, webhook in self._state.webhooks.items()
                if webhook.deleted_at and webhook.deleted_at < before and webhook_id not in used
            ][:limit]
            for webhook_id in unused:
                del self._state.webhooks[webhook_id]
                self._state.rates.pop(webhook_id, None)
        return len(unused)
