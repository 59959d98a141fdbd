"""A PostgreSQL database that several processes of a test share."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from hashlib import sha256

import asyncpg
from attrs import frozen

from tests.faults.history import (
    Stored,
    StoredAttempt,
    StoredDelivery,
    StoredEvent,
    StoredWebhook,
)
from tests.postgres_server import PostgresServer

IN_FLIGHT = 32

_EVENTS = "SELECT event_id, environment_id, type, stored_at, body FROM events"
_WEBHOOKS = "SELECT webhook_id, environment_id, events, created_at, deleted_at FROM webhooks"
_DELIVERIES = (
    "SELECT delivery_id, webhook_id, environment_id, event_id, state, attempt, worker, reason "
    "FROM deliveries"
)
_ATTEMPTS = "SELECT delivery_id, attempt, outcome, started_at, duration_us FROM attempts"
_UNFINISHED = "SELECT count(*) FROM deliveries WHERE state = 'pending' OR worker IS NOT NULL"


@frozen
class Place:
    """A database, and what its processes are told of it."""

    postgres: PostgresServer
    database: str

    @property
    def settings(self) -> dict[str, str]:
        """What a process is told of it."""
        return {
            "DB_URI": self.postgres.database_uri(self.database),
            "DB_ENCRYPTION_SECRET": "0123456789abcdef0123456789abcdef",
            "WEBHOOKS_RETRY_INTERVAL": "100ms",
            "WEBHOOKS_MAX_IN_FLIGHT": str(IN_FLIGHT),
        }

    async def count(self, question: str) -> int:
        """Look into the database."""
        async with self.postgres.connected(self.database) as connection:
            return int(await connection.fetchval(question))

    async def is_done(self) -> bool:
        """Tell whether nothing waits and nobody works."""
        return await self.count(_UNFINISHED) == 0

    async def stored(self) -> Stored:
        """Look at all that is stored, in the accounts' form."""
        async with (
            self.postgres.connected(self.database) as connection,
            connection.transaction(isolation="repeatable_read"),
        ):
            return Stored(
                events=[_event(row) for row in await connection.fetch(_EVENTS)],
                webhooks=[_webhook(row) for row in await connection.fetch(_WEBHOOKS)],
                deliveries=[_delivery(row) for row in await connection.fetch(_DELIVERIES)],
                attempts=[_attempt(row) for row in await connection.fetch(_ATTEMPTS)],
            )


def _event(row: asyncpg.Record) -> StoredEvent:
    digest = None if row["body"] is None else sha256(row["body"]).hexdigest()
    environment = str(row["environment_id"])
    return StoredEvent(row["event_id"], environment, row["type"], row["stored_at"], digest)


def _webhook(row: asyncpg.Record) -> StoredWebhook:
    return StoredWebhook(
        str(row["webhook_id"]),
        str(row["environment_id"]),
        frozenset(json.loads(row["events"])),
        row["created_at"],
        row["deleted_at"],
    )


def _delivery(row: asyncpg.Record) -> StoredDelivery:
    return StoredDelivery(
        str(row["delivery_id"]),
        str(row["webhook_id"]),
        str(row["environment_id"]),
        row["event_id"],
        row["state"],
        row["attempt"],
        held=row["worker"] is not None,
        reason=row["reason"],
    )


def _attempt(row: asyncpg.Record) -> StoredAttempt:
    took = row["duration_us"]
    duration = None if took is None else timedelta(microseconds=took)
    return StoredAttempt(
        str(row["delivery_id"]), row["attempt"], row["outcome"], row["started_at"], duration
    )


@asynccontextmanager
async def place_on(postgres: PostgresServer) -> AsyncIterator[Place]:
    """Make an empty database for the length of the block."""
    async with postgres.database(empty=True) as database:
        yield Place(postgres, database)
