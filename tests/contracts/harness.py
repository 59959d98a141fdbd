"""A harness around a storage: webhooks, events and workers, made with few words."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from attrs import evolve, field, frozen
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.memory import ManualClock, MemoryStorage
from notification_adapters.memory.state import StoredDelivery
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.tables import deliveries as delivery_table
from notification_core.concurrency.ids import IdGenerator
from notification_core.encryption.cipher import Cipher
from notification_core.model.delivery import (
    Attempt,
    AttemptError,
    AttemptOutcome,
    AttemptResult,
    ClaimedDelivery,
    DeliveryState,
    EndReason,
    ErrorCode,
    Failed,
    Fence,
    NewDelivery,
    NextStep,
    ReceivedResponse,
    Retry,
    SentRequest,
    Succeeded,
)
from notification_core.model.event import Arrival, EventKey, EventToStore, body_of
from notification_core.model.message import Topics
from notification_core.model.ordering import key_in_group
from notification_core.model.webhook import Webhook
from notification_core.ports.deliveries import Claim, Claimed, IngestPlan
from notification_core.ports.storage import Storage
from tests.support.samples import CREATED, a_webhook, an_event

LEASE = timedelta(seconds=30)
DELAY = timedelta(seconds=1)
TYPE = CREATED
TOPICS = Topics("test-")
OPERATIONAL = UUID("0e5a0000-0000-4000-8000-000000000001")
"""The environment whose webhooks are sent operational events."""


@frozen
class Stored:
    """A delivery as the storage has it."""

    state: DeliveryState
    reason: EndReason | None
    attempt: int
    failures: int
    interruptions: int
    worker: UUID | None
    due_at: datetime


Probe = Callable[[UUID], Awaitable[Stored]]

Opening = Callable[[Cipher], AbstractAsyncContextManager[Storage]]


def _in_one_way_only(cipher: Cipher) -> AbstractAsyncContextManager[Storage]:
    raise NotImplementedError(f"This harness does not open its storage under {cipher}.")


@frozen
class Harness:
    """A storage with its clock, and the means to fill it and to look into it.

    ``rival`` is a second connection to the same storage, as another process would have it, and
    ``under`` opens one with other secrets;
    with ``one_dispatcher`` only one of the two can dispatch at a time, and only with ``wakes``
    does one hear the other.
    """

    storage: Storage
    rival: Storage
    clock: ManualClock
    ids: IdGenerator
    probe: Probe
    environment_id: UUID
    other_environment_id: UUID
    worker: UUID = field()
    other_worker: UUID = field()
    one_dispatcher: bool = True
    wakes: bool = True
    under: Opening = _in_one_way_only

    async def webhook(self, environment_id: UUID | None = None, **changes: Any) -> Webhook:
        """Add a webhook that subscribes to the one event type of the harness."""
        now = self.clock.now()
        environment_id = environment_id or self.environment_id
        webhook = a_webhook(
            self.ids(), environment_id=environment_id, created_at=now, updated_at=now
        )
        webhook = evolve(webhook, **changes)
        await self.storage.webhooks.add(webhook, most=1000)
        return webhook

    async def change(self, webhook: Webhook, **changes: Any) -> Webhook:
        """Replace a webhook by a changed version of itself."""
        changed = evolve(
            webhook, version=webhook.version + 1, updated_at=self.clock.now(), **changes
        )
        await self.storage.webhooks.replace(changed)
        return changed

    def event(
        self, event_id: str = "", data: bytes = b"{}", *, whole: bool = True, **changes: Any
    ) -> EventToStore:
        """Return an event of the harness's environment, with its body if it is ``whole``."""
        event = an_event(
            event_id or str(self.ids()),
            environment_id=self.environment_id,
            occurred_at=self.clock.now(),
            data=data,
        )
        event = evolve(event, **changes)
        return EventToStore(event, body_of(event) if whole else None)

    def to(self, webhook: Webhook, event: EventToStore, **changes: Any) -> NewDelivery:
        """Return a delivery of an event to a webhook."""
        delivery = NewDelivery(
            delivery_id=self.ids(),
            environment_id=webhook.environment_id,
            webhook_id=webhook.webhook_id,
            event_id=event.event.event_id,
        )
        delivery = evolve(delivery, **changes)
        is_final = delivery.state is not DeliveryState.PENDING
        key = key_in_group(event.event.ordering_key, is_ordered=webhook.ordered, is_final=is_final)
        return evolve(delivery, ordering_key=key)

    async def ingest(
        self,
        events: Sequence[EventToStore],
        deliveries: Sequence[NewDelivery] = (),
        worker: UUID | None = None,
    ) -> Mapping[EventKey, Arrival]:
        """Store events and deliveries in one transaction."""
        async with self.storage.deliveries.ingesting() as transaction:
            arrivals = await transaction.add_events(events)
            await transaction.add_deliveries(deliveries, worker, LEASE)
        return arrivals

    async def store(
        self,
        events: Sequence[EventToStore],
        deliveries: Sequence[NewDelivery] = (),
        worker: UUID | None = None,
        webhooks_revision: int | None = None,
        *,
        traced: bool = False,
    ) -> Mapping[EventKey, Arrival] | None:
        """Store them as planned at a revision of the webhooks, by default the present one."""
        if webhooks_revision is None:
            webhooks_revision = await self.storage.webhooks.webhooks_revision()
        is_ordered = any(delivery.ordering_key is not None for delivery in deliveries)
        how = worker, LEASE, is_ordered, traced
        planned = IngestPlan(webhooks_revision, events, deliveries, *how)
        return await self.storage.deliveries.store(planned)

    async def publish(
        self, webhook: Webhook, count: int = 1, data: bytes = b"{}", key: str | None = None
    ) -> list[UUID]:
        """Store so many due deliveries of a webhook; return their ids in the order they are due."""
        ids = []
        for _ in range(count):
            event = self.event(data=data, environment_id=webhook.environment_id, ordering_key=key)
            delivery = self.to(webhook, event)
            await self.ingest([event], [delivery])
            ids.append(delivery.delivery_id)
            self.clock.jump(timedelta(microseconds=1))
        return ids

    async def begin(self, webhook: Webhook, worker: UUID | None = None) -> ClaimedDelivery:
        """Store one delivery and claim it."""
        (delivery_id,) = await self.publish(webhook)
        claimed = await self.claim(worker=worker or self.worker)
        return next(one for one in claimed.deliveries if one.fence.delivery_id == delivery_id)

    async def hand_over(self, webhook: Webhook) -> ClaimedDelivery:
        """Store one delivery that is claimed already, whether or not a claim would give it."""
        event = self.event(environment_id=webhook.environment_id)
        claimed = self.to(webhook, event, claimed=True)
        await self.ingest([event], [claimed], self.worker)
        fence = Fence(claimed.delivery_id, webhook.environment_id, 1, self.worker)
        return ClaimedDelivery(
            fence, webhook.webhook_id, claimed.event_id, event.event.type, 0, event.body or b""
        )

    async def claim(self, storage: Storage | None = None, **changes: Any) -> Claimed:
        """Claim without bounds that matter, but for those that are named."""
        claim = Claim(
            worker=self.worker, lease=LEASE, limit=1000, limit_bytes=1 << 30, new_webhook_limit=1000
        )
        return await (storage or self.storage).deliveries.acquire(evolve(claim, **changes))

    def result(
        self,
        claimed: ClaimedDelivery,
        next_step: NextStep | None = None,
        outcome: AttemptOutcome | None = None,
        webhook_version: int = 1,
    ) -> AttemptResult:
        """Return how an attempt ended: by default as its next step says."""
        next_step = next_step or Succeeded()
        outcome = outcome or _outcome_of(next_step)
        fence = claimed.fence
        attempt = Attempt(
            log_id=self.ids(),
            environment_id=fence.environment_id,
            webhook_id=claimed.webhook_id,
            delivery_id=fence.delivery_id,
            event_id=claimed.event_id,
            event_type=claimed.event_type,
            number=fence.attempt,
            outcome=outcome,
            started_at=self.clock.now(),
        )
        key = claimed.ordering_key
        return AttemptResult(fence, _filled(attempt), next_step, webhook_version, key)

    async def finish(
        self, claimed: ClaimedDelivery, next_step: NextStep | None = None, **how: Any
    ) -> AttemptResult:
        """Write how an attempt ended, and check that it was taken."""
        result = self.result(claimed, next_step, **how)
        assert list(await self.storage.deliveries.finish([result], DELAY)) == []
        return result

    async def log(self, webhook: Webhook) -> Sequence[Attempt]:
        """Return a webhook's attempts, the newest first."""
        key = webhook.environment_id, webhook.webhook_id
        return (await self.storage.logs.page(*key, limit=1000)).rows


