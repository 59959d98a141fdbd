"""The tables of tenants: one schema for SQLite and PostgreSQL.

Every table of a tenant has the primary key (id, environment_id), the id first (of an attempt: its
delivery and number), and every unique constraint includes the environment, so that the tables can
be partitioned by it.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from notification_adapters.sql import installation_tables  # noqa: F401 - they are of the schema, too
from notification_adapters.sql.instants import Instant
from notification_adapters.sql.metadata import KEY_TEXT, metadata


def place_of(column: sa.Column[Any], environment_id: UUID, row: object) -> Sequence[str]:
    """Return what an encrypted text is bound to: where it stands."""
    return column.table.name, column.name, str(environment_id), str(row)


# What partial indexes are of: SQLite takes one only for a statement that says the very same.
# PostgreSQL has them by the same conditions (``postgres/table_options.py``, with what else is its
# own): an option of its here would have SQLAlchemy load its driver, on SQLite too.
WAITING = sa.text("state = 'pending' AND worker IS NULL")
RUNNING = sa.text("state = 'running'")
ERASING = sa.text("ended_at IS NULL")
IN_LINE = sa.text("ordering_key IS NOT NULL AND (state = 'pending' OR worker IS NOT NULL)")

events = sa.Table(
    "events",
    metadata,
    sa.Column("event_id", KEY_TEXT, primary_key=True),
    sa.Column("environment_id", sa.Uuid, primary_key=True),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("occurred_at", Instant, nullable=False),
    # The request body, serialised once; none where no webhook wanted the event.
    sa.Column("body", sa.LargeBinary),
    sa.Column("stored_at", Instant, nullable=False),
    # The publisher's place in a trace (W3C Trace Context), where tracing was on.
    sa.Column("traceparent", sa.Text),
    sa.Column("ordering_key", sa.Text),
    # For listing them. With the id in it, although the events of one moment would be soon sorted:
    # on a table that it knows nothing of yet, PostgreSQL would read and sort all that there are.
    sa.Index("events_environment", "environment_id", "stored_at", "event_id"),
)

webhooks = sa.Table(
    "webhooks",
    metadata,
    sa.Column("webhook_id", sa.Uuid, primary_key=True),
    sa.Column("environment_id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    # A JSON array of event types, sorted.
    sa.Column("events", sa.Text, nullable=False),
    sa.Column("description", sa.Text),
    # A JSON object of names and values, encrypted as a whole; none if there are no headers.
    sa.Column("custom_headers", sa.Text),
    sa.Column("disabled_until", Instant),
    sa.Column("disabled_reason", sa.Text),
    sa.Column("disabled_at", Instant),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Column("deleted_at", Instant),
    # A JSON Schema; none where all events are wanted.
    sa.Column("filter", sa.Text),
    # A JSON object of what it has of its own; none where all is as the installation has it.
    sa.Column("retry", sa.Text),
    sa.Column("timeout_us", sa.BigInteger),
    # A JSON array, encrypted as a whole; none where requests have no symmetric signature.
    sa.Column("signing_secrets", sa.Text),
    sa.Column("ordered", sa.Boolean, nullable=False, server_default=sa.false()),
    # When the circuit breaker last closed.
    sa.Column("resumed_at", Instant),
    sa.Column("rate_limit", sa.Integer),
    sa.Index("webhooks_environment", "environment_id", "webhook_id"),
)

webhook_rates = sa.Table(
    "webhook_rates",
    metadata,
    # Of webhooks with a rate limit: when the next request may be made. Only claims change it.
    sa.Column("webhook_id", sa.Uuid, primary_key=True),
    sa.Column("environment_id", sa.Uuid, primary_key=True),
    sa.Column("next_at", Instant, nullable=False),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("delivery_id", sa.Uuid, primary_key=True),
    sa.Column("environment_id", sa.Uuid, primary_key=True),
    sa.Column("webhook_id", sa.Uuid, nullable=False),
    sa.Column("event_id", KEY_TEXT, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    # Why it was made, where it was not because its event arrived.
    sa.Column("origin", sa.Text),
    sa.Column("replay_id", sa.Uuid),
    sa.Column("due_at", Instant, nullable=False),
    # How many attempts have been begun, how many of them failed, and how many of the latest in
    # a row were interrupted.
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("interruptions", sa.Integer, nullable=False),
    # Who makes attempt number `attempt` now, until when, and since when: never, if it is only
    # prefetched (see workers).
    sa.Column("worker", sa.Uuid),
    sa.Column("leased_until", Instant),
    sa.Column("started_at", Instant),
    sa.Column("created_at", Instant, nullable=False),
    # As of its event, so that no statement has to look there: a redelivery is younger.
    sa.Column("event_stored_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    # Of one that is delivered in order: what it waits for, and where in its ordering group.
    sa.Column("ordering_key", KEY_TEXT),
    sa.Column("position", sa.BigInteger),
    # There is no index on due_at alone: the planner would take it for a claim, and walk through
    # the million rows of a webhook that is skipped. Of those that are due at once the one
    # made first is first; event_stored_at lets settle() compare the age of a queue's events inside
    # the index.
    sa.Index(
        "deliveries_waiting",
        "webhook_id",
        "due_at",
        "delivery_id",
        "event_stored_at",
        sqlite_where=WAITING,
    ),
    # For looking back: what a webhook was sent, and what happened to an event.
    sa.Index("deliveries_webhook", "webhook_id", "delivery_id"),
    sa.Index("deliveries_event", "event_id", "environment_id"),
    sa.Index(
        "deliveries_leased",
        "worker",
        "leased_until",
        sqlite_where=sa.text("worker IS NOT NULL"),
    ),
    # The lines: the first one of each is what the others wait for.
    sa.Index(
        "deliveries_in_line",
        "webhook_id",
        "ordering_key",
        "position",
        sqlite_where=IN_LINE,
    ),
)

POSITIONS: Final = sa.Sequence("delivery_positions", data_type=sa.BigInteger, metadata=metadata)
"""Numbers deliveries that are delivered in order, on PostgreSQL; on SQLite ``instance`` does."""

ordering_keys = sa.Table(
    "ordering_keys",
    metadata,
    # A row to lock for each line: whoever adds a delivery to it, or ends one, waits for the others.
    # SQLite has one writer and needs none.
    sa.Column("webhook_id", sa.Uuid, nullable=False),
    sa.Column("ordering_key", KEY_TEXT, nullable=False),
    sa.Column("environment_id", sa.Uuid, nullable=False),
    sa.PrimaryKeyConstraint("webhook_id", "ordering_key", "environment_id"),
    # For erasing an environment.
    sa.Index("ordering_keys_environment", "environment_id"),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("log_id", sa.Uuid, nullable=False),
    sa.Column("environment_id", sa.Uuid, nullable=False),
    sa.Column("webhook_id", sa.Uuid, nullable=False),
    sa.Column("delivery_id", sa.Uuid, nullable=False),
    sa.Column("event_id", sa.Text, nullable=False),
    sa.Column("event_type", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("error_code", sa.Text),
    sa.Column("error_message", sa.Text),
    sa.Column("method", sa.Text),
    sa.Column("url", sa.Text),
    # JSON arrays of [name, value].
    sa.Column("request_headers", sa.Text),
    sa.Column("http_code", sa.Integer),
    sa.Column("response_headers", sa.Text),
    sa.Column("response_body", sa.LargeBinary),
    sa.Column("truncated", sa.Boolean),
    sa.Column("duration_us", sa.BigInteger),
    sa.Column("next_attempt_at", Instant),
    # The name of the process that made it; none if that is not known.
    sa.Column("instance", sa.Text),
    # A JSON object of the phases that were measured, in microseconds; empty if none was, as for
    # what was logged before there was this column. None of most: see phases_text.
    sa.Column("phases", sa.Text, server_default=""),
    # There is no index on log_id alone: who looks for an attempt by it knows the webhook.
    sa.PrimaryKeyConstraint("delivery_id", "attempt", "environment_id"),
    sa.Index("attempts_log", "webhook_id", "log_id"),
    sa.Index(
        "attempts_errors",
        "webhook_id",
        "log_id",
        sqlite_where=sa.text("outcome <> 'succeeded'"),
    ),
)


def _counted() -> Sequence[sa.Column[Any]]:
    """Return the columns of what is counted: a table has columns of its own."""
    return [
        sa.Column("attempts_succeeded", sa.Integer, nullable=False),
        sa.Column("attempts_failed", sa.Integer, nullable=False),
        sa.Column("attempts_interrupted", sa.Integer, nullable=False),
        sa.Column("deliveries_succeeded", sa.Integer, nullable=False),
        sa.Column("deliveries_failed", sa.Integer, nullable=False),
        sa.Column("deliveries_skipped", sa.Integer, nullable=False),
        sa.Column("deliveries_cancelled", sa.Integer, nullable=False),
        # Histograms and errors: statistics_encoding says how.
        sa.Column("figures", sa.LargeBinary, nullable=False),
    ]


statistics = sa.Table(
    "statistics",
    metadata,
    # What was counted of a webhook within a minute, or an hour of which the minutes were merged.
    sa.Column("webhook_id", sa.Uuid, primary_key=True),
    sa.Column("environment_id", sa.Uuid, primary_key=True),
    sa.Column("bucket_start", Instant, primary_key=True),
    # Whose row it is: of two transactions at the same time each writes its own, so that none waits
    # for another (see StatisticsWriters). The nil UUID has what was merged.
    sa.Column("writer", sa.Uuid, primary_key=True),
    sa.Column("minutes", sa.SmallInteger, nullable=False),
    *_counted(),
    sa.Index("statistics_age", "minutes", "bucket_start"),
)

statistics_minutes = sa.Table(
    "statistics_minutes",
    metadata,
    # The minutes of hours that were merged, for as long as they are known by themselves. They are
    # counted in the hours of ``statistics``, too, which days and hours are read from.
    sa.Column("webhook_id", sa.Uuid, primary_key=True),
    sa.Column("environment_id", sa.Uuid, primary_key=True),
    sa.Column("bucket_start", Instant, primary_key=True),
    # Another one for each transaction that merges.
    sa.Column("writer", sa.Uuid, primary_key=True),
    *_counted(),
    sa.Index("statistics_minutes_age", "bucket_start"),
)

webhook_health = sa.Table(
    "webhook_health",
    metadata,
    # A row only while a webhook is not healthy.
    sa.Column("webhook_id", sa.Uuid, primary_key=True),
    sa.Column("environment_id", sa.Uuid, primary_key=True),
    # Failed attempts in a row, since when, and the first of them in the log.
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("since", Instant, nullable=False),
    sa.Column("first_log_id", sa.Uuid, nullable=False),
    # Of one that is paused: since when, and when it is probed.
    sa.Column("paused_at", Instant),
    sa.Column("pause_us", sa.BigInteger),
    sa.Column("next_probe_at", Instant),
    sa.Column("fresh_probe_at", Instant),
    # The delivery that is being probed, and until when that may last.
    sa.Column("probe_id", sa.Uuid),
    sa.Column("probe_until", Instant),
)

replays = sa.Table(
    "replays",
    metadata,
    sa.Column("replay_id", sa.Uuid, primary_key=True),
    sa.Column("environment_id", sa.Uuid, primary_key=True),
    sa.Column("webhook_id", sa.Uuid, nullable=False),
    sa.Column("since", Instant, nullable=False),
    sa.Column("until", Instant, nullable=False),
    # A JSON array of the states of deliveries, sorted.
    sa.Column("states", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    # The last delivery that was looked at, and when that had been made.
    sa.Column("cursor", sa.Uuid),
    sa.Column("done_until", Instant),
    sa.Column("replayed", sa.BigInteger, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Column("includes_filtered", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Index("replays_webhook", "webhook_id", "replay_id"),
    # Of two that begin at the same time one wins.
    sa.Index(
        "replays_running",
        "webhook_id",
        "environment_id",
        unique=True,
        sqlite_where=RUNNING,
    ),
)

erasures = sa.Table(
    "erasures",
    metadata,
    # What is left of an environment that was erased: that it was.
    sa.Column("environment_id", sa.Uuid, primary_key=True),
    sa.Column("requested_at", Instant, nullable=False),
    sa.Column("erased", sa.BigInteger, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Index(
        "erasures_running",
        "environment_id",
        sqlite_where=ERASING,
    ),
)

environment_keys = sa.Table(
    "environment_keys",
    metadata,
    sa.Column("key_id", KEY_TEXT, primary_key=True),
    sa.Column("environment_id", sa.Uuid, primary_key=True),
    # They are numbered, so that of two keys that are made at the same time one wins.
    sa.Column("number", sa.Integer, nullable=False),
    # The 32 secret bytes, encrypted.
    sa.Column("private_key", sa.Text, nullable=False),
    sa.Column("public_key", sa.LargeBinary, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("not_before", Instant, nullable=False),
    sa.Column("expires_at", Instant),
    sa.UniqueConstraint("environment_id", "number"),
)

idempotent_responses = sa.Table(
    "idempotent_responses",
    metadata,
    # A digest of caller, route and Idempotency-Key.
    sa.Column("request", KEY_TEXT, primary_key=True),
    sa.Column("environment_id", sa.Uuid, primary_key=True),
    sa.Column("fingerprint", sa.Text, nullable=False),
    # Encrypted: it may show what a webhook sends along.
    sa.Column("response", sa.Text, nullable=False),
    sa.Column("responded_at", Instant, nullable=False),
    sa.Index("idempotent_responses_age", "responded_at"),
    sa.Index("idempotent_responses_environment", "environment_id"),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("entry_id", sa.Uuid, primary_key=True),
    # The nil UUID stands for the installation.
    sa.Column("environment_id", sa.Uuid, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Index("audit_environment", "environment_id", "entry_id"),
)

portal_sessions = sa.Table(
    "portal_sessions",
    metadata,
    sa.Column("session_id", sa.Uuid, primary_key=True),
    sa.Column("environment_id", sa.Uuid, primary_key=True),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("name", sa.Text),
    # The SHA-256 of its code until that is exchanged, and of its token from then on.
    sa.Column("code_digest", sa.LargeBinary),
    sa.Column("token_digest", sa.LargeBinary),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Index("portal_sessions_age", "expires_at"),
    sa.Index("portal_sessions_environment", "environment_id", "session_id"),
)

ENCRYPTED = (
    environment_keys.c.private_key,
    webhooks.c.custom_headers,
    webhooks.c.signing_secrets,
    idempotent_responses.c.response,
)
"""Every column of encrypted texts, each bound to its row by :func:`place_of`."""

SCHEMA: Final = metadata
"""All tables, those of the installation too."""
