"""The health of webhooks as rows: there is one only while a webhook is not healthy.

Rows are locked behind those of the deliveries, by rising webhook id, and before those of the
webhooks, so that those who write several do not wait in a ring.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import WebhookKey
from notification_adapters.sql.instants import MICROSECOND
from notification_adapters.sql.statements import ResultRow
from notification_adapters.sql.stores.outbox import OutboxRows
from notification_adapters.sql.tables import attempts, webhook_health, webhooks
from notification_adapters.sql.upsert import insert_those_missing
from notification_core.model.circuit_breaker import (
    BreakerPolicy,
    HealthState,
    ProbeSchedule,
    WebhookHealth,
    after_result,
    counts_as_failure,
)
from notification_core.model.delivery import AttemptResult, Failed
from notification_core.model.outbox_message import webhook_paused, webhook_resumed

_h, _w = webhook_health.c, webhooks.c
IS_PAUSED = _h.paused_at.is_not(None)
_FREE = {"probe_id": None, "probe_until": None}
_CHANGE = sa.update(webhook_health).where(
    _h.webhook_id == sa.bindparam("of_webhook"),
    _h.environment_id == sa.bindparam("of_environment"),
)

Changes = Mapping[WebhookKey, HealthState]
"""The webhooks that were paused, or are healthy again."""


async def apply_results(
    connection: AsyncConnection,
    results: Sequence[AttemptResult],
    policy: BreakerPolicy,
    now: datetime,
    outbox: OutboxRows,
) -> tuple[Sequence[bool], Changes]:
    """Store what results make of their webhooks' health; tell of each if its delivery waits.

    Their deliveries are locked. That webhooks were paused or resumed is left to be counted.
    """
    await _add_rows(connection, results, now)
    before = await lock(connection, {_key(result) for result in results})
    first_log_ids = await _first_log_ids(connection, results)
    health: dict[WebhookKey, WebhookHealth | None] = {**before}
    waits = []
    for result in results:
        attempt = result.attempt
        key, first = _key(result), first_log_ids.get(attempt.delivery_id, attempt.log_id)
        known = health.get(key)
        if key not in before:  # it is healthy, or was deleted or changed meanwhile
            waits.append(False)
            continue
        change = after_result(known, result, min(first, attempt.log_id), policy, now)
        health[key] = change.health
        waits.append(change.waits)
    changes = await _write(connection, before, health, now, outbox)
    return waits, changes


async def heal(
    connection: AsyncConnection, keys: Collection[WebhookKey], now: datetime, outbox: OutboxRows
) -> Changes:
    """Take webhooks for healthy, and resume those that were paused, which is left to be counted."""
    before = await lock(connection, keys)
    return await _write(connection, before, dict.fromkeys(before), now, outbox)


async def forget(connection: AsyncConnection, key: WebhookKey) -> None:
    """Delete what is stored of the health of a webhook that is deleted or disabled."""
    environment_id, webhook_id = key
    its = _h.webhook_id == webhook_id, _h.environment_id == environment_id
    await connection.execute(sa.delete(webhook_health).where(*its))


async def lock_probes(
    connection: AsyncConnection, webhook_ids: Collection[UUID]
) -> Mapping[UUID, ProbeSchedule]:
    """Return and lock when paused webhooks are probed; who is being probed by others is left out.

    A lock that others have is not waited for: what they do is about to change it.
    """
    rows = await connection.execute(
        sa.select(webhook_health)
        .where(_h.webhook_id.in_(webhook_ids), IS_PAUSED)
        .order_by(_h.webhook_id)
        .with_for_update(skip_locked=True)
    )
    return {row.webhook_id: schedule_from(row) for row in rows}


async def begin_probes(
    connection: AsyncConnection, probes: Mapping[WebhookKey, UUID], until: datetime
) -> None:
    """Note which deliveries of paused webhooks are being probed, of rows that are locked."""
    rows = [
        {**_place(key), "probe_id": delivery_id, "probe_until": until}
        for key, delivery_id in probes.items()
    ]
    if rows:
        await connection.execute(_CHANGE, rows)


async def end_probes(connection: AsyncConnection, delivery_ids: Collection[UUID]) -> None:
    """Let others be probed instead of deliveries that were given back."""
    probed = (
        sa.select(_h.webhook_id)
        .where(_h.probe_id.in_(delivery_ids))
        .order_by(_h.webhook_id)
        .with_for_update()
    )
    webhook_ids = (await connection.execute(probed)).scalars().all()
    if webhook_ids:
        its = _h.webhook_id.in_(webhook_ids), _h.probe_id.in_(delivery_ids)
        await connection.execute(sa.update(webhook_health).where(*its).values(**_FREE))


def health_from(row: ResultRow) -> WebhookHealth:
    """Return the health that a row holds."""
    probes = None if row.paused_at is None else schedule_from(row)
    return WebhookHealth(row.failures, row.since, row.first_log_id, probes)


def schedule_from(row: ResultRow) -> ProbeSchedule:
    """Return when the webhook of a row is probed, which is paused."""
    pause = timedelta(microseconds=row.pause_us)
    times = row.next_probe_at, row.fresh_probe_at
    return ProbeSchedule(row.paused_at, pause, *times, row.probe_id, row.probe_until)


def _values(health: WebhookHealth) -> Mapping[str, object]:
    probes = health.probes
    return {
        "failures": health.failures,
        "since": health.since,
        "first_log_id": health.first_log_id,
        "paused_at": probes and probes.paused_at,
        "pause_us": probes and probes.pause // MICROSECOND,
        "next_probe_at": probes and probes.next_at,
        "fresh_probe_at": probes and probes.fresh_at,
        "probe_id": probes and probes.probe_id,
        "probe_until": probes and probes.leased_until,
    }


async def _add_rows(
    connection: AsyncConnection, results: Sequence[AttemptResult], now: datetime
) -> None:
    """Add rows without a failure for webhooks that have failed, so that they can be locked."""
    failed = {
        (_key(result), result.webhook_version)
        for result in results
        if counts_as_failure(result.attempt)
    }
    if not failed:
        return
    rows = await connection.execute(
        sa.select(_w.webhook_id, _w.environment_id, _w.version, _h.failures)
        .select_from(
            webhooks.outerjoin(
                webhook_health,
                (_h.webhook_id == _w.webhook_id) & (_h.environment_id == _w.environment_id),
            )
        )
        .where(*_of(webhooks, {key for key, _ in failed}), _w.deleted_at.is_(None))
        .order_by(_w.webhook_id)
    )
    new = [
        _new_row(row, now)
        for row in rows
        if row.failures is None and ((row.environment_id, row.webhook_id), row.version) in failed
    ]
    if new:
        await insert_those_missing(connection, webhook_health, new, sa.literal(1))


def _new_row(row: ResultRow, now: datetime) -> Mapping[str, object]:
    key = {"webhook_id": row.webhook_id, "environment_id": row.environment_id}
    return {**key, "failures": 0, "since": now, "first_log_id": UUID(int=0)}


async def lock(
    connection: AsyncConnection, keys: Collection[WebhookKey]
) -> dict[WebhookKey, WebhookHealth | None]:
    """Return and lock the rows of webhooks; None for one that was only just added."""
    rows = await connection.execute(
        sa.select(webhook_health)
        .where(*_of(webhook_health, keys))
        .order_by(_h.webhook_id)
        .with_for_update()
    )
    return {
        (row.environment_id, row.webhook_id): health_from(row) if row.failures else None
        for row in rows
    }


async def _first_log_ids(
    connection: AsyncConnection, results: Sequence[AttemptResult]
) -> Mapping[UUID, UUID]:
    """Return the first attempts of those deliveries that have used their retries."""
    used_up = {
        result.attempt.delivery_id
        for result in results
        if isinstance(result.next_step, Failed) and counts_as_failure(result.attempt)
    }
    if not used_up:
        return {}
    a = attempts.c
    logged = (
        sa.select(a.delivery_id, a.log_id)
        .where(a.delivery_id.in_(used_up))
        .order_by(a.delivery_id, a.attempt.desc())
    )
    return {row.delivery_id: row.log_id for row in await connection.execute(logged)}


async def _write(
    connection: AsyncConnection,
    before: Mapping[WebhookKey, WebhookHealth | None],
    after: Mapping[WebhookKey, WebhookHealth | None],
    now: datetime,
    outbox: OutboxRows,
) -> Changes:
    """Write the rows that have changed; tell of webhooks that were paused or resumed."""
    changes: dict[WebhookKey, HealthState] = {}
    events = []
    for key, health in after.items():
        stored = before[key]
        was_paused = stored.probes if stored else None
        is_paused = health.probes if health else None
        if is_paused and health and not was_paused:
            changes[key] = HealthState.PAUSED
            events.append(webhook_paused(*key, health.failures, is_paused.next_at, now))
        elif was_paused and not is_paused:
            changes[key] = HealthState.HEALTHY
            events.append(webhook_resumed(*key, was_paused.paused_at, now))
    if healed := [key for key, health in after.items() if health is None]:
        await connection.execute(sa.delete(webhook_health).where(*_of(webhook_health, healed)))
    rows = [
        {**_place(key), **_values(health)}
        for key, health in after.items()
        if health is not None and health != before[key]
    ]
    if rows:
        await connection.execute(_CHANGE, rows)
    if resumed := [key for key, state in changes.items() if state is HealthState.HEALTHY]:
        its = _of(webhooks, resumed)
        locked = sa.select(_w.webhook_id).where(*its).order_by(_w.webhook_id)
        await connection.execute(locked.with_for_update())
        await connection.execute(sa.update(webhooks).where(*its).values(resumed_at=now))
    await outbox.append(connection, events, now)
    return changes


def _of(
    table: sa.Table, keys: Collection[WebhookKey]
) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """Say of a row that it is of one of these webhooks, and of their environments."""
    environment_ids, webhook_ids = zip(*keys, strict=True) if keys else ((), ())
    return (
        table.c.webhook_id.in_(webhook_ids),
        table.c.environment_id.in_({*environment_ids}),
    )


def _place(key: WebhookKey) -> Mapping[str, UUID]:
    """Return what names a row for ``_CHANGE``."""
    environment_id, webhook_id = key
    return {"of_webhook": webhook_id, "of_environment": environment_id}


def _key(result: AttemptResult) -> WebhookKey:
    return result.attempt.environment_id, result.attempt.webhook_id
