"""Delivering again, in memory."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from attrs import evolve

from notification_adapters.memory.state import MemoryState, StoredDelivery, StoredReplay
from notification_core.concurrency.ids import IdGenerator, earliest_id
from notification_core.errors import EventGone, ReplayNotFound, ReplayRunning
from notification_core.model.delivery import DeliveryOrigin, DeliveryState, EndReason
from notification_core.model.ordering import key_in_group
from notification_core.model.read_models import DeliveryView, ReplayPage, page_of
from notification_core.model.replay import (
    NO_PROGRESS,
    Replay,
    ReplayCount,
    ReplayProgress,
    ReplayState,
    Selection,
)
from notification_core.model.request_records import RequestRecords
from notification_core.ports.clock import Clock
from notification_core.ports.replays import ReplayStore


class MemoryReplayStore(ReplayStore):
    """Makes further deliveries of the events in memory."""

    def __init__(self, state: MemoryState, clock: Clock, ids: IdGenerator) -> None:
        self._state = state
        self._clock = clock
        self._ids = ids

    async def retry(
        self, delivery: DeliveryView, delivery_id: UUID, records: RequestRecords = ()
    ) -> None:
        """Store one more delivery of the same event to the same webhook."""
        async with self._state.writing:
            self._state.require_no_response(records)
            stored = self._state.deliveries.get(delivery.delivery_id)
            mine = stored and stored.environment_id == delivery.environment_id
            if stored is None or not mine or not self._has_body(stored):
                raise EventGone(delivery.event_id)
            self._make(stored, delivery_id, origin=DeliveryOrigin.RETRY)
            self._state.add_records(records)

    async def add(self, replay: Replay, records: RequestRecords = ()) -> None:
        """Store a replay that begins."""
        async with self._state.writing:
            self._state.require_no_response(records)
            if replay.webhook_id in {running.webhook_id for running in self._running()}:
                raise ReplayRunning(replay.webhook_id)
            self._state.replays[replay.replay_id] = StoredReplay(replay)
            self._state.add_records(records)

    async def get(self, environment_id: UUID, webhook_id: UUID, replay_id: UUID) -> Replay:
        """Return a replay of a webhook."""
        return self._stored(environment_id, webhook_id, replay_id).replay

    async def of_webhook(
        self, environment_id: UUID, webhook_id: UUID, limit: int, before: UUID | None = None
    ) -> ReplayPage:
        """Return a webhook's replays by falling id, those below ``before`` only."""
        of_it = [
            stored.replay
            for _, stored in sorted(self._state.replays.items(), reverse=True)
            if (stored.replay.environment_id, stored.replay.webhook_id)
            == (environment_id, webhook_id)
            and (before is None or stored.replay.replay_id < before)
        ]
        return page_of(of_it[: limit + 1], limit, None, lambda replay: replay.replay_id)

    async def cancel(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        replay_id: UUID,
        now: datetime,
        records: RequestRecords = (),
    ) -> None:
        """Let a replay make nothing more; one that has ended stays as it is."""
        async with self._state.writing:
            stored = self._stored(environment_id, webhook_id, replay_id)
            if stored.replay.state is ReplayState.RUNNING:
                stored.replay = evolve(stored.replay, state=ReplayState.CANCELLED, ended_at=now)
                self._state.add_records(records)

    async def count(
        self, environment_id: UUID, webhook_id: UUID, selection: Selection, most: int
    ) -> ReplayCount:
        """Count what is selected now, looking at no more than ``most`` deliveries."""
        rows = self._deliveries_after(environment_id, webhook_id, selection, None)[:most]
        selected = sum(self._is_selected(delivery, selection) for delivery in rows)
        return ReplayCount(selected, is_exact=len(rows) < most)

    async def running(self, limit: int, after: UUID | None = None) -> Sequence[Replay]:
        """Return replays that run by the ids of their webhooks, those above ``after`` only."""
        coming = [
            replay for replay in self._running() if after is None or replay.webhook_id > after
        ]
        return sorted(coming, key=lambda replay: replay.webhook_id)[:limit]

    async def advance(self, replay: Replay, limit: int, max_waiting: int) -> ReplayProgress:
        """Make the next of a running replay's deliveries, in one step."""
        async with self._state.writing:
            stored = self._state.replays[replay.replay_id]
            free = max_waiting - len(self._state.waiting(replay.webhook_id))
            if stored.replay.state is not ReplayState.RUNNING:
                return NO_PROGRESS
            now, webhook = self._clock.now(), self._state.webhooks.get(replay.webhook_id)
            if webhook is None or webhook.deleted_at:
                stored.replay = evolve(stored.replay, state=ReplayState.CANCELLED, ended_at=now)
                return NO_PROGRESS
            if webhook.is_disabled(now) or free <= 0:
                return NO_PROGRESS
            return self._advance(stored, limit, free)

    def _advance(self, stored: StoredReplay, limit: int, free: int) -> ReplayProgress:
        replay, selection = stored.replay, stored.replay.selection
        key = replay.environment_id, replay.webhook_id
        rows = self._deliveries_after(*key, selection, stored.cursor)
        examined, made = 0, 0
        for delivery in rows[:limit]:
            if self._is_selected(delivery, selection):
                if made == free:
                    break
                made += 1
                self._make(
                    delivery, self._ids(), origin=DeliveryOrigin.REPLAY, replay_id=replay.replay_id
                )
            examined += 1
            stored.cursor = delivery.delivery_id
        done_until = rows[examined - 1].created_at if examined else replay.done_until
        replay = evolve(replay, replayed=replay.replayed + made, done_until=done_until)
        if examined == len(rows) < limit:
            replay = evolve(
                replay,
                state=ReplayState.COMPLETED,
                done_until=selection.until,
                ended_at=self._clock.now(),
            )
        stored.replay = replay
        return ReplayProgress(examined, made)

    def _running(self) -> list[Replay]:
        all_of_them = (stored.replay for stored in self._state.replays.values())
        return [replay for replay in all_of_them if replay.state is ReplayState.RUNNING]

    def _stored(self, environment_id: UUID, webhook_id: UUID, replay_id: UUID) -> StoredReplay:
        stored = self._state.replays.get(replay_id)
        key = environment_id, webhook_id
        if stored is None or key != (stored.replay.environment_id, stored.replay.webhook_id):
            raise ReplayNotFound(replay_id)
        return stored

    def _deliveries_after(
        self, environment_id: UUID, webhook_id: UUID, selection: Selection, after: UUID | None
    ) -> list[StoredDelivery]:
        first, last = earliest_id(selection.since), earliest_id(selection.until)
        of_it = (
            delivery
            for delivery in self._state.deliveries.values()
            if (delivery.environment_id, delivery.webhook_id) == (environment_id, webhook_id)
        )
        within = [delivery for delivery in of_it if first <= delivery.delivery_id < last]
        coming = [delivery for delivery in within if after is None or delivery.delivery_id > after]
        return sorted(coming, key=lambda delivery: delivery.delivery_id)

    def _is_selected(self, delivery: StoredDelivery, selection: Selection) -> bool:
        if delivery.state not in selection.states or delivery.origin is DeliveryOrigin.TEST:
            return False
        if delivery.reason is EndReason.FILTER_NOT_MATCHED and not selection.includes_filtered:
            return False
        return self._has_body(delivery) and not self._is_overtaken(delivery, selection)

    def _is_overtaken(self, delivery: StoredDelivery, selection: Selection) -> bool:
        last = earliest_id(selection.until)
        for later in self._state.deliveries.values():
            same = (later.event_key, later.webhook_id) == (delivery.event_key, delivery.webhook_id)
            if same and later.delivery_id > delivery.delivery_id:
                arrived = (
                    later.state is DeliveryState.SUCCEEDED
                    and delivery.state is not DeliveryState.SUCCEEDED
                )
                is_selected = later.state in selection.states and later.delivery_id < last
                if later.state is DeliveryState.PENDING or arrived or is_selected:
                    return True
        return False

    def _has_body(self, delivery: StoredDelivery) -> bool:
        event = self._state.events.get(delivery.event_key)
        return event is not None and event.body is not None

    def _make(self, delivery: StoredDelivery, delivery_id: UUID, **why: Any) -> None:
        now, event = self._clock.now(), self._state.events[delivery.event_key]
        webhook = self._state.webhooks.get(delivery.webhook_id)
        is_ordered = webhook is not None and webhook.ordered
        made = StoredDelivery(
            delivery_id=delivery_id,
            environment_id=delivery.environment_id,
            webhook_id=delivery.webhook_id,
            event_id=delivery.event_id,
            state=DeliveryState.PENDING,
            reason=None,
            created_at=now,
            due_at=now,
            ordering_key=key_in_group(event.ordering_key, is_ordered=is_ordered),
            **why,
        )
        self._state.add_delivery(made)
