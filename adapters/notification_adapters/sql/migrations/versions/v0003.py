"""What version 0003 adds: sessions of browsers. Code of 0002 neither reads nor writes them."""

import sqlalchemy as sa
from alembic import op

from notification_adapters.sql.instants import Instant

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add all of it."""
    op.create_table(
        "portal_sessions",
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("code_digest", sa.LargeBinary()),
        sa.Column("token_digest", sa.LargeBinary()),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "environment_id", name="portal_sessions_pkey"),
    )
    op.create_index("portal_sessions_age", "portal_sessions", ["expires_at"])
    op.create_index(
        "portal_sessions_environment", "portal_sessions", ["environment_id", "session_id"]
    )
    op.create_table(
        "console_sessions",
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("environments", sa.Text()),
        sa.Column("credential", sa.Text(), nullable=False),
        sa.Column("token_digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name="console_sessions_pkey"),
    )
    op.create_index("console_sessions_age", "console_sessions", ["expires_at"])
