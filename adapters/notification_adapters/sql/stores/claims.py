"""Claiming: which deliveries a worker takes, of which webhooks, in which order."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from uuid import UUID

from attrs import evolve, frozen
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.dialect import DueRow, Lease
from notification_adapters.sql.queues import Queue
from notification_adapters.sql.stores import health_rows
from notification_adapters.sql.stores.webhook_rates import advance_rates, lock_rates
from notification_adapters.sql.stores.webhook_rows import WebhookRows
from notification_core.model.claim_order import choose, limit_of, share
from notification_core.model.delivery import ClaimedDelivery
from notification_core.model.rate_limit import RateGrant, opens_again_at
from notification_core.model.webhook import Webhook
from notification_core.ports.deliveries import Claim, Claimed

_MOST_REMEMBERED = 20_000
_LATEST = 8
"""How many of the latest deliveries of a paused webhook are looked at for one to probe."""


@frozen
class _QueueScan:
    """What a scan of the queues came to: those to take from, and when others come due.

    Of those that are paused, ``probed`` may have their next delivery probed, and ``fresh`` the
    delivery that is named. Of all of them, those ``limited`` have a rate limit.
    """

    webhooks_revision: int
    now: datetime
    open: Sequence[UUID]
    probed: Sequence[UUID]
    fresh: Mapping[UUID, DueRow]
    limited: Sequence[Queue]
    after: UUID | None
    next_due: datetime | None

    @property
    def has_nothing(self) -> bool:
        """Whether there is nothing to take."""
        return not self.open and not self.probed and not self.fresh

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
                if scan.has_nothing:
                    return scan.nothing()
        async with self._database.write_transaction() as connection:
            return await self._take(connection, claim)

    async def _scan(self, connection: AsyncConnection, claim: Claim) -> _QueueScan:
        webhooks_revision, now, queues = await self._dialect.scan_queues(
            connection, claim.after, claim.max_webhooks
        )
        sendable = [queue for queue in queues if queue.may_be_sent_to(now)]
        admitted = [queue for queue in sendable if limit_of(claim, queue.webhook_id) > 0]
        ready = [queue for queue in admitted if queue.ready_at(now) <= now]
        fresh = await self._fresh(connection, admitted, now)
        return _QueueScan(
            webhooks_revision,
            now,
            open=[queue.webhook_id for queue in ready if queue.probes is None],
            probed=[queue.webhook_id for queue in ready if queue.probes is not None],
            fresh=fresh,
            limited=[
                queue
                for queue in admitted
                if queue.rate_limit and (queue.webhook_id in fresh or queue.ready_at(now) <= now)
            ],
            after=queues[-1].webhook_id if len(queues) == claim.max_webhooks else None,
            next_due=min(
                (ready_at for queue in sendable if (ready_at := queue.ready_at(now)) > now),
                default=None,
            ),
        )

    async def _fresh(
        self, connection: AsyncConnection, queues: Sequence[Queue], now: datetime
    ) -> Mapping[UUID, DueRow]:
        """Return the latest deliveries of paused webhooks that may be probed before their turn."""
        paused_at = {
            queue.webhook_id: queue.probes.paused_at
            for queue in queues
            if queue.probes and queue.ready_at(now) > now and queue.may_probe_fresh(now)
        }
        if not paused_at:
            return {}
        latest = await self._dialect.lock_fresh(connection, [*paused_at], _LATEST, now)
        # The latest of each webhook is the first of its rows, and so to be the last one here.
        return {
            row.webhook_id: row
            for row, created_at in reversed(latest)
            if created_at > paused_at[row.webhook_id]
        }

    async def _take(self, connection: AsyncConnection, claim: Claim) -> Claimed:
        scan = await self._scan(connection, claim)
        if scan.has_nothing:
            return scan.nothing()
        probed, fresh = await _lock_probes(connection, scan)
        claim = evolve(claim, webhook_limits={**claim.webhook_limits, **dict.fromkeys(probed, 1)})
        due_ids = sorted([*scan.open, *probed]) if probed else scan.open
        granted: Mapping[UUID, RateGrant] = {}
        if scan.limited:
            granted = await lock_rates(connection, scan.limited, claim, scan.now)
            claim = claim.within(granted)
            due_ids = [one for one in due_ids if limit_of(claim, one) > 0]
            fresh = {one: row for one, row in fresh.items() if limit_of(claim, one) > 0}
        read = share(claim, due_ids)
        waiting = await self._dialect.lock_due(connection, due_ids, read, scan.now)
        by_webhook = groupby(waiting, key=attrgetter("webhook_id"))
        due = {webhook_id: list(queue) for webhook_id, queue in by_webhook}
        if fresh:
            due = dict(sorted((due | {key: [row] for key, row in fresh.items()}).items()))
        choice = choose(due, claim, read)
        lease = Lease(claim.worker, scan.now, scan.now + claim.lease)
        chosen = [delivery.handle for delivery in choice.chosen]
        watched = () if choice.has_more else scan.open
        claimed, later = await self._dialect.claim(
            connection, chosen, claim.begin_limit, lease, watched
        )
        if probed or fresh:
            probes = {
                (delivery.fence.environment_id, delivery.webhook_id): delivery.fence.delivery_id
                for delivery in claimed
                if delivery.webhook_id in fresh or delivery.webhook_id in probed
            }
            await health_rows.begin_probes(connection, probes, lease.until)
        if claim.traced:
            claimed = await self._with_traces(connection, claimed)
        grants = await advance_rates(connection, granted, claimed) if granted else {}
        reopening = [opens_again_at(granted[one], part.count) for one, part in grants.items()]
        next_due = min(filter(None, (later, scan.next_due, *reopening)), default=None)
        webhook_ids = {delivery.webhook_id for delivery in claimed}
        return Claimed(
            deliveries=tuple(claimed),
            # They are as of the counter that was read before them, at least.
            webhooks=await self._webhooks.at(connection, scan.webhooks_revision, webhook_ids),
            webhooks_revision=scan.webhooks_revision,
            after=choice.cut_at or scan.after,
            # Where this claim's bounds left something behind, it is to be claimed at once.
            next_due=timedelta() if choice.has_more else scan.until(next_due),
            grants=grants,
        )

    async def _with_traces(
        self, connection: AsyncConnection, claimed: Sequence[ClaimedDelivery]
    ) -> Sequence[ClaimedDelivery]:
        """Return what was claimed with its events' places in traces.

        A statement of its own: the claim is not to cost more where nothing is traced.
        """
        keys = {(row.fence.environment_id, row.event_id) for row in claimed}
        found = await self._dialect.traceparents(connection, keys)
        return [
            evolve(row, traceparent=found.get((row.fence.environment_id, row.event_id)))
            for row in claimed
        ]


async def _lock_probes(
    connection: AsyncConnection, scan: _QueueScan
) -> tuple[Collection[UUID], Mapping[UUID, DueRow]]:
    """Return what of the paused webhooks may be probed still, now that others cannot begin to."""
    if not scan.probed and not scan.fresh:
        return (), {}
    locked = await health_rows.lock_probes(connection, [*scan.probed, *scan.fresh])
    probed = [one for one in scan.probed if one in locked and locked[one].ready_at() <= scan.now]
    fresh = {
        one: row
        for one, row in scan.fresh.items()
        if one in locked and locked[one].may_probe_fresh(scan.now)
    }
    return probed, fresh