def harness_of(
    storage: Storage, rival: Storage, clock: ManualClock, ids: IdGenerator, probe: Probe
) -> Harness:
    """Return a harness around a storage and a second connection to it."""
    return Harness(
        storage=storage,
        rival=rival,
        clock=clock,
        ids=ids,
        probe=probe,
        environment_id=uuid4(),
        other_environment_id=uuid4(),
        worker=uuid4(),
        other_worker=uuid4(),
    )


def ids_of(claimed: Claimed) -> list[UUID]:
    """Return the deliveries of a claim."""
    return [one.fence.delivery_id for one in claimed.deliveries]


def memory_probe(storage: MemoryStorage) -> Probe:
    """Look into a storage in memory."""

    async def probe(delivery_id: UUID) -> Stored:
        return stored_in_memory(storage.state.deliveries[delivery_id])

    return probe


def sql_probe(storage: SqlStorage) -> Probe:
    """Look into a database."""

    async def probe(delivery_id: UUID) -> Stored:
        wanted = sa.select(*STORED).where(delivery_table.c.delivery_id == delivery_id)
        async with storage.database.read_transaction() as connection:
            return stored_in_sql((await connection.execute(wanted)).one())

    return probe


STORED = [delivery_table.c[name] for name in Stored.__annotations__]
"""The columns that :func:`stored_in_sql` takes."""


