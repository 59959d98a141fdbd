"""Erasing environments, in memory."""

from collections.abc import Callable, Collection, Iterator, MutableMapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from attrs import evolve

from notification_adapters.memory.state import MemoryState, StoredDelivery
from notification_core.errors import ErasureNotFound
from notification_core.model.erasure import NOTHING_ERASED, ErasedBatch, Erasure
from notification_core.model.event import EventKey
from notification_core.model.request_records import RequestRecords
from notification_core.ports.clock import Clock
from notification_core.ports.erasures import ErasureStore

_Doomed = tuple[MutableMapping[Any, Any], object]
"""A row: the table that it is in, and its key."""


class MemoryErasureStore(ErasureStore):
    """Erases environments from memory."""

    def __init__(self, state: MemoryState, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    async def begin(
        self, environment_id: UUID, now: datetime, records: RequestRecords = ()
    ) -> tuple[Erasure, int]:
        """Begin an erasure, or return the one that runs; with the webhooks' revision."""
        state = self._state
        async with state.writing:
            if environment_id not in state.erasing():
                state.erasures[environment_id] = Erasure(environment_id, now)
                state.add_records(records)
            for webhook in list(state.webhooks.values()):
                if webhook.environment_id == environment_id and not webhook.deleted_at:
                    buried = evolve(webhook, deleted_at=now, version=webhook.version + 1)
                    state.webhooks[webhook.webhook_id] = buried
            state.webhooks_revision += 1
            return state.erasures[environment_id], state.webhooks_revision

    async def get(self, environment_id: UUID) -> Erasure:
        """Return the latest erasure of an environment."""
        if environment_id not in self._state.erasures:
            raise ErasureNotFound(environment_id)
        return self._state.erasures[environment_id]

    async def running(self) -> Collection[UUID]:
        """Return the environments whose erasure runs."""
        return self._state.erasing()

    async def advance(self, environment_id: UUID, limit: int) -> ErasedBatch:
        """Delete the next of what is stored of an environment, in one step."""
        async with self._state.writing:
            if environment_id not in self._state.erasing():
                return NOTHING_ERASED
            statistics = self._counted()
            erased = self._erase(environment_id, limit)
            erasure = self._state.erasures[environment_id]
            if erased is None:
                ended = evolve(erasure, ended_at=self._clock.now())
                self._state.erasures[environment_id] = ended
                self._state.webhooks_revision += 1
                return ErasedBatch(0, is_last=True)
            counted = erased - (statistics - self._counted())
            self._state.erasures[environment_id] = evolve(erasure, erased=erasure.erased + counted)
            return ErasedBatch(erased, is_last=False)

    def _counted(self) -> int:
        return len(self._state.statistics) + len(self._state.statistics_minutes)

    def _erase(self, environment_id: UUID, limit: int) -> int | None:
        """Delete the first of what there is; None if there is nothing left."""
        busy = {
            delivery.event_key for delivery in self._deliveries(environment_id) if delivery.worker
        }
        doomed = list(self._of_events(environment_id, busy))
        if not busy:
            doomed += self._all_else(environment_id)
        for table, key in doomed[:limit]:
            del table[key]
        return len(doomed[:limit]) if doomed or busy else None

    def _of_events(self, environment_id: UUID, busy: Collection[EventKey]) -> Iterator[_Doomed]:
        """Yield attempts, deliveries and events; what a worker has keeps its event."""
        state = self._state
        for log_id, attempt in state.attempts.items():
            if attempt.environment_id == environment_id:
                yield state.attempts, log_id
        for delivery in self._deliveries(environment_id):
            if not delivery.worker:
                yield state.deliveries, delivery.delivery_id
        for key in state.events:
            if key[0] == environment_id and key not in busy:
                yield state.events, key

    def _all_else(self, environment_id: UUID) -> Iterator[_Doomed]:
        """Yield what is of an environment and of no event, the webhooks last."""
        state = self._state
        tables: Sequence[tuple[MutableMapping[Any, Any], Callable[[Any, Any], UUID]]] = (
            (state.statistics, lambda key, _: key[0]),
            (state.statistics_minutes, lambda key, _: key[0]),
            (state.replays, lambda _, stored: stored.replay.environment_id),
            (state.responses, lambda key, _: key[0]),
            (state.audit, lambda _, entry: entry.environment_id),
            (state.keys, lambda key, _: key[0]),
            (state.portal_sessions, lambda _, session: session.environment_id),
            (state.health, lambda key, _: state.webhooks[key].environment_id),
            (state.rates, lambda key, _: state.webhooks[key].environment_id),
            (state.webhooks, lambda _, webhook: webhook.environment_id),
        )
        for table, environment_of in tables:
            for key, row in table.items():
                if environment_of(key, row) == environment_id:
                    yield table, key

    def _deliveries(self, environment_id: UUID) -> Iterator[StoredDelivery]:
        all_of_them = self._state.deliveries.values()
        return (delivery for delivery in all_of_them if delivery.environment_id == environment_id)
