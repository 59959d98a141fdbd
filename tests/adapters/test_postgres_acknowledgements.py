"""What is acknowledged because it was found has reached the synchronous standby.

The commit of what is found may have been cut off, by a restart of the server or by its operator,
while it waited for the standby: then everybody sees it, and a failover loses it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from attrs import evolve, frozen
from sqlalchemy.ext.asyncio import create_async_engine

from notification_adapters.sql import SqlStorage
from notification_adapters.sql.postgres import Server
from notification_core.errors import ReplayRunning, UnknownCommit
from notification_core.model.api_key import ApiKey
from notification_core.model.caller import Scope
from notification_core.model.delivery import DeliveryState
from notification_core.model.event import Arrival
from notification_core.model.message import DeadLetter, Message
from notification_core.model.replay import Replay, Selection
from notification_core.model.request_records import StoredResponse
from notification_core.ports.deliveries import IngestPlan
from tests.adapters.missing_standby import cancel_waits, commits_wait, standby_missing
from tests.adapters.sql_storages import ENVIRONMENT_ID, event, ingest, opened
from tests.support.postgres_server import PostgresServer
from tests.support.waiting import until

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@frozen
class Place:
    """A test's database on a server whose standby can be missing."""

    postgres: PostgresServer
    database: str
    server: Server

    async def commits(self) -> bool:
        """Tell whether a commit waits for the standby."""
        return await commits_wait(self.postgres, self.database)


@pytest.fixture
async def place(own_server: PostgresServer) -> AsyncIterator[Place]:
    """Make a database whose commits are soon given up."""
    async with own_server.database() as database:
        yield Place(own_server, database, evolve(own_server.server(database), response_seconds=0.3))


async def _new_by_statement(storage: SqlStorage) -> None:
    await _store(storage)


async def _store(storage: SqlStorage) -> Arrival:
    """Store an event in one statement that commits by itself."""
    stored = event("e-1")
    planned = IngestPlan(
        await storage.webhooks.webhooks_revision(), [stored], [], None, timedelta(seconds=9)
    )
    arrivals = await storage.deliveries.store(planned)
    assert arrivals
    return arrivals[stored.event.key]


async def _duplicate_by_statement(storage: SqlStorage) -> None:
    assert await _store(storage) is Arrival.DUPLICATE


async def _duplicate_in_transaction(storage: SqlStorage) -> None:
    assert await ingest(storage, event("e-1")) == [Arrival.DUPLICATE]


LETTER = DeadLetter(Message("t", 0, 0, 0, b"{"), "it is not JSON")


async def _letter(storage: SqlStorage) -> None:
    async with storage.deliveries.ingesting() as transaction:
        await transaction.add_dead_letters([LETTER])


RESPONSE = StoredResponse(ENVIRONMENT_ID, "request", "fingerprint", b"answer", NOW)
WEBHOOK_ID, REPLAY_ID, KEY_ID = uuid4(), uuid4(), uuid4()


async def _keep(storage: SqlStorage) -> None:
    async with storage.deliveries.ingesting() as transaction:
        await transaction.add_records([RESPONSE])


async def _respond(storage: SqlStorage) -> None:
    assert await storage.idempotency.find(ENVIRONMENT_ID, "request", NOW - timedelta(1)) == RESPONSE


async def _replay(storage: SqlStorage) -> None:
    selection = Selection(NOW, NOW, frozenset({DeliveryState.FAILED}))
    await storage.replays.add(Replay(uuid4(), ENVIRONMENT_ID, WEBHOOK_ID, selection, NOW))


async def _running_replay(storage: SqlStorage) -> None:
    with suppress(ReplayRunning):
        await _replay(storage)


async def _replay_to_cancel(storage: SqlStorage) -> None:
    selection = Selection(NOW, NOW, frozenset({DeliveryState.FAILED}))
    replay = Replay(REPLAY_ID, ENVIRONMENT_ID, WEBHOOK_ID, selection, NOW)
    with suppress(ReplayRunning):
        await storage.replays.add(replay)


async def _cancel_replay(storage: SqlStorage) -> None:
    await storage.replays.cancel(ENVIRONMENT_ID, WEBHOOK_ID, REPLAY_ID, NOW)


async def _key_to_revoke(storage: SqlStorage) -> None:
    key = ApiKey(KEY_ID, "name", Scope.READ, None, b"digest", NOW)
    await storage.api_keys.add(key)


async def _revoke(storage: SqlStorage) -> None:
    await storage.api_keys.revoke(KEY_ID, NOW)


async def _nothing(storage: SqlStorage) -> None:
    """Prepare nothing."""


Step = Callable[[SqlStorage], Coroutine[object, object, None]]


@pytest.mark.parametrize(
    ("prepare", "write", "found"),
    [
        (_nothing, _new_by_statement, _duplicate_by_statement),
        (_nothing, _new_by_statement, _duplicate_in_transaction),
        (_nothing, _letter, _letter),
        (_nothing, _keep, _respond),
        (_nothing, _replay, _running_replay),
        (_replay_to_cancel, _cancel_replay, _cancel_replay),
        (_key_to_revoke, _revoke, _revoke),
    ],
)
async def test_what_was_found_is_acknowledged_only_once_the_standby_has_it(
    place: Place, prepare: Step, write: Step, found: Step
) -> None:
    async with opened(evolve(place.server, response_seconds=60)) as patient:
        await prepare(patient)
        async with standby_missing(place.postgres):
            writing = asyncio.create_task(write(patient))
            await until("it commits", place.commits)
            # A restart of the server, or its operator, ends the wait of the first one's commit.
            await cancel_waits(place.postgres, place.database)
            await writing
            async with opened(place.server) as storage:
                with pytest.raises(UnknownCommit):
                    await found(storage)
    async with opened(place.server) as storage:
        await found(storage)


async def test_a_duplicate_within_a_hosts_transaction_waits_with_the_hosts_commit(
    place: Place,
) -> None:
    uri = place.server.uri.replace("postgresql://", "postgresql+asyncpg://")
    engine = create_async_engine(uri)
    try:
        async with opened(place.server) as storage, engine.connect() as host:
            await _store(storage)
            async with standby_missing(place.postgres):
                async with storage.join(host) as transaction:
                    arrivals = await transaction.add_events([event("e-1")])
                assert list(arrivals.values()) == [Arrival.DUPLICATE]
                committing = asyncio.create_task(host.commit())
                await until("the host's commit waits", place.commits)
            await committing
    finally:
        await engine.dispose()


async def test_a_rekeying_that_finds_everything_done_ends_only_once_the_standby_has_it(
    place: Place,
) -> None:
    async with opened(place.server) as storage:
        async with standby_missing(place.postgres):
            with pytest.raises(UnknownCommit):
                await storage.encrypted_columns.finish()
        await storage.encrypted_columns.finish()


async def test_what_finds_nothing_waits_for_nobody(place: Place) -> None:
    async with standby_missing(place.postgres), opened(place.server) as storage:
        assert await storage.idempotency.find(ENVIRONMENT_ID, "no", NOW) is None
