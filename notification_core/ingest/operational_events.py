"""Publishing operational events to the webhooks of the platform's own environment."""

from datetime import timedelta
from uuid import UUID

from notification_core.concurrency.transactions import retry_lost_transaction
from notification_core.errors import TooManyDeliveries
from notification_core.ingest.ingest import Ingest
from notification_core.ports.clock import Clock
from notification_core.ports.deliveries import DeliveryStore
from notification_core.ports.observer import Observer

_LIMIT = 100
_PAUSE = 1.0


class OperationalEventPublisher:
    """Publishes the operational events that storage keeps, each once.

    They are taken and stored as events, with their deliveries, in one transaction: a process that
    is killed leaves them waiting or published. So any number of processes may do it, and none
    waits for Kafka, whose outbox has its own copies.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, one by one
        self,
        *,
        environment_id: UUID,
        deliveries: DeliveryStore,
        ingest: Ingest,
        clock: Clock,
        observer: Observer,
        poll_interval: timedelta,
    ) -> None:
        self._environment_id = environment_id
        self._deliveries = deliveries
        self._ingest = ingest
        self._clock = clock
        self._observer = observer
        self._poll_interval = poll_interval
        self._limit = _LIMIT

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            try:
                pause = 0.0 if await self.publish_batch() else self._poll_interval.total_seconds()
            except Exception as error:  # noqa: BLE001 - the loop must survive whatever happens
                self._observer.background_task_failed("operational_events", error)
                pause = _PAUSE
            await self._clock.sleep(pause)

    @retry_lost_transaction
    async def publish_batch(self) -> int:
        """Publish the oldest events; return how many.

        Raises :class:`StorageUnavailable`, and :class:`TooManyDeliveries` for a batch of more
        deliveries than a transaction takes: the next one is smaller.
        """
        if not await self._deliveries.has_operational_events():
            return 0
        try:
            async with self._deliveries.ingesting() as transaction:
                events = await transaction.take_operational_events(
                    self._environment_id, self._limit
                )
                joined = await self._ingest.join(transaction, events)
        except TooManyDeliveries:
            self._limit = max(1, self._limit // 2)
            raise
        joined.committed()
        self._limit = _LIMIT
        return len(events)
