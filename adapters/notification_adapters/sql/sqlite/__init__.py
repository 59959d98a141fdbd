"""SQLite: a file, its one writer and its readers."""

from notification_adapters.sql.sqlite.storage import (
    migrate_sqlite,
    open_sqlite,
    open_sqlite_database,
)

__all__ = ["migrate_sqlite", "open_sqlite", "open_sqlite_database"]
