"""The backlog of a SQL database, read from the partial indexes alone."""

from datetime import datetime

from notification_adapters.sql.engine import Database
from notification_adapters.sql.steps import Queue
from notification_core.ports.backlog import MAX_COUNTED, MAX_WEBHOOKS, Backlog, BacklogSize


class SqlBacklog(Backlog):
    """Measures what waits in a SQL database, in one consistent view."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def size(
        self, max_counted: int = MAX_COUNTED, max_webhooks: int = MAX_WEBHOOKS
    ) -> BacklogSize:
        """Return how much waits; raise :class:`StorageUnavailable`."""
        steps = self._database.steps
        async with self._database.reading() as connection:
            now = await self._database.now(connection)
            counts = await steps.counts(connection, max_counted)
            queues = await steps.queues(connection, None, max_webhooks)
            workers = await steps.owners(connection)
        due = [now - queue.due_at for queue in queues if _is_due(queue, now)]
        return BacklogSize(
            waiting=counts.waiting,
            begun=counts.begun,
            webhooks=len(queues),
            oldest_due=max(due, default=None),
            workers=frozenset(workers),
        )


def _is_due(queue: Queue, now: datetime) -> bool:
    is_disabled = queue.disabled_until is not None and queue.disabled_until > now
    return queue.due_at <= now and not queue.deleted and not is_disabled