def stored_in_memory(row: StoredDelivery) -> Stored:
    """Return a delivery as the storage in memory has it."""
    return Stored(**{name: getattr(row, name) for name in Stored.__annotations__})


def stored_in_sql(row: sa.Row[Any]) -> Stored:
    """Return a delivery as a database has it."""
    values = {name: getattr(row, name) for name in Stored.__annotations__}
    reason = None if row.reason is None else EndReason(row.reason)
    return Stored(**{**values, "state": DeliveryState(row.state), "reason": reason})


def standing_still(clock: ManualClock) -> Callable[[AsyncConnection], Awaitable[datetime]]:
    """Replace the server's clock by a test's."""

    async def now(_: AsyncConnection) -> datetime:
        return clock.now()

    return now


def _outcome_of(next_step: NextStep) -> AttemptOutcome:
    match next_step:
        case Succeeded():
            return AttemptOutcome.SUCCEEDED
        case Retry() | Failed():
            return AttemptOutcome.FAILED


def _filled(attempt: Attempt) -> Attempt:
    """Give an attempt what it has besides its outcome."""
    if attempt.outcome is AttemptOutcome.INTERRUPTED:
        return evolve(attempt, error=AttemptError(ErrorCode.INTERRUPTED, "It was cut off."))
    succeeded = attempt.outcome is AttemptOutcome.SUCCEEDED
    return evolve(
        attempt,
        error=None if succeeded else AttemptError(ErrorCode.HTTP_STATUS, "It returned 500."),
        request=SentRequest("post", "https://receiver.example.com/hook", (("webhook-id", "é"),)),
        response=ReceivedResponse(
            http_code=200 if succeeded else 500,
            headers=(("server", "a"), ("server", "b")),
            body=b"\x00\xff",
            truncated=True,
        ),
        duration=timedelta(microseconds=12345),
    )
