"""The table of webhooks that are not healthy, and where all tables are registered."""

import sqlalchemy as sa

from notification_adapters.sql.instants import Instant

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
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
