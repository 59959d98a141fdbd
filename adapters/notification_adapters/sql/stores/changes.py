"""Changes on SQL: one statement of four small sums."""

from collections.abc import Hashable
from datetime import datetime
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from notification_adapters.sql.database import Database
from notification_adapters.sql.tables import RUNNING, erasures, replays, statistics, webhooks
from notification_core.ports.changes import EnvironmentChanges

_s, _w, _r, _e = statistics.c, webhooks.c, replays.c, erasures.c
_ENVIRONMENT: Final = sa.bindparam("environment_id", type_=sa.Uuid)
_SINCE: Final = sa.bindparam("since", type_=_s.bucket_start.type)

# What is counted is found by the environment's webhooks, not by its age: of all environments
# there are far more rows.
_COUNTED: Final = (
    sa.select(
        sa.func.sum(_s.attempts_succeeded).label("attempts_succeeded"),
        sa.func.sum(_s.attempts_failed).label("attempts_failed"),
        sa.func.sum(_s.attempts_interrupted).label("attempts_interrupted"),
        sa.func.sum(_s.deliveries_succeeded + _s.deliveries_failed).label("deliveries_ended"),
        sa.func.sum(_s.deliveries_skipped + _s.deliveries_cancelled).label("deliveries_unsent"),
    )
    .select_from(webhooks)
    .join(
        statistics,
        sa.and_(
            _s.webhook_id == _w.webhook_id,
            _s.environment_id == _w.environment_id,
            _s.bucket_start >= _SINCE,
        ),
    )
    .where(_w.environment_id == _ENVIRONMENT)
    .subquery()
)
_WEBHOOKS: Final = (
    sa.select(
        sa.func.count(_w.webhook_id).label("webhooks"),
        sa.func.sum(_w.version).label("versions"),
        sa.func.count(_w.deleted_at).label("deleted"),
    )
    .where(_w.environment_id == _ENVIRONMENT)
    .subquery()
)
# Of those that run there is one a webhook at most, and an index of them alone.
_REPLAYS: Final = (
    sa.select(
        sa.func.count(_r.replay_id).label("replays"),
        sa.func.sum(_r.replayed).label("replayed"),
        sa.func.max(_r.done_until).label("done_until"),
    )
    .where(RUNNING, _r.environment_id == _ENVIRONMENT)
    .subquery()
)
_ERASURE: Final = (
    sa.select(
        sa.func.max(_e.requested_at).label("requested_at"),
        sa.func.max(_e.erased).label("erased"),
        sa.func.max(_e.ended_at).label("ended_at"),
    )
    .where(_e.environment_id == _ENVIRONMENT)
    .subquery()
)
_MARK: Final = sa.select(_COUNTED, _WEBHOOKS, _REPLAYS, _ERASURE).select_from(
    _COUNTED.join(_WEBHOOKS, sa.true()).join(_REPLAYS, sa.true()).join(_ERASURE, sa.true())
)


class SqlEnvironmentChanges(EnvironmentChanges):
    """Marks an environment by what a SQL database has of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def mark(self, environment_id: UUID, since: datetime) -> Hashable:
        """Return what differs from an earlier mark if something has changed."""
        named = {"environment_id": environment_id, "since": since}
        async with self._database.query() as connection:
            return tuple((await connection.execute(_MARK, named)).one())
