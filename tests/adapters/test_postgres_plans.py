"""With a million rows the server reads what is wanted by an index, and little beside it.

What is read is counted, not timed: on tables of which nothing is known yet, and on analysed ones;
often enough that prepared statements have settled on their plans.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from attrs import evolve, frozen

from notification_adapters.clock import SystemClock
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.postgres import open_postgres
from notification_core.concurrency.ids import IdGenerator, earliest_id
from notification_core.model.delivery import (
    Attempt,
    AttemptOutcome,
    AttemptResult,
    ClaimedDelivery,
    DeliveryState,
    Succeeded,
)
from notification_core.model.ordering import FIRST_GROUP, HELD_UNTIL
from notification_core.model.read_models import AttemptCriteria
from notification_core.model.replay import Selection
from notification_core.model.webhook import FOREVER, DisabledReason
from notification_core.ports.backlog import MAX_COUNTED
from notification_core.ports.deliveries import Claim
from notification_core.ports.retention import FIRST_WEBHOOK, Swept
from tests.adapters.postgres_plans import Plans, explained
from tests.conftest import require
from tests.support.postgres_server import CIPHER, PostgresServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENVIRONMENT, DEAD, LOGGED, ORDERED = UUID(int=7), UUID(int=1), UUID(int=2), UUID(int=1003)
KEYS = 1_000
"""Of the ordered webhook, with a hundred deliveries each: the first one is due."""
LEASE = timedelta(seconds=30)
DAY = timedelta(days=1)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
HOW_TO_GET_IT = (
    "PostgreSQL's module auto_explain is not here, or the user may not load it: "
    "apt-get install postgresql."
)
TIMES = 8
"""More than five: from then on a server may plan a prepared statement once for all values."""

# Indexes are made of all rows at once, which takes a third of the time less. Nothing is known of
# the tables all the same: what making an index notes of its table is taken back.
_MILLION = f"""
SET maintenance_work_mem = '256MB';
CREATE TEMP TABLE indexes AS SELECT indexname AS name, indexdef AS definition FROM pg_indexes
WHERE tablename IN ('events', 'deliveries', 'attempts')
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conname = indexname);
DO $$ DECLARE i record; BEGIN
  FOR i IN SELECT * FROM indexes LOOP EXECUTE 'DROP INDEX ' || i.name; END LOOP;
END $$;
ALTER TABLE events SET (autovacuum_enabled = off);
ALTER TABLE deliveries SET (autovacuum_enabled = off);
ALTER TABLE attempts SET (autovacuum_enabled = off);
INSERT INTO webhooks (webhook_id, environment_id, name, url, method, events, version, created_at,
  updated_at, ordered)
SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(n), 12, '0'))::uuid, '{ENVIRONMENT}', 'n',
  'https://a.b/', 'post', '["job-created"]', 1, '{BEGAN}', '{BEGAN}', n = 1003
FROM generate_series(1, 1003) AS n;
INSERT INTO events (event_id, environment_id, type, occurred_at, body, stored_at)
SELECT 'e-' || n, '{ENVIRONMENT}', 'job-created', '{BEGAN}', '{{}}',
  '{BEGAN}'::timestamptz + n * interval '1 millisecond'
FROM generate_series(1, 100000) AS n;
INSERT INTO deliveries (delivery_id, environment_id, webhook_id, event_id, state, due_at, attempt,
  failures, interruptions, created_at, event_stored_at, ordering_key, position)
SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, '{ENVIRONMENT}',
  CASE WHEN n <= 100000 THEN '{ORDERED}'::uuid WHEN n <= 1000000 THEN '{DEAD}'::uuid
    ELSE ('00000000-0000-0000-0000-' || lpad(to_hex(3 + n % 1000), 12, '0'))::uuid END,
  'e-' || (1 + n % 50000), 'pending',
  CASE WHEN n <= 100000 AND n > {KEYS} THEN '{HELD_UNTIL}'::timestamptz ELSE '{BEGAN}' END,
  0, 0, 0, '{BEGAN}', '{BEGAN}',
  CASE WHEN n <= 100000 THEN 'key-' || n % {KEYS} END, CASE WHEN n <= 100000 THEN n END
