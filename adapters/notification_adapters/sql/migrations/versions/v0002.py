"""Filters of webhooks: a column that code of version 0001 neither reads nor writes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column."""
    op.add_column("webhooks", sa.Column("filter", sa.Text()))
