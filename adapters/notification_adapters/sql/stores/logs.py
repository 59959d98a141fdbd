"""The log store on SQL."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from notification_adapters.sql.database import Database
from notification_adapters.sql.pages import ids_to_examine, last_examined
from notification_adapters.sql.statements import ResultRow, Statement
from notification_adapters.sql.stores.health_rows import health_from
from notification_adapters.sql.stores.phases import phases_from
from notification_adapters.sql.stores.webhook_rows import WebhookRows
from notification_adapters.sql.tables import attempts, webhook_health, webhooks
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
    WebhookView,
    page_of,
)
from notification_core.ports.logs import LogStore

_a, _w = attempts.c, webhooks.c
# As it stands in the index of errors: a parameter instead would hide that it fits.
_NOT_SUCCEEDED = _a.outcome != sa.literal_column("'succeeded'", sa.Text)

_headers = msgspec.json.Decoder(tuple[tuple[str, str], ...])


class SqlLogStore(LogStore):
    """Reads attempts from a SQL database."""

    def __init__(self, database: Database, webhook_rows: WebhookRows) -> None:
        self._database = database
        self._webhooks = webhook_rows

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

    async def webhooks(
        self, environment_id: UUID, webhook_id: UUID | None = None
    ) -> Sequence[WebhookView]:
        """Return the webhooks of an environment, or one of them, with what they last did."""
        values = {"environment_id": environment_id}
        if webhook_id is not None:
            values["webhook_id"] = webhook_id
        statement = _VIEWS if webhook_id is None else _VIEW
        return [
            WebhookView(
                self._webhooks.webhook_from(row),
                Activity(_last(row[_LAST], with_error=False), _last(row[_LAST_ERROR])),
                None if row.failures is None else health_from(row),
            )
            for row in await self._database.fetch(statement, **values)
        ]

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


_OF_LAST = (
    *("log_id", "delivery_id", "event_type", "started_at", "http_code", "duration_us"),
    *("error_code", "error_message"),
)
# Where the columns of the latest attempt and of the latest error stand, behind the webhook's.
_LAST = slice(len(_w), len(_w) + len(_OF_LAST))
_LAST_ERROR = slice(_LAST.stop, _LAST.stop + len(_OF_LAST))
_HEALTH = [column for column in webhook_health.c if column.name not in _w]


def _views(*conditions: sa.ColumnElement[bool]) -> Statement:
    """Return what reads webhooks, each with the latest of its attempts, found by the indexes."""
    return Statement(
        _views_with(_joined_newest, conditions),
        # The other reads the whole log of a webhook while the planner has no statistics of it.
        postgresql=_views_with(_lateral_newest, conditions),
    )


def _views_with(
    newest: Callable[[str, sa.ColumnElement[bool]], tuple[sa.FromClause, sa.ColumnElement[bool]]],
    conditions: Sequence[sa.ColumnElement[bool]],
) -> sa.Select[Any]:
    columns: list[sa.ColumnElement[Any]] = [*_w]
    found: sa.FromClause = webhooks
    for name, condition in (("last", sa.true()), ("last_error", _NOT_SUCCEEDED)):
        latest, same = newest(name, condition)
        found = found.outerjoin(latest, same)
        columns += [latest.c[column].label(f"{name}_{column}") for column in _OF_LAST]
    same = sa.and_(
        webhook_health.c.webhook_id == _w.webhook_id,
        webhook_health.c.environment_id == _w.environment_id,
    )
    return (
        sa.select(*columns, *_HEALTH)
        .select_from(found.outerjoin(webhook_health, same))
        .where(
            _w.environment_id == sa.bindparam("environment_id"),
            _w.deleted_at.is_(None),
            *conditions,
        )
        .order_by(_w.created_at, _w.webhook_id)
    )


def _joined_newest(
    name: str, condition: sa.ColumnElement[bool]
) -> tuple[sa.FromClause, sa.ColumnElement[bool]]:
    """Return the attempts, and which one is the newest of a webhook that meets a condition."""
    latest = attempts.alias(name)
    newest = _newest_of_each(condition, _a.log_id).correlate(webhooks).scalar_subquery()
    return latest, sa.and_(
        latest.c.webhook_id == _w.webhook_id,
        latest.c.log_id == newest,
        latest.c.environment_id == _w.environment_id,
    )


def _lateral_newest(
    name: str, condition: sa.ColumnElement[bool]
) -> tuple[sa.FromClause, sa.ColumnElement[bool]]:
    """Return the same as a row for each webhook."""
    newest = _newest_of_each(condition, *(_a[column] for column in _OF_LAST))
    return newest.lateral(name), sa.true()


def _newest_of_each(
    condition: sa.ColumnElement[bool], *columns: sa.ColumnElement[Any]
) -> sa.Select[Any]:
    return (
        sa.select(*columns)
        .where(_a.webhook_id == _w.webhook_id, _a.environment_id == _w.environment_id)
        .where(condition)
        .order_by(_a.log_id.desc())
        .limit(1)
    )


_VIEWS = _views()
_VIEW = _views(_w.webhook_id == sa.bindparam("webhook_id"))


def _last(values: Sequence[Any], *, with_error: bool = True) -> LastAttempt | None:
    """Return the attempt of these columns, None if there is none."""
    log_id, delivery_id, event_type, at, http_code, duration, error_code, error_message = values
    if log_id is None:
        return None
    error = _error(error_code, error_message) if with_error else None
    return LastAttempt(log_id, delivery_id, event_type, at, http_code, _duration(duration), error)


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
        error=_error(row.error_code, row.error_message),
        request=request,
        response=response,
        duration=_duration(row.duration_us),
        next_attempt_at=row.next_attempt_at,
        instance=row.instance,
        phases=phases_from(row.phases),
    )


def _duration(microseconds: int | None) -> timedelta | None:
    return None if microseconds is None else timedelta(microseconds=microseconds)


def _error(code: str | None, message: str) -> AttemptError | None:
    return None if code is None else AttemptError(ErrorCode(code), message)
