"""Erasing environments: what a customer asks for, and carrying it on a batch at a time."""

from collections.abc import Callable
from uuid import UUID

from notification_core.model.erasure import Erasure
from notification_core.model.request_records import RequestRecords
from notification_core.ports.clock import Clock
from notification_core.ports.erasures import ErasureStore
from notification_core.ports.observer import Observer

_BATCH = 500
_GO_ON_AFTER = 0.02
_WAIT = 1.0
_REST = 60.0


class ErasureService:
    """Begins erasures, and tells how they stand; raises :class:`StorageUnavailable`.

    ``on_webhooks_changed`` is called with the webhooks' revision before an erasure is answered, so
    that this process stops sending at once.
    """

    def __init__(
        self, store: ErasureStore, clock: Clock, on_webhooks_changed: Callable[[int], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._on_webhooks_changed = on_webhooks_changed

    async def begin(self, environment_id: UUID, records: RequestRecords = ()) -> Erasure:
        """Begin to delete all that is of an environment; where that runs already, return it."""
        erasure, webhooks_revision = await self._store.begin(
            environment_id, self._clock.now(), records
        )
        self._on_webhooks_changed(webhooks_revision)
        return erasure

    async def get(self, environment_id: UUID) -> Erasure:
        """Return the latest erasure of an environment; raise :class:`ErasureNotFound`."""
        return await self._store.get(environment_id)


class ErasureRunner:
    """Carries erasures on; ``erased`` is called with an environment of which nothing is left."""

    def __init__(
        self, store: ErasureStore, observer: Observer, erased: Callable[[UUID], None]
    ) -> None:
        self._store = store
        self._observer = observer
        self._erased = erased

    async def advance_all(self) -> float:
        """Delete a batch of each environment that is being erased.

        Returns after how many seconds there is more to do.
        """
        pause = _REST
        for environment_id in await self._store.running():
            batch = await self._store.advance(environment_id, _BATCH)
            self._observer.rows_erased(batch.erased)
            if batch.is_last:
                self._erased(environment_id)
            else:
                pause = min(pause, _GO_ON_AFTER if batch.erased else _WAIT)
        return pause
