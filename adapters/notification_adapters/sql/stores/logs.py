"""The log store on SQL."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from attrs import evolve

from notification_adapters.sql.database import Database
from notification_adapters.sql.pages import ids_to_examine, last_examined
from notification_adapters.sql.statements import ResultRow, Statement
from notification_adapters.sql.tables import attempts, webhooks
from notification_core.model.delivery import (
    Attempt,
    AttemptError,
    AttemptOutcome,
    ErrorCode,
    ReceivedResponse,
    SentRequest,
)
from notification_core.model.read_models import (
    EVERY_ATTEMPT,
    Activity,
    AttemptCriteria,
    LastAttempt,
    LogPage,
    page_of,
)
from notification_core.ports.logs import LogStore

_a, _w = attempts.c, webhooks.c
# As it stands in the index of errors: a parameter in its place would hide that it fits.
_NOT_SUCCEEDED = _a.outcome != sa.literal_column("'succeeded'", sa.Text)

_headers = msgspec.json.Decoder(tuple[tuple[str, str], ...])


class SqlLogStore(LogStore):
    """Reads attempts from a SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        limit: int,
        before: UUID | None = None,
        criteria: AttemptCriteria = EVERY_ATTEMPT,
    ) -> LogPage:
        """Return a webhook's attempts by falling ``log_id``, those below ``before`` only."""
        key = {"environment_id": environment_id, "webhook_id": webhook_id}
        values = {**key, **ids_to_examine(criteria, before, limit)}
        if criteria.is_selective:
            return await self._sifted(values, limit, criteria)
        rows = await self._database.fetch(_PAGE, **values)
        return page_of([attempt_from(row) for row in rows], limit, None, _log_id)

    async def activity(
        self, environment_id: UUID, webhook_id: UUID | None = None
    ) -> Mapping[UUID, Activity]:
        """Return what the webhooks of an environment, or one of them, last did."""
        values = {"environment_id": environment_id}
        if webhook_id is not None:
            values["webhook_id"] = webhook_id
        activities: dict[UUID, Activity] = {}
        statement = _ACTIVITY if webhook_id is None else _ACTIVITY_OF_ONE
        for row in await self._database.fetch(statement, **values):
            last = LastAttempt(
                log_id=row.log_id,
                delivery_id=row.delivery_id,
                event_type=row.event_type,
                at=row.started_at,
                http_code=row.http_code,
                duration=_duration(row),
                error=_error(row) if row.which == "last_errored" else None,
            )
            activity = activities.get(row.webhook_id, Activity())
            activities[row.webhook_id] = evolve(activity, **{row.which: last})
        return activities

    async def _sifted(
        self, values: Mapping[str, object], limit: int, criteria: AttemptCriteria
    ) -> LogPage:
        """Return a page of the attempts that are wanted.

        Only these are read whole: they are long.
        """
        examined = _EXAMINED
        if criteria.outcome not in {None, AttemptOutcome.SUCCEEDED}:
            examined = examined.where(_NOT_SUCCEEDED)  # which an index fits
        rows = examined.params(values).subquery()
        matching = sa.select(rows.c.log_id)
        if criteria.outcome is not None:
            matching = matching.where(rows.c.outcome == criteria.outcome.value)
        if criteria.event_type is not None:
            matching = matching.where(rows.c.event_type == criteria.event_type)
        if criteria.http_code is not None:
            matching = matching.where(rows.c.http_code == criteria.http_code)
        shown = matching.order_by(rows.c.log_id.desc()).limit(limit + 1)
        async with self._database.read_transaction() as connection:
            log_ids = (await connection.execute(shown)).scalars().all()
            whole = sa.select(attempts).where(
                _a.webhook_id == values["webhook_id"],
                _a.environment_id == values["environment_id"],
                _a.log_id.in_(log_ids),
            )
            found = await connection.execute(whole.order_by(_a.log_id.desc()))
            page = [attempt_from(row) for row in found]
            end = await last_examined(connection, rows, [rows.c.log_id])
        return page_of(page, limit, end and end.log_id, _log_id)


def _newest_of_webhook(*columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    return (
        sa.select(*columns)
        .where(
            _a.webhook_id == sa.bindparam("webhook_id"),
            _a.environment_id == sa.bindparam("environment_id"),
            _a.log_id >= sa.bindparam("least"),
            _a.log_id < sa.bindparam("below"),
        )
        .order_by(_a.log_id.desc())
        .limit(sa.bindparam("limit", type_=sa.Integer))
    )


_PAGE = Statement(_newest_of_webhook(*attempts.c))
_EXAMINED = _newest_of_webhook(_a.log_id, _a.outcome, _a.event_type, _a.http_code)


_SHOWN = attempts.alias("shown")
_OF_LAST_ATTEMPT = (
    *("log_id", "delivery_id", "event_type", "started_at", "http_code", "duration_us"),
    *("error_code", "error_message"),
)


def _latest(which: str, *conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Select the latest attempt of each webhook that fulfils conditions, found by the index."""
    newest = (
        sa.select(_a.log_id)
        .where(_a.webhook_id == _w.webhook_id, _a.environment_id == _w.environment_id, *conditions)
        .order_by(_a.log_id.desc())
        .limit(1)
        .correlate(webhooks)
        .scalar_subquery()
    )
    same = sa.and_(
        _SHOWN.c.webhook_id == _w.webhook_id,
        _SHOWN.c.log_id == newest,
        _SHOWN.c.environment_id == _w.environment_id,
    )
    columns = (_SHOWN.c[name] for name in _OF_LAST_ATTEMPT)
    named = sa.literal_column(f"'{which}'", sa.Text).label("which")
    return sa.select(_w.webhook_id, named, *columns).select_from(webhooks.join(_SHOWN, same))


def _activity(*conditions: sa.ColumnElement[bool]) -> sa.CompoundSelect[Any]:
    asked = _w.environment_id == sa.bindparam("environment_id"), _w.deleted_at.is_(None)
    return sa.union_all(
        _latest("last_triggered").where(*asked, *conditions),
        _latest("last_errored", _NOT_SUCCEEDED).where(*asked, *conditions),
    )


# Made once: that takes longer than to run them.
_ACTIVITY = Statement(_activity())
_ACTIVITY_OF_ONE = Statement(_activity(_w.webhook_id == sa.bindparam("webhook_id")))


def _log_id(attempt: Attempt) -> UUID:
    return attempt.log_id


def attempt_from(row: ResultRow) -> Attempt:
    """Return the attempt that a row of the log holds."""
    request = response = None
    if row.method is not None:
        request = SentRequest(row.method, row.url, _headers.decode(row.request_headers))
    if row.http_code is not None:
        headers = _headers.decode(row.response_headers)
        response = ReceivedResponse(row.http_code, headers, row.response_body, row.truncated)
    return Attempt(
        log_id=row.log_id,
        environment_id=row.environment_id,
        webhook_id=row.webhook_id,
        delivery_id=row.delivery_id,
        event_id=row.event_id,
        event_type=row.event_type,
        number=row.attempt,
        outcome=AttemptOutcome(row.outcome),
        started_at=row.started_at,
        error=_error(row),
        request=request,
        response=response,
        duration=_duration(row),
        next_attempt_at=row.next_attempt_at,
    )


def _duration(row: ResultRow) -> timedelta | None:
    return None if row.duration_us is None else timedelta(microseconds=row.duration_us)


def _error(row: ResultRow) -> AttemptError | None:
    if row.error_code is None:
        return None
    return AttemptError(ErrorCode(row.error_code), row.error_message)
