"""The first schema: events, webhooks, deliveries, attempts, keys, and what is kept beside them.

On PostgreSQL, databases that were made early compare the texts of their keys by a language's rules,
and are left so: nothing depends on it, and to change it would lock a table while indexes are built.
"""

import sqlalchemy as sa
from alembic import op

from notification_adapters.sql.instants import Instant
from notification_adapters.sql.metadata import KEY_TEXT

revision = "0001"
down_revision = None

_WAITING = sa.text("state = 'pending' AND worker IS NULL")
_LEASED = sa.text("worker IS NOT NULL")
_RUNNING = sa.text("state = 'running'")
_ERASING = sa.text("ended_at IS NULL")
_ERRORS = sa.text("outcome <> 'succeeded'")

# What is longer than 2 KB is compressed by the server, by default with pglz, which takes four times
# as long and makes it no smaller. A server may have been built without lz4.
_COMPRESS_BY_LZ4 = (
    "DO $$ BEGIN "
    "ALTER TABLE events ALTER COLUMN body SET COMPRESSION lz4; "
    "ALTER TABLE attempts ALTER COLUMN response_body SET COMPRESSION lz4; "
    "EXCEPTION WHEN feature_not_supported THEN NULL; "
    "END $$"
)


def upgrade() -> None:
    """Create all tables, and the two that have one row."""
    _create_events()
    _create_webhooks()
    _create_deliveries()
    _create_attempts()
    _create_replays()
    _create_erasures()
    _create_environment_keys()
    _create_idempotent_responses()
    _create_api_keys()
    _create_audit()
    _create_dead_letters()
    _create_outbox()
    outbox_lease = _create_outbox_lease()
    webhooks_revision = _create_webhooks_revision()
    instance = _create_instance()
    if op.get_context().dialect.name == "postgresql":
        op.execute(_COMPRESS_BY_LZ4)
    op.bulk_insert(outbox_lease, [{"id": 1}])
    op.bulk_insert(webhooks_revision, [{"id": 1, "revision": 0}])
    op.bulk_insert(instance, [{"id": 1, "oldest_compatible": revision}])


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("event_id", KEY_TEXT, nullable=False),
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("occurred_at", Instant, nullable=False),
        sa.Column("body", sa.LargeBinary()),
        sa.Column("stored_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("event_id", "environment_id", name="events_pkey"),
    )
    op.create_index(
        "events_environment",
        "events",
        ["environment_id", "stored_at", "event_id"],
        unique=False,
    )


def _create_webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("custom_headers", sa.Text()),
        sa.Column("disabled_until", Instant),
        sa.Column("disabled_reason", sa.Text()),
        sa.Column("disabled_at", Instant),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        sa.Column("deleted_at", Instant),
        sa.PrimaryKeyConstraint("webhook_id", "environment_id", name="webhooks_pkey"),
    )
    op.create_index(
        "webhooks_environment", "webhooks", ["environment_id", "webhook_id"], unique=False
    )


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", KEY_TEXT, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("origin", sa.Text()),
        sa.Column("replay_id", sa.Uuid()),
        sa.Column("due_at", Instant, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("interruptions", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Uuid()),
        sa.Column("leased_until", Instant),
        sa.Column("started_at", Instant),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("event_stored_at", Instant, nullable=False),
        sa.Column("ended_at", Instant),
        sa.PrimaryKeyConstraint("delivery_id", "environment_id", name="deliveries_pkey"),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index("deliveries_event", "deliveries", ["event_id", "environment_id"], unique=False)
    op.create_index("deliveries_webhook", "deliveries", ["webhook_id", "delivery_id"], unique=False)
    op.create_index(
        "deliveries_leased",
        "deliveries",
        ["worker", "leased_until"],
        unique=False,
        sqlite_where=_LEASED,
        postgresql_where=_LEASED,
    )
    op.create_index(
        "deliveries_waiting",
        "deliveries",
        ["webhook_id", "due_at", "delivery_id", "event_stored_at"],
        unique=False,
        sqlite_where=_WAITING,
        postgresql_where=_WAITING,
    )


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("log_id", sa.Uuid(), nullable=False),
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("started_at", Instant, nullable=False),
        sa.Column("error_code", sa.Text()),
        sa.Column("error_message", sa.Text()),
        sa.Column("method", sa.Text()),
        sa.Column("url", sa.Text()),
        sa.Column("request_headers", sa.Text()),
        sa.Column("http_code", sa.Integer()),
        sa.Column("response_headers", sa.Text()),
        sa.Column("response_body", sa.LargeBinary()),
        sa.Column("truncated", sa.Boolean()),
        sa.Column("duration_us", sa.BigInteger()),
        sa.Column("next_attempt_at", Instant),
        sa.PrimaryKeyConstraint("delivery_id", "attempt", "environment_id", name="attempts_pkey"),
    )
    op.create_index("attempts_log", "attempts", ["webhook_id", "log_id"], unique=False)
    # After the other: of two indexes that serve alike, SQLite takes the younger one.
    op.create_index(
        "attempts_errors",
        "attempts",
        ["webhook_id", "log_id"],
        unique=False,
        sqlite_where=_ERRORS,
        postgresql_where=_ERRORS,
    )


