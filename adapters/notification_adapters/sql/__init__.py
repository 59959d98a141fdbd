"""SQL storage: one schema, one store a module, one folder an engine."""

from notification_adapters.sql.host_transactions import HostConnection
from notification_adapters.sql.storage import SqlStorage

__all__ = ["HostConnection", "SqlStorage"]
