"""SQL storage: one schema, one store a module, one folder an engine."""

from notification_adapters.sql.storage import SqlStorage
from notification_adapters.sql.visits import HostConnection

__all__ = ["HostConnection", "SqlStorage"]
