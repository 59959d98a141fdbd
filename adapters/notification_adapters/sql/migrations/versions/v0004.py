"""What version 0004 adds: code of 0003 neither reads nor writes it."""

import sqlalchemy as sa
from alembic import op

from notification_adapters.sql.instants import Instant

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add operational events on their way to webhooks."""
    op.create_table(
        "operational_events",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("occurred_at", Instant(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("ordering_key", sa.Text()),
        sa.PrimaryKeyConstraint("event_id", name="operational_events_pkey"),
    )
