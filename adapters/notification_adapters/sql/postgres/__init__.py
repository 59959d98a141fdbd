"""PostgreSQL: a server, a pool of connections to it, and one connection that proves a life."""

from notification_adapters.sql.postgres import table_options  # noqa: F401 - the tables are told
from notification_adapters.sql.postgres.server import Server
from notification_adapters.sql.postgres.storage import (
    migrate_postgres,
    open_postgres,
    open_postgres_database,
)

__all__ = ["Server", "migrate_postgres", "open_postgres", "open_postgres_database"]
