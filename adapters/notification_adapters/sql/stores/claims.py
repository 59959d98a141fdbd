"""Claiming: which deliveries a worker takes, of which webhooks, in which order."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from uuid import UUID

from attrs import frozen
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.dialect import Lease
from notification_adapters.sql.stores.webhook_rows import WebhookRows
from notification_core.model.claim_order import choose, limit_of, share
from notification_core.model.webhook import Webhook
from notification_core.ports.deliveries import Claim, Claimed

_MOST_REMEMBERED = 20_000


@frozen
class _QueueScan:
    """What a scan of the queues came to: those to take from, and when others come due."""

    webhooks_revision: int
    now: datetime
    open: Sequence[UUID]
    after: UUID | None
    next_due: datetime | None

    def nothing(self) -> Claimed:
        """Return what a claim came to that finds nothing to take."""
        return Claimed((), {}, self.webhooks_revision, self.after, self.until(self.next_due))

    def until(self, due_at: datetime | None) -> timedelta | None:
        """Return how long it takes until something is due."""
        return None if due_at is None else due_at - self.now


class _WebhooksByRevision:
    """The webhooks of what was claimed, read again once the webhooks' revision is another one."""

    def __init__(self, rows: WebhookRows) -> None:
        self._rows = rows
        self._revision = -1
        self._read: dict[UUID, Webhook] = {}

    async def at(
        self, connection: AsyncConnection, webhooks_revision: int, webhook_ids: Collection[UUID]
    ) -> Mapping[UUID, Webhook]:
        """Return webhooks by id, tombstones too, as they are at this number or later."""
        if webhooks_revision != self._revision or len(self._read) > _MOST_REMEMBERED:
            self._revision, self._read = webhooks_revision, {}
        # Who claims at the same time may begin another edition: each fills the one that it found.
        webhooks = self._read
        if missing := [webhook_id for webhook_id in webhook_ids if webhook_id not in webhooks]:
            webhooks |= await self._rows.by_id(connection, missing)
        return {webhook_id: webhooks[webhook_id] for webhook_id in webhook_ids}


class Claims:
    """Takes eligible deliveries for a worker."""

    def __init__(self, database: Database, rows: WebhookRows) -> None:
        self._database = database
        self._dialect = database.dialect
        self._webhooks = _WebhooksByRevision(rows)

    async def acquire(self, claim: Claim) -> Claimed:
        """Take eligible deliveries for their next attempt."""
        if self._database.has_one_writer:
            # A look through a reader first: where nothing is due, no writer is kept waiting.
            async with self._database.query() as connection:
                scan = await self._scan(connection, claim)
                if not scan.open:
                    return scan.nothing()
        async with self._database.write_transaction() as connection:
            return await self._take(connection, claim)

    async def _scan(self, connection: AsyncConnection, claim: Claim) -> _QueueScan:
        webhooks_revision, now, queues = await self._dialect.scan_queues(
            connection, claim.after, claim.max_webhooks
        )
        sendable = [queue for queue in queues if queue.may_be_sent_to(now)]
        return _QueueScan(
            webhooks_revision,
            now,
            open=[
                queue.webhook_id
                for queue in sendable
                if queue.due_at <= now and limit_of(claim, queue.webhook_id) > 0
            ],
            after=queues[-1].webhook_id if len(queues) == claim.max_webhooks else None,
            next_due=min((queue.due_at for queue in sendable if queue.due_at > now), default=None),
        )

    async def _take(self, connection: AsyncConnection, claim: Claim) -> Claimed:
        scan = await self._scan(connection, claim)
        if not scan.open:
            return scan.nothing()
        read = share(claim, scan.open)
        waiting = await self._dialect.lock_due(connection, scan.open, read, scan.now)
        by_webhook = groupby(waiting, key=attrgetter("webhook_id"))
        choice = choose({webhook_id: list(queue) for webhook_id, queue in by_webhook}, claim, read)
        lease = Lease(claim.worker, scan.now, scan.now + claim.lease)
        chosen = [delivery.handle for delivery in choice.chosen]
        watched = () if choice.has_more else scan.open
        claimed, later = await self._dialect.claim(
            connection, chosen, claim.begin_limit, lease, watched
        )
        next_due = min(filter(None, (later, scan.next_due)), default=None)
        webhook_ids = {delivery.webhook_id for delivery in claimed}
        return Claimed(
            deliveries=tuple(claimed),
            # They are as of the counter that was read before them, at least.
            webhooks=await self._webhooks.at(connection, scan.webhooks_revision, webhook_ids),
            webhooks_revision=scan.webhooks_revision,
            after=choice.cut_at or scan.after,
            # Where this claim's bounds left something behind, it is to be claimed at once.
            next_due=timedelta() if choice.has_more else scan.until(next_due),
        )