FROM generate_series(1, 1020000) AS n;
INSERT INTO attempts (log_id, environment_id, webhook_id, delivery_id, event_id, event_type,
  attempt, outcome, started_at)
SELECT ('{str(earliest_id(BEGAN))[:13]}-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
  '{ENVIRONMENT}', '{LOGGED}', ('00000000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid,
  'e-1', 'job-created', 1, CASE WHEN n % 100 = 0 THEN 'failed' ELSE 'succeeded' END, '{BEGAN}'
FROM generate_series(1, 1000000) AS n;
DO $$ DECLARE i record; BEGIN
  FOR i IN SELECT * FROM indexes LOOP EXECUTE i.definition; END LOOP;
END $$;
UPDATE pg_class SET reltuples = -1, relpages = 0
WHERE relname IN ('events', 'deliveries', 'attempts');
UPDATE pg_class SET reltuples = 0, relpages = 1 WHERE relname IN (SELECT name FROM indexes);
"""  # noqa: S608 - the values are the test's
_SHORT_LOG = f"""
INSERT INTO webhooks (webhook_id, environment_id, name, url, method, events, version, created_at,
  updated_at, ordered)
VALUES ('{LOGGED}', '{ENVIRONMENT}', 'n', 'https://a.b/', 'post', '["job-created"]', 1, '{BEGAN}',
  '{BEGAN}', false);
INSERT INTO attempts (log_id, environment_id, webhook_id, delivery_id, event_id, event_type,
  attempt, outcome, started_at)
SELECT ('{str(earliest_id(BEGAN))[:13]}-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
  '{ENVIRONMENT}', '{LOGGED}', ('00000000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid,
  'e-1', 'job-created', 1, 'succeeded', '{BEGAN}'
FROM generate_series(1, 50) AS n;
"""  # noqa: S608 - the values are the test's
_PAUSED = f"""
INSERT INTO webhook_health (webhook_id, environment_id, failures, since, first_log_id,
  paused_at, pause_us, next_probe_at, fresh_probe_at)
VALUES ('{DEAD}', '{ENVIRONMENT}', 10, '{BEGAN}', '{DEAD}', '{BEGAN}', 1, '{BEGAN}',
  '{BEGAN}')
"""  # noqa: S608 - the same

_HEALTHY = "DELETE FROM webhook_health"


@frozen
class Place:
    """A database with a million rows of each kind, and how to have it analysed."""

    postgres: PostgresServer
    database: str


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["young", "analysed"])
async def place(postgres: PostgresServer, request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """Make a million rows by SQL, which takes seconds."""
    require(await _can_explain(postgres), HOW_TO_GET_IT)
    async with postgres.database(changed=_MILLION) as database:
        if request.param == "analysed":
            await postgres.execute("ANALYZE", database)
        yield Place(postgres, database)


@pytest_asyncio.fixture(loop_scope="module")
async def watched(place: Place) -> AsyncIterator[tuple[SqlStorage, Plans]]:
    """Open the database, and look at its plans."""
    clock = SystemClock()
    with explained() as plans:
        server = evolve(place.postgres.server(place.database), pool_size=1)
        async with open_postgres(server, CIPHER, clock, IdGenerator(clock)) as storage:
            yield storage, plans


async def _can_explain(postgres: PostgresServer) -> bool:
    try:
        await postgres.execute("LOAD 'auto_explain'")
    except asyncpg.PostgresError:
        return False
    return True


@contextmanager
def reading_at_most(plans: Plans, rows: int) -> Iterator[None]:
    """Fail where a block reads more of the large tables, or reads them otherwise than by index."""
    plans.nodes.clear()
    yield
    assert plans.nodes, "nothing was looked at"
    assert not plans.scans()
    assert plans.read() <= rows, plans.told()


async def test_a_claim_beside_a_million_costs_what_it_takes(
    watched: tuple[SqlStorage, Plans],
) -> None:
    storage, plans = watched
    claim = Claim(
        UUID(int=9),
        LEASE,
        limit=500,
        limit_bytes=1 << 26,
        new_webhook_limit=2,
        webhook_limits={DEAD: 0},
    )
    for _ in range(TIMES):
        # Two looks at a thousand queues, some rows of each, and the claimed ones with their events.
        with reading_at_most(plans, 12_000):
            claimed = await storage.deliveries.acquire(claim)
        assert len(claimed.deliveries) == 500
        with reading_at_most(plans, 3_000):
            await storage.deliveries.finish([_result(one) for one in claimed.deliveries], LEASE)


_LIMITED = f"""
UPDATE webhooks SET rate_limit = 1 WHERE webhook_id = '{DEAD}'
"""  # noqa: S608 - the same
_UNLIMITED = "UPDATE webhooks SET rate_limit = NULL"


@pytest.mark.parametrize(
    ("held_back", "sent_again"),
    [(_LIMITED, _UNLIMITED), (_PAUSED, _HEALTHY)],
    ids=["limited to one request per second", "paused by its circuit breaker"],
)
async def test_what_waits_for_a_webhook_that_takes_one_at_a_time_costs_the_others_nothing(
    place: Place, watched: tuple[SqlStorage, Plans], held_back: str, sent_again: str
) -> None:
    storage, plans = watched
    await place.postgres.execute(held_back, place.database)
    claim = Claim(UUID(int=9), LEASE, limit=500, limit_bytes=1 << 26, new_webhook_limit=2)
    taken = []
    for _ in range(TIMES):
        with reading_at_most(plans, 12_000):
            claimed = await storage.deliveries.acquire(claim)
        assert len(claimed.deliveries) == 500
        its = [one.fence for one in claimed.deliveries if one.webhook_id == DEAD]
        assert len(its) <= 1
        taken += its
        others = {one.fence for one in claimed.deliveries}.difference(its)
        await storage.deliveries.release(others)
    assert taken
    await storage.deliveries.release(taken)
    await place.postgres.execute(sent_again, place.database)


async def test_the_next_of_an_ordering_key_is_found_without_those_behind_it(
    watched: tuple[SqlStorage, Plans],
) -> None:
    storage, plans = watched
    just_before = UUID(int=ORDERED.int - 1)
    claim = Claim(
        *(UUID(int=9), LEASE),
        limit=100,
        limit_bytes=1 << 26,
        new_webhook_limit=100,
        after=just_before,
        max_webhooks=1,
    )
    for _ in range(TIMES):
        with reading_at_most(plans, 500):
            claimed = await storage.deliveries.acquire(claim)
        assert len({one.ordering_key for one in claimed.deliveries}) == 100
        # Each with its lock and its update, the first of its key, and the next one's release.
        with reading_at_most(plans, 600):
            await storage.deliveries.finish([_result(one) for one in claimed.deliveries], LEASE)
    sweep = FIRST_GROUP
    for _ in range(TIMES):
        with reading_at_most(plans, 300):
            swept = await storage.deliveries.release_groups(sweep, 100)
        assert (swept.released, swept.after is None) == (0, False)
        sweep = swept.after or FIRST_GROUP


async def test_measuring_what_waits_reads_no_more_than_it_counts(
    watched: tuple[SqlStorage, Plans],
) -> None:
    storage, plans = watched
    for _ in range(TIMES):
        with reading_at_most(plans, 1_000 + 400):
            size = await storage.backlog.size(max_counted=1_000, max_webhooks=100)
        assert (size.waiting, size.webhooks) == (1_000, 100)
    with reading_at_most(plans, MAX_COUNTED + 10_000):
        assert (await storage.backlog.size()).waiting == MAX_COUNTED
    # The count, and of each of a thousand queues its first rows.
    with reading_at_most(plans, 1_000 + 1_000 + 1_000 * 26):
        assert await storage.backlog.longer_than(1_000) == {DEAD, ORDERED}
    for _ in range(TIMES):
        # A thousand queues of twenty, and of the two long ones as many as may be counted.
        with reading_at_most(plans, 25_000 + 30_000):
            *long, third = await storage.backlog.longest(3, max_counted=30_000)
        assert {(one.webhook_id, one.environment_id) for one in long} == {
            (DEAD, ENVIRONMENT),
            (ORDERED, ENVIRONMENT),
        }
        assert {(one.waiting, one.is_exact) for one in long} == {(15_000, False)}
        assert third.is_exact


async def test_taking_from_a_million_costs_what_is_taken(
    watched: tuple[SqlStorage, Plans],
) -> None:
    storage, plans = watched
    claim = Claim(
        UUID(int=9), LEASE, limit=100, limit_bytes=1 << 26, new_webhook_limit=100, max_webhooks=1
    )
    for _ in range(TIMES):
        with reading_at_most(plans, 1_000):
            claimed = await storage.deliveries.acquire(claim)
        assert {one.webhook_id for one in claimed.deliveries} == {DEAD}
        with reading_at_most(plans, 1_000):
            await storage.deliveries.release([one.fence for one in claimed.deliveries])


async def test_a_page_of_a_log_of_a_million_reads_a_page(
    watched: tuple[SqlStorage, Plans],
) -> None:
    storage, plans = watched
    before = None
    for _ in range(TIMES):
        with reading_at_most(plans, 110):
            page = await storage.logs.page(ENVIRONMENT, LOGGED, limit=50, before=before)
        assert len(page.rows) == 50
        before = page.rows[-1].log_id


async def test_a_page_of_the_deliveries_of_a_webhook_reads_a_page(
    watched: tuple[SqlStorage, Plans],
) -> None:
    storage, plans = watched
    before = None
    for _ in range(TIMES):
        # All others' deliveries are younger: who looked for these by time would pass them first.
        with reading_at_most(plans, 160):
            page = await storage.history.of_webhook(ENVIRONMENT, DEAD, limit=50, before=before)
        assert len(page.rows) == 50
        before = page.rows[-1].delivery_id


async def test_what_webhooks_last_did_is_read_by_the_ends_of_the_log(
    watched: tuple[SqlStorage, Plans],
) -> None:
    storage, plans = watched
    for _ in range(TIMES):
        with reading_at_most(plans, 10):
            (view,) = await storage.logs.webhooks(ENVIRONMENT, LOGGED)
        assert view.activity.last_errored
        # The thousand others may have been claimed from before.
        with reading_at_most(plans, 2_010):
            assert view in await storage.logs.webhooks(ENVIRONMENT)


async def test_what_a_webhook_last_did_is_read_by_the_end_of_a_short_log_too(
    postgres: PostgresServer,
) -> None:
    require(await _can_explain(postgres), HOW_TO_GET_IT)
    clock = SystemClock()
    with explained() as plans:
        async with postgres.database(changed=_SHORT_LOG) as database:
            server = evolve(postgres.server(database), pool_size=1)
            async with open_postgres(server, CIPHER, clock, IdGenerator(clock)) as storage:
                for _ in range(TIMES):
                    with reading_at_most(plans, 2):
                        (view,) = await storage.logs.webhooks(ENVIRONMENT, LOGGED)
                    assert view.activity.last_triggered
                    assert not view.activity.last_errored


async def test_the_errors_of_a_log_are_found_without_its_successes(
    watched: tuple[SqlStorage, Plans],
) -> None:
    storage, plans = watched
    criteria = AttemptCriteria(outcome=AttemptOutcome.FAILED)
    before = None
    for _ in range(TIMES):
        # The look, then whole what is shown, and where the look ended: it was not full.
        with reading_at_most(plans, 20_300):
            page = await storage.logs.page(ENVIRONMENT, LOGGED, 50, before, criteria)
        assert len(page.rows) == 50
        before = page.after


async def test_a_page_of_events_reads_a_page(watched: tuple[SqlStorage, Plans]) -> None:
    storage, plans = watched
    before = None
    for _ in range(TIMES):
        # Each event has twenty deliveries, which are counted.
        with reading_at_most(plans, 1_500):
            page = await storage.history.events(ENVIRONMENT, limit=50, before=before)
        assert len(page.rows) == 50
        before = page.after


async def test_retention_reads_what_it_deletes(watched: tuple[SqlStorage, Plans]) -> None:
    storage, plans = watched
    for _ in range(TIMES):
        with reading_at_most(plans, 4_000):
            attempts = await storage.retention.sweep_attempts(BEGAN + DAY, FIRST_WEBHOOK, 1_000)
        assert attempts == Swept(1_000, FIRST_WEBHOOK)
    after = None
    for _ in range(TIMES):
        # Of those of which something waits all deliveries are counted, twenty and one each.
        with reading_at_most(plans, 5_000):
            swept = await storage.retention.sweep_events(BEGAN + DAY, after, 100)
        after = swept.after
    with reading_at_most(plans, 5_000):
        assert await storage.retention.delete_webhooks_before(BEGAN + DAY, 100) == 0


async def test_the_dead_are_looked_for_among_what_is_leased(
    watched: tuple[SqlStorage, Plans],
) -> None:
    storage, plans = watched
    worker = UUID(int=10)
    claim = Claim(
        worker, LEASE, limit=20, limit_bytes=1 << 26, new_webhook_limit=20, max_webhooks=1
    )
    for _ in range(TIMES):
        assert len((await storage.deliveries.acquire(claim)).deliveries) == 20
        with reading_at_most(plans, 500):
            assert (await storage.deliveries.reap([worker], LEASE)).count == 20


async def test_what_a_paused_webhook_has_held_for_too_long_ends_by_small_batches(
    place: Place, watched: tuple[SqlStorage, Plans]
) -> None:
    storage, plans = watched
    await place.postgres.execute(_PAUSED, place.database)
    for _ in range(TIMES):
        # The deliveries and their events.
        with reading_at_most(plans, 5_000):
            ended = await storage.deliveries.cancel_unsendable(1_000, BEGAN, BEGAN + DAY)
        assert len(ended.failed) == ended.count == 1_000
    await place.postgres.execute(_HEALTHY, place.database)


async def test_disabling_and_deleting_the_webhook_of_a_million_go_by_small_batches(
    watched: tuple[SqlStorage, Plans],
) -> None:
    storage, plans = watched
    dead = await storage.webhooks.get(ENVIRONMENT, DEAD)
    gone = evolve(dead, version=2, disabled_until=FOREVER, disabled_reason=DisabledReason.FAILING)
    await storage.webhooks.replace(gone)
    for _ in range(TIMES):
        with reading_at_most(plans, 5_000):
            ended = await storage.deliveries.cancel_unsendable(1_000, BEGAN)
        assert (ended.count, list(ended.failed)) == (1_000, [])
    with reading_at_most(plans, 5_000):
        await storage.webhooks.delete(ENVIRONMENT, DEAD, BEGAN + DAY)


def _result(claimed: ClaimedDelivery) -> AttemptResult:
    ids = IdGenerator(SystemClock())
    attempt = Attempt(
        log_id=ids(),
        environment_id=claimed.fence.environment_id,
        webhook_id=claimed.webhook_id,
        delivery_id=claimed.fence.delivery_id,
        event_id=claimed.event_id,
        event_type=claimed.event_type,
        number=claimed.fence.attempt,
        outcome=AttemptOutcome.SUCCEEDED,
        started_at=BEGAN,
    )
    return AttemptResult(claimed.fence, attempt, Succeeded(), 1, claimed.ordering_key)


async def test_a_batch_of_a_replay_of_a_million_costs_what_it_looks_at(
    watched: tuple[SqlStorage, Plans],
) -> None:
    storage, plans = watched
    all_of_them = Selection(
        datetime(1970, 1, 1, tzinfo=UTC), BEGAN, frozenset({DeliveryState.PENDING})
    )
    for _ in range(TIMES):
        # A thousand deliveries, their events, and of each the later ones to the same webhook.
        with reading_at_most(plans, 30_000):
            counted = await storage.replays.count(ENVIRONMENT, DEAD, all_of_them, 1_000)
        assert not counted.is_exact


async def test_a_batch_of_an_erasure_of_a_million_costs_what_it_deletes(
    watched: tuple[SqlStorage, Plans],
) -> None:
    storage, plans = watched
    await storage.erasures.begin(ENVIRONMENT, BEGAN)
    for _ in range(TIMES):
        with reading_at_most(plans, 3_000):
            batch = await storage.erasures.advance(ENVIRONMENT, 500)
        assert batch.erased >= 500
