"""What version 0002 adds: code of 0001 neither reads nor writes it."""

import sqlalchemy as sa
from alembic import op

from notification_adapters.sql.instants import Instant
from notification_adapters.sql.metadata import KEY_TEXT

revision = "0002"
down_revision = "0001"

_IN_LINE = sa.text("ordering_key IS NOT NULL AND (state = 'pending' OR worker IS NOT NULL)")


def upgrade() -> None:
    """Add all of it."""
    op.add_column("webhooks", sa.Column("filter", sa.Text()))
    op.add_column("webhooks", sa.Column("retry", sa.Text()))
    op.add_column("webhooks", sa.Column("timeout_us", sa.BigInteger()))
    op.add_column("webhooks", sa.Column("signing_secrets", sa.Text()))
    op.add_column("events", sa.Column("traceparent", sa.Text()))
    op.add_column(
        "replays",
        sa.Column("includes_filtered", sa.Boolean(), nullable=False, server_default=sa.true()),
    )
    op.add_column("attempts", sa.Column("instance", sa.Text()))
    _add_workers()
    _add_ordering()
    _add_health()
    _create_statistics()
    _add_rate_limits()


def _add_workers() -> None:
    op.create_table(
        "workers",
        sa.Column("worker", sa.Uuid(), nullable=False),
        sa.Column("begun", sa.LargeBinary(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("worker", name="workers_pkey"),
    )


def _add_ordering() -> None:
    no, none_yet = sa.false(), sa.text("0")
    op.add_column("webhooks", sa.Column("ordered", sa.Boolean(), nullable=False, server_default=no))
    op.add_column("events", sa.Column("ordering_key", sa.Text()))
    op.add_column("deliveries", sa.Column("ordering_key", KEY_TEXT))
    op.add_column("deliveries", sa.Column("position", sa.BigInteger()))
    op.add_column(
        "instance",
        sa.Column("last_position", sa.BigInteger(), nullable=False, server_default=none_yet),
    )
    op.create_table(
        "ordering_keys",
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("ordering_key", KEY_TEXT, nullable=False),
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint(
            "webhook_id", "ordering_key", "environment_id", name="ordering_keys_pkey"
        ),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index("ordering_keys_environment", "ordering_keys", ["environment_id"])
    op.create_index(
        "deliveries_in_line",
        "deliveries",
        ["webhook_id", "ordering_key", "position"],
        sqlite_where=_IN_LINE,
        postgresql_where=_IN_LINE,
    )
    if op.get_context().dialect.name == "postgresql":
        op.execute("CREATE SEQUENCE delivery_positions AS BIGINT")


def _add_health() -> None:
    op.add_column("webhooks", sa.Column("resumed_at", Instant()))
    op.create_table(
        "webhook_health",
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("since", Instant(), nullable=False),
        sa.Column("first_log_id", sa.Uuid(), nullable=False),
        sa.Column("paused_at", Instant()),
        sa.Column("pause_us", sa.BigInteger()),
        sa.Column("next_probe_at", Instant()),
        sa.Column("fresh_probe_at", Instant()),
        sa.Column("probe_id", sa.Uuid()),
        sa.Column("probe_until", Instant()),
        sa.PrimaryKeyConstraint("webhook_id", "environment_id", name="webhook_health_pkey"),
    )


def _create_statistics() -> None:
    counts = (
        *("attempts_succeeded", "attempts_failed", "attempts_interrupted"),
        *("deliveries_succeeded", "deliveries_failed", "deliveries_skipped"),
        "deliveries_cancelled",
    )
    op.create_table(
        "statistics",
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("bucket_start", Instant, nullable=False),
        sa.Column("writer", sa.Uuid(), nullable=False),
        sa.Column("minutes", sa.SmallInteger(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in counts),
        sa.Column("figures", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            "webhook_id", "environment_id", "bucket_start", "writer", name="statistics_pkey"
        ),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index("statistics_age", "statistics", ["minutes", "bucket_start"], unique=False)


def _add_rate_limits() -> None:
    op.add_column("webhooks", sa.Column("rate_limit", sa.Integer()))
    op.create_table(
        "webhook_rates",
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("next_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("webhook_id", "environment_id", name="webhook_rates_pkey"),
    )
