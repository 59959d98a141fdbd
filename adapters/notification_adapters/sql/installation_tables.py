"""The tables of an installation and its processes, which are of no environment."""

import sqlalchemy as sa

from notification_adapters.sql.instants import Instant
from notification_adapters.sql.metadata import metadata

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("key_id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    # A JSON array of ids, sorted; none for all environments.
    sa.Column("environments", sa.Text),
    # The SHA-256 of the key, which itself is kept nowhere.
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant),
    sa.Column("revoked_at", Instant),
)

console_sessions = sa.Table(
    "console_sessions",
    metadata,
    sa.Column("session_id", sa.Uuid, primary_key=True),
    # Name, scope and environments of the caller who signed in, as in api_keys.
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("environments", sa.Text),
    # By which credential: the id of an API key, say.
    sa.Column("credential", sa.Text, nullable=False),
    # The SHA-256 of its token.
    sa.Column("token_digest", sa.LargeBinary, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Index("console_sessions_age", "expires_at"),
)

dead_letters = sa.Table(
    "dead_letters",
    metadata,
    # Nobody could read whose they are, so they have no environment.
    sa.Column("letter_id", sa.Uuid, primary_key=True),
    # Follows from the message's place, time and content: one that is read again is known.
    sa.Column("message_id", sa.Uuid, nullable=False, unique=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("topic_partition", sa.Integer, nullable=False),
    sa.Column("topic_offset", sa.BigInteger, nullable=False),
    # Milliseconds, as Kafka has them: a producer may write what is no instant.
    sa.Column("timestamp_ms", sa.BigInteger, nullable=False),
    sa.Column("key", sa.LargeBinary),
    sa.Column("value", sa.LargeBinary),
    # A JSON array of [name, value in base64].
    sa.Column("headers", sa.Text, nullable=False),
    sa.Column("stored_at", Instant, nullable=False),
)

outbox = sa.Table(
    "outbox",
    metadata,
    # Messages on their way to a topic; of several processes, in the order of time. They are gone
    # once they are sent.
    sa.Column("message_id", sa.Uuid, primary_key=True),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("key", sa.LargeBinary),
    sa.Column("value", sa.LargeBinary),
    # A JSON array of [name, value in base64].
    sa.Column("headers", sa.Text, nullable=False),
    sa.Column("stored_at", Instant, nullable=False),
)

operational_events = sa.Table(
    "operational_events",
    metadata,
    # On their way to the webhooks of one environment, in the order of time. They are gone once
    # they are published there as events.
    sa.Column("event_id", sa.Uuid, primary_key=True),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("occurred_at", Instant, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("ordering_key", sa.Text),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("worker", sa.Uuid, primary_key=True),
    # Of the deliveries that it has prefetched: those that it may be sending. Their ids, 16 bytes
    # each.
    sa.Column("begun", sa.LargeBinary, nullable=False),
    # Others have freed deliveries that it had prefetched: it must begin no more.
    sa.Column("closed", sa.Boolean, nullable=False),
)

outbox_lease = sa.Table(
    "outbox_lease",
    metadata,
    # One row: which worker sends what is in the outbox, and until when.
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("worker", sa.Uuid),
    sa.Column("leased_until", Instant),
)

webhooks_revision = sa.Table(
    "webhooks_revision",
    metadata,
    # One row: it counts the changes of webhooks that running workers must notice.
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
)

instance = sa.Table(
    "instance",
    metadata,
    # One row: what this database is.
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    # A known text, encrypted: it tells a wrong encryption secret at the start.
    sa.Column("canary", sa.Text),
    # The oldest schema version whose code can work on this schema.
    sa.Column("oldest_compatible", sa.Text, nullable=False),
    # The last position that a delivery was given, on SQLite.
    sa.Column("last_position", sa.BigInteger, nullable=False, server_default=sa.text("0")),
)
