"""What version 0005 adds: code of 0004 neither reads nor writes it."""

import sqlalchemy as sa
from alembic import op

from notification_adapters.sql.instants import Instant

revision = "0005"
down_revision = "0004"

_COUNTS = (
    *("attempts_succeeded", "attempts_failed", "attempts_interrupted"),
    *("deliveries_succeeded", "deliveries_failed", "deliveries_skipped"),
    "deliveries_cancelled",
)


def upgrade() -> None:
    """Add the minutes of hours that were merged."""
    op.create_table(
        "statistics_minutes",
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("bucket_start", Instant(), nullable=False),
        sa.Column("writer", sa.Uuid(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in _COUNTS),
        sa.Column("figures", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            *("webhook_id", "environment_id", "bucket_start", "writer"),
            name="statistics_minutes_pkey",
        ),
    )
    op.create_index("statistics_minutes_age", "statistics_minutes", ["bucket_start"], unique=False)
