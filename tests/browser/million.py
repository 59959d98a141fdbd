"""A storage with a million deliveries of a day, made by SQL: it would take a system hours.

Statistics are stored as the system writes them, minute by minute, a few bytes for each attempt;
then the system merges them to hours, as it does every hour.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from notification_core.model.delivery import ErrorCode
from notification_core.model.statistics import Counts, merge_before
from notification_core.model.statistics_encoding import compact, encode
from tests.benchmarks.processes import until
from tests.benchmarks.systems import PostgresDatabase, Storage

WEBHOOKS: Final = 25
DELIVERIES: Final = 1_000_000

_DAY_MS: Final = 86_400_000
_ATTEMPTS_OF_A_MINUTE: Final = [
    encode(Counts(durations=Counter([took]), delivery_times=Counter([took])))
    for took in range(10, 40)
] + [encode(Counts(durations=Counter([40]), errors=Counter([ErrorCode.HTTP_STATUS])))]
_APPENDED: Final = b"".join(_ATTEMPTS_OF_A_MINUTE)
_NOT_MERGED: Final = """
SELECT count(*) FROM statistics WHERE minutes = 1 AND bucket_start < {merged_before}
"""

# Each event goes to four webhooks; one delivery in fifty fails, one in a thousand is skipped.
_EVENTS: Final = """
INSERT INTO events (event_id, environment_id, type, occurred_at, body, stored_at)
SELECT 'e-' || n, {environment}, 'job-created', {event_at}, {body}, {event_at} FROM {quarter}
"""
_DELIVERIES: Final = """
INSERT INTO deliveries (delivery_id, environment_id, webhook_id, event_id, state, reason, due_at,
  attempt, failures, interruptions, created_at, event_stored_at, ended_at)
SELECT {id}, {environment}, webhook_id, 'e-' || (1 + (n - 1) / 4),
  CASE WHEN n % 997 = 0 THEN 'skipped' WHEN n % 50 = 0 THEN 'failed' ELSE 'succeeded' END,
  CASE WHEN n % 997 = 0 THEN 'queue_full' END, {at}, 1, 0, 0, {at}, {at}, {at}
FROM {all} JOIN {webhooks} ON k = n % {count}
"""
_ATTEMPTS: Final = """
INSERT INTO attempts (log_id, environment_id, webhook_id, delivery_id, event_id, event_type,
  attempt, outcome, started_at, error_code, error_message, method, url, request_headers, http_code,
  response_headers, response_body, truncated, duration_us)
SELECT {id}, {environment}, webhook_id, {id}, 'e-' || (1 + (n - 1) / 4), 'job-created', 1,
  CASE WHEN n % 50 = 0 THEN 'failed' ELSE 'succeeded' END, {at},
  CASE WHEN n % 50 = 0 THEN 'http_status' END,
  CASE WHEN n % 50 = 0 THEN 'The receiver responded with 500.' END,
  'post', 'https://example.com/hook', '[["Content-Type","application/json"]]',
  CASE WHEN n % 50 = 0 THEN 500 ELSE 200 END, '[]', {body}, false, 10000 + n % 50000
FROM {all} JOIN {webhooks} ON k = n % {count}
"""
_MINUTES: Final = """
INSERT INTO statistics
SELECT webhook_id, {environment}, {minute}, {somebody}, 1, 30, 1, 0, 30, 1, 0, 0, {appended}
FROM {minutes} CROSS JOIN {webhooks}
"""
_HOURS: Final = """
INSERT INTO statistics
SELECT webhook_id, {environment}, {hour}, {nobody}, 60, 1800, 60, 0, 1800, 60, 0, 0, {of_hour}
FROM {hours} CROSS JOIN {webhooks}
"""

_ON_POSTGRES: Final = {
    "id": "(lpad(to_hex(({ms})::bigint), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid",
    "at": "to_timestamp(({ms}) / 1000.0)",
    "blob": "'\\x{hex}'::bytea",
    "uuid": "'{text}'::uuid",
    "series": "generate_series(1::bigint, {last}) AS s(n)",
}
_ON_SQLITE: Final = {
    "id": "printf('%012x70008000%012x', {ms}, n)",
    "at": "(({ms}) * 1000)",
    "blob": "X'{hex}'",
    "uuid": "'{text}'",
    "series": "(WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < {last}) "
    "SELECT n FROM r) AS s",
}
_NUMBERED: Final = (
    "(SELECT webhook_id, row_number() OVER (ORDER BY webhook_id) - 1 AS k FROM webhooks "
    "WHERE environment_id = {environment}) AS w"
)


def _words(engine: Mapping[str, str], environment: str, base: int) -> Mapping[str, object]:
    """Return what stands in the statements, in the words of an engine; it begins at ``base``."""
    step = _DAY_MS // DELIVERIES
    own = engine["uuid"].format(text=environment.replace("-", ""))
    ms = f"{base} + n * {step}"
    return {
        "environment": own,
        "webhooks": _NUMBERED.format(environment=own),
        "count": WEBHOOKS,
        "id": engine["id"].format(ms=ms),
        "at": engine["at"].format(ms=ms),
        "event_at": engine["at"].format(ms=f"{base} + n * {step * 4}"),
        "minute": engine["at"].format(ms=f"{base - base % 60_000} + n * 60000"),
        "merged_before": engine["at"].format(
            ms=f"{int(merge_before(datetime.now(UTC)).timestamp() * 1000)}"
        ),
        "hour": engine["at"].format(ms=f"{base - base % 3_600_000} - (n + 48) * 3600000"),
        "body": engine["blob"].format(hex=b'{"data":{}}'.hex()),
        "appended": engine["blob"].format(hex=_APPENDED.hex()),
        "of_hour": engine["blob"].format(hex=compact(_APPENDED * 60).hex()),
        "nobody": engine["uuid"].format(text="0" * 32),
        "somebody": engine["uuid"].format(text="7" * 32),
        "all": engine["series"].format(last=DELIVERIES),
        "quarter": engine["series"].format(last=DELIVERIES // 4),
        "minutes": engine["series"].format(last=24 * 60),
        "hours": engine["series"].format(last=24 * 27),
    }


async def fill(storage: Storage, environment: str) -> None:
    """Store a million deliveries of the last day, with their events, attempts and statistics.

    Returns when a system that runs on it has merged the statistics of each hour that is over.
    """
    base = int((datetime.now(UTC) - timedelta(days=1)).timestamp() * 1000)
    engine = _ON_POSTGRES if isinstance(storage, PostgresDatabase) else _ON_SQLITE
    words = _words(engine, environment, base)
    for statement in (_EVENTS, _DELIVERIES, _ATTEMPTS, _MINUTES, _HOURS):
        await storage.run(statement.format(**words))
    query = _NOT_MERGED.format(**words)

    async def are_merged() -> bool:
        return not await storage.count(query)

    await until("the statistics are merged", are_merged, pause=1)
    await storage.run("ANALYZE")
