"""Filters, retries and time limits of webhooks: code of 0001 neither reads nor writes them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("webhooks", sa.Column("filter", sa.Text()))
    op.add_column("webhooks", sa.Column("retry", sa.Text()))
    op.add_column("webhooks", sa.Column("timeout_us", sa.BigInteger()))