def _create_replays() -> None:
    op.create_table(
        "replays",
        sa.Column("replay_id", sa.Uuid(), nullable=False),
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("since", Instant, nullable=False),
        sa.Column("until", Instant, nullable=False),
        sa.Column("states", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("cursor", sa.Uuid()),
        sa.Column("done_until", Instant),
        sa.Column("replayed", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("ended_at", Instant),
        sa.PrimaryKeyConstraint("replay_id", "environment_id", name="replays_pkey"),
    )
    op.create_index("replays_webhook", "replays", ["webhook_id", "replay_id"], unique=False)
    op.create_index(
        "replays_running",
        "replays",
        ["webhook_id", "environment_id"],
        unique=True,
        sqlite_where=_RUNNING,
        postgresql_where=_RUNNING,
    )


def _create_erasures() -> None:
    op.create_table(
        "erasures",
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("requested_at", Instant, nullable=False),
        sa.Column("erased", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", Instant),
        sa.PrimaryKeyConstraint("environment_id", name="erasures_pkey"),
    )
    op.create_index(
        "erasures_running",
        "erasures",
        ["environment_id"],
        unique=False,
        sqlite_where=_ERASING,
        postgresql_where=_ERASING,
    )


def _create_environment_keys() -> None:
    op.create_table(
        "environment_keys",
        sa.Column("key_id", KEY_TEXT, nullable=False),
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("private_key", sa.Text(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("not_before", Instant, nullable=False),
        sa.Column("expires_at", Instant),
        sa.PrimaryKeyConstraint("key_id", "environment_id", name="environment_keys_pkey"),
        sa.UniqueConstraint(
            "environment_id", "number", name="environment_keys_environment_id_number_key"
        ),
    )


def _create_idempotent_responses() -> None:
    op.create_table(
        "idempotent_responses",
        sa.Column("request", KEY_TEXT, nullable=False),
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.Column("responded_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("request", "environment_id", name="idempotent_responses_pkey"),
    )
    op.create_index(
        "idempotent_responses_age", "idempotent_responses", ["responded_at"], unique=False
    )
    op.create_index(
        "idempotent_responses_environment", "idempotent_responses", ["environment_id"], unique=False
    )


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("environments", sa.Text()),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("expires_at", Instant),
        sa.Column("revoked_at", Instant),
        sa.PrimaryKeyConstraint("key_id", name="api_keys_pkey"),
    )


def _create_dead_letters() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("letter_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("topic_partition", sa.Integer(), nullable=False),
        sa.Column("topic_offset", sa.BigInteger(), nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.LargeBinary()),
        sa.Column("value", sa.LargeBinary()),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("stored_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("letter_id", name="dead_letters_pkey"),
        sa.UniqueConstraint("message_id", name="dead_letters_message_id_key"),
    )


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary()),
        sa.Column("value", sa.LargeBinary()),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("stored_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("message_id", name="outbox_pkey"),
    )


def _create_outbox_lease() -> sa.Table:
    return op.create_table(
        "outbox_lease",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("worker", sa.Uuid()),
        sa.Column("leased_until", Instant),
        sa.PrimaryKeyConstraint("id", name="outbox_lease_pkey"),
    )


def _create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", "environment_id", name="audit_pkey"),
    )
    op.create_index("audit_environment", "audit", ["environment_id", "entry_id"], unique=False)


def _create_webhooks_revision() -> sa.Table:
    return op.create_table(
        "webhooks_revision",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="webhooks_revision_pkey"),
    )


def _create_instance() -> sa.Table:
    return op.create_table(
        "instance",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("canary", sa.Text()),
        sa.Column("oldest_compatible", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="instance_pkey"),
    )
