"""Delivering again, on SQL."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa

from notification_adapters.sql.database import Database
from notification_adapters.sql.statements import ResultRow, Statement
from notification_adapters.sql.stores import ordering, replay_steps
from notification_adapters.sql.stores.request_records import RequestRecordRows
from notification_adapters.sql.tables import RUNNING, events, replays, webhooks
from notification_adapters.sql.upsert import insert_if_absent
from notification_core.concurrency.ids import IdGenerator
from notification_core.concurrency.transactions import retry_lost_transaction
from notification_core.errors import EventGone, ReplayNotFound, ReplayRunning
from notification_core.model.delivery import DeliveryOrigin, DeliveryState
from notification_core.model.ordering import key_in_group
from notification_core.model.read_models import DeliveryView, ReplayPage, page_of
from notification_core.model.replay import (
    Replay,
    ReplayCount,
    ReplayProgress,
    ReplayState,
    Selection,
)
from notification_core.model.request_records import RequestRecords
from notification_core.ports.replays import ReplayStore

_r = replays.c

_encode = msgspec.json.Encoder().encode
_states = msgspec.json.Decoder(frozenset[DeliveryState])

_REPLAY = Statement(
    sa.select(replays).where(
        _r.replay_id == sa.bindparam("replay_id"),
        _r.environment_id == sa.bindparam("environment_id"),
        _r.webhook_id == sa.bindparam("webhook_id"),
    )
)


class SqlReplayStore(ReplayStore):
    """Makes further deliveries of the events in a SQL database."""

    def __init__(self, database: Database, records: RequestRecordRows, ids: IdGenerator) -> None:
        self._database = database
        self._records = records
        self._ids = ids

    @retry_lost_transaction
    async def retry(
        self, delivery: DeliveryView, delivery_id: UUID, records: RequestRecords = ()
    ) -> None:
        """Store one more delivery of the same event to the same webhook."""
        environment_id, event_id = delivery.environment_id, delivery.event_id
        is_ordered = (
            sa.select(webhooks.c.ordered)
            .where(
                webhooks.c.webhook_id == delivery.webhook_id,
                webhooks.c.environment_id == environment_id,
            )
            .scalar_subquery()
            .label("is_ordered")
        )
        # Retention does not take it before this is committed.
        whole = (
            sa.select(events.c.stored_at, events.c.ordering_key, is_ordered)
            .where(
                events.c.event_id == event_id,
                events.c.environment_id == environment_id,
                events.c.body.is_not(None),
            )
            .with_for_update(read=True, of=events)
        )
        async with self._database.write_transaction() as connection:
            await self._records.write(connection, records)
            event = (await connection.execute(whole)).first()
            if event is None:
                raise EventGone(event_id)
            dialect = self._database.dialect
            now = await dialect.now(connection)
            of = environment_id, delivery.webhook_id, event_id
            made = replay_steps.again(of, delivery_id, event.stored_at, now)
            key = key_in_group(event.ordering_key, is_ordered=bool(event.is_ordered))
            row = {**made, "origin": DeliveryOrigin.RETRY.value, "ordering_key": key}
            await ordering.add(connection, dialect, [row])

    async def add(self, replay: Replay, records: RequestRecords = ()) -> None:
        """Store a replay that begins."""
        try:
            await self._add(replay, records)
        except ReplayRunning:
            # A caller that is told that a replay is running relies on it.
            async with self._database.write_transaction() as connection:
                await self._database.confirm_found(connection)
            raise

    @retry_lost_transaction
    async def _add(self, replay: Replay, records: RequestRecords) -> None:
        row = {
            "replay_id": replay.replay_id,
            "environment_id": replay.environment_id,
            "webhook_id": replay.webhook_id,
            "since": replay.selection.since,
            "until": replay.selection.until,
            "states": _encode(sorted(replay.selection.states)).decode(),
            "includes_filtered": replay.selection.includes_filtered,
            "state": replay.state.value,
            "replayed": replay.replayed,
            "done_until": replay.done_until,
            "created_at": replay.created_at,
            "ended_at": replay.ended_at,
        }
        async with self._database.write_transaction() as connection:
            await self._records.write(connection, records)
            if not await insert_if_absent(connection, replays, row):
                raise ReplayRunning(replay.webhook_id)

    async def get(self, environment_id: UUID, webhook_id: UUID, replay_id: UUID) -> Replay:
        """Return a replay of a webhook."""
        key = {"environment_id": environment_id, "webhook_id": webhook_id, "replay_id": replay_id}
        for row in await self._database.fetch(_REPLAY, **key):
            return _replay(row)
        raise ReplayNotFound(replay_id)

    async def of_webhook(
        self, environment_id: UUID, webhook_id: UUID, limit: int, before: UUID | None = None
    ) -> ReplayPage:
        """Return a webhook's replays by falling id, those below ``before`` only."""
        query = (
            sa.select(replays)
            .where(_r.webhook_id == webhook_id, _r.environment_id == environment_id)
            .order_by(_r.replay_id.desc())
            .limit(limit + 1)
        )
        if before is not None:
            query = query.where(_r.replay_id < before)
        async with self._database.query() as connection:
            page = [_replay(row) for row in await connection.execute(query)]
        return page_of(page, limit, None, lambda replay: replay.replay_id)

    @retry_lost_transaction
    async def cancel(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        replay_id: UUID,
        now: datetime,
        records: RequestRecords = (),
    ) -> None:
        """Let a replay make nothing more; one that has ended stays as it is."""
        key = {"environment_id": environment_id, "webhook_id": webhook_id, "replay_id": replay_id}
        end = (
            sa.update(replays)
            .where(*(replays.c[name] == value for name, value in key.items()))
            .where(_r.state == ReplayState.RUNNING.value)
            .values(state=ReplayState.CANCELLED.value, ended_at=now)
        )
        async with self._database.write_transaction() as connection:
            if (await connection.execute(end)).rowcount:
                await self._records.write(connection, records)
                return
            if not await self._database.dialect.read(connection, _REPLAY, **key):
                raise ReplayNotFound(replay_id)
            await self._database.confirm_found(connection)

    async def count(
        self, environment_id: UUID, webhook_id: UUID, selection: Selection, most: int
    ) -> ReplayCount:
        """Count what is selected now, looking at no more than ``most`` deliveries."""
        async with self._database.read_transaction() as connection:
            return await replay_steps.count(
                connection, (environment_id, webhook_id), selection, most
            )

    async def running(self, limit: int, after: UUID | None = None) -> Sequence[Replay]:
        """Return replays that run by the ids of their webhooks, those above ``after`` only."""
        query = sa.select(replays).where(RUNNING).order_by(_r.webhook_id).limit(limit)
        if after is not None:
            query = query.where(_r.webhook_id > after)
        async with self._database.query() as connection:
            return [_replay(row) for row in await connection.execute(query)]

    @retry_lost_transaction
    async def advance(self, replay: Replay, limit: int, max_waiting: int) -> ReplayProgress:
        """Make the next of a running replay's deliveries, in one transaction."""
        async with self._database.write_transaction() as connection:
            now = await self._database.dialect.now(connection)
            return await replay_steps.advance(
                connection, self._database.dialect, replay, limit, max_waiting, now, self._ids
            )


def _replay(row: ResultRow) -> Replay:
    return Replay(
        replay_id=row.replay_id,
        environment_id=row.environment_id,
        webhook_id=row.webhook_id,
        selection=Selection(
            row.since,
            row.until,
            _states.decode(row.states),
            includes_filtered=row.includes_filtered,
        ),
        created_at=row.created_at,
        state=ReplayState(row.state),
        replayed=row.replayed,
        done_until=row.done_until,
        ended_at=row.ended_at,
    )
