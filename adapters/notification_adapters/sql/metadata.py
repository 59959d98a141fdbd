"""What all tables have in common."""

from typing import Final

import sqlalchemy as sa

KEY_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Text of an index: compared by its bytes, as SQLite and Python do.

By the rules of a language a comparison takes PostgreSQL longer, and an update of the system's
library may change these rules, under which an index is not in order any more.
"""

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)
