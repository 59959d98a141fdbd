"""What version 0006 adds: code of 0005 neither reads nor writes it."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the phases of attempts.

    The default is what code of 0005 leaves, and what is there already: nothing was measured. With
    it no row is written: both engines read it for rows that lack the column.
    """
    op.add_column("attempts", sa.Column("phases", sa.Text(), server_default=""))
