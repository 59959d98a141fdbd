"""Commits that wait for a synchronous standby: never cancelled, and never acknowledged early."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from attrs import evolve

from notification_adapters.sql import SqlStorage
from notification_core.errors import StorageUnavailable, UnknownCommit
from notification_core.model.event import Arrival
from notification_core.model.request_records import StoredResponse
from notification_core.ports.deliveries import IngestPlan
from tests.adapters.missing_standby import commits_wait, remove_standby, restore_standby
from tests.adapters.sql_storages import ENVIRONMENT_ID, event, ingest, opened
from tests.conftest import require
from tests.support.postgres_server import (
    OwnServer,
    find_pgbouncer,
    pgbouncer,
)
from tests.support.waiting import until


@pytest.fixture
async def database(own_server: OwnServer) -> AsyncIterator[str]:
    async with own_server.database() as name:
        try:
            yield name
        finally:
            await restore_standby(own_server)


@asynccontextmanager
async def impatient(
    server: OwnServer, database: str, seconds: float = 0.3, pool_size: int = 10
) -> AsyncIterator[SqlStorage]:
    """Open a storage that waits for responses for a short time only."""
    chosen = evolve(server.server(database), response_seconds=seconds, pool_size=pool_size)
    async with opened(chosen) as storage:
        yield storage


async def _visible(server: OwnServer, database: str) -> int:
    async with server.connected(database) as observer:
        return int(await observer.fetchval("SELECT count(*) FROM events"))


async def _store(storage: SqlStorage, event_id: str, how: str) -> Arrival:
    if how == "step by step":
        return (await ingest(storage, event(event_id)))[0]
    known = await storage.webhooks.webhooks_revision()
    stored = event(event_id)
    arrivals = await storage.deliveries.store(IngestPlan(known, [stored], [], None, _lease()))
    assert arrivals
    return arrivals[stored.event.key]


def _lease() -> timedelta:
    return timedelta(seconds=30)


@pytest.mark.parametrize("how", ["step by step", "in one statement"])
@pytest.mark.parametrize("given_up", ["timeout", "cancellation", "shutdown"])
async def test_a_commit_that_is_given_up_is_never_cancelled(
    own_server: OwnServer, database: str, how: str, given_up: str
) -> None:
    async with impatient(own_server, database, 0.3 if given_up == "timeout" else 60) as storage:
        await storage.webhooks.webhooks_revision()
        await remove_standby(own_server)
        publishing = asyncio.create_task(_store(storage, "e-1", how))
        if given_up == "timeout":
            with pytest.raises(UnknownCommit):
                await publishing
        else:
            await until("the commit waits", lambda: commits_wait(own_server, database))
            publishing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await publishing
        if given_up != "shutdown":
            assert await commits_wait(own_server, database, 1), "it still waits"
            assert await _visible(own_server, database) == 0, "what no standby has is not visible"
    assert await commits_wait(own_server, database, 1), "nor does closing the storage cancel it"
    assert await _visible(own_server, database) == 0


@pytest.mark.parametrize("how", ["step by step", "in one statement"])
async def test_a_cancelled_caller_finds_a_commit_done_that_ends_soon(
    own_server: OwnServer, database: str, how: str
) -> None:
    async with impatient(own_server, database, 60) as storage:
        await storage.webhooks.webhooks_revision()
        await remove_standby(own_server)
        publishing = asyncio.create_task(_store(storage, "e-1", how))
        await until("the commit waits", lambda: commits_wait(own_server, database))
        publishing.cancel()
        await restore_standby(own_server)
        with pytest.raises(asyncio.CancelledError):
            await publishing
        assert storage.database.open_transactions == 0
        assert await _visible(own_server, database) == 1


@pytest.mark.parametrize("how", ["step by step", "in one statement"])
@pytest.mark.parametrize("inner_first", [True, False])
async def test_a_loop_that_ends_cancels_no_commit(
    own_server: OwnServer,
    database: str,
    how: str,
    inner_first: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    async with impatient(own_server, database, 60) as storage:
        await storage.webhooks.webhooks_revision()
        await remove_standby(own_server)
        others = asyncio.all_tasks()
        publishing = asyncio.create_task(_store(storage, "e-1", how))
        await until("the commit waits", lambda: commits_wait(own_server, database))
        # As asyncio.run does at its end, in an order that is not defined.
        inner = [*(asyncio.all_tasks() - others - {publishing})]
        for task in [*inner, publishing] if inner_first else [publishing, *inner]:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await publishing
    assert await commits_wait(own_server, database, 1), "it still waits"
    assert await _visible(own_server, database) == 0


async def test_behind_a_pooler_the_backend_that_was_given_up_counts_too(
    own_server: OwnServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notification_adapters.sql.postgres.pool._WAIT_SECONDS", 0.1)
    program = find_pgbouncer()
    require(program, "PgBouncer is not here: apt-get install pgbouncer.")
    assert program
    with pgbouncer(own_server, program) as port:
        server = evolve(
            own_server.server(database),
            uri=f"postgresql://postgres@127.0.0.1:{port}/{database}",
            direct_uri=own_server.database_uri(database),
            prepared_statements=False,
            response_seconds=0.3,
            pool_size=1,
        )
        async with opened(server) as storage:
            await storage.webhooks.webhooks_revision()
            await remove_standby(own_server)
            with pytest.raises(UnknownCommit):
                await ingest(storage, event("e-1"))
            await asyncio.sleep(1.5)  # longer than the pause between two looks for its backend
            with pytest.raises(StorageUnavailable, match="became free"):
                await storage.webhooks.webhooks_revision()
            assert await commits_wait(own_server, database, 1)
            await restore_standby(own_server)

            async def is_free() -> bool:
                return storage.database.open_transactions == 0

            await until("its place is free", is_free)


@pytest.mark.parametrize("how", ["step by step", "in one statement"])
async def test_a_duplicate_is_acknowledged_only_after_a_commit_that_waits_for_the_standby(
    own_server: OwnServer, database: str, how: str
) -> None:
    async with impatient(own_server, database) as storage:
        assert await _store(storage, "e-1", how) is Arrival.NEW
        await remove_standby(own_server)
        with pytest.raises(UnknownCommit):
            await _store(storage, "e-1", how)
        await restore_standby(own_server)
        assert await _store(storage, "e-1", how) is Arrival.DUPLICATE


async def test_other_acknowledgements_of_what_was_found_wait_for_the_standby_too(
    own_server: OwnServer, database: str
) -> None:
    now = datetime.now(UTC)
    stored = StoredResponse(ENVIRONMENT_ID, "request", "fingerprint", b"response", now)
    async with impatient(own_server, database) as storage:
        async with storage.deliveries.ingesting() as transaction:
            await transaction.add_records([stored])
        await remove_standby(own_server)
        with pytest.raises(UnknownCommit):
            await storage.idempotency.find(
                ENVIRONMENT_ID, "request", datetime.min.replace(tzinfo=UTC)
            )
        assert await storage.idempotency.find(uuid4(), "request", now) is None, "nothing was found"


async def test_a_backend_that_was_given_up_counts_until_it_is_gone(
    own_server: OwnServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notification_adapters.sql.postgres.pool._WAIT_SECONDS", 0.1)
    async with impatient(own_server, database, pool_size=2) as storage:
        await storage.webhooks.webhooks_revision()
        await remove_standby(own_server)
        for number in range(2):
            with pytest.raises(UnknownCommit):
                await _store(storage, f"e-{number}", "in one statement")
        with pytest.raises(StorageUnavailable, match="became free"):
            await _store(storage, "e-3", "in one statement")
        assert await commits_wait(own_server, database, 2), "no more than there may be connections"
        await restore_standby(own_server)

        async def is_free() -> bool:
            with suppress(StorageUnavailable):
                return await _store(storage, "e-3", "in one statement") is Arrival.NEW
            return False

        await until("the places are free again", is_free)
        assert storage.database.open_transactions == 0


async def test_a_storage_whose_commits_hang_is_not_ready(
    own_server: OwnServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "notification_adapters.sql.postgres.database._LONGEST_COMMIT", timedelta(seconds=0.2)
    )
    async with impatient(own_server, database, pool_size=1) as storage:
        await storage.ping()
        await remove_standby(own_server)
        with pytest.raises(UnknownCommit):
            await _store(storage, "e-1", "in one statement")
        with pytest.raises(StorageUnavailable, match="has not finished"):
            await storage.ping()
        await restore_standby(own_server)

        async def is_ready() -> bool:
            with suppress(StorageUnavailable):
                await storage.ping()
                return True
            return False

        await until("it is ready again", is_ready)


async def test_a_probe_is_committed_only_if_nothing_else_has_been_for_a_while(
    own_server: OwnServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with impatient(own_server, database) as storage:
        await _store(storage, "e-1", "in one statement")
        await remove_standby(own_server)
        await storage.ping()
        monkeypatch.setattr(
            "notification_adapters.sql.postgres.database._PROBE_AFTER", timedelta(0)
        )
        with pytest.raises(UnknownCommit):
            await storage.ping()


async def test_a_caller_that_is_cancelled_twice_does_not_exceed_the_pool(
    own_server: OwnServer, database: str
) -> None:
    async with impatient(own_server, database, seconds=60, pool_size=1) as storage:
        pids = set()
        for _ in range(5):
            async with own_server.connected(database) as blocker:
                await blocker.execute("BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
                publishing = asyncio.create_task(_store(storage, "e-1", "step by step"))

                async def is_blocked() -> bool:
                    async with own_server.connected() as observer:
                        blocked = (
                            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                        )
                        return bool(await observer.fetchval(blocked))

                await until("it waits for the lock", is_blocked)
                publishing.cancel()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                publishing.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await publishing
                assert storage.database.open_transactions <= 1
                await blocker.execute("ROLLBACK")
            async with own_server.connected() as observer:
                ours = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1"
                pids.add(await observer.fetchval(ours, database))
        assert max(pids) <= 1
