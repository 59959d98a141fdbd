"""The rates of webhooks that have a limit: taken and advanced in the claim's own transaction."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.queues import Queue
from notification_adapters.sql.tables import webhook_rates, webhooks
from notification_adapters.sql.upsert import insert_those_missing
from notification_core.model.claim_order import limit_of
from notification_core.model.delivery import ClaimedDelivery
from notification_core.model.rate_limit import RateGrant, grant, nothing_granted
from notification_core.ports.deliveries import Claim

_r = webhook_rates.c

_ADVANCE = (
    sa.update(webhook_rates)
    .where(_r.webhook_id == sa.bindparam("of"))
    .values(next_at=sa.bindparam("until"))
)


async def lock_rates(
    connection: AsyncConnection, queues: Sequence[Queue], claim: Claim, now: datetime
) -> Mapping[UUID, RateGrant]:
    """Return what a claim may take of these webhooks, each of which has a limit.

    Their rates are locked where the engine locks rows. Of one that another claim holds it is
    nothing: whoever waited for it would find it advanced.
    """
    limits = {queue.webhook_id: queue.rate_limit for queue in queues if queue.rate_limit}
    new = [queue.webhook_id for queue in queues if queue.next_at is None]
    if new:
        await _insert(connection, new, now)
    rows = (
        sa.select(_r.webhook_id, _r.next_at)
        .where(_r.webhook_id.in_(limits))
        .with_for_update(skip_locked=True)
    )
    grants = dict.fromkeys(limits, nothing_granted(now))
    for webhook_id, next_at in await connection.execute(rows):
        wanted = limit_of(claim, webhook_id)
        grants[webhook_id] = grant(next_at, limits[webhook_id], now, wanted)
    return grants


async def advance_rates(
    connection: AsyncConnection,
    granted: Mapping[UUID, RateGrant],
    claimed: Sequence[ClaimedDelivery],
) -> Mapping[UUID, RateGrant]:
    """Write when the next request to each of these webhooks may be made; return what was used."""
    taken = Counter(delivery.webhook_id for delivery in claimed)
    used = {webhook_id: whole.cut(taken[webhook_id]) for webhook_id, whole in granted.items()}
    rows = [
        {"of": webhook_id, "until": part.next_at} for webhook_id, part in used.items() if part.count
    ]
    if rows:
        await connection.execute(_ADVANCE, rows)
    return used


async def _insert(connection: AsyncConnection, webhook_ids: Sequence[UUID], now: datetime) -> None:
    """Insert the rates of webhooks of which nothing was claimed yet, unless others do."""
    columns = webhooks.c.webhook_id, webhooks.c.environment_id
    keys = sa.select(*columns).where(columns[0].in_(webhook_ids)).order_by(columns[0])
    rows = [{**key, "next_at": now} for key in (await connection.execute(keys)).mappings()]
    if rows:
        await insert_those_missing(connection, webhook_rates, rows, sa.literal(1))
