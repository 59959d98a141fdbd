"""SQL storage: one schema, one store a module."""

from notification_adapters.sql.storage import SqlStorage, migrate_sqlite, open_sqlite

__all__ = ["SqlStorage", "migrate_sqlite", "open_sqlite"]
