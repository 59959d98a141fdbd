"""What PostgreSQL is told of the tables beside what they say of both engines.

It stands here since SQLAlchemy loads an engine's dialect for an option of its: a process on SQLite
would wait for that at its start.
"""

from typing import Final

from notification_adapters.sql.tables import SCHEMA, deliveries, ordering_keys, statistics

_HALF_FULL: Final = {"fillfactor": 50}

for _table in SCHEMA.tables.values():
    for _index in _table.indexes:
        # Indexes are partial by the same conditions on both engines.
        if (_condition := _index.dialect_kwargs.get("sqlite_where")) is not None:
            _index.dialect_kwargs["postgresql_where"] = _condition

# Half of a page is for the end of each delivery: where it does not fit into its page, each update
# writes a lock to WAL before it goes to another one, and the unchanged columns again.
deliveries.dialect_kwargs["postgresql_with"] = _HALF_FULL
# Each lock is an update, which is to find room in its page.
ordering_keys.dialect_kwargs["postgresql_with"] = _HALF_FULL
# A row is updated many times within its minute, and never after it.
statistics.dialect_kwargs["postgresql_with"] = _HALF_FULL
